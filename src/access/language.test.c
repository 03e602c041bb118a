/* SPDX-License-Identifier: Apache-2.0 */
#include "access/language.h"
#include "base/encode.h"
#include "base/test.h"

static void ranges(void **state) {
	static const struct { const char *range; int want; } cases[] = {
		{ "ja", LANGUAGE_JA },        { "JA-jp", LANGUAGE_JA },      { "ja-Latn-JP-x-y", LANGUAGE_JA },
		{ "en-CA", LANGUAGE_EN },     { "*", LANGUAGE_EN },          { "default", LANGUAGE_DEFAULT },
		{ "I-Default", LANGUAGE_DEFAULT }, { "fr", -1 },             { "jam", -1 },
		{ "j", -1 },                  { "ja-", -1 },                 { "-ja", -1 },
		{ "", -1 },                   { "ja jp", -1 },               { "ja-abcdefghi", -1 },
		{ "\xe6\x97\xa5", -1 },       { "mul", -1 },                 { "ja--jp", -1 },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		enum language l = LANGUAGE_COUNT;
		int got = language_of(slice_of(cases[i].range), &l) ? (int)l : -1;
		if (got != cases[i].want) fail_msg("%s: %d, not %d", cases[i].range, got, cases[i].want);
	}
}

static void same(enum language l, const char *in, const char *want) {
	AUTO_BUF struct buf out = BUF(1000);
	language_add(&out, l, slice_of(in));
	if (!slice_eq(buf_slice(&out), slice_of(want))) fail_msg("%s: %s", in, buf_text(&out));
	assert_true(utf8_valid(buf_slice(&out)));
}

static void responses(void **state) {
	(void)state;
	same(LANGUAGE_EN, "OK Fetch completed.", "OK Fetch completed.");
	same(LANGUAGE_DEFAULT, "* BYE Logging out", "* BYE Logging out");
	same(LANGUAGE_JA, "* BYE Logging out", "* BYE ログアウトします");
	same(LANGUAGE_JA, "NO [NOPERM] Permission denied.", "NO [NOPERM] アクセスが許可されていません。");
	same(LANGUAGE_JA, "[COPYUID 1 2:3 4:5] Copy completed.", "[COPYUID 1 2:3 4:5] メッセージをコピーしました。");
	same(LANGUAGE_JA, "[CODE] What has no translation.", "[CODE] What has no translation.");
	same(LANGUAGE_JA, "[broken", "[broken");
	same(LANGUAGE_JA, "", "");
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(ranges), cmocka_unit_test(responses) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
