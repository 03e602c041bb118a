/* SPDX-License-Identifier: Apache-2.0 */
/* The forms asked for are recorded by counting on tables where one form only is present; orders by tables with all. */
#include "conf/lookup.h"
#include "base/fail.h"
#include "base/test.h"

static struct tables *tables;
static struct arena mem;

static struct lookup open_list(const char *list, ...) {
	struct slice names[4];
	size_t n = 0;
	va_list args;
	va_start(args, list);
	for (const char *s = list; s != NULL; s = va_arg(args, const char *)) names[n++] = slice_of(s);
	va_end(args);
	struct lookup l = { 0 };
	assert_int_equal(lookup_open(tables, names, n, 0, &mem, &l), TABLE_FOUND);
	return l;
}

/* The value an address is found with, or NULL. */
static const char *address(const struct lookup *l, const char *a, unsigned forms, bool local) {
	struct lookup_hit hit;
	int r = lookup_address(l, slice_of(a), forms, S("+"), local, &mem, &hit);
	return r == TABLE_FOUND ? arena_text(&mem, hit.value) : r == TABLE_LATER ? "later" : NULL;
}
#define VIRTUAL (LOOKUP_WHOLE | LOOKUP_LOCAL | LOOKUP_AT_DOMAIN)
#define ACCESS (LOOKUP_WHOLE | LOOKUP_DOMAIN | LOOKUP_USER_AT | LOOKUP_DOT_PARENTS)

static void orders(void **state) {
	(void)state;
	static const char *const whole[] = { "u+e@d.org=1", "u@d.org=2", "u+e=3", "u=4", "@d.org=5" };
	for (size_t first = 0; first < LEN(whole); first++) {
		struct slice text = S("inline:{x=y");
		for (size_t i = first; i < LEN(whole); i++)
			text = arena_fmt(&mem, "%.*s, %s", SLICE_ARG(text), whole[i]);
		struct lookup l = open_list(arena_fmt(&mem, "%.*s}", SLICE_ARG(text)).at, NULL);
		assert_string_equal(address(&l, "U+E@D.org", VIRTUAL, true), arena_fmt(&mem, "%zu", first + 1).at);
		assert_string_equal(address(&l, "u+e@d.org", VIRTUAL, false),
				    first < 2 ? arena_fmt(&mem, "%zu", first + 1).at : "5");
	}
	struct lookup l =
		open_list("inline:{d.org=dom, .org=parent, u+e@=ext, u@=user, name=n, name+x=nx, org=plain}", NULL);
	assert_string_equal(address(&l, "u+e@d.org", ACCESS, false), "dom");
	assert_string_equal(address(&l, "u+e@x.org", ACCESS, false), "parent");
	assert_string_equal(address(&l, "u+e@x.org", ACCESS & ~(unsigned)LOOKUP_DOT_PARENTS, false), "plain");
	assert_string_equal(address(&l, "u+e@org.net", ACCESS, false), "ext");
	assert_string_equal(address(&l, "u+f@org.net", ACCESS, false), "user");
	assert_string_equal(address(&l, "name+x", LOOKUP_NAME, false), "nx");
	assert_string_equal(address(&l, "name+y", LOOKUP_NAME, false), "n");
	assert_null(address(&l, "x@d.org", VIRTUAL, true));
	assert_null(address(&l, "", ACCESS, true));
}

static void forms_before_tables(void **state) {
	(void)state;
	struct lookup l = open_list("inline:{@d.org=low}", "inline:{u@d.org=high}", NULL);
	assert_string_equal(address(&l, "u@d.org", VIRTUAL, true), "high");
	l = open_list("regexp:{{/^@d.org$/ never}, {/^u\\+e@d.org$/ whole}, {/^d.org$/ never}}",
		      "inline:{u@d.org=without}", NULL);
	assert_string_equal(address(&l, "u+e@d.org", VIRTUAL | LOOKUP_DOMAIN, true), "whole");
	assert_string_equal(address(&l, "u+f@d.org", VIRTUAL, true), "without");
	assert_null(address(&l, "x@d.org", VIRTUAL | LOOKUP_DOMAIN, true));
	l = open_list("inline:{u@d.org=1}", "fail:x", NULL);
	assert_string_equal(address(&l, "u@d.org", VIRTUAL, true), "1");
	assert_string_equal(address(&l, "v@d.org", VIRTUAL, true), "later");
}

