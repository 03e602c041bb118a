/* SPDX-License-Identifier: Apache-2.0 */
/* Expected results are those of postconf -x of Postfix 3.7.11, except where a case says otherwise. */
#include "base/fail.h"
#include "conf/expand.h"
#include <setjmp.h>
#include <cmocka.h>

/* a = 1, e is empty, loop = $loop, two = $a$a, anything else is unknown */
static int value(void *ctx, struct slice name, struct buf *out) {
	struct expand_ops *ops = ctx;
	if (slice_eq(name, S("a"))) return buf_byte(out, '1'), EXPAND_KNOWN;
	if (slice_eq(name, S("e"))) return EXPAND_KNOWN;
	if (slice_eq(name, S("two"))) return expand(S("$a$a"), ops, out);
	if (slice_eq(name, S("loop"))) return expand(S("$loop"), ops, out);
	if (slice_eq(name, S("big"))) {
		for (int i = 0; i < 1000; i++) buf_add(out, S("0123456789012345678901234567890123456789"));
		return EXPAND_KNOWN;
	}
	return EXPAND_UNKNOWN;
}

static const struct {
	const char *in, *out, *error;
} cases[] = {
	{ "", "", NULL },
	{ "plain # text", "plain # text", NULL },
	{ "${a?x y}", "x y", NULL },
	{ "${a?{x y}:{z}}", "x y", NULL },
	{ "${e?{x}:{ z  w }}", " z  w ", NULL },
	{ "${e: v w}", " v w", NULL },
	{ "${{$a} == {1}}", "true", NULL },
	{ "${{$a} == {2}}", "", NULL },
	{ "${{$a} == {1} ? {yes} : {no}}", "yes", NULL },
	{ "${ a }", "1", NULL },
	{ "$$a $(a) ${a}b $ab", "$a 1 1b ", NULL },
	{ "${{ 1 } == {1} ? {t} : {f}}", "f", NULL },
	{ "${{10} < {9} ? {t} : {f}}", "f", NULL },
	{ "${{1a} < {9} ? {t} : {f}}", "t", NULL },
	{ "${{9} <= {9} ? {t} : {f}}", "t", NULL },
	{ "${{10} >= {9} ? {t} : {f}}", "t", NULL },
	{ "${{10} > {9} ? {t} : {f}}", "t", NULL },
	{ "${{3.11} <level {3.9} ? {t} : {f}}", "f", NULL },
	{ "${{3.11} >level {3.9} ? {t} : {f}}", "t", NULL },
	{ "${{3.6} <level {3.6.1} ? {t} : {f}}", "t", NULL },
	{ "${{3.6.0} ==level {3.6} ? {t} : {f}}", "t", NULL },
	{ "${{} == {} ? t : f}", " t : f", NULL },
	{ "${a ? {t} : {f}}", "t", NULL },
	{ "${a?{t}:f}", "t", NULL },
	{ "${e?{t}:f}", "f", NULL },
	{ "${a?{t}: {f}}", "t", NULL },
	{ "${a?${a}}", "1", NULL },
	{ "${e?{t}}", "", NULL },
	{ "${e:{}}", "", NULL },
	{ "${{a} == {a} ? {t}}", "t", NULL },
	{ "${{a} == {b} ? {t}}", "", NULL },
	{ "$(a?x)", "x", NULL },
	{ "${a?{ x $a }}", " x 1 ", NULL },
	{ "${nobody}", "", NULL },
	{ "${{${a}} == {1} ? {${{2} == {2} ? {in} : {out}}} : {f}}", "in", NULL },
	{ "${{-1} < {1} ? {t} : {f}}", "t", NULL },
	{ "${{a} != {} ? {t} : {f}}", "t", NULL },
	{ "${a:}${e:}", "", NULL },
	{ "${ {a} == {b}? {t}:{f}}", "f", NULL },
	{ "${a? {x}}", "x", NULL },
	{ "${{007} == {7} ? {t} : {f}}", "t", NULL },
	{ "${a}${a}}", "11}", NULL },
	{ "$a-b $a.b", "1-b 1.b", NULL },
	{ "${a?{x{y}z}}", "x{y}z", NULL },
	{ "${a?x}y}", "xy}", NULL },
	{ "${two}", "11", NULL },
	{ "${e?$loop}ok", "ok", NULL }, /* a branch not taken is not looked at */
	/* Postfix gives up on numbers of any size */
	{ "${{99999999999999999999999} > {1} ? {t} : {f}}", "t", NULL },

	{ "${domain_to_ascii{b\xc3\xbc"
	  "cher.example}}",
	  "xn--bcher-kva.example", NULL },
	{ "${domain_to_ascii{$a.example}}", "1.example", NULL },
	{ "${domain_to_ascii{not a domain}}", "not a domain", NULL },

	{ "x${a", NULL, "truncated macro reference: \"x${a\"" },
	{ "$(a", NULL, "truncated macro reference: \"$(a\"" },
	{ "${a?{x}", NULL, "truncated macro reference: \"${a?{x}\"" },
	{ "a$", NULL, "empty macro name: \"a$\"" },
	{ "$-a", NULL, "empty macro name: \"$-a\"" },
	{ "${}", NULL, "empty macro name: \"${}\"" },
	{ "${a-b}", NULL, "attribute name syntax error at: \"...a>>>-b\"" },
	{ "${a!b}", NULL, "attribute name syntax error at: \"...a>>>!b\"" },
	{ "${a?{t}x}", NULL, "\":\" expected at: \"...?{t}x>>>x\"" },
	{ "${e:{t}x}", NULL, "unexpected input at: \"...:{t}x>>>x\"" },
	{ "${{x} = {y} ? {t} : {f}}", NULL,
	  "\"==\" or \"!=\" or \"<\" or \"<=\" or \">=\" or \">\" expected at: \"...{x} >>>= {y} ? {t} : {f}\"" },
	{ "${{a}}", NULL, "\"==\" or \"!=\" or \"<\" or \"<=\" or \">=\" or \">\" expected at: \"...{a}>>>\"" },
	{ "${{a} == b}", NULL, "\"{\" expected at: \"... b>>>b\"" },
	{ "${{a} == {b} x}", NULL, "\"?\" expected at: \"...{a} == {b} >>>x\"" },
	{ "${{x} ==level {1} ? {t} : {f}}", NULL, "malformed compatibility level syntax: \"x\"" },
	{ "${{1} ==level {1.2.3.4} ? {t} : {f}}", NULL, "malformed compatibility level syntax: \"1.2.3.4\"" },
	{ "$loop", NULL, "unreasonable macro call nesting: \"$loop\"" },
	{ "$big$big$big$big$big$big$big", NULL, "value is longer than 262144 bytes" },
};

