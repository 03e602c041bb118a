/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the pieces, the same is stored; a header ends where it ends; large contents lie in the spool file.
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
	{ "To: a\r\n b\r\n\tc\r\nSubject : x\r\n\r\nBcc: stays\r\n",
	  "To: a\r\n b\r\n\tc\r\nSubject : x\r\n\r\nBcc: stays\r\n" },
	{ "Bcc", "\r\nBcc" },
	{ "Bcca: x\r\n", "Bcca: x\r\n" },
	{ "Bcca: x", "Bcca: x" },
	{ "\r\nno header\r\n", "\r\nno header\r\n" },
	{ "no header: at all\r\nX: y\r\n", "\r\nno header: at all\r\nX: y\r\n" },
	{ "X: y\r\nno field\r\nZ: y\r\n", "X: y\r\n\r\nno field\r\nZ: y\r\n" },
	{ " folded first line\r\nTo: x\r\n\r\n", "\r\n folded first line\r\nTo: x\r\n\r\n" },
	{ ">From a@b Sun Nov 22\r\nTo: x\r\n\r\n", "Mailbox-Line: >From a@b Sun Nov 22\r\nTo: x\r\n\r\n" },
	{ "A-very-long-field-name-that-never-ends-and-goes-on: x\r\n\r\n",
	  "A-very-long-field-name-that-never-ends-and-goes-on: x\r\n\r\n" },
	{ "", "" },
};

static struct intake_params params(const char *dir, size_t limit) {
	return (struct intake_params){ .spool_dir = dir, .memory_limit = limit, .header_limit = 1000 };
}

static void take(struct intake *in, const struct intake_params *p, const char *text, size_t step) {
	intake_begin(in, p);
	intake_head(in, S("Received: by us\r\n"));
	struct slice rest = slice_of(text);
	while (rest.len != 0) {
		intake_bytes(in, slice_head(rest, step));
		rest = slice_skip(rest, step);
	}
	intake_end(in);
	assert_int_equal(in->error, 0);
}

static void filtering(void **state) {
	(void)state;
	AUTO_BUF struct buf out = BUF(1 << 20);
	for (size_t i = 0; i < LEN(cases); i++) {
		for (size_t step = 1; step <= 64; step += step < 4 ? 1 : 60) {
			for (size_t limit = 4; limit <= 4096; limit *= 1024) {
				struct intake in;
				struct summary s;
				struct intake_params p = params("/tmp", limit);
				p.scan_late = step == 2;
				take(&in, &p, cases[i].in, step);
				assert_int_equal(intake_summary(&in, &s), 0);
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

static int header(void *ctx, struct slice text, struct buf *out) {
	int *error = ctx;
	buf_add(out, S("Date: Sun, 22 Nov 2026 04:31:39 +0000\r\n"));
	buf_add(out, text);
	return *error;
}

static void another_header_and_body(void **state) {
	(void)state;
	for (size_t limit = 8; limit <= 8192; limit *= 1024) {
		struct intake in;
		struct summary s;
		int error = 0;
		struct intake_params p = params("/tmp", limit);
		p.header = header;
		p.ctx = &error;
		take(&in, &p, "Subject: x\r\n\r\nsome text\r\n", 7);
		assert_int_equal(intake_summary(&in, &s), 0);
		assert_true((s.flags & SUMMARY_HAS_DATE) != 0);
		assert_int_equal(s.size, intake_size(&in));
		assert_true(slice_eq(s.envelopes[0].subject, S("x")));
		char room[100];
		assert_int_equal(intake_body(&in, 0, room, 4), 4);
		assert_memory_equal(room, "some", 4);
		assert_int_equal(intake_body(&in, 5, room, 100), 6);
		assert_int_equal(intake_body(&in, 11, room, 100), 0);
		intake_replace_body(&in, S("other "), true);
		intake_replace_body(&in, S("text, quite long\r\n"), false);
		assert_int_equal(intake_summary(&in, &s), 0);
		assert_int_equal(s.size, intake_size(&in));
		assert_int_equal(intake_body(&in, 0, room, 100), 24);
		assert_memory_equal(room, "other text, quite long\r\n", 24);
		intake_done(&in);
	}
}

/* A field that comes late moves all the rest along: however it was scanned, the summary is that of what is stored. */
static void a_field_comes_late(void **state) {
	(void)state;
	const char *text =
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n";
	AUTO_BUF struct buf out = BUF(1 << 20);
	for (size_t limit = 8; limit <= 8192; limit *= 1024)
		for (int late = 0; late < 2; late++) {
			struct intake in;
			struct intake_params p = params("/tmp", limit);
			p.scan_late = late != 0;
			take(&in, &p, text, 11);
			intake_insert(&in, S("Authentication-Results: a; none\r\n"));
			for (int again = 0; again < 2; again++) {
				struct summary s;
				assert_int_equal(intake_summary(&in, &s), 0);
				struct slice got = stored(&in, &out);
				assert_true(slice_starts(
					got, S("Received: by us\r\nAuthentication-Results: a; none\r\nContent-Type:")));
				assert_int_equal(s.size, got.len);
				assert_int_equal(s.parts_count, 3);
				for (size_t i = 1; i < 3; i++) {
					struct slice part = slice_from(got.at + s.parts[i].body_start,
								       s.parts[i].body_end - s.parts[i].body_start);
					assert_true(slice_eq(part, i == 1 ? S("one") : S("two")));
				}
			}
			intake_done(&in);
		}
}

/* The same header is found beside it, in whatever pieces. */
static void cutting_beside(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice text = slice_of(cases[i].in), want = slice_of(cases[i].out);
		for (size_t step = 1; step <= 64; step += step < 4 ? 1 : 60) {
			size_t line = 0, end = 0;
			enum intake_cut cut = INTAKE_MORE;
			for (size_t n = 0; n < text.len && cut == INTAKE_MORE; n += step)
				cut = intake_cut(slice_head(text, n + step), &line, &end);
			if (cut == INTAKE_MBOX) assert_true(slice_starts(want, intake_mbox_name));
			if (cut != INTAKE_HEADER) continue;
			assert_true(slice_eq(slice_head(text, end), slice_head(want, end)));
			assert_true(slice_starts(slice_skip(want, end), S("\r\n")));
		}
	}
}

static void errors_are_kept(void **state) {
	(void)state;
	struct intake in;
	struct intake_params p = params("/nonexistent", 10);
	int error = EAGAIN;
	intake_begin(&in, &p);
	intake_head(&in, S("X: y\r\n"));
	intake_bytes(&in, S("\r\nmore than ten bytes of text\r\n"));
	assert_int_equal(in.error, ENOENT);
	intake_done(&in);
	p = params("/tmp", 10);
	p.header = header;
	p.ctx = &error;
	intake_begin(&in, &p);
	intake_bytes(&in, S("X: y\r\n\r\n"));
	assert_int_equal(in.error, EAGAIN);
	intake_done(&in);
	p.header = NULL;
	intake_begin(&in, &p);
	for (int i = 0; i < 300; i++) intake_bytes(&in, S("X: y\r\n"));
	assert_int_equal(in.error, EMSGSIZE);
	intake_done(&in);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(filtering), cmocka_unit_test(another_header_and_body),
					    cmocka_unit_test(errors_are_kept), cmocka_unit_test(a_field_comes_late),
					    cmocka_unit_test(cutting_beside) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
