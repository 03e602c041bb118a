/* SPDX-License-Identifier: Apache-2.0 */
/* Expected answers are those of postmap -q of Postfix 3.7.11, except where a case says otherwise. */
#include "conf/table.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fail.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include "base/test.h"

static struct tables *tables;
static struct arena mem;
static char folder[] = "/tmp/hato-table-XXXXXX";
static struct buf told = { .limit = 1 << 20 };

static void tell(void *ctx, int level, const char *text) {
	(void)ctx, (void)level;
	buf_addf(&told, "%s\n", text);
}

static const char *path_of(const char *name) { return arena_fmt(&mem, "%s/%s", folder, name).at; }

static void put(const char *name, const char *text) {
	FILE *f = fopen(path_of(name), "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct table *open_table(const char *type, const char *name, unsigned flags) {
	struct table *t = NULL;
	assert_int_equal(table_open(tables, arena_fmt(&mem, "%s:%s", type, name), flags, &t), TABLE_FOUND);
	return t;
}

static const char *find(struct table *t, const char *key) {
	struct slice value;
	int r = table_find(t, slice_of(key), &mem, &value);
	return r == TABLE_FOUND ? arena_text(&mem, value) : r == TABLE_LATER ? "later" : NULL;
}

static const char *find_in(const char *type, const char *name, const char *key) {
	return find(open_table(type, name, 0), key);
}

static bool was_told(const char *text) {
	bool yes = strstr(buf_text(&told), text) != NULL;
	if (!yes) print_message("told: %s", buf_text(&told));
	buf_clear(&told);
	return yes;
}

static void texts(void **state) {
	(void)state;
	put("a", "# comment\nKey  value  with blanks \n\n  go on\n# between\n  and on\n\"a b\"@x.org quoted\nkey "
		 "second\nnovalue\nlast end");
	struct table *t = open_table("hash", path_of("a"), 0);
	assert_string_equal(find(t, "kEY"), "value  with blanks   go on  and on");
	assert_string_equal(find(t, "\"a b\"@x.org"), "quoted");
	assert_string_equal(find(t, "last"), "end");
	assert_null(find(t, "novalue"));
	assert_null(find(t, ""));
	assert_non_null(strstr(buf_text(&told), "line 8: duplicate entry: \"key\""));
	assert_true(was_told("/a, line 9: expected format: key whitespace value"));
	put("aliases", "root: you\n\"two words\": a, b\nlist:: x\nlist : |\"cmd: x\"\nbad@x: y\nbroken\n");
	t = open_table("hash", path_of("aliases"), TABLE_ALIASES);
	assert_string_equal(find(t, "root"), "you");
	assert_string_equal(find(t, "Two Words"), "a, b");
	assert_string_equal(find(t, "list"), ": x");
	assert_null(find(t, "bad@x"));
	assert_true(was_told("line 6: need name:value pair"));
}

/* No room is gained by reading, and the last line lacks its end. */
static void tight(void **state) {
	(void)state;
	put("tight", "k v");
	assert_string_equal(find_in("texthash", path_of("tight"), "k"), "v");
}

static void simple(void **state) {
	(void)state;
	assert_string_equal(find_in("inline", "{a=1, {B = 2 3}, c=4}", "b"), "2 3");
	assert_string_equal(find_in("static", "{a b c}", "x"), "a b c");
	assert_string_equal(find_in("unionmap", "{static:1,inline:{a=7},fail:x}", "a"), "later");
	assert_string_equal(find_in("unionmap", "{static:1,inline:{a=7}}", "a"), "1,7");
	assert_string_equal(find_in("pipemap", "{inline:{a=b},inline:{b=c}}", "a"), "c");
	assert_null(find_in("pipemap", "{inline:{a=b},inline:{x=c}}", "a"));
	assert_string_equal(find_in("randmap", "{1,1}", "a"), "1");
	assert_string_equal(find_in("proxy", "inline:{a=b}", "A"), "b");
	assert_string_equal(find_in("unix", "passwd.byname", "root"), "root:x:0:0:root:/root:/bin/bash");
	assert_string_equal(find_in("fail", "x", "root"), "later");
	assert_null(find_in("internal", "x", "root"));
	setenv("hato_test", "yes", 1);
	assert_string_equal(find_in("environ", "x", "HATO_TEST"), "yes");
	static const char *const bad[] = {
		"inline:{}",
		"inline:{a}",
		"inline:{ {a b = c} }",
		"inline:{a=b",
		"unionmap:{}",
		"unionmap:static:1",
		"static:",
		"unix:foo",
		"proxy:x",
		"nosuch:x",
		":x",
		"regexp:{/a/ 1}",
		"pipemap:{pipemap:{pipemap:{pipemap:{pipemap:{pipemap:{pipemap:{pipemap:{pipemap:{static:deep}}}}}}}}}"
	};
	for (size_t i = 0; i < LEN(bad); i++) {
		struct table *t;
		int r = table_open(tables, slice_of(bad[i]), 0, &t);
		if (r != TABLE_BAD) print_message("%s was opened\n", bad[i]);
		assert_int_equal(r, TABLE_BAD);
	}
}

static void patterns(void **state) {
	(void)state;
	put("re", "/^(a+)@(b*)$/ $2-${1}-$(1)x$$\n!/@/ no at\nif /x/\n/^x1/ one\nif !/y/\n/./ not "
		  "y\nendif\nendif\n/CASE/i case\n/(/ broken\n");
	for (int i = 0; i < 2; i++) {
		struct table *t = open_table(i == 0 ? "regexp" : "pcre", path_of("re"), 0);
		assert_string_equal(find(t, "AA@b"), "b-AA-AAx$");
		assert_string_equal(find(t, "nothing"), "no at");
		assert_string_equal(find(t, "x1@"), "one");
		assert_string_equal(find(t, "x2@"), "not y");
		assert_null(find(t, "xy@"));
		assert_string_equal(find(t, "CASE@"), "case");
		assert_null(find(t, "case@"));
		assert_true(table_is_pattern(t));
		assert_true(was_told("/re, line 10: "));
	}
	put("explode", "/^(a+)+$/ found\n");
	assert_string_equal(find_in("pcre", path_of("explode"), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"), "later");
	assert_true(was_told("/explode, line 1: match limit exceeded"));
	put("explode", "/^(a|aa)+\\1{5}c$/ found\n/^(.)\\1$/ twice\n");
	assert_string_equal(
		find_in("regexp", path_of("explode"), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaacb"), "later");
	assert_string_equal(find_in("regexp", path_of("explode"), "xX"), "twice");
}

/* What a pattern is known to begin with changes no answer: the same in brackets, of which nothing is known. */
static void beginnings(void **state) {
	(void)state;
	static const char *const patterns[] = {
		"/^Subject: buy/", "/^Subject: buy/i", "/^a\\.b$/", "/^a.b/", "/^ab*c/", "/^ab?c/", "/^ab+c/",
		"/^ab{2}c/", "/^ab|^ac/", "/^ab(c|d)/", "/^a\\wc/", "/^a\\>/", "/^ab/m", "/^a+b/", "/^\\^a/",
		"/^\\/a/", "/^a[b]c/", "/^\\[a\\]/", "/^a\\{2\\}b/", "/^/", "/^^a/", "/^a\\+b/", "/^a$b/", "!/^ab/",
		"/^\303\244b/", "/^*a/", "/^ab+*c/", "/^ab+?c/"
	};
	static const char *const keys[] = {
		"", "a", "ab", "AB", "abc", "ac", "abbc", "a.b", "axb", "aab", "a{2}b", "abd", "Subject: buy",
		"subject: BUY now", "Re: Subject: buy", "x\nab", "^a", "/a", "[a]", "a+b", "a b", "\303\244b",
		"\303\204b", "a$b", "*a"
	};
	for (size_t i = 0; i < LEN(patterns); i++) {
		char text[128], name[16];
		const char *open = strchr(patterns[i], '/') + 1, *close = strrchr(patterns[i], '/');
		struct table *t[2];
		for (int bracketed = 0; bracketed < 2; bracketed++) {
			snprintf(text, sizeof text, "%.*s%s%.*s%s%s yes\n", (int)(open - patterns[i]), patterns[i],
				 bracketed ? "(" : "", (int)(close - open), open, bracketed ? ")" : "", close);
			snprintf(name, sizeof name, "begin%zu-%d", i, bracketed);
			put(name, text);
			t[bracketed] = open_table("regexp", path_of(name), 0);
		}
		for (size_t k = 0; k < LEN(keys); k++) {
			bool plain = find(t[0], keys[k]) != NULL;
			if (plain != (find(t[1], keys[k]) != NULL)) print_message("%s: %s\n", patterns[i], keys[k]);
			assert_int_equal(plain, find(t[1], keys[k]) != NULL);
		}
	}
	put("basic", "/^a+b/x yes\n"); /* where brackets are plain */
	assert_string_equal(find_in("regexp", path_of("basic"), "a+b"), "yes");
}

static void cidr(void **state) {
	(void)state;
	put("c", "10.0.0.1/8 bad\n1.2.3.4/33 bad\n[::1]/128 loop\n1.2.3.0/24\nif 10.0.0.0/8\n10.1.0.0/16 "
		 "ten1\nendif\n!1.2.3.0/24 other\n::/0 six\n");
	struct table *t = open_table("cidr", path_of("c"), 0);
	assert_string_equal(find(t, "::1"), "loop");
	assert_string_equal(find(t, "10.1.2.3"), "ten1");
	assert_string_equal(find(t, "10.2.2.3"), "other");
	assert_string_equal(find(t, "::2"), "six");
	assert_null(find(t, "1.2.3.4"));
	assert_null(find(t, "[::1]"));
	assert_null(find(t, "10.1"));
	assert_non_null(strstr(buf_text(&told), "perhaps you should use \"10.0.0.0/8\" instead"));
	assert_true(was_told("line 4: no lookup result"));
}

/* Looks until the answer is that one: a change is seen within a second or so. */
static const char *find_later(struct table *t, const char *key, const char *wanted) {
	const char *answer = NULL;
	for (int64_t end = clock_ms() + SECONDS(20); clock_ms() < end; usleep(50000)) {
		answer = find(t, key);
		if (answer == wanted || (answer != NULL && wanted != NULL && strcmp(answer, wanted) == 0)) break;
	}
	return answer;
}

/* What is told about the next look at the file; the answer for "a" meanwhile. */
static const char *told_later(struct table *t, const char *text) {
	const char *answer = find(t, "a");
	for (int64_t end = clock_ms() + SECONDS(20); clock_ms() < end && strstr(buf_text(&told), text) == NULL;
	     usleep(50000))
		answer = find(t, "a");
	assert_true(was_told(text));
	return answer;
}

static void changes(void **state) {
	(void)state;
	put("w", "a 1\n");
	struct table *t = open_table("texthash", path_of("w"), 0);
	assert_string_equal(find(t, "a"), "1");
	put("w", "a 2\n");
	assert_string_equal(find_later(t, "a", "2"), "2");
	buf_clear(&told);
	put("w", "a 3\nbroken\n");
	assert_string_equal(told_later(t, "/w, line 2: expected format"), "2");
	put("w", "a 4\n");
	assert_string_equal(find_later(t, "a", "4"), "4");
	unlink(path_of("w"));
	buf_clear(&told);
	assert_string_equal(told_later(t, "what was read before stays in use"), "4");
	t = open_table("texthash", path_of("later"), 0);
	assert_string_equal(find(t, "a"), "later");
	put("later", "a here\n");
	assert_string_equal(find_later(t, "a", "here"), "here");
}

struct reader {
	struct table *table;
	_Atomic bool stop;
	bool wrong;
};

/* Old or new, never a mixture. */
static void *read_on(void *ctx) {
	struct reader *r = ctx;
	AUTO_ARENA struct arena own = { 0 };
	while (!r->stop) {
		struct slice a;
		if (table_find(r->table, S("key"), &own, &a) != TABLE_FOUND || a.len != 1 || a.at[0] < 'a' ||
		    a.at[0] > 'e')
			r->wrong = true;
		arena_reset(&own);
	}
	return NULL;
}

static void readers(void **state) {
	(void)state;
	pthread_t threads[3];
	put("r", "key a\n");
	struct reader r = { .table = open_table("texthash", path_of("r"), 0) };
	for (size_t i = 0; i < LEN(threads); i++) pthread_create(&threads[i], NULL, read_on, &r);
	for (char c = 'b'; c <= 'e'; c++) {
		put("r.new", arena_fmt(&mem, "other x\nkey %c\n", c).at);
		assert_int_equal(rename(path_of("r.new"), path_of("r")), 0);
		usleep(400000);
	}
	r.stop = true;
	for (size_t i = 0; i < LEN(threads); i++) pthread_join(threads[i], NULL);
	assert_false(r.wrong);
	assert_string_equal(find_later(r.table, "key", "e"), "e");
}

static void bounds(void **state) {
	(void)state;
	char *big = mem_get(MIB(10) + 32);
	memset(big, 'x', MIB(10));
	memcpy(big, "key ", 4);
	memcpy(big + MIB(10), "\na b\n", 6);
	put("big", big);
	free(big);
	struct table *t = open_table("hash", path_of("big"), 0);
	assert_null(find(t, "key"));
	assert_string_equal(find(t, "a"), "b");
	assert_true(was_told("/big, line 1: a line of 10485760 bytes"));
}

static int count(void *ctx, struct slice key, struct slice value) {
	buf_addf(ctx, "%.*s=%.*s;", SLICE_ARG(key), SLICE_ARG(value));
	return 0;
}

static void lists(void **state) {
	(void)state;
	AUTO_BUF struct buf all = BUF(KIB(4));
	put("l", "z 1\nA 2 3\n");
	assert_int_equal(table_each(open_table("proxy", arena_fmt(&mem, "hash:%s", path_of("l")).at, 0), count, &all),
			 0);
	assert_string_equal(buf_text(&all), "z=1;a=2 3;");
	assert_int_equal(table_each(open_table("static", "x", 0), count, &all), TABLE_BAD);
	const char *const *types = table_types();
	for (; types[1] != NULL; types++) assert_true(strcmp(types[0], types[1]) < 0);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),   cmocka_unit_test(tight),   cmocka_unit_test(simple),
		cmocka_unit_test(patterns), cmocka_unit_test(beginnings), cmocka_unit_test(cidr),
		cmocka_unit_test(changes), cmocka_unit_test(readers), cmocka_unit_test(bounds),
		cmocka_unit_test(lists)
	};
	struct table_params params = { .tell = tell };
	if (mkdtemp(folder) == NULL) return 1;
	tables = tables_new(&params);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	tables_free(&tables);
	static const char *const names[] = { "a",     "aliases", "re", "explode", "c", "w",
					     "later", "big",     "l",  "tight",   "r" };
	for (size_t i = 0; i < LEN(names); i++) unlink(path_of(names[i]));
	rmdir(folder);
	buf_done(&told);
	arena_done(&mem);
	return failed;
}
