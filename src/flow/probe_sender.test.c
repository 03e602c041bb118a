/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/probe_sender.h"
#include "base/test.h"

static void test_time(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct probe_sender p = { S("double-bounce@a.test"), 10 };
	/* 12345 is 12*961 + 26*31 + 7: what Postfix's safe_ultostr(…, 31) writes */
	assert_true(slice_eq(probe_sender_at(&p, 123459, &mem), S("double-bounceDV7@a.test")));
	assert_true(slice_eq(probe_sender_at(&p, 5, &mem), S("double-bounce0@a.test")));
	static const struct { int64_t now; bool is;
	} cases[] = {
		{ 123459, true }, { 123450, true },  { 123460, true },	{ 123440, true },
		{ 123469, true }, { 123470, false }, { 123439, false },
	};
	for (size_t i = 0; i < LEN(cases); i++)
		assert_true(probe_sender_is(&p, S("Double-Bouncedv7@A.test"), cases[i].now) == cases[i].is);
	assert_false(probe_sender_is(&p, S("double-bounce@a.test"), 123459));
	assert_false(probe_sender_is(&p, S("double-bounceDV7@b.test"), 123459));
	assert_false(probe_sender_is(&p, S("double-bounce+DV7@a.test"), 123459));
}

static void test_fixed(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct probe_sender fixed = { S("double-bounce@a.test"), 0 }, null = { S(""), 100 };
	assert_true(slice_eq(probe_sender_at(&fixed, 123459, &mem), fixed.base));
	assert_true(probe_sender_is(&fixed, S("double-bounce@a.test"), 1));
	assert_false(probe_sender_is(&fixed, S("double-bounce0@a.test"), 1));
	assert_true(probe_sender_at(&null, 1, &mem).len == 0);
	assert_false(probe_sender_is(&null, S(""), 1));
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_time), cmocka_unit_test(test_fixed) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
