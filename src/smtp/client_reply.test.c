/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_reply.h"
#include "base/test.h"

#define FAIL(...) (print_error(__VA_ARGS__), print_error("\n"), assert_true(false))

static const struct {
	const char *lines; /* separated by LF */
	int result, code;
	const char *status, *text, *said;
} cases[] = {
	{ "250 2.1.0 Ok", SMTP_REPLY_WHOLE, 250, "2.1.0", "Ok", "250 2.1.0 Ok" },
	{ "250", SMTP_REPLY_WHOLE, 250, "", "", "250" },
	{ "250 ", SMTP_REPLY_WHOLE, 250, "", "", "250" },
	{ "250OK", SMTP_REPLY_WHOLE, 250, "", "OK", "250 OK" },
	{ "250-", SMTP_REPLY_MORE, 0, "", "", "" },
	{ "250-mx\n250-SIZE 10\n250 DSN", SMTP_REPLY_WHOLE, 250, "", "mx\nSIZE 10\nDSN", "250-mx 250-SIZE 10 250 DSN" },
	{ "550-5.7.1 [192.0.2.1 12] Our system\n550 5.7.1 more", SMTP_REPLY_WHOLE, 550, "5.7.1",
	  "[192.0.2.1 12] Our system\nmore", "550-5.7.1 [192.0.2.1 12] Our system 550 5.7.1 more" },
	{ "550 4.7.1 class does not fit", SMTP_REPLY_WHOLE, 550, "", "4.7.1 class does not fit",
	  "550 4.7.1 class does not fit" },
	{ "550 5.1.1", SMTP_REPLY_WHOLE, 550, "5.1.1", "", "550 5.1.1" },
	{ "550 5.1.1234 no", SMTP_REPLY_WHOLE, 550, "", "5.1.1234 no", "550 5.1.1234 no" },
	{ "550 5.1", SMTP_REPLY_WHOLE, 550, "", "5.1", "550 5.1" },
	{ "450 a\tb\x1b[31m\xff caf\xc3\xa9", SMTP_REPLY_WHOLE, 450, "", "a?b?[31m? caf\xc3\xa9",
	  "450 a?b?[31m? caf\xc3\xa9" },
	{ "250-a\n550 b", SMTP_REPLY_BROKEN, 0, "", "", "" },
	{ "2500 x", SMTP_REPLY_BROKEN, 0, "", "", "" },
	{ "199 x", SMTP_REPLY_BROKEN, 0, "", "", "" },
	{ "600 x", SMTP_REPLY_BROKEN, 0, "", "", "" },
	{ "", SMTP_REPLY_BROKEN, 0, "", "", "" },
	{ "HTTP/1.1 400 Bad Request", SMTP_REPLY_BROKEN, 0, "", "", "" },
	{ " 250 ok", SMTP_REPLY_BROKEN, 0, "", "", "" },
};

static bool same(struct slice s, const char *text) { return slice_eq(s, slice_of(text)); }

static void test_replies(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct smtp_reply_reader r = { 0 };
		AUTO_ARENA struct arena mem = { 0 };
		struct smtp_heard heard = { 0 };
		struct slice rest = slice_of(cases[i].lines);
		int got = SMTP_REPLY_MORE;
		while (rest.at != NULL && got == SMTP_REPLY_MORE)
			got = (int)smtp_reply_read(&r, slice_cut(&rest, '\n'), &mem, &heard);
		bool ok = got == cases[i].result && heard.reply.code == cases[i].code;
		if (got == SMTP_REPLY_WHOLE)
			ok = ok && strcmp(heard.reply.status, cases[i].status) == 0 &&
				same(heard.reply.text, cases[i].text) && same(heard.said, cases[i].said);
		if (!ok)
			FAIL("case %zu \"%s\": %d, %d %s text=%.*s said=%.*s", i, cases[i].lines, got, heard.reply.code,
			     heard.reply.status, SLICE_ARG(heard.reply.text), SLICE_ARG(heard.said));
		smtp_reply_reader_done(&r);
	}
}

static void test_hostile_lengths(void **state) {
	(void)state;
	struct smtp_reply_reader r = { 0 };
	AUTO_ARENA struct arena mem = { 0 };
	struct smtp_heard heard;
	static char line[SMTP_REPLY_LINE_MAX + 1];
	memset(line, 'x', sizeof line);
	memcpy(line, "250-", 4);
	assert_int_equal(smtp_reply_read(&r, slice_from(line, sizeof line), &mem, &heard), SMTP_REPLY_BROKEN);
	for (int i = 0; i < SMTP_REPLY_LINES_MAX; i++)
		assert_int_equal(smtp_reply_read(&r, slice_from(line, sizeof line - 1), &mem, &heard), SMTP_REPLY_MORE);
	assert_true(r.text.len <= SMTP_REPLY_TEXT_MAX && r.said.len <= SMTP_REPLY_SAID_MAX);
	assert_int_equal(smtp_reply_read(&r, S("250 end"), &mem, &heard), SMTP_REPLY_BROKEN);
	smtp_reply_reader_done(&r);
}

static void test_one_after_the_other(void **state) {
	(void)state;
	struct smtp_reply_reader r = { 0 };
	AUTO_ARENA struct arena mem = { 0 };
	struct smtp_heard one, two;
	assert_int_equal(smtp_reply_read(&r, S("550 5.1.1 no"), &mem, &one), SMTP_REPLY_WHOLE);
	assert_int_equal(smtp_reply_read(&r, S("250 yes"), &mem, &two), SMTP_REPLY_WHOLE);
	assert_string_equal(one.reply.status, "5.1.1");
	assert_string_equal(two.reply.status, "");
	assert_true(same(one.said, "550 5.1.1 no") && same(two.said, "250 yes"));
	smtp_reply_reader_done(&r);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_hostile_lengths),
		cmocka_unit_test(test_one_after_the_other),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
