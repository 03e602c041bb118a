/* SPDX-License-Identifier: Apache-2.0 */
#include "mime/digest.h"
#include "base/test.h"

static void make(const char *message, struct buf *out) {
	struct summary summary;
	struct summary_scan *scan = summary_scan_new();
	AUTO_BUF struct buf packed = BUF(MIB(1)), again = BUF(MIB(1));
	struct summary_head head;
	summary_scan_feed(scan, slice_of(message));
	summary_scan_finish(scan, &summary);
	digest_of_summary(out, &summary);
	/* the same from the stored form, without unpacking it */
	summary_pack_ready(&packed, &summary);
	assert_true(summary_head(buf_slice(&packed), &head));
	digest_add(&again, &head);
	assert_true(slice_eq(buf_slice(out), buf_slice(&again)));
	summary_scan_free(&scan);
}

static void assert_text(struct slice got, const char *wanted) {
	if (!slice_eq(got, slice_of(wanted))) fail_msg("%.*s, not %s", SLICE_ARG(got), wanted);
}

static void test_digest(void **state) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	struct digest d;
	uint64_t hash;
	(void)state;
	make("Date: Mon, 2 Feb 2026 10:00:00 +0000\r\nFrom: =?utf-8?q?=C3=89mile?= <emile@x.test>\r\nTo: Team: a@b, "
	     "c@d;\r\n"
	     "Message-ID: <1@x>\r\nReferences: <2@x> <3@x>\r\nSubject: Re: [list] gr\xc3\xbc\xc3\x9f\r\n\r\nx\r\n",
	     &out);
	assert_true(digest_read(buf_slice(&out), &d));
	assert_int_equal(d.sent, 1770026400);
	assert_true(d.id == msgid_hash(S("1@x")) && d.reply);
	assert_true(summary_reference_next(&d.references, &hash) && hash == msgid_hash(S("2@x")));
	assert_true(summary_reference_next(&d.references, &hash) && hash == msgid_hash(S("3@x")));
	assert_false(summary_reference_next(&d.references, &hash));
	assert_text(d.subject, "GRU\xcc\x88\xc3\x9f");
	assert_text(d.from, "EMILE");
	assert_text(d.to, "TEAM");
	assert_text(d.cc, "");
	assert_text(d.display_from, "E\xcc\x81MILE");
	for (size_t n = 0; n < out.len; n++) assert_false(digest_read(slice_head(buf_slice(&out), n), &d));
	buf_clear(&out);
	make("\r\n", &out);
	assert_true(digest_read(buf_slice(&out), &d) && d.sent == 0 && d.id == 0 && d.subject.len == 0);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_digest) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
