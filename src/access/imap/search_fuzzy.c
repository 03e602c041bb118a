/* SPDX-License-Identifier: Apache-2.0 */
/* FUZZY (RFC 6203): what a person who types from memory would still call found. A word of Latin letters may be wrong in
 * one place from 4 letters on, in two from 8 (Wu and Manber's bit-parallel matching); words of other scripts are short
 * and must stand as they are. The score says how close it was. */
#include "access/imap/search.h"

enum { WORD_MAX = 60, NEAR_EXACT = 90, NEAR_STEP = 25 };

void search_fuzzy_init(struct search_fuzzy *f, struct slice needle) {
	struct slice rest = needle, word;
	*f = (struct search_fuzzy){ .needle = needle };
	while (f->count < FUZZY_WORDS_MAX && (word = slice_word(&rest, " \t\r\n")).len != 0)
		f->words[f->count++] = word;
	f->whole = f->count == 0;
}

/* At most `errors` letters wrong, missing or too many. */
static bool near(struct slice text, struct slice word, unsigned errors) {
	uint64_t mask[128] = { 0 }, state[3], end = UINT64_C(1) << (word.len - 1);
	for (size_t i = 0; i < word.len; i++) mask[(unsigned char)word.at[i]] |= UINT64_C(1) << i;
	for (unsigned e = 0; e <= errors; e++) state[e] = (UINT64_C(1) << e) - 1;
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.at[i];
		uint64_t letter = c < 128 ? mask[c] : 0, old = state[0];
		state[0] = (old << 1 | 1) & letter;
		for (unsigned e = 1; e <= errors; e++) {
			uint64_t before = state[e];
			state[e] = ((before << 1 | 1) & letter) | old | old << 1 | state[e - 1] << 1 | 1;
			old = before;
		}
		if ((state[errors] & end) != 0) return true;
	}
	return false;
}

static unsigned how_near(struct slice text, struct slice word) {
	if (slice_search(text, word) < text.len) return NEAR_EXACT;
	if (!slice_is_ascii(word) || word.len < 4 || word.len > WORD_MAX) return 0;
	unsigned most = word.len < 8 ? 1 : 2;
	for (unsigned errors = 1; errors <= most; errors++)
		if (near(text, word, errors)) return NEAR_EXACT - NEAR_STEP * errors;
	return 0;
}

void search_fuzzy_look(struct search_fuzzy *f, struct slice folded) {
	if (slice_search(folded, f->needle) < folded.len) f->whole = true;
	for (size_t i = 0; i < f->count && !f->whole; i++)
		if (f->near[i] < NEAR_EXACT)
			f->near[i] = (unsigned char)MAX_OF(how_near(folded, f->words[i]), f->near[i]);
}

unsigned search_fuzzy_score(const struct search_fuzzy *f) {
	unsigned sum = 0;
	if (f->whole) return 100;
	for (size_t i = 0; i < f->count; i++) {
		if (f->near[i] == 0) return 0;
		sum += f->near[i];
	}
	return sum / (unsigned)f->count;
}
