/* SPDX-License-Identifier: Apache-2.0 */
/* Names of mailboxes and keywords: the only two texts a mail program chooses freely and we look up. */
#include "store/inside.h"
#include "base/collate.h"
#include "base/encode.h"

enum { NAME_MAX_LEN = 1000, LEVELS_MAX = 32 };

const struct slice name_inbox = { "INBOX", 5 };

static bool level_good(struct slice level) {
	if (level.len == 0) return false;
	for (size_t i = 0; i < level.len; i++)
		if (ascii_control(level.at[i])) return false;
	return true;
}

int name_spelt(struct arena *mem, struct slice name, struct slice *out) {
	if (name.len > 0 && name.at[name.len - 1] == '/') name.len--;
	if (name.len == 0 || name.len > NAME_MAX_LEN || !utf8_valid(name)) return STORE_BAD_NAME;
	size_t levels = 0;
	for (struct slice rest = name; rest.at != NULL; levels++)
		if (!level_good(slice_cut(&rest, '/')) || levels == LEVELS_MAX) return STORE_BAD_NAME;
	char *copy = arena_text(mem, name);
	struct slice top = slice_head(name, slice_find(name, '/'));
	if (slice_same(top, name_inbox)) memcpy(copy, name_inbox.at, name_inbox.len);
	*out = slice_from(copy, name.len);
	return 0;
}

int name_normal(struct arena *mem, struct slice name, struct slice *out) {
	if (name.len > NAME_MAX_LEN || !utf8_valid(name)) return STORE_BAD_NAME;
	return name_spelt(mem, collate_composed(mem, name), out);
}

struct slice name_above(struct slice name) {
	size_t at = slice_find_last(name, '/');
	return at == name.len ? S("") : slice_head(name, at);
}

struct slice name_below_first(struct arena *mem, struct slice name) {
	return arena_fmt(mem, "%.*s/", SLICE_ARG(name));
}

struct slice name_below_end(struct arena *mem, struct slice name) {
	return arena_fmt(mem, "%.*s0", SLICE_ARG(name));
}

static int word_order(const void *a, const void *b) {
	const struct slice *x = a, *y = b;
	for (size_t i = 0; i < x->len && i < y->len; i++) {
		int d = (unsigned char)ascii_lower(x->at[i]) - (unsigned char)ascii_lower(y->at[i]);
		if (d != 0) return d;
	}
	return x->len < y->len ? -1 : x->len > y->len;
}

static bool has_word(struct slice words, struct slice word) {
	for (struct slice w; (w = slice_word(&words, " ")).len != 0;)
		if (slice_same(w, word)) return true;
	return false;
}

/* Sorted, each once; at == NULL when nothing is left. but: words left out. */
static struct slice joined(struct arena *mem, struct slice words, struct slice but) {
	size_t count = 0, len = 0, room = words.len + 1;
	struct slice *list = arena_array(mem, words.len / 2 + 1, sizeof *list);
	for (struct slice w; (w = slice_word(&words, " ")).len != 0;)
		if (!has_word(but, w)) list[count++] = w;
	if (count == 0) return SLICE_NONE;
	qsort(list, count, sizeof *list, word_order);
	char *text = arena_get(mem, room);
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && slice_same(list[i], list[i - 1])) continue;
		if (len != 0) text[len++] = ' ';
		memcpy(text + len, list[i].at, list[i].len);
		len += list[i].len;
	}
	return slice_from(text, len);
}

int keywords_normal(struct arena *mem, struct slice words, struct slice *out) {
	if (words.len > KEYWORDS_MAX) return STORE_LIMIT;
	*out = words.len == 0 ? SLICE_NONE : joined(mem, words, SLICE_NONE);
	return 0;
}

struct slice keywords_add(struct arena *mem, struct slice to, struct slice words) {
	if (words.len == 0 || keywords_has_all(to, words)) return to;
	return joined(mem, arena_fmt(mem, "%.*s %.*s", SLICE_ARG(to), SLICE_ARG(words)), SLICE_NONE);
}

struct slice keywords_remove(struct arena *mem, struct slice from, struct slice words) {
	return from.len == 0 ? SLICE_NONE : joined(mem, from, words);
}

bool keywords_has_all(struct slice in, struct slice words) {
	for (struct slice w; (w = slice_word(&words, " ")).len != 0;)
		if (!has_word(in, w)) return false;
	return true;
}
