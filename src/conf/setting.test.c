/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/setting.h"
#include <setjmp.h>
#include <cmocka.h>

static void test_list(void **state) {
	(void)state;
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *s = setting_of((enum setting_id)i);
		assert_ptr_equal(setting_find(slice_of(s->name)), s);
		assert_int_equal(setting_id_of(s), i);
		if (strlen(s->doc) == 0 || s->doc[strlen(s->doc) - 1] != '.')
			fail_msg("%s: its line of text is no sentence", s->name);
		if (s->kind == KIND_WORDS) assert_non_null(s->words);
	}
	assert_string_equal(setting_of(SET_2bounce_notice_recipient)->name, "2bounce_notice_recipient");
	assert_null(setting_find(S("")));
	assert_null(setting_find(S("Myhostname")));
	assert_null(setting_find(S("zzz")));
}

static void test_distance(void **state) {
	(void)state;
	static const struct { const char *a, *b; size_t limit, want;
	} cases[] = {
		{ "", "", 3, 0 },         { "abc", "abc", 3, 0 },
		{ "abc", "ab", 3, 1 },    { "abc", "acb", 3, 1 },
		{ "abc", "xbc", 3, 1 },   { "abc", "abxc", 3, 1 },
		{ "abcd", "badc", 3, 2 }, { "kitten", "sitting", 3, 3 },
		{ "abcdef", "", 3, 4 },   { "abcdef", "uvwxyz", 2, 3 },
		{ "ca", "abc", 3, 3 },    { "abcdef", "abcdfe", 1, 1 },
		{ "abcdef", "badcfe", 2, 3 }, { "abcdefgh", "bcdefghx", 2, 2 },
		{ "abcdefgh", "cdefghxy", 2, 3 }, { "abcd", "bacd", 0, 1 },
	};
	for (size_t i = 0; i < LEN(cases); i++)
		assert_int_equal(word_distance(slice_of(cases[i].a), slice_of(cases[i].b), cases[i].limit),
				 cases[i].want);
}

/* The limit only spares work: below it nothing changes. */
static void test_distance_within(void **state) {
	(void)state;
	uint32_t seed = 1;
	for (size_t round = 0; round < 20000; round++) {
		char a[12], b[12];
		size_t len[2];
		for (size_t w = 0; w < 2; w++) {
			len[w] = (seed = seed * 1664525 + 1013904223) >> 28 & 7;
			for (size_t i = 0; i < len[w]; i++)
				(w == 0 ? a : b)[i] = (char)('a' + ((seed = seed * 1664525 + 1013904223) >> 30));
		}
		struct slice x = slice_from(a, len[0]), y = slice_from(b, len[1]);
		size_t all = word_distance(x, y, 64);
		for (size_t limit = 0; limit < 5; limit++)
			assert_int_equal(word_distance(x, y, limit), MIN_OF(all, limit + 1));
	}
}

static void test_nearest(void **state) {
	(void)state;
	static const struct { const char *in, *want; } cases[] = {
		{ "myhostnam", "myhostname" },     { "myhsotname", "myhostname" },
		{ "my_networks", "mynetworks" },   { "smtpd_tls_cert_fiel", "smtpd_tls_cert_file" },
		{ "relay_host", "relayhost" },     { "mydestinaton", "mydestination" },
		{ "bif", "biff" },                 { "xy", NULL },
		{ "dkim_milter", NULL },           { "mua_client_restrictions", NULL },
		{ "message_size_limits", "message_size_limit" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		const struct setting *s = setting_nearest(slice_of(cases[i].in));
		if (cases[i].want == NULL) assert_null(s);
		else if (s == NULL) fail_msg("%s: nothing is near", cases[i].in);
		else assert_string_equal(s->name, cases[i].want);
	}
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_list), cmocka_unit_test(test_distance),
					    cmocka_unit_test(test_distance_within), cmocka_unit_test(test_nearest) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
