/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/mbox.h"
#include "store/store.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/test.h"

#define FROM "From ann@example.test Mon Nov 23 06:36:09 2026 +0000\n"
#define FROM_US (INT64_C(1795415769) * 1000000)

static void note_line(void *ctx, uint64_t line, const char *what UNUSED) {
	buf_addf(ctx, "%llu ", (unsigned long long)line);
}

static int add(void *out, struct slice piece) {
	return buf_add(out, piece) ? 0 : -1;
}

/* Each message as "flags/keywords/uid:header|body;", and the lines that were told of. */
static void expect(enum mbox_format format, const char *file, const char *wanted, const char *lines) {
	AUTO_BUF struct buf out = BUF(MIB(1)), told = BUF(KIB(4));
	int fd = memfd_create("mbox", MFD_CLOEXEC);
	assert_int_equal(write(fd, file, strlen(file)), (ssize_t)strlen(file));
	struct mbox *m = mbox_open(fd, format, note_line, &told);
	struct mbox_message one;
	int r;
	while ((r = mbox_next(m, &one)) == 1) {
		if (one.hidden) continue;
		buf_addf(&out, "%u/%.*s/%u:", one.flags, SLICE_ARG(one.keywords), one.uid);
		buf_add(&out, one.header);
		buf_byte(&out, '|');
		assert_int_equal(mbox_body(m, add, &out), 0);
		buf_byte(&out, ';');
	}
	assert_int_equal(r, 0);
	assert_string_equal(buf_text(&out), wanted);
	assert_string_equal(buf_text(&told), lines);
	mbox_close(&m);
	close(fd);
}

static void messages(void **state) {
	(void)state;
	expect(MBOX_ANY, "", "", "");
	expect(MBOX_ANY, FROM "A: b\n\ntext\n\n" FROM "A: c\n\n\nmore\n\n\n",
	       "0//0:A: b\n\n|text\n;0//0:A: c\n\n|\nmore\n\n;", "");
	expect(MBOX_ANY, FROM "A: b\r\n\r\ntext\r\n\r\n" FROM "A: c\r\n\r\n",
	       "0//0:A: b\r\n\n|text\r\n;0//0:A: c\r\n\n|;", "");
	expect(MBOX_ANY, FROM "A: b\n\n" FROM "\nbody", "0//0:A: b\n\n|;0//0:\n|body;", "6 ");
}

static void quoting(void **state) {
	(void)state;
	static const char file[] = FROM "A: b\n\n>From x\n>>From y\n>From: z\n> From\n";
	expect(MBOX_ANY, file, "0//0:A: b\n\n|From x\n>From y\n>From: z\n> From\n;", "");
	expect(MBOX_O, file, "0//0:A: b\n\n|From x\n>>From y\n>From: z\n> From\n;", "");
	expect(MBOX_CL2, file, "0//0:A: b\n\n|>From x\n>>From y\n>From: z\n> From\n;", "");
}

static void lengths(void **state) {
	(void)state;
	static const char right[] = FROM "Content-Length: 58\n\n" FROM ">From\n\n\n" FROM "\nz\n";
	expect(MBOX_ANY, FROM "Content-Length: 62\n\n" FROM ">From x\n\n" FROM "\nz\n",
	       "0//0:\n|" FROM ">From x\n\n;0//0:\n|z\n;", "");
	expect(MBOX_ANY, right, "0//0:\n|" FROM ">From;0//0:\n|z\n;", "");
	/* too long, too short, absurd: the From_ lines count */
	expect(MBOX_ANY, FROM "Content-Length: 900\n\na\n\n" FROM "\nz\n", "0//0:\n|a\n;0//0:\n|z\n;", "1 ");
	expect(MBOX_ANY, FROM "Content-Length: 1\n\na\n\n" FROM "\nz\n", "0//0:\n|a;0//0:\n|z\n;", "");
	expect(MBOX_ANY, FROM "Content-Length: 99999999999999999999\n\na\n", "0//0:\n|a\n;", "");
	expect(MBOX_RD, FROM "Content-Length: 1\n\na\n\n" FROM "\nz\n", "0//0:\n|a\n;0//0:\n|z\n;", "");
}

