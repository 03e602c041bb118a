/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "db/text_index.h"
#include "db/text_token.h"
#include "base/encode.h"

static void tokens(void **state) {
	(void)state;
	static const struct { const char *in, *want;
	} cases[] = {
		{ "", "" },
		{ "ab", "" },
		{ "abc", "abc|" },
		{ "abcd", "abc|bcd|" },
		{ "ab cde f", "cde|" },
		{ "\xe9\xb3\xa9", "" },
		{ "\xe9\xb3\xa9\xe3\x81\xae\xe5\xb7\xa3", "\xe9\xb3\xa9\xe3\x81\xae|\xe3\x81\xae\xe5\xb7\xa3|" },
		{ "a\xe9\xb3\xa9z", "a\xe9\xb3\xa9z|\xe9\xb3\xa9z|" },
		{ "\xc3\xa9t\xc3\xa9", "\xc3\xa9t\xc3\xa9|" },
		{ "a\tbcd", "bcd|" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf out = BUF(1000);
		struct slice rest = slice_of(cases[i].in);
		struct text_token t;
		while (text_token_next(&rest, &t)) {
			buf_add(&out, t.text);
			buf_byte(&out, '|');
		}
		assert_string_equal(buf_text(&out), cases[i].want);
	}
}

enum { DOCS = 300 };
static struct buf texts[DOCS];

static const char *const bits[] = { "a",
				    "b",
				    "ca",
				    "the ",
				    " ",
				    "\n",
				    "\xe9\xb3\xa9",
				    "\xe3\x81\xae",
				    "\xe5\xb7\xa3",
				    "\xed\x8e\xb8",
				    "\xc3\xa9",
				    "\xd0\xb6",
				    "\xf0\x9f\x98\x80",
				    "\"",
				    "and",
				    "\xe6\x97\xa5\xe6\x9c\xac",
				    "x1" };

static int add_all(struct text_batch *b, void *ctx) {
	const int *from = ctx;
	int r = 0;
	for (int i = from[0]; i < from[1] && r == 0; i++) {
		struct slice rest = buf_slice(&texts[i]);
		r = text_index_add(b, (int64_t)(i + 1) * 1000, SLICE_NONE);
		while (rest.len != 0 && r == 0) {
			size_t n = 1 + random_below(9);
			r = text_index_add(b, (int64_t)(i + 1) * 1000, slice_head(rest, n));
			rest = slice_skip(rest, n);
		}
	}
	return r == 0 ? text_index_mark(b, (int64_t)from[1] * 1000) : r;
}

static void fill(struct text_index *x) {
	for (int i = 0; i < DOCS; i += 100) assert_done(text_index_write(x, add_all, (int[]){ i, i + 100 }));
}

static bool named(const struct text_found *f, int64_t id) {
	for (size_t i = 0; i < f->count; i++)
		if (f->ids[i] == id) return true;
	return false;
}

/* Needles cut from the texts: everything that holds one is named. */
static size_t check_needles(struct text_index *x, int rounds) {
	size_t looked_up = 0;
	for (int round = 0; round < rounds; round++) {
		AUTO_ARENA struct arena mem = { 0 };
		struct slice from = buf_slice(&texts[random_below(DOCS)]), needle;
		do {
			size_t start = random_below(from.len);
			needle = slice_head(slice_skip(from, start), 1 + random_below(12));
		} while (!utf8_valid(needle));
		struct text_found found;
		int r = text_index_find(x, needle, &mem, &found);
		assert_true(r == 0 || r == TEXT_CANNOT);
		if (r != 0) continue;
		looked_up++;
		assert_int_equal(found.known_to, DOCS * 1000);
		for (size_t i = 1; i < found.count; i++) assert_true(found.ids[i - 1] < found.ids[i]);
		for (int i = 0; i < DOCS; i++)
			if (slice_search(buf_slice(&texts[i]), needle) < texts[i].len)
				assert_true(named(&found, (int64_t)(i + 1) * 1000));
	}
	return looked_up;
}

static void names_all_that_hold(void **state) {
	(void)state;
	AUTO(testing_dir_remove) char *dir = testing_dir();
	struct text_index *x = NULL;
	for (int i = 0; i < DOCS; i++) {
		texts[i] = BUF(KIB(2));
		for (uint64_t n = 1 + random_below(80); n > 0; n--)
			buf_add(&texts[i], slice_of(bits[random_below(LEN(bits))]));
	}
	assert_done(text_index_open(dir, 7, &x));
	fill(x);
	assert_true(check_needles(x, 2000) > 500);
	text_index_close(&x);
	assert_done(text_index_open(dir, 7, &x)); /* it is on disk */
	assert_true(check_needles(x, 200) > 20);
	struct text_index *fresh = NULL;
	assert_done(text_index_beside(x, &fresh));
	fill(fresh);
	assert_done(text_index_replace(x, &fresh));
	assert_true(check_needles(x, 200) > 20);
	text_index_close(&x);
	assert_done(text_index_open(dir, 8, &x)); /* another database's */
	struct text_index_state s;
	assert_done(text_index_state(x, &s));
	assert_int_equal(s.known_to, 0);
	text_index_close(&x);
	for (int i = 0; i < DOCS; i++) buf_done(&texts[i]);
}

static int add_long(struct text_batch *b, void *ctx) {
	int r = 0;
	for (int i = 0; i < 100000 && r == 0; i++) {
		char word[32];
		snprintf(word, sizeof word, "word%07d\n", i * 7);
		r = text_index_add(b, 5, slice_of(word));
	}
	if (r == 0) r = text_index_add(b, 6, S("something else"));
	return r == 0 ? text_index_mark(b, *(int64_t *)ctx) : r;
}

static void long_documents(void **state) {
	(void)state;
	AUTO(testing_dir_remove) char *dir = testing_dir();
	AUTO_ARENA struct arena mem = { 0 };
	struct text_index *x = NULL;
	struct text_found found;
	assert_done(text_index_open(dir, 1, &x));
	assert_done(text_index_write(x, add_long, &(int64_t){ 6 }));
	for (int i = 0; i < 100000; i += 997) {
		char word[32];
		snprintf(word, sizeof word, "word%07d", i * 7);
		assert_done(text_index_find(x, slice_of(word), &mem, &found));
		assert_int_equal(found.count, 1);
		assert_int_equal(found.ids[0], 5);
	}
	assert_done(text_index_find(x, S("something"), &mem, &found));
	assert_true(found.count == 1 && found.ids[0] == 6);
	assert_done(text_index_find(x, S("nothing of it"), &mem, &found));
	assert_int_equal(found.count, 0);
	assert_int_equal(text_index_find(x, S("a b"), &mem, &found), TEXT_CANNOT);
	text_index_close(&x);
}

static void damage(const char *dir, const char *name, long at) {
	char path[300];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	FILE *f = fopen(path, "r+");
	assert_non_null(f);
	fseek(f, at, SEEK_SET);
	for (int i = 0; i < 20000; i++) fputc('x', f);
	fclose(f);
}

static void damaged_is_made_anew(void **state) {
	(void)state;
	AUTO(testing_dir_remove) char *dir = testing_dir();
	AUTO_ARENA struct arena mem = { 0 };
	struct text_index *x = NULL;
	struct text_found found;
	for (int round = 0; round < 2; round++) {
		assert_done(text_index_open(dir, 1, &x));
		assert_done(text_index_write(x, add_long, &(int64_t){ 6 }));
		text_index_close(&x);
		damage(dir, "search.db", round == 0 ? 0 : 4096);
	}
	assert_done(text_index_open(dir, 1, &x));
	int r = text_index_find(x, S("something"), &mem, &found); /* whichever page that hit */
	assert_true(r == TEXT_CANNOT || found.known_to == 0);
	for (int i = 0; i < 3; i++)
		if (text_index_write(x, add_long, &(int64_t){ 6 }) == 0) break;
	assert_done(text_index_find(x, S("something"), &mem, &found));
	assert_int_equal(found.count, 1);
	char path[300];
	snprintf(path, sizeof path, "%s/search.db", dir);
	unlink(path);
	assert_true(text_index_look(x));
	assert_done(text_index_find(x, S("something"), &mem, &found));
	assert_int_equal(found.known_to, 0);
	text_index_close(&x);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(tokens), cmocka_unit_test(names_all_that_hold),
					    cmocka_unit_test(long_documents), cmocka_unit_test(damaged_is_made_anew) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
