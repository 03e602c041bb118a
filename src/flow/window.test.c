/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/window.h"

#include "base/test.h"

static void test_parse(void **state) {
	(void)state;
	struct feedback f = { 0 };
	assert_true(feedback_parse(S("1"), &f) && f.by == FEEDBACK_FIXED && f.amount == 1);
	assert_true(feedback_parse(S(" 3 / 4 "), &f) && f.by == FEEDBACK_FIXED && f.amount == 0.75);
	assert_true(feedback_parse(S("0.5/concurrency"), &f) && f.by == FEEDBACK_BY_WINDOW && f.amount == 0.5);
	assert_true(feedback_parse(S("1 / sqrt_concurrency"), &f) && f.by == FEEDBACK_BY_ROOT);
	static const char *const bad[] = { "", "x", "-1", "1/", "1/0", "1/x", "1.2.3", "nan", "1e9", "/2" };
	for (size_t i = 0; i < LEN(bad); i++) assert_false(feedback_parse(slice_of(bad[i]), &f));
	assert_int_equal(f.by, FEEDBACK_BY_ROOT); /* as it was */
}

static void test_window(void **state) {
	(void)state;
	struct feedback one = { 1, FEEDBACK_FIXED }, by_window = { 1, FEEDBACK_BY_WINDOW },
			by_root = { 1, FEEDBACK_BY_ROOT }, none = { 0, FEEDBACK_FIXED };
	struct window w = { .open = 5 };
	for (int i = 0; i < 9; i++) window_gain(&w, &one, 10);
	assert_int_equal(w.open, 10);
	window_lose(&w, &one);
	assert_int_equal(w.open, 9);
	for (int i = 0; i < 20; i++) window_lose(&w, &one);
	assert_int_equal(w.open, 1); /* never none: somebody must see whether it is back */
	w = (struct window){ .open = 4 };
	for (int i = 0; i < 3; i++) window_gain(&w, &by_window, 10);
	assert_int_equal(w.open, 4);
	window_gain(&w, &by_window, 10);
	assert_int_equal(w.open, 5);
	w = (struct window){ .open = 4 };
	window_gain(&w, &by_root, 10);
	window_gain(&w, &by_root, 10);
	assert_int_equal(w.open, 5);
	window_lose(&w, &none);
	window_gain(&w, &none, 10);
	assert_int_equal(w.open, 5);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse), cmocka_unit_test(test_window) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
