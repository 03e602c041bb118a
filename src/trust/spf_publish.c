/* SPDX-License-Identifier: Apache-2.0 */
/* Records are joined word by word: the parser says which words are terms, and their text stays as somebody wrote it. */
#include "trust/spf_publish.h"
#include "trust/spf_private.h"

enum { RECORD_MAX = 8 << 10 };

size_t spf_records_among(const struct slice *texts, size_t count, struct slice *out) {
	size_t found = 0;
	for (size_t i = 0; i < count; i++)
		if (spf_record_is(texts[i])) out[found++] = texts[i];
	return found;
}

static bool is_term(struct slice word, struct arena *mem) {
	struct spf_record record;
	struct slice reason;
	return spf_record_parse(arena_fmt(mem, "v=spf1 %.*s", SLICE_ARG(word)), mem, &record, &reason);
}

bool spf_record_has(struct slice record, struct slice term) {
	for (struct slice word; (word = slice_word(&record, " ")).len != 0;)
		if (slice_same(word, term) || (word.at[0] == '+' && slice_same(slice_skip(word, 1), term))) return true;
	return false;
}

bool spf_record_lets_all(struct slice record) {
	return spf_record_has(record, S("all"));
}

static void put(struct buf *out, struct slice term) {
	if (slice_starts(term, S("+"))) term = slice_skip(term, 1);
	if (!spf_record_has(buf_slice(out), term)) buf_addf(out, " %.*s", SLICE_ARG(term));
}

/* "-all", "~all" and "?all", from strict to mild; -1: another word. "+all" is the mildest that is left of it: "~all".
 */
static int end_of(struct slice word) {
	static const char *const ends[] = { "-all", "~all", "?all", "all", "+all" };
	int which = slice_among(word, ends, LEN(ends));
	return which > 2 ? 1 : which;
}

struct ending {
	int all;               /* end_of; -1: none */
	struct slice redirect; /* without "redirect=" */
};

static void read_endings(const struct slice *records, size_t count, struct arena *mem, struct ending *e) {
	*e = (struct ending){ .all = -1 };
	for (size_t i = 0; i < count; i++) {
		struct slice rest = records[i];
		for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) {
			e->all = MAX_OF(e->all, end_of(word));
			if (slice_starts_same(word, S("redirect=")) && is_term(word, mem))
				e->redirect = slice_skip(word, 9);
		}
	}
}

static void put_terms(struct buf *out, struct slice record, bool alone, bool *explained, struct arena *mem) {
	slice_word(&record, " ");
	for (struct slice word; (word = slice_word(&record, " ")).len != 0;) {
		bool exp = slice_starts_same(word, S("exp=")); /* there is one */
		if (end_of(word) >= 0 || !is_term(word, mem) || (exp && *explained)) continue;
		*explained |= exp;
		if (!slice_starts_same(word, S("redirect=")))
			put(out, word);
		else if (!alone)
			put(out, arena_fmt(mem, "include:%.*s", SLICE_ARG(slice_skip(word, 9))));
	}
}

struct slice spf_record_wanted(const struct slice *records, size_t count, const struct spf_wish *w, struct arena *mem) {
	static const char *const ends[] = { "-all", "~all", "?all" };
	AUTO_BUF struct buf out = BUF(RECORD_MAX);
	struct ending e;
	bool explained = false;
	buf_add(&out, S("v=spf1"));
	for (size_t i = 0; i < w->count; i++) {
		char room[ADDR_TEXT_ROOM];
		bool four = addr_family(&w->addresses[i]) == AF_INET;
		put(&out, arena_fmt(mem, "%s:%s", four ? "ip4" : "ip6", addr_text(&w->addresses[i], room)));
	}
	if (w->term.len != 0) put(&out, w->term);
	if (count == 0 && w->mx) put(&out, S("mx"));
	read_endings(records, count, mem, &e);
	bool alone = count == 1 && e.all < 0; /* redirect= counts only without all */
	for (size_t i = 0; i < count; i++) put_terms(&out, records[i], count == 1, &explained, mem);
	if (count == 0)
		put(&out, w->all);
	else if (e.all >= 0)
		put(&out, slice_of(ends[e.all]));
	else if (alone && e.redirect.len != 0)
		put(&out, arena_fmt(mem, "redirect=%.*s", SLICE_ARG(e.redirect)));
	else
		put(&out, S("~all"));
	return out.full ? SLICE_NONE : arena_slice(mem, buf_slice(&out));
}
