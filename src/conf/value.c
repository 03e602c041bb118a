/* SPDX-License-Identifier: Apache-2.0 */
/* One reader for each kind, in a table. Messages begin with Postfix's words, so that a search for them finds help. */
#include "conf/value.h"
#include "base/buf.h"
#include "base/fail.h"

#define WORD_BREAKS ", \t\r\n"

static int read_text(struct value *out, const struct setting *s, struct slice text, struct arena *mem) {
	(void)out, (void)s, (void)text, (void)mem;
	return VALUE_GOOD;
}

static int read_level(struct value *out, const struct setting *s, struct slice text, struct arena *mem) {
	(void)out, (void)mem;
	size_t parts = 0;
	uint64_t number;
	for (struct slice rest = text; rest.at != NULL; parts++)
		if (parts == 3 || !slice_number(slice_cut(&rest, '.'), INT_MAX, &number)) parts = 4, rest = SLICE_NONE;
	if (parts < 1 || parts > 3)
		return fail("malformed compatibility level syntax: \"%.*s\" in %s (expected a release such as 3.11)",
		            SLICE_ARG(text), s->name);
	return VALUE_GOOD;
}

static int read_bool(struct value *out, const struct setting *s, struct slice text, struct arena *mem) {
	(void)mem;
	bool yes = slice_same(text, S("yes"));
	if (!yes && !slice_same(text, S("no")))
		return fail("bad boolean configuration: %s = %.*s (expected yes or no)", s->name, SLICE_ARG(text));
	out->number = yes;
	out->text = yes ? S("yes") : S("no");
	return VALUE_GOOD;
}

static int read_number(struct value *out, const struct setting *s, struct slice text, struct arena *mem) {
	(void)mem;
	uint64_t number;
	if (!slice_number(text, INT_MAX, &number))
		return fail("bad numerical configuration: %s = %.*s (expected a whole number)", s->name,
			    SLICE_ARG(text));
	if ((int64_t)number < s->least)
		return fail("invalid %s parameter value %.*s < %lld", s->name, SLICE_ARG(text), (long long)s->least);
	if ((int64_t)number > s->most)
		return fail("invalid %s parameter value %.*s > %lld", s->name, SLICE_ARG(text), (long long)s->most);
	out->number = (int64_t)number;
	return VALUE_GOOD;
}

bool time_read(struct slice text, char unit, int64_t *ms) {
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 } };
	if (text.len > 1 && ascii_alpha(text.at[text.len - 1])) unit = text.at[--text.len];
	uint64_t number;
	for (size_t i = 0; i < LEN(units); i++) {
		if (units[i].unit != unit) continue;
		if (!slice_number(text, INT_MAX, &number) || (int64_t)number * units[i].seconds > INT_MAX) return false;
		*ms = (int64_t)number * units[i].seconds * 1000;
		return true;
	}
	return false;
}

static int read_time(struct value *out, const struct setting *s, struct slice text, struct arena *mem) {
	(void)mem;
	if (!time_read(text, s->unit, &out->number))
		return fail("parameter %s: bad time value or unit: %.*s (expected a number with s, m, h, d or w; "
			    "without, %c is meant)",
			    s->name, SLICE_ARG(text), s->unit);
	return VALUE_GOOD;
}

static int read_size(struct value *out, const struct setting *s, struct slice text, struct arena *mem) {
	(void)mem;
	static const char suffixes[] = "kmg";
	struct slice digits = text;
	unsigned shift = 0;
	if (text.len > 1 && ascii_alpha(text.at[text.len - 1])) {
		const char *suffix = strchr(suffixes, ascii_lower(text.at[text.len - 1]));
		shift = suffix == NULL ? 0 : 10 * (unsigned)(suffix - suffixes + 1);
		digits = slice_head(text, text.len - (suffix != NULL));
	}
	uint64_t number;
	if (!slice_number(digits, (uint64_t)INT64_MAX >> shift, &number))
		return fail("bad numerical configuration: %s = %.*s (expected a number of bytes)", s->name,
			    SLICE_ARG(text));
	out->number = (int64_t)(number << shift);
	return shift > 0 ? VALUE_EXTENSION : VALUE_GOOD;
}

static int read_words(struct value *out, const struct setting *s, struct slice text, struct arena *mem) {
	(void)mem;
	AUTO_BUF struct buf expected = BUF(KIB(1));
	if (text.len == 0 && s->fallback[0] == '\0') return VALUE_GOOD; /* the first word */
	for (size_t i = 0; s->words[i] != NULL; i++) {
		if (slice_same(text, slice_of(s->words[i]))) {
			out->number = (int64_t)i;
			out->text = slice_of(s->words[i]);
			return VALUE_GOOD;
		}
		buf_addf(&expected, "%s%s", i == 0 ? "" : s->words[i + 1] == NULL ? " or " : ", ", s->words[i]);
	}
	return fail("invalid %s value: %.*s (expected %s)", s->name, SLICE_ARG(text), buf_text(&expected));
}

bool value_word(struct slice *rest, struct slice *out) {
	while (rest->len > 0 && strchr(WORD_BREAKS, rest->at[0]) != NULL && rest->at[0] != '\0')
		*rest = slice_skip(*rest, 1);
	size_t level = 0, i = 0;
	for (; i < rest->len && (level > 0 || rest->at[i] == '\0' || strchr(WORD_BREAKS, rest->at[i]) == NULL); i++) {
		if (rest->at[i] == '{') level++;
		if (rest->at[i] == '}' && level > 0) level--;
	}
	if (level > 0) return false;
	struct slice word = slice_head(*rest, i);
	*rest = slice_skip(*rest, i);
	if (word.len >= 2 && word.at[0] == '{' && word.at[word.len - 1] == '}')
		word = slice_trim(slice_from(word.at + 1, word.len - 2));
	*out = word;
	return true;
}

static int read_list(struct value *out, const struct setting *s, struct slice text, struct arena *mem) {
	size_t count = 0;
	struct slice word;
	for (struct slice rest = text; rest.len > 0; count++)
		if (!value_word(&rest, &word))
			return fail("missing '}' in \"%.*s\" of %s", SLICE_ARG(slice_head(text, 80)), s->name);
	out->list.words = arena_array(mem, count + 1, sizeof(word));
	out->list.count = 0;
	for (struct slice rest = text; rest.len > 0 && value_word(&rest, &word);)
		if (word.len > 0) out->list.words[out->list.count++] = word;
	return VALUE_GOOD;
}

static int (*const readers[])(struct value *, const struct setting *, struct slice, struct arena *) = {
	[KIND_TEXT] = read_text, [KIND_RAW] = read_text,       [KIND_LEVEL] = read_level, [KIND_ORIGIN] = read_text,
	[KIND_BOOL] = read_bool, [KIND_NUMBER] = read_number,  [KIND_TIME] = read_time,   [KIND_SIZE] = read_size,
	[KIND_WORDS] = read_words, [KIND_LIST] = read_list,    [KIND_NETWORKS] = read_text, [KIND_DOMAINS] = read_text,
};

int value_read(struct value *out, const struct setting *s, struct slice text, struct arena *mem) {
	struct value v = { .text = text };
	int r = readers[s->kind](&v, s, text, mem);
	if (r >= 0) *out = v;
	return r;
}
