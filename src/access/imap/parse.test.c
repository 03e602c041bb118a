/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/parse.h"
#include "access/imap/set.h"

#include <setjmp.h>
#include <cmocka.h>

static void test_astrings(void **state) {
	static const struct { const char *in, *want, *rest; } cases[] = {
		{ "atom rest", "atom", " rest" },
		{ "in]box)", "in]box", ")" },
		{ "\"quoted text\" x", "quoted text", " x" },
		{ "\"a\\\"b\\\\c\"", "a\"b\\c", "" },
		{ "\"\"", "", "" },
		{ "{5}\r\nab cd!", "ab cd", "!" },
		{ "{5+}\r\nab cd", "ab cd", "" },
		{ "{0}\r\n x", "", " x" },
		{ "\"open", NULL, NULL },
		{ "\"a\\b\"", NULL, NULL },
		{ "{5}\r\nabc", NULL, NULL },
		{ "{5}", NULL, NULL },
		{ "{99999999999999999999}\r\nabc", NULL, NULL },
		{ "{-1}\r\nabc", NULL, NULL },
		{ "", NULL, NULL },
		{ "(x", NULL, NULL },
		{ "a*b", "a", "*b" },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct imap_parse p = IMAP_PARSE(slice_of(cases[i].in), &mem);
		struct slice got;
		assert_int_equal(imap_parse_astring(&p, &got), cases[i].want != NULL);
		if (cases[i].want == NULL) continue;
		assert_true(slice_eq(got, slice_of(cases[i].want)));
		assert_true(slice_eq(p.rest, slice_of(cases[i].rest)));
	}
}

static void test_literals(void **state) {
	static const struct { const char *in; bool is, waits; uint64_t size; } cases[] = {
		{ "a LOGIN {5}", true, true, 5 },  { "a LOGIN {5+}", true, false, 5 }, { "{0}", true, true, 0 },
		{ "a {}", false, false, 0 },       { "a {+}", false, false, 0 },       { "a 5}", false, false, 0 },
		{ "a {5} ", false, false, 0 },     { "}", false, false, 0 },           { "", false, false, 0 },
		{ "x {99999999999999999999999}", true, true, INT64_MAX },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct imap_literal l = { 0 };
		assert_int_equal(imap_literal_at_end(slice_of(cases[i].in), &l), cases[i].is);
		if (!cases[i].is) continue;
		assert_int_equal(l.size, cases[i].size);
		assert_int_equal(l.waits, cases[i].waits);
	}
}

static void test_sets(void **state) {
	static const struct { const char *in, *want; uint32_t star;
	} cases[] = {
		{ "1", "1", 9 },
		{ "1:3", "1:3", 9 },
		{ "3:1", "1:3", 9 },
		{ "*", "9", 9 },
		{ "7:*", "7:9", 9 },
		{ "*:7", "7:9", 9 },
		{ "12:*", "9:12", 9 },
		{ "5,1,3", "1,3,5", 9 },
		{ "1:3,2:5", "1:5", 9 },
		{ "1:3,4:5", "1:5", 9 },
		{ "9,1:4,3,7:8", "1:4,7:9", 9 },
		{ "1:4294967295", "1:4294967295", 9 },
		{ "0", NULL, 9 },
		{ "1:", NULL, 9 },
		{ ",1", NULL, 9 },
		{ "1,,2", NULL, 9 },
		{ "a", NULL, 9 },
		{ "4294967296", NULL, 9 },
		{ "", NULL, 9 },
		{ "-1", NULL, 9 },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_ARENA struct arena mem = { 0 };
		AUTO_BUF struct buf out = BUF(1000);
		struct imap_parse p = IMAP_PARSE(slice_of(cases[i].in), &mem);
		struct imap_set set;
		assert_int_equal(imap_parse_set(&p, &set) && imap_parse_end(&p), cases[i].want != NULL);
		if (cases[i].want == NULL) continue;
		imap_set_settle(&set, cases[i].star);
		imap_put_set(&out, &set);
		assert_string_equal(buf_text(&out), cases[i].want);
		for (uint32_t n = 1; n < 20; n++) {
			bool has = false;
			for (size_t j = 0; j < set.count; j++)
				has |= n >= set.ranges[j].first && n <= set.ranges[j].last;
			assert_int_equal(imap_set_has(&set, n), has);
		}
	}
}

static void test_strings_out(void **state) {
	static const struct { const char *in, *string, *astring;
	} cases[] = {
		{ "INBOX", "\"INBOX\"", "INBOX" },
		{ "a b", "\"a b\"", "\"a b\"" },
		{ "a\"b\\", "\"a\\\"b\\\\\"", "\"a\\\"b\\\\\"" },
		{ "", "\"\"", "\"\"" },
		{ "nil", "\"nil\"", "\"nil\"" },
		{ "a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb" },
	};
	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf a = BUF(100), b = BUF(100);
		imap_put_string(&a, slice_of(cases[i].in));
		imap_put_astring(&b, slice_of(cases[i].in));
		assert_string_equal(buf_text(&a), cases[i].string);
		assert_string_equal(buf_text(&b), cases[i].astring);
	}
}

static void test_lists(void **state) {
	AUTO_ARENA struct arena mem = { 0 };
	struct imap_parse p = IMAP_PARSE(S("(\"name\" NIL \"x\" {1}\r\ny) rest"), &mem);
	struct slice *all;
	size_t count;
	(void)state;
	assert_true(imap_parse_strings(&p, 10, &all, &count));
	assert_int_equal(count, 4);
	assert_null(all[1].at);
	assert_true(slice_eq(all[3], S("y")) && slice_eq(p.rest, S(" rest")));
	p = IMAP_PARSE(S("(a b c)"), &mem);
	assert_false(imap_parse_strings(&p, 2, &all, &count));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_astrings), cmocka_unit_test(test_literals), cmocka_unit_test(test_sets),
		cmocka_unit_test(test_strings_out), cmocka_unit_test(test_lists),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