static void test_cases(void **state) {
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf out = BUF(EXPAND_LIMIT);
		unsigned depth = 0;
		struct expand_ops ops = { value, NULL, &depth };
		ops.ctx = &ops;
		int r = expand(slice_of(cases[i].in), &ops, &out);
		assert_int_equal(depth, 0);
		if (cases[i].error != NULL) {
			if (r >= 0) fail_msg("%s: no error, but \"%s\"", cases[i].in, buf_text(&out));
			assert_string_equal(fail_text(), cases[i].error);
		} else {
			if (r < 0) fail_msg("%s: %s", cases[i].in, fail_text());
			assert_string_equal(buf_text(&out), cases[i].out);
		}
	}
}

static void test_deep(void **state) {
	(void)state;
	AUTO_BUF struct buf in = BUF(MIB(2)), out = BUF(EXPAND_LIMIT);
	for (int i = 0; i < 100000; i++) buf_add(&in, S("${a?"));
	for (int i = 0; i < 100000; i++) buf_byte(&in, '}');
	unsigned depth = 0;
	struct expand_ops ops = { value, NULL, &depth };
	ops.ctx = &ops;
	assert_true(expand(buf_slice(&in), &ops, &out) < 0);
	assert_non_null(strstr(fail_text(), "unreasonable macro call nesting"));
}

static void add_name(void *ctx, struct slice name) { buf_addf(ctx, "%.*s;", SLICE_ARG(name)); }

static void test_names(void **state) {
	(void)state;
	AUTO_BUF struct buf out = BUF(1000);
	expand_names(S("$a ${ b } $(c) $$d ${e?{$f}:{${g}}} ${{$h} == {x}} $ ${} $-"), add_name, &out);
	assert_string_equal(buf_text(&out), "a;b;c;e;f;g;h;");
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_cases), cmocka_unit_test(test_deep),
					    cmocka_unit_test(test_names) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
