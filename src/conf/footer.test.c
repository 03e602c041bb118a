/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/footer.h"

#include "base/test.h"

static int value_of(void *ctx, struct slice name, struct buf *out) {
	if (!slice_eq(name, S("who"))) return EXPAND_UNKNOWN;
	expand_filtered(out, ctx, S("a\tb;c"));
	return EXPAND_KNOWN;
}

static void test_filter(void **state) {
	(void)state;
	struct expand_filter f;
	AUTO_BUF struct buf out = BUF(100);
	expand_filter_parse(&f, S("\\t\\40abc\\\\\\101"));
	expand_filtered(&out, &f, S("a b\tc\\A;\nd"));
	assert_string_equal(buf_text(&out), "a b\tc\\A___");
	buf_clear(&out);
	expand_filtered(&out, NULL, S("a;\n"));
	assert_string_equal(buf_text(&out), "a;\n");
	expand_filter_parse(&f, S("x\\")); /* nothing behind the last one */
	assert_true(f.allowed['\\'] && f.allowed['x'] && !f.allowed['a']);
}

static void test_footer(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct expand_filter f;
	unsigned depth = 0;
	struct expand_ops ops = { .value = value_of, .ctx = &f, .depth = &depth };
	expand_filter_parse(&f, S("abc"));
	struct slice got = expand_footer(S("\\c for $who\\nsecond"), &ops, &mem);
	assert_string_equal(arena_text(&mem, got), "\\c for a_b_c\nsecond");
	assert_int_equal(expand_footer(S("${broken"), &ops, &mem).len, 0);
	assert_int_equal(expand_footer(SLICE_NONE, &ops, &mem).len, 0);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_filter), cmocka_unit_test(test_footer) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