static void extensions(void **state) {
	(void)state;
	struct lookup l =
		open_list("inline:{u@d=1, owner-l@d=2, -x@d=3, mailer-daemon@d=4, owner@d=bad, mailer@d=bad}", NULL);
	struct lookup_hit hit;
	assert_int_equal(lookup_address(&l, S("u-a+b@d"), VIRTUAL, S("+-"), false, &mem, &hit), TABLE_FOUND);
	assert_true(slice_eq(hit.extension, S("-a+b")) && slice_eq(hit.key, S("u@d")));
	assert_int_equal(lookup_address(&l, S("u@d"), VIRTUAL, S("+-"), false, &mem, &hit), TABLE_FOUND);
	assert_int_equal(hit.extension.len, 0);
	assert_int_equal(lookup_address(&l, S("-x@d"), VIRTUAL, S("-"), false, &mem, &hit), TABLE_FOUND);
	assert_int_equal(lookup_address(&l, S("owner-m@d"), VIRTUAL, S("-"), false, &mem, &hit), TABLE_MISSING);
	assert_int_equal(lookup_address(&l, S("MAILER-DAEMON@d"), VIRTUAL, S("-"), false, &mem, &hit), TABLE_FOUND);
	assert_true(slice_eq(hit.value, S("4")));
	assert_int_equal(lookup_address(&l, S("u+@d"), VIRTUAL, S(""), false, &mem, &hit), TABLE_MISSING);
}

static const char *host(const struct lookup *l, const char *name, bool dots) {
	struct lookup_hit hit;
	return lookup_domain(l, slice_of(name), dots, &mem, &hit) == TABLE_FOUND ? arena_text(&mem, hit.value) : NULL;
}

static const char *ip(const struct lookup *l, const char *name) {
	struct lookup_hit hit;
	return lookup_ip(l, slice_of(name), &mem, &hit) == TABLE_FOUND ? arena_text(&mem, hit.key) : NULL;
}

static void hosts(void **state) {
	(void)state;
	struct lookup l = open_list("inline:{b.c=1, .c=2, c=3}", NULL);
	assert_string_equal(host(&l, "b.c", true), "1");
	assert_string_equal(host(&l, "a.b.c", true), "2");
	assert_string_equal(host(&l, "a.b.c", false), "1");
	assert_string_equal(host(&l, "x.c", false), "3");
	assert_null(host(&l, "x.d", false));
	assert_null(host(&l, ".", false));
	assert_null(host(&l, "...", true));
	l = open_list("inline:{1.2.3=x, 1=x, 2001:db8=x, 2001:db8:1::=x}", NULL);
	assert_string_equal(ip(&l, "1.2.3.4"), "1.2.3");
	assert_string_equal(ip(&l, "1.9.3.4"), "1");
	assert_string_equal(ip(&l, "2001:db8:2::7"), "2001:db8");
	assert_null(ip(&l, "9.9.9.9"));
	struct slice bad = S("nosuch:x");
	assert_int_equal(lookup_open(tables, &bad, 1, 0, &mem, &l), TABLE_BAD);
	assert_non_null(strstr(fail_text(), "unsupported dictionary type: nosuch"));
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(orders), cmocka_unit_test(forms_before_tables),
					    cmocka_unit_test(extensions), cmocka_unit_test(hosts) };
	struct table_params params = { 0 };
	tables = tables_new(&params);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	tables_free(&tables);
	arena_done(&mem);
	return failed;
}
