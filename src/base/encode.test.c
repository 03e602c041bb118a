/* SPDX-License-Identifier: Apache-2.0 */
#include "base/encode.h"

#include <setjmp.h>
#include <cmocka.h>

static void base64_vectors(void **state) {
	(void)state;
	static const struct { struct slice plain, coded;
	} cases[] = {
		/* RFC 4648 §10 and the two odd letters */
		{ S(""), S("") },
		{ S("f"), S("Zg==") },
		{ S("fo"), S("Zm8=") },
		{ S("foo"), S("Zm9v") },
		{ S("foob"), S("Zm9vYg==") },
		{ S("fooba"), S("Zm9vYmE=") },
		{ S("foobar"), S("Zm9vYmFy") },
		{ S("\xfb\xff\xbf"), S("+/+/") },
		{ S("\0u\0p"), S("AHUAcA==") },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf coded = BUF(cases[i].coded.len),
				    plain = BUF(cases[i].plain.len); /* no byte to spare */
		assert_true(base64_add(&coded, cases[i].plain));
		assert_true(slice_eq(buf_slice(&coded), cases[i].coded));
		assert_true(base64_read(&plain, cases[i].coded));
		assert_true(slice_eq(buf_slice(&plain), cases[i].plain));
	}
}

static void base64_is_strict(void **state) {
	(void)state;
	static const char *const bad[] = { "Z",     "Zg",   "Zg=",      "Zg===",
					   "====",  "Z===", "Zg==Zg==", "Zm 9",
					   "Zm9\n", "Zm9-", "Zm=v",     "Zh==" /* bits behind the end */,
					   "Zm9=" };
	for (size_t i = 0; i < LEN(bad); i++) {
		AUTO_BUF struct buf out = BUF(100);
		buf_add(&out, S("kept"));
		assert_false(base64_read(&out, slice_of(bad[i])));
		assert_string_equal(buf_text(&out), "kept");
	}
	AUTO_BUF struct buf tight = BUF(2);
	assert_false(base64_read(&tight, S("Zm9v")));
}

static void hex(void **state) {
	(void)state;
	AUTO_BUF struct buf coded = BUF(8), plain = BUF(4);
	assert_true(hex_add(&coded, S("\x00\xff\x1a")));
	assert_string_equal(buf_text(&coded), "00ff1a");
	assert_true(hex_read(&plain, S("00FF1a")));
	assert_int_equal(plain.len, 3);
	assert_false(hex_read(&plain, S("0")));
	assert_false(hex_read(&plain, S("0g")));
	assert_int_equal(plain.len, 3);
}

static void utf8(void **state) {
	(void)state;
	static const struct { struct slice text; bool valid;
	} cases[] = {
		{ S(""), true },
		{ S("a\x7f"), true },
		{ S("\xc3\xa4"), true },
		{ S("\xe9\xb3\xa9"), true },
		{ S("\xf0\x9f\x95\x8a"), true },
		{ S("\xf4\x8f\xbf\xbf"), true },
		{ S("\xf4\x90\x80\x80"), false },
		{ S("\xc0\x80"), false },
		{ S("\xc1\xbf"), false },
		{ S("\xe0\x9f\xbf"), false },
		{ S("\xed\xa0\x80"), false },
		{ S("\xf0\x8f\xbf\xbf"), false },
		{ S("\xff"), false },
		{ S("\x80"), false },
		{ S("\xe9\xb3"), false },
		{ S("\xc3("), false },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		assert_int_equal(utf8_valid(cases[i].text), cases[i].valid);
		AUTO_BUF struct buf clean = BUF(64);
		assert_true(utf8_add_clean(&clean, cases[i].text));
		assert_true(utf8_valid(buf_slice(&clean)));
		assert_true(slice_eq(buf_slice(&clean), cases[i].text) == cases[i].valid);
	}
}

static void utf8_there_and_back(void **state) {
	(void)state;
	AUTO_BUF struct buf b = BUF(8);
	for (uint32_t c = 0; c < 0x110800; c += c < 0x1000 ? 1 : 61) {
		buf_clear(&b);
		assert_true(utf8_add(&b, c));
		assert_true(utf8_valid(buf_slice(&b)));
		struct slice s = buf_slice(&b);
		bool none = c > 0x10ffff || (c >= 0xd800 && c < 0xe000);
		assert_int_equal(utf8_next(&s), none ? 0xfffd : c);
		assert_int_equal(s.len, 0);
	}
}

static void chance(void **state) {
	(void)state;
	bool seen[7] = { false };
	for (int i = 0; i < 2000; i++) seen[random_below(7)] = true;
	for (size_t i = 0; i < LEN(seen); i++) assert_true(seen[i]);
	assert_int_equal(random_below(1), 0);
	unsigned char a[32] = { 0 }, b[32] = { 0 };
	random_fill(a, sizeof a);
	random_fill(b, sizeof b);
	assert_memory_not_equal(a, b, sizeof a);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_vectors), cmocka_unit_test(base64_is_strict),    cmocka_unit_test(hex),
		cmocka_unit_test(utf8),           cmocka_unit_test(utf8_there_and_back), cmocka_unit_test(chance),
	};
	return cmocka_run_group_tests_name("base-encode", tests, NULL, NULL);
}
