/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/name.h"
#include "access/imap/parse.h"

#include <setjmp.h>
#include <cmocka.h>

static void test_utf7(void **state) {
	static const struct { const char *utf7, *utf8; } cases[] = {
		{ "INBOX", "INBOX" },
		{ "A&-B", "A&B" },
		{ "Entw&APw-rfe", "Entwürfe" },
		{ "~peter/mail/&ZeVnLIqe-/&U,BTFw-", "~peter/mail/日本語/台北" },
		{ "&2D3eAA-", "😀" },
		{ "&AOkA6Q-x", "ééx" },
	};
	static const char *const bad[] = { "&",     "a&b",   "&AGE-",      "&AOk",   "&AOk=-", "&2D0-",
					   "&3gA-", "&AOl-", "&AOk-&AOk-", "a\001b", "\xff",   "&A-" };
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf utf8 = BUF(1000), utf7 = BUF(1000);
		assert_true(imap_name_read(&utf8, slice_of(cases[i].utf7)));
		assert_string_equal(buf_text(&utf8), cases[i].utf8);
		assert_true(imap_name_put(&utf7, buf_slice(&utf8)));
		assert_string_equal(buf_text(&utf7), cases[i].utf7);
	}
	for (size_t i = 0; i < LEN(bad); i++) {
		AUTO_BUF struct buf out = BUF(1000);
		if (imap_name_read(&out, slice_of(bad[i]))) fail_msg("taken: %s", bad[i]);
	}
}

static void test_match(void **state) {
	static const struct { const char *pattern, *name; bool want;
	} cases[] = {
		{ "*", "a/b/c", true },        { "%", "a", true },         { "%", "a/b", false },
		{ "%/%", "a/b", true },        { "%/%", "a/b/c", false },  { "a*", "a/b", true },
		{ "a%", "ab", true },          { "a%", "a/b", false },     { "*b", "a/b", true },
		{ "*/c", "a/b/c", true },      { "inbox", "INBOX", true }, { "inBox/%", "INBOX/x", true },
		{ "inbox", "inboxes", false }, { "", "", true },           { "a", "A", false },
		{ "%a%/x", "aba/x", true },    { "*a%b", "a/ab", true },   { "in%", "INBOX", true },
		{ "Sent", "Sent", true },      { "*%", "a/b", true },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++)
		if (imap_name_match(slice_of(cases[i].pattern), slice_of(cases[i].name)) != cases[i].want)
			fail_msg("%s against %s", cases[i].pattern, cases[i].name);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_utf7), cmocka_unit_test(test_match) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
