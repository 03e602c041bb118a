/* SPDX-License-Identifier: Apache-2.0 */
/* Index and verification together find what a plain scan finds, whatever is indexed already. */
#include "db/testing.h"
#include "store/search_index.h"
#include "store/store.h"
#include "store/text.h"
#include "base/encode.h"
#include "base/log.h"

enum { BODIES = 240 };
static int64_t ids[BODIES];
static size_t id_count;

static const char *const words[] = { "hello ",
				     "World",
				     " the ",
				     "\xe9\xb3\xa9",
				     "\xe3\x81\xae",
				     "\xe5\xb7\xa3\xe3\x81\xab",
				     "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e ",
				     "caf\xc3\xa9 ",
				     "\xd0\x96\xd1\x83\xd0\xba ",
				     "\xed\x95\x9c\xea\xb5\xad",
				     "42",
				     "\r\n",
				     "a\"b ",
				     "\xef\xbd\xb1\xef\xbd\xb2",
				     ("Stra\xc3\x9f"
				      "e "),
				     "\xe0\xb8\x81\xe0\xb8\xb2 " };

static int keep(struct db_conn *tx, void *arg) {
	int r = blob_insert(tx, arg, SLICE_NONE, &ids[id_count]);
	return r == 0 ? blob_ref(tx, ids[id_count]) : r;
}

static int drop(struct db_conn *tx, void *arg) {
	return blob_unref(tx, *(int64_t *)arg);
}

static void put_words(struct buf *out, uint64_t count) {
	while (count-- > 0) buf_add(out, slice_of(words[random_below(LEN(words))]));
}

static void body_add(struct db *db, struct slice text) {
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	struct blob_source source = { .parts = &text, .part_count = 1, .fd = -1 };
	assert_done(blob_prepare(db, &source, &draft));
	assert_done(db_write(db, keep, draft));
	id_count++;
}

static void bodies_add(struct db *db, size_t count) {
	for (; count > 0; count--) {
		AUTO_BUF struct buf text = BUF(KIB(64));
		buf_add(&text, S("Content-Type: text/plain; charset=utf-8\r\nSubject: some mail\r\n\r\n"));
		put_words(&text, random_below(60));
		body_add(db, buf_slice(&text));
	}
}

static int collect(void *ctx, struct slice folded) {
	buf_add(ctx, folded);
	return 0;
}

static void text_of(struct db *db, int64_t id, struct buf *out) {
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BLOB struct blob *blob = NULL;
	struct summary summary;
	assert_done(blob_open(c, id, &blob));
	assert_done(store_summary(SLICE_NONE, blob, &mem, &summary));
	assert_done(store_text(blob, &summary, STORE_TEXT_HEADER | STORE_TEXT_BODY, SLICE_NONE, collect, out));
}

/* How many needles could be looked up. */
static size_t agree(struct db *db, struct search_index *x, int rounds) {
	struct buf *texts = mem_get(sizeof *texts * BODIES);
	size_t looked_up = 0;
	for (size_t i = 0; i < id_count; i++) {
		texts[i] = BUF(KIB(256));
		text_of(db, ids[i], &texts[i]);
	}
	for (int round = 0; round < rounds; round++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct slice from = buf_slice(&texts[random_below(id_count)]), needle;
		do needle = slice_head(slice_skip(from, random_below(from.len)), 1 + random_below(14));
		while (!utf8_valid(needle));
		struct text_found found;
		if (search_index_find(x, needle, &mem, &found) != 0) continue;
		looked_up++;
		for (size_t i = 0; i < id_count; i++)
			if (slice_search(buf_slice(&texts[i]), needle) < texts[i].len &&
			    search_index_excludes(&found, ids[i]))
				failed("<%.*s> is missed", SLICE_ARG(needle));
	}
	for (size_t i = 0; i < id_count; i++) buf_done(&texts[i]);
	free(texts);
	return looked_up;
}

static uint64_t waiting(struct search_index *x) {
	struct search_index_status s;
	assert_done(search_index_status(x, &s));
	return s.waiting;
}

static void work_off(struct search_index *x) {
	int r;
	while ((r = search_index_work(x)) == 1) {}
	assert_done(r);
}

static void index_and_scan_agree(void **state) {
	(void)state;
	AUTO(testing_dir_remove) char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	struct search_index *x = NULL;
	uint64_t missing = 1;
	id_count = 0;
	assert_done(search_index_open(db, &x));
	bodies_add(db, 80);
	assert_int_equal(waiting(x), 80);
	agree(db, x, 200); /* nothing is indexed */
	work_off(x);
	assert_int_equal(waiting(x), 0);
	assert_true(agree(db, x, 500) > 200);
	bodies_add(db, 80);
	assert_true(agree(db, x, 300) > 100); /* behind */
	assert_done(db_write(db, drop, &ids[--id_count]));
	work_off(x);
	assert_done(search_index_missing(x, &missing));
	assert_int_equal(missing, 0);
	search_index_close(&x);
	db_close(&db);
	db = testing_db(dir, NULL); /* and after a restart */
	assert_done(search_index_open(db, &x));
	assert_int_equal(waiting(x), 0);
	bodies_add(db, 40);
	search_index_rebuild(x);
	agree(db, x, 100);
	work_off(x);
	assert_int_equal(waiting(x), 0);
	assert_true(agree(db, x, 500) > 200);
	search_index_close(&x);
	db_close(&db);
}

/* A body whose number was given before that of others, and which comes after them, is not missed. */
static void late_bodies(void **state) {
	(void)state;
	AUTO(testing_dir_remove) char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	struct search_index *x = NULL;
	struct slice text = S("Subject: late\r\n\r\nan early bird\r\n");
	struct blob_source source = { .parts = &text, .part_count = 1, .fd = -1 };
	struct blob_draft *late = NULL;
	AUTO_ARENA struct arena mem = { 0 };
	struct text_found found;
	id_count = 0;
	assert_done(search_index_open(db, &x));
	assert_done(blob_prepare(db, &source, &late));
	bodies_add(db, 10);
	work_off(x);
	assert_int_equal(waiting(x), 10); /* behind the one that is on its way */
	assert_done(db_write(db, keep, late));
	blob_draft_done(&late);
	work_off(x);
	assert_int_equal(waiting(x), 0);
	assert_done(search_index_find(x, S("EARLY BIRD"), &mem, &found));
	assert_int_equal(found.count, 1);
	assert_int_equal(found.ids[0], ids[id_count]);
	search_index_close(&x);
	db_close(&db);
}

static void background_follows(void **state) {
	(void)state;
	AUTO(testing_dir_remove) char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	struct search_index *x = NULL;
	id_count = 0;
	assert_done(search_index_open(db, &x));
	bodies_add(db, 50);
	assert_done(search_index_start(x, true));
	for (int i = 0; i < 2000 && waiting(x) != 0; i++) usleep(10000);
	assert_int_equal(waiting(x), 0);
	search_index_rebuild(x);
	struct search_index_status s = { .rebuilding = true };
	for (int i = 0; i < 2000 && s.rebuilding; i++) {
		usleep(10000);
		assert_done(search_index_status(x, &s));
	}
	assert_false(s.rebuilding);
	assert_true(agree(db, x, 200) > 50);
	search_index_close(&x);
	db_close(&db);
}

int main(void) {
	log_open(&(struct log_target){ .fd = STDERR_FILENO, .least = L_ERROR, .name = "hato", .host = "test" });
	const struct CMUnitTest tests[] = { cmocka_unit_test(index_and_scan_agree), cmocka_unit_test(late_bodies),
					    cmocka_unit_test(background_follows) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