static void broken(void **state) {
	(void)state;
	expect(MBOX_ANY, "A: b\n\nx\n" FROM "\ny\n", "0//0:A: b\n\n|x\n;0//0:\n|y\n;", "1 4 ");
	expect(MBOX_ANY, FROM "\nx\n\nFrom here on\nz\n", "0//0:\n|x\n\nFrom here on\nz\n;", "5 ");
	expect(MBOX_ANY, FROM "A: b\n" FROM "\ny\n", "0//0:A: b\n|;0//0:\n|y\n;", "3 ");
	expect(MBOX_ANY, "From nobody\nA: b\n\nx\n", "0//0:A: b\n\n|x\n;", "1 ");
}

static void own_fields(void **state) {
	(void)state;
	expect(MBOX_ANY,
	       FROM "Subject: s\nStatus: RO\nX-Status: AFT\nX-Keywords: Work\n $Junk (bad\nX-UID: 7\nTo: x\n\ny\n",
	       "23/Work $Junk/7:Subject: s\nTo: x\n\n|y\n;", "");
	expect(MBOX_ANY,
	       FROM "X-Mozilla-Status: 1003\nX-Mozilla-Keys: a b\n\ny\n\n" FROM "X-Mozilla-Status: 0009\n\nz\n",
	       "3/$Forwarded a b/0:\n|y\n;", "");
	expect(MBOX_ANY,
	       FROM "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nX-IMAP: 5 6\n\nz\n\n" FROM "\ny\n",
	       "0//0:\n|y\n;", "");
}

static void from_lines(void **state) {
	(void)state;
	static const struct {
		const char *line;
		int64_t us;
	} good[] = {
		{ FROM, FROM_US },
		{ "From a Mon Nov 23 06:36:09 +0000 2026\r\n", FROM_US },
		{ "From 12@xxx Mon Nov 23 07:36:09 CET 2026", FROM_US },
		{ "From \"a b\"@x  Mon Nov 23 06:36 GMT 2026", FROM_US - 9000000 },
		{ "From a Mon Nov 23 06:36:09 2026 +0000 remote from uucp", FROM_US },
	};
	static const char *const bad[] = { "From a",
					   "From a Mon Nov 23 06:36:09",
					   "From a Mon Nov 32 06:36:09 2026",
					   "From a Mon Now 23 06:36:09 2026",
					   "From: a Mon Nov 23 06:36:09 2026",
					   "From a Mon Nov 23 25:36:09 2026",
					   ">From a Mon Nov 23 06:36:09 2026" };
	int64_t us;
	for (size_t i = 0; i < LEN(good); i++) {
		assert_true(mbox_from_read(slice_of(good[i].line), &us));
		assert_true(us == good[i].us || i == 2);
	}
	for (size_t i = 0; i < LEN(bad); i++) assert_true(!mbox_from_read(slice_of(bad[i]), &us));
	AUTO_BUF struct buf out = BUF(KIB(1));
	mbox_from_put(&out, S("a b@x"), FROM_US);
	assert_true(mbox_from_read(buf_slice(&out), &us) && us == FROM_US);
}

static void writing(void **state) {
	(void)state;
	AUTO_BUF struct buf out = BUF(KIB(1));
	mbox_status_put(&out, FLAG_SEEN | FLAG_ANSWERED | FLAG_DRAFT, S("a b"), 3);
	mbox_status_put(&out, 0, SLICE_NONE, 4);
	assert_string_equal(buf_text(&out),
			    "Status: RO\nX-Status: AT\nX-Keywords: a b\nX-UID: 3\nStatus: O\nX-UID: 4\n");
	assert_true(mbox_quotes(MBOX_RD, S(">>From x")) && mbox_quotes(MBOX_O, S("From x")));
	assert_false(mbox_quotes(MBOX_O, S(">From x")) || mbox_quotes(MBOX_CL2, S("From x")) ||
		     mbox_quotes(MBOX_RD, S("> From x")));
	assert_true(mbox_own_field(S("status")) && !mbox_own_field(S("Subject")));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages), cmocka_unit_test(quoting),    cmocka_unit_test(lengths),
		cmocka_unit_test(broken),   cmocka_unit_test(own_fields), cmocka_unit_test(from_lines),
		cmocka_unit_test(writing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
