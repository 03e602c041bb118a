/* SPDX-License-Identifier: Apache-2.0 */
#include "base/collate.h"
#include "base/test.h"

static void same(const char *a, const char *b) {
	AUTO_BUF struct buf x = BUF(1000), y = BUF(1000);
	collate_casemap(&x, slice_of(a));
	collate_casemap(&y, slice_of(b));
	if (!slice_eq(buf_slice(&x), buf_slice(&y))) fail_msg("%s and %s have different keys", a, b);
}

static void test_equal(void **state) {
	(void)state;
	same("hato", "HATO");
	same("gr\xc3\xbc\xc3\x9f", "GR\xc3\x9c\xc3\x9f");
	same("e\xcc\x81", "\xc3\x89");                       /* composed or not */
	same("\xef\xbd\xb6\xef\xbe\x9e", "\xe3\x82\xac");     /* half-width ka + voiced mark, full-width ga */
	same("\xef\xbd\x81", "A");                            /* full-width a */
	same("\xcf\x83", "\xcf\x82");                         /* both sigmas */
	same("\xff", "\xef\xbf\xbd");
	same("", "");
}

static void test_order(void **state) {
	static const char *const rising[] = { "", "1", "A", "abc", "B", "Z", "[", "\xc3\x9f", "\xe3\x81\x82" };
	(void)state;
	for (size_t i = 1; i < LEN(rising); i++) {
		AUTO_BUF struct buf x = BUF(1000), y = BUF(1000);
		collate_casemap(&x, slice_of(rising[i - 1]));
		collate_casemap(&y, slice_of(rising[i]));
		assert_true(slice_order(buf_slice(&x), buf_slice(&y)) < 0);
	}
}

static void test_composed(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice plain = S("caf\xc3\xa9 \xe6\x97\xa5");
	assert_ptr_equal(collate_composed(&mem, plain).at, plain.at);
	assert_true(slice_eq(collate_composed(&mem, S("cafe\xcc\x81")), S("caf\xc3\xa9")));
	assert_true(slice_eq(collate_composed(&mem, S("\xe3\x81\x8b\xe3\x82\x99")), S("\xe3\x81\x8c")));
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_equal), cmocka_unit_test(test_order),
		cmocka_unit_test(test_composed) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
