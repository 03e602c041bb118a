/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_refused.h"
#include "base/clock.h"
#include "base/test.h"

static void test_remembered(void **state UNUSED) {
	AUTO_ARENA struct arena mem = { 0 };
	struct smtp_refusals *r = smtp_refusals_new();
	struct smtp_refused what = { .said = S("535 5.7.8 wrong"), .code = 535, .status = "5.7.8" }, got;
	assert_false(smtp_refusals_find(r, S("mx"), S("u"), S("p"), &mem, &got));
	smtp_refusals_keep(r, S("mx"), S("u"), S("p"), &what, SECONDS(100));
	assert_true(smtp_refusals_find(r, S("mx"), S("u"), S("p"), &mem, &got));
	assert_true(slice_eq(got.said, what.said) && got.code == 535 && strcmp(got.status, "5.7.8") == 0);
	/* another password, user or server is another matter, wherever the border between them is */
	assert_false(smtp_refusals_find(r, S("mx"), S("u"), S("q"), &mem, &got));
	assert_false(smtp_refusals_find(r, S("mx"), S("up"), S(""), &mem, &got));
	assert_false(smtp_refusals_find(r, S("mxu"), S(""), S("p"), &mem, &got));
	what.said = S("535 still");
	smtp_refusals_keep(r, S("mx"), S("u"), S("p"), &what, SECONDS(100));
	assert_true(smtp_refusals_find(r, S("mx"), S("u"), S("p"), &mem, &got) && slice_eq(got.said, S("535 still")));
	smtp_refusals_keep(r, S("mx"), S("u"), S("p"), &what, -1);
	assert_false(smtp_refusals_find(r, S("mx"), S("u"), S("p"), &mem, &got));
	smtp_refusals_free(&r);
	smtp_refusals_free(&r);
}

/* However many there are, it stays small, and what came last is there. */
static void test_many(void **state UNUSED) {
	struct smtp_refusals *r = smtp_refusals_new();
	struct smtp_refused what = { .said = S("535"), .code = 535, .status = "5.7.8" }, got;
	for (int i = 0; i < 5000; i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct slice user = arena_fmt(&mem, "user%d", i);
		smtp_refusals_keep(r, S("mx"), user, S("p"), &what, i % 2 == 0 ? -1 : SECONDS(100));
		assert_true(smtp_refusals_find(r, S("mx"), user, S("p"), &mem, &got) == (i % 2 != 0));
	}
	smtp_refusals_free(&r);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_remembered), cmocka_unit_test(test_many) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
