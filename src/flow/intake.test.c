/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the pieces, the same is stored; fields that tell on others are gone; large contents lie in the spool file.
 */
#include "flow/intake.h"
#include "base/fail.h"

#include "base/test.h"

static struct slice stored(struct intake *in, struct buf *out) {
	buf_clear(out);
	buf_add(out, buf_slice(&in->head));
	buf_add(out, buf_slice(&in->content));
	char piece[4096];
	for (uint64_t at = 0; at < in->spooled;) {
		ssize_t n = pread(in->spool, piece, sizeof piece, (off_t)at);
		assert_true(n > 0);
		buf_add(out, slice_from(piece, (size_t)n));
		at += (uint64_t)n;
	}
	return buf_slice(out);
}

static const struct { const char *in, *out;
} cases[] = {
	{ "Subject: x\r\n\r\nbody\r\n", "Subject: x\r\n\r\nbody\r\n" },
	{ "To: a\r\nBcc: hidden@x,\r\n other@y\r\nSubject: x\r\n\r\nBcc: stays\r\n",
	  "To: a\r\nSubject: x\r\n\r\nBcc: stays\r\n" },
	{ "Return-Path: <forged@x>\r\nFrom: a\r\n\r\n", "From: a\r\n\r\n" },
	{ "BCC : x\r\nContent-Length: 5\r\nResent-Bcc: y\r\n\r\nz", "\r\nz" },
	{ "Bcc", "" },
	{ "Bcca: x\r\n", "Bcca: x\r\n" },
	{ "\r\nno header\r\n", "\r\nno header\r\n" },
	{ " folded first line\r\nTo: x\r\n\r\n", " folded first line\r\nTo: x\r\n\r\n" },
	{ "A-very-long-field-name-that-never-ends-and-goes-on: x\r\n\r\n",
	  "A-very-long-field-name-that-never-ends-and-goes-on: x\r\n\r\n" },
	{ "", "" },
};

static void take(struct intake *in, const char *text, size_t step, size_t limit) {
	intake_begin(in, "/tmp", limit);
	intake_head(in, S("Received: by us\r\n"));
	struct slice rest = slice_of(text);
	while (rest.len != 0) {
		intake_bytes(in, slice_head(rest, step));
		rest = slice_skip(rest, step);
	}
}

static void filtering(void **state) {
	(void)state;
	AUTO_BUF struct buf out = BUF(1 << 20);
	for (size_t i = 0; i < LEN(cases); i++) {
		for (size_t step = 1; step <= 64; step += step < 4 ? 1 : 60) {
			for (size_t limit = 4; limit <= 4096; limit *= 1024) {
				struct intake in;
				struct summary s;
				take(&in, cases[i].in, step, limit);
				intake_summary(&in, &s);
				struct slice got = stored(&in, &out);
				assert_true(slice_starts(got, S("Received: by us\r\n")));
				struct slice want = slice_of(cases[i].out), rest = slice_skip(got, 17);
				if (!slice_eq(rest, want))
					print_error("case %zu step %zu: %.*s\n", i, step, SLICE_ARG(rest));
				assert_true(slice_eq(rest, want));
				assert_int_equal(s.size, got.len);
				assert_int_equal(intake_size(&in), got.len);
				assert_int_equal(s.received_count, 1);
				intake_done(&in);
			}
		}
	}
}

static void another_head(void **state) {
	(void)state;
	for (size_t limit = 8; limit <= 8192; limit *= 1024) {
		struct intake in;
		struct summary s;
		take(&in, "Subject: x\r\n\r\nsome text\r\n", 7, limit);
		intake_summary(&in, &s);
		assert_int_equal(s.flags & SUMMARY_HAS_DATE, 0);
		assert_int_equal(intake_again(&in, S("Received: by us\r\nDate: Sun, 22 Nov 2026 04:31:39 +0000\r\n")),
				 0);
		intake_summary(&in, &s);
		assert_true((s.flags & SUMMARY_HAS_DATE) != 0);
		assert_int_equal(s.size, intake_size(&in));
		assert_true(slice_eq(s.envelopes[0].subject, S("x")));
		intake_done(&in);
	}
}

static void unwritable_spool(void **state) {
	(void)state;
	struct intake in;
	intake_begin(&in, "/nonexistent", 10);
	intake_head(&in, S("X: y\r\n"));
	intake_bytes(&in, S("\r\nmore than ten bytes of text\r\n"));
	assert_int_equal(in.error, ENOENT);
	intake_done(&in);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(filtering), cmocka_unit_test(another_head),
					    cmocka_unit_test(unwritable_spool) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
