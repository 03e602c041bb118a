/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "store/text.h"
#include "base/encode.h"

static const char message[] =
	"Subject: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?= HELLO\r\n"
	"From: Ann <ann@example.test>\r\n"
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	"preamble\r\n--b\r\n"
	"Content-Type: text/html; charset=utf-8\r\n\r\n<p>Fat <b>cat</b>s</p>\r\n--b\r\n"
	"Content-Type: text/plain; charset=shift_jis\r\nContent-Transfer-Encoding: base64\r\n\r\nk/qWew==\r\n--b\r\n"
	"Content-Type: application/pdf; name=x\r\nContent-Disposition: attachment; "
	"filename*=utf-8''R%C3%A9sum%C3%A9.pdf\r\n\r\nwords in it\r\n--b\r\n"
	"Content-Type: message/rfc822\r\n\r\nSubject: Inner One\r\n\r\ninner text\r\n--b--\r\n";

static int add(void *ctx, struct slice folded) {
	buf_add(ctx, folded);
	return 0;
}

static int keep(struct db_conn *tx, void *arg) {
	int64_t id;
	int r = blob_insert(tx, arg, SLICE_NONE, &id);
	return r == 0 ? blob_ref(tx, id) : r;
}

struct stored { struct blob *blob; struct summary_scan *scan; struct summary summary; };

static void stored_make(struct db *db, struct slice body, struct stored *out) {
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
	assert_done(blob_prepare(db, &source, &draft));
	assert_done(db_write(db, keep, draft));
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT MAX(id) FROM blob");
	assert_int_equal(db_step(s), DB_ROW);
	assert_done(blob_open(c, db_int(s, 0), &out->blob));
	out->scan = summary_scan_new();
	summary_scan_feed(out->scan, body);
	summary_scan_finish(out->scan, &out->summary);
}

static void stored_done(struct stored *s) {
	blob_close(&s->blob);
	summary_scan_free(&s->scan);
}

static void what_is_text(void **state) {
	(void)state;
	AUTO(testing_dir_remove) char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	struct stored m;
	stored_make(db, slice_of(message), &m);
	AUTO_BUF struct buf head = BUF(10000), body = BUF(10000), all = BUF(10000);
	assert_done(store_text(m.blob, &m.summary, STORE_TEXT_HEADER, SLICE_NONE, add, &head));
	assert_done(store_text(m.blob, &m.summary, STORE_TEXT_BODY, SLICE_NONE, add, &body));
	assert_done(store_text(m.blob, &m.summary, STORE_TEXT_HEADER | STORE_TEXT_BODY, SLICE_NONE, add, &all));
	assert_int_equal(all.len, head.len + body.len);
	static const char *const in_head[] = { "SUBJECT: \xe6\x97\xa5\xe6\x9c\xac HELLO\n",
					       "FROM: ANN <ANN@EXAMPLE.TEST>\n" };
	static const char *const in_body[] = { "FAT CATS", "\n\xe6\x97\xa5\xe6\x9c\xac\n",
					       "RE\xcc\x81SUME\xcc\x81.PDF\n",
					       "SUBJECT: INNER ONE\n", "INNER TEXT\n" };
	static const char *const nowhere[] = { "PREAMBLE", "WORDS IN IT", "<B>", "K/QWEW" };
	for (size_t i = 0; i < LEN(in_head); i++)
		assert_true(slice_search(buf_slice(&head), slice_of(in_head[i])) < head.len);
	for (size_t i = 0; i < LEN(in_body); i++)
		assert_true(slice_search(buf_slice(&body), slice_of(in_body[i])) < body.len);
	for (size_t i = 0; i < LEN(nowhere); i++)
		assert_true(slice_search(buf_slice(&all), slice_of(nowhere[i])) == all.len);
	stored_done(&m);
	db_close(&db);
}

static void large_is_in_pieces(void **state) {
	(void)state;
	AUTO(testing_dir_remove) char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	AUTO_BUF struct buf text = BUF(MIB(4));
	buf_add(&text, S("Subject: long\r\n\r\n"));
	for (int i = 0; i < 40000; i++) buf_addf(&text, "Word%d%s", i, i % 7 == 0 ? "\r\n" : i % 3 == 0 ? "" : " ");
	struct stored m;
	stored_make(db, buf_slice(&text), &m);
	for (int i = 0; i < 40000; i += 1999) {
		AUTO_BUF struct buf needle = BUF(100);
		buf_addf(&needle, "WORD%d", i);
		AUTO_TEXT_FINDER struct text_finder f = TEXT_FINDER(buf_slice(&needle));
		int r = store_text(m.blob, &m.summary, STORE_TEXT_BODY, SLICE_NONE, text_find, &f);
		assert_true(r == 1 && f.found);
	}
	AUTO_TEXT_FINDER struct text_finder none = TEXT_FINDER(S("WORD39999X"));
	assert_int_equal(store_text(m.blob, &m.summary, STORE_TEXT_BODY, SLICE_NONE, text_find, &none), 0);
	assert_false(none.found);
	stored_done(&m);
	db_close(&db);
}

static void needles_over_borders(void **state) {
	(void)state;
	static const char text[] = "abababcababd abababab";
	for (int round = 0; round < 20000; round++) {
		size_t start = random_below(sizeof text - 1), len = 1 + random_below(sizeof text - 1 - start);
		bool spoil = random_below(2) != 0;
		AUTO_BUF struct buf needle = BUF(100);
		buf_add(&needle, slice_from(text + start, len));
		if (spoil) needle.at[random_below(needle.len)] = "abcd"[random_below(4)];
		AUTO_TEXT_FINDER struct text_finder f = TEXT_FINDER(buf_slice(&needle));
		for (struct slice rest = slice_of(text); rest.len != 0;) {
			size_t n = 1 + random_below(4);
			text_find(&f, slice_head(rest, n));
			rest = slice_skip(rest, n);
		}
		bool want = slice_search(slice_of(text), buf_slice(&needle)) < sizeof text - 1;
		assert_int_equal(f.found, want);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_text), cmocka_unit_test(large_is_in_pieces),
					    cmocka_unit_test(needles_over_borders) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
