/* SPDX-License-Identifier: Apache-2.0 */
/* Text is looked at in windows that end between two words where that is possible, so that a message of any size is
 * searched in little memory; what of a window's end could be a match's beginning is kept for the next. */
#include "access/imap/search.h"
#include "base/encode.h"
#include "mime/header.h"

#include <unicase.h>
#include <uninorm.h>

void search_fold(struct buf *out, struct slice utf8) {
	if (slice_is_ascii(utf8)) {
		char *at = buf_room(out, utf8.len);
		if (at == NULL) return;
		for (size_t i = 0; i < utf8.len; i++) at[i] = ascii_lower(utf8.at[i]);
		out->len += utf8.len;
		return;
	}
	AUTO_BUF struct buf clean = BUF(utf8.len * 3 + 16);
	utf8_add_clean(&clean, utf8);
	size_t len = 0;
	AUTO_FREE uint8_t *folded = u8_casefold((const uint8_t *)clean.at, clean.len, NULL, UNINORM_NFKC, NULL, &len);
	buf_add(out, folded != NULL ? slice_from(folded, len) : buf_slice(&clean));
}

/* How much of the text may be folded by itself: up to its last blank or line end, else to its last whole character. */
static size_t whole_words(struct slice text) {
	size_t n = text.len;
	while (n > text.len / 2 && !ascii_space(text.at[n - 1])) n--;
	if (n > text.len / 2) return n;
	for (n = text.len; n > 0 && text.len - n < 4 && ((unsigned char)text.at[n - 1] & 0xc0) == 0x80;) n--;
	return n > 1 ? n - 1 : text.len;
}

void search_finder_look(struct search_finder *f, bool end) {
	if (f->found || (!end && f->pending.len < SEARCH_WINDOW)) return;
	size_t take = end ? f->pending.len : whole_words(buf_slice(&f->pending));
	search_fold(&f->folded, slice_head(buf_slice(&f->pending), take));
	buf_eat(&f->pending, take);
	if (f->fuzzy != NULL) {
		search_fuzzy_look(f->fuzzy, buf_slice(&f->folded));
		f->found = f->fuzzy->whole;
	} else {
		f->found = slice_search(buf_slice(&f->folded), f->needle) < f->folded.len;
	}
	size_t keep = MIN_OF(f->folded.len, f->needle.len - 1);
	buf_eat(&f->folded, f->folded.len - keep);
}

/* Most fields are plain ASCII and need no decoding. */
bool search_value_holds(struct search_run *run, const struct search_node *node, struct slice raw) {
	buf_clear(&run->value);
	buf_clear(&run->folded);
	if (node->text.len == 0) return true;
	if (slice_is_ascii(raw) && slice_search(raw, S("=?")) == raw.len && memchr(raw.at, '\n', raw.len) == NULL &&
	    memchr(raw.at, '\x1b', raw.len) == NULL) {
		search_fold(&run->folded, raw);
	} else {
		header_text_add(&run->value, raw);
		search_fold(&run->folded, buf_slice(&run->value));
	}
	if (!node->fuzzy) return slice_search(buf_slice(&run->folded), node->text) < run->folded.len;
	struct search_fuzzy fuzzy;
	search_fuzzy_init(&fuzzy, node->text);
	search_fuzzy_look(&fuzzy, buf_slice(&run->folded));
	unsigned score = search_fuzzy_score(&fuzzy);
	run->relevance += score;
	run->judged += score != 0;
	return score != 0;
}

void search_finder_done(struct search_finder *f) {
	buf_done(&f->pending);
	buf_done(&f->folded);
}
