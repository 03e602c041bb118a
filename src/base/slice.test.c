/* SPDX-License-Identifier: Apache-2.0 */
#include "base/slice.h"

#include <setjmp.h>
#include <cmocka.h>

#define assert_slice(got, want) do { \
		struct slice got_ = (got), want_ = slice_of(want); \
		assert_int_equal(got_.len, want_.len); \
		assert_true(slice_eq(got_, want_)); \
	} while (0)

static void comparing(void **state) {
	(void)state;
	static const struct { struct slice a, b; bool eq, same; int order; } cases[] = {
		{ S("abc"), S("abc"), true, true, 0 },
		{ S("abc"), S("ABC"), false, true, 1 },
		{ S("abc"), S("abcd"), false, false, -1 },
		{ S(""), SLICE_NONE, true, true, 0 },
		{ S("a\0b"), S("a\0c"), false, false, -1 },
		{ S("@[`{"), S("`{@["), false, false, -1 }, /* the neighbours of the letters have no other case */
		{ S("\xe4"), S("\xc4"), false, false, 1 },  /* nor have bytes above 127 */
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		assert_int_equal(slice_eq(cases[i].a, cases[i].b), cases[i].eq);
		assert_int_equal(slice_same(cases[i].a, cases[i].b), cases[i].same);
		int order = slice_order(cases[i].a, cases[i].b), back = slice_order(cases[i].b, cases[i].a);
		assert_int_equal((order > 0) - (order < 0), cases[i].order);
		assert_int_equal((back > 0) - (back < 0), -cases[i].order);
	}
}

static void ends_and_starts(void **state) {
	(void)state;
	assert_true(slice_starts(S("MAIL FROM:<a>"), S("MAIL FROM:")));
	assert_false(slice_starts(S("Mail from:<a>"), S("MAIL FROM:")));
	assert_true(slice_starts_same(S("Mail from:<a>"), S("MAIL FROM:")));
	assert_false(slice_starts_same(S("Mail"), S("MAIL FROM:")));
	assert_true(slice_ends(S("x.test.c"), S(".c")));
	assert_false(slice_ends(S("c"), S(".c")));
	assert_true(slice_ends_same(S("a@B.Example"), S("b.example")));
	assert_true(slice_starts(S("x"), S("")) && slice_ends(SLICE_NONE, SLICE_NONE));
}

static void searching(void **state) {
	(void)state;
	assert_int_equal(slice_find(S("a@b@c"), '@'), 1);
	assert_int_equal(slice_find_last(S("a@b@c"), '@'), 3);
	assert_int_equal(slice_find(S("abc"), '@'), 3);
	assert_int_equal(slice_find_last(SLICE_NONE, '@'), 0);
	assert_int_equal(slice_search(S("one\r\n\r\ntwo"), S("\r\n\r\n")), 3);
	assert_int_equal(slice_search(S("ab"), S("abc")), 2);
	assert_int_equal(slice_search(S("ab"), S("")), 0);
	assert_int_equal(slice_search(SLICE_NONE, S("x")), 0);
}

static void clamping(void **state) {
	(void)state;
	assert_slice(slice_skip(S("abc"), 1), "bc");
	assert_slice(slice_skip(S("abc"), 9), "");
	assert_slice(slice_head(S("abc"), 2), "ab");
	assert_slice(slice_head(S("abc"), 9), "abc");
	assert_slice(slice_skip(SLICE_NONE, 3), "");
	assert_slice(slice_trim(S(" \t a b\r\n")), "a b");
	assert_slice(slice_trim(S(" \r\n\t")), "");
}

static void cutting(void **state) {
	(void)state;
	static const struct {
		const char *text;
		size_t parts;
	} cases[] = { { "a,b,c", 3 }, { ",", 2 }, { "", 1 }, { "a,", 2 }, { "a", 1 } };
	for (size_t i = 0; i < LEN(cases); i++) {
		struct slice rest = slice_of(cases[i].text);
		size_t parts = 0;
		while (rest.at != NULL) {
			slice_cut(&rest, ',');
			parts++;
		}
		assert_int_equal(parts, cases[i].parts);
	}
	struct slice rest = S("k=v=w");
	assert_slice(slice_cut(&rest, '='), "k");
	assert_slice(rest, "v=w");
}

static void words(void **state) {
	(void)state;
	struct slice rest = S("  one,\ttwo , three ");
	assert_slice(slice_word(&rest, " ,\t"), "one");
	assert_slice(slice_word(&rest, " ,\t"), "two");
	assert_slice(slice_word(&rest, " ,\t"), "three");
	assert_slice(slice_word(&rest, " ,\t"), "");
	assert_slice(slice_word(&rest, " ,\t"), "");
	rest = S("a\0b c"); /* a NUL is a byte like any other, not a separator */
	assert_int_equal(slice_word(&rest, " ").len, 3);
}

static void numbers(void **state) {
	(void)state;
	static const struct { const char *text; uint64_t max; bool ok; uint64_t value;
	} cases[] = {
		{ "0", 0, true, 0 },
		{ "1", 0, false, 0 },
		{ "007", 10, true, 7 },
		{ "10", 9, false, 0 },
		{ "9", 9, true, 9 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "99999999999999999999", UINT64_MAX, false, 0 },
		{ "4294967296", UINT32_MAX, false, 0 },
		{ "", 9, false, 0 },
		{ "+1", 9, false, 0 },
		{ "-1", 9, false, 0 },
		{ " 1", 9, false, 0 },
		{ "1x", 99, false, 0 },
		{ "6", 5, false, 0 },
		{ "16", 5, false, 0 },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		uint64_t value = 4711;
		assert_int_equal(slice_number(slice_of(cases[i].text), cases[i].max, &value), cases[i].ok);
		assert_int_equal(value, cases[i].ok ? cases[i].value : 4711);
	}
}

static void small_things(void **state) {
	(void)state;
	AUTO_FREE char *copy = slice_text(slice_head(S("abcdef"), 3));
	assert_string_equal(copy, "abc");
	assert_true(slice_is_ascii(S("a\x7f")) && !slice_is_ascii(S("\x80")) && slice_is_ascii(SLICE_NONE));
	assert_int_equal(ascii_hex('f'), 15);
	assert_int_equal(ascii_hex('A'), 10);
	assert_int_equal(ascii_hex('g'), -1);
	assert_int_equal(ascii_hex('/'), -1);
	for (int c = 0; c < 256; c++) assert_int_equal(ascii_lower(ascii_upper((char)c)) == ascii_lower((char)c), 1);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparing), cmocka_unit_test(ends_and_starts), cmocka_unit_test(searching),
		cmocka_unit_test(clamping),  cmocka_unit_test(cutting),         cmocka_unit_test(words),
		cmocka_unit_test(numbers),   cmocka_unit_test(small_things),
	};
	return cmocka_run_group_tests_name("base-slice", tests, NULL, NULL);
}
