/* SPDX-License-Identifier: Apache-2.0 */
/* What a mailbox or program gets, byte by byte: the same for pieces of any size. */
#include "local/copy.h"
#include "local/testing.h"
#include "base/test.h"

#define BODY "Received: x\r\nSubject: hi\r\nDelivered-To: Ann@Example.test\r\n\r\nFrom here\r\n>From there\r\n" \
	".dot\r\nlast without end"

static struct slice copied(struct slice text, struct copy c) {
	AUTO_FD int fd = message_fd(text);
	struct local_message m = { .fd = fd, .size = text.len };
	c.message = &m;
	AUTO_FD int out = file_spool(folder);
	uint64_t written;
	must(copy_to_fd(out, &c, &written) == COPY_DONE);
	char *at = arena_get(&mem, (size_t)written + 1);
	must(pread(out, at, (size_t)written, 0) == (ssize_t)written);
	return slice_from(at, (size_t)written);
}

static void forms(void **state) {
	(void)state;
	struct slice text = S(BODY);
	struct slice s = copied(text, (struct copy){ 0 });
	assert_true(slice_eq(
		s, S("Received: x\nSubject: hi\nDelivered-To: Ann@Example.test\n\nFrom here\n>From there\n.dot\n"
		     "last without end\n")));
	s = copied(text, (struct copy){ .flags = COPY_QUOTE | COPY_DOT | COPY_BLANK, .eol = S("\r\n") });
	assert_true(slice_ends(s, S("\r\n\r\n>From here\r\n>From there\r\n..dot\r\nlast without end\r\n\r\n")));
	setenv("TZ", "UTC", 1);
	s = copied(text, (struct copy){ .sender = S("a@b"),
					.original = S("o@x"),
					.delivered = S("d@x"),
					.flags = COPY_FROM | COPY_RETURN_PATH | COPY_ORIGINAL | COPY_DELIVERED,
					.date = copy_date(&mem, 1700000000) });
	assert_true(slice_starts(s, S("From a@b  Tue Nov 14 22:13:20 2023\nReturn-Path: <a@b>\nX-Original-To: o@x\n"
				      "Delivered-To: d@x\nReceived: x\n")));
	s = copied(text, (struct copy){ .flags = COPY_FROM | COPY_RETURN_PATH, .date = copy_date(&mem, 1700000000) });
	assert_true(slice_starts(s, S("From MAILER-DAEMON  Tue Nov 14 22:13:20 2023\nReturn-Path: <>\n")));
}

/* Lines that straddle the pieces that are read: a body of many "From " lines at every offset. */
static void at_every_offset(void **state) {
	(void)state;
	for (size_t shift = 0; shift < 24; shift++) {
		AUTO_BUF struct buf in = BUF(MIB(1));
		AUTO_BUF struct buf want = BUF(MIB(1));
		for (size_t i = 0; i < shift; i++) buf_byte(&in, 'x'), buf_byte(&want, 'x');
		buf_add(&in, S("\r\n"));
		buf_add(&want, S("\n"));
		for (int i = 0; i < 4000; i++) {
			buf_add(&in, S("From a\r\n.b\r\nFro\r\n\r\n"));
			buf_add(&want, S(">From a\n..b\nFro\n\n"));
		}
		struct slice s = copied(buf_slice(&in), (struct copy){ .flags = COPY_QUOTE | COPY_DOT });
		assert_true(slice_eq(s, buf_slice(&want)));
	}
}

static void odd_ends(void **state) {
	(void)state;
	static const struct {
		const char *in, *out;
	} cases[] = { { "", "" },       { "\r\n", "\n" },   { "a\rb\r\n", "a\rb\n" }, { "a\r", "a\r\n" },
		      { "a\nb", "a\nb\n" }, { "From", "From\n" }, { "From ", ">From \n" } };
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice s = copied(slice_of(cases[i].in), (struct copy){ .flags = COPY_QUOTE });
		if (!slice_eq(s, slice_of(cases[i].out))) print_message("case %zu: \"%.*s\"\n", i, SLICE_ARG(s));
		assert_true(slice_eq(s, slice_of(cases[i].out)));
	}
}

static void delivered_to(void **state) {
	(void)state;
	AUTO_FD int fd = message_fd(S(BODY));
	struct local_message m = { .fd = fd, .size = sizeof BODY - 1 };
	assert_int_equal(copy_has_delivered_to(&m, S("ann@example.test")), 1);
	assert_int_equal(copy_has_delivered_to(&m, S("ann@example.org")), 0);
	m.offset = 13; /* the descriptor holds more than the message */
	m.size -= 13;
	assert_int_equal(copy_has_delivered_to(&m, S("ann@example.test")), 1);
	m.fd = -1;
	assert_true(copy_has_delivered_to(&m, S("ann@example.test")) < 0);
}

int main(void) {
	begin();
	const struct CMUnitTest tests[] = { cmocka_unit_test(forms), cmocka_unit_test(at_every_offset),
					    cmocka_unit_test(odd_ends), cmocka_unit_test(delivered_to) };
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	end();
	return r;
}
