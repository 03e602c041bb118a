/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/opendkim_file.h"
#include "base/fail.h"
#include "conf/conf.h"
#include "base/test.h"

struct bench {
	struct arena mem;
	struct sources files;
	struct problems problems;
};

/* The first entry whose key this is, or whose pattern it matches. */
static const struct opendkim_entry *set_find(const struct opendkim_set *set, struct slice key) {
	for (size_t i = 0; i < set->count; i++)
		if (set->kind == OPENDKIM_PATTERNS ? slice_matches(set->at[i].key, key)
						   : slice_same(set->at[i].key, key))
			return &set->at[i];
	return NULL;
}

static void begin(struct bench *b) {
	*b = (struct bench){0};
	b->files.mem = b->problems.mem = &b->mem;
	b->files.sealed = true;
}

static bool told(const struct problem *p, size_t n, const char *text) {
	for (size_t i = 0; i < n; i++)
		if (slice_search(p[i].text, slice_of(text)) < p[i].text.len) return true;
	for (size_t i = 0; i < n; i++) print_error("said: %.*s\n", SLICE_ARG(p[i].text));
	return false;
}

static void lines(void **state) {
	(void)state;
	struct bench b;
	struct opendkim_file f;
	begin(&b);
	source_put(
		&b.files, S("/etc/opendkim.conf"),
		S("# a comment\n\nMode\tsv # both\r\nSubDomains no\nAlone\nInclude /etc/more\nMODE s\nInclude /gone\n"),
		false);
	source_put(&b.files, S("/etc/more"), S("Selector  default  \nInclude /etc/more\n"), false);
	assert_int_equal(opendkim_file_read(&b.files, S("/etc/opendkim.conf"), &b.problems, &f), SOURCE_FOUND);
	assert_int_equal(f.count, 3 + OPENDKIM_INCLUDE_MAX - 1);
	assert_true(slice_eq(opendkim_find(&f, "mode")->value, S("s")));
	assert_int_equal(opendkim_find(&f, "Mode")->where.line, 7);
	assert_true(slice_eq(opendkim_find(&f, "Selector")->value, S("default")));
	assert_true(slice_eq(opendkim_find(&f, "Selector")->where.file, S("/etc/more")));
	assert_null(opendkim_find(&f, "Domain"));
	assert_true(told(b.problems.at, b.problems.count, "Alone has no value"));
	assert_true(told(b.problems.at, b.problems.count, "files deep"));
	assert_true(told(b.problems.at, b.problems.count, "Include: /gone: no such file"));
	assert_int_equal(opendkim_file_read(&b.files, S("/nothing"), &b.problems, &f), SOURCE_ABSENT);
	bool yes = false;
	assert_true(opendkim_bool(S("True"), &yes) && yes && opendkim_bool(S("0"), &yes) && !yes &&
		    !opendkim_bool(S("maybe"), &yes));
	arena_done(&b.mem);
}

static int set_of(struct bench *b, const char *value, struct opendkim_set *out) {
	struct opendkim_line l = { S("KeyTable"), slice_of(value), { S("/etc/opendkim/c"), 3 } };
	return opendkim_set_read(&b->files, &l, &b->problems, out);
}

static void sets(void **state) {
	(void)state;
	struct bench b;
	struct opendkim_set s;
	begin(&b);
	source_put(&b.files, S("/t"), S("*@mail.example\tkey1 extra # no\n*@*.example key2\n\nlast"), false);
	assert_int_equal(set_of(&b, "a, b=c d ,,e", &s), SOURCE_FOUND);
	assert_true(s.kind == OPENDKIM_LIST && s.count == 3 && slice_eq(s.at[1].key, S("b")) &&
		    slice_eq(s.at[1].value, S("c d")));
	assert_int_equal(set_of(&b, "csl:x", &s), SOURCE_FOUND);
	assert_true(s.count == 1 && slice_eq(set_find(&s, S("X"))->key, S("x")));
	assert_int_equal(set_of(&b, "refile:/t", &s), SOURCE_FOUND);
	assert_true(s.count == 3 && slice_eq(set_find(&s, S("Joe@Mail.Example"))->value, S("key1 extra")));
	assert_true(slice_eq(set_find(&s, S("joe@x.example"))->value, S("key2")));
	assert_null(set_find(&s, S("joe@example")));
	assert_int_equal(set_of(&b, "/t", &s), SOURCE_FOUND);
	assert_true(s.kind == OPENDKIM_FILE && set_find(&s, S("last"))->line == 4 &&
		    set_find(&s, S("joe@x.example")) == NULL);
	assert_int_equal(set_of(&b, "file:/gone", &s), SOURCE_ABSENT);
	assert_true(set_of(&b, "ldap://x", &s) < 0);
	assert_true(slice_starts(slice_of(fail_text()), S("KeyTable: data sets of the kind ldap: ")));
	assert_true(slice_matches(S("*"), S("")) && slice_matches(S("a*b*c"), S("aXbbYc")) &&
		    !slice_matches(S("a*b"), S("abc")) && !slice_matches(S(""), S("a")));
	arena_done(&b.mem);
}

/* S69: the file lies in /etc, the settings name /etc/opendmarc/. */
static void nearest(void **state) {
	(void)state;
	struct bench b;
	struct opendkim_set s;
	begin(&b);
	source_put(&b.files, S("/etc/ignore.hosts"), S("localhost"), false);
	assert_int_equal(set_of(&b, "/etc/opendmarc/deep/ignore.hosts", &s), SOURCE_ABSENT);
	assert_true(told(b.problems.at, b.problems.count,
			 "KeyTable: /etc/opendmarc/deep/ignore.hosts: no such file (but there is /etc/ignore.hosts:"));
	arena_done(&b.mem);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(lines), cmocka_unit_test(sets),
					    cmocka_unit_test(nearest) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
