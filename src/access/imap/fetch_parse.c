/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/fetch.h"

enum { FIELDS_MAX = 500, SECTION_MAX = 512 };

static const struct { const char *name; const char *words[5]; } macros[] = {
	{ "ALL", { "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE" } },
	{ "FAST", { "FLAGS", "INTERNALDATE", "RFC822.SIZE" } },
	{ "FULL", { "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY" } },
};

/* The longest run of the bytes that words of FETCH are made of. */
static struct slice take_letters(struct imap_parse *p) {
	size_t n = 0;
	while (n < p->rest.len && (ascii_alpha(p->rest.at[n]) || ascii_digit(p->rest.at[n]) || p->rest.at[n] == '.'))
		n++;
	struct slice word = slice_head(p->rest, n);
	p->rest = slice_skip(p->rest, n);
	return word;
}

static const struct fetch_word *find_word(struct slice name, bool section) {
	for (size_t i = 0; i < fetch_word_count; i++) {
		const struct fetch_word *w = &fetch_words[i];
		if (slice_same(name, slice_of(w->name)) && section == ((w->needs & FETCH_SECTION) != 0)) return w;
	}
	return NULL;
}

static bool add_item(struct imap_parse *p, struct fetch *f, struct fetch_item item) {
	if (f->item_count == FETCH_ITEMS_MAX) return imap_parse_fail(p, "Too many items.");
	if (f->item_count != 0 && f->items[0].word == item.word && strcmp(item.word->name, "UID") == 0)
		return true; /* UID FETCH … UID */
	f->items[f->item_count++] = item;
	f->needs |= item.word->needs;
	if (item.word->put == fetch_put_section) {
		f->needs |= item.section.len == 0 ? 0 : FETCH_SUMMARY; /* of a whole message not even that */
		if (item.section.len != 0 && ascii_digit(item.section.at[0])) f->needs |= FETCH_PARTS;
	} else if ((item.word->needs & FETCH_SUMMARY) != 0) {
		f->needs |= FETCH_PARTS;
	}
	f->tells_modseq |= item.word->put == fetch_put_modseq;
	f->tells_flags |= strcmp(item.word->name, "FLAGS") == 0;
	return true;
}

/* Is it a section at all? Asked of a message that has none but its own. */
static bool section_valid(struct slice text) {
	struct part part = { .type = S("text"), .subtype = S("plain") };
	const struct summary any = { .parts = &part, .parts_count = 1 };
	struct section section;
	return summary_section(&any, text, &section) != SECTION_BAD;
}

/* What stands between the brackets; a field list is written again in one spelling, so that its strings are plain. */
static bool parse_section(struct imap_parse *p, struct fetch_item *item) {
	AUTO_BUF struct buf text = BUF(KIB(80));
	struct slice words = take_letters(p);
	if (words.len > SECTION_MAX) return imap_parse_fail(p, "Section too long.");
	for (size_t i = 0; i < words.len; i++) buf_byte(&text, ascii_upper(words.at[i]));
	if (imap_parse_take(p, ' ')) {
		if (!imap_parse_strings(p, FIELDS_MAX, &item->fields, &item->field_count)) return false;
		if (item->field_count == 0) return imap_parse_fail(p, "Empty list of header fields.");
		for (size_t i = 0; i < item->field_count; i++) {
			buf_add(&text, i == 0 ? S(" (") : S(" "));
			imap_put_astring(&text, item->fields[i]);
		}
		buf_byte(&text, ')');
	}
	if (text.full || !section_valid(buf_slice(&text))) return imap_parse_fail(p, "Invalid section.");
	item->section = arena_slice(p->mem, buf_slice(&text));
	return imap_parse_need(p, ']');
}

static bool parse_partial(struct imap_parse *p, struct fetch_item *item) {
	item->partial = true;
	if (!imap_parse_number(p, UINT32_MAX, &item->from) || !imap_parse_need(p, '.') ||
	    !imap_parse_number(p, UINT32_MAX, &item->count))
		return false;
	return item->count == 0 ? imap_parse_fail(p, "A partial of nothing.") : imap_parse_need(p, '>');
}

/* The modifiers of PREVIEW; LAZY is the only one there is. */
static bool parse_lazy(struct imap_parse *p) {
	p->rest = slice_skip(p->rest, 2);
	if (!imap_parse_take_word(p, "LAZY")) return imap_parse_fail(p, "Unknown PREVIEW modifier.");
	return imap_parse_need(p, ')');
}

static bool parse_item(struct imap_parse *p, struct fetch *f) {
	struct slice name = take_letters(p);
	bool section = imap_parse_take(p, '[');
	struct fetch_item item = { .word = find_word(name, section) };
	if (item.word == NULL) return imap_parse_fail(p, "Unknown FETCH item.");
	if ((item.word->needs & FETCH_LAZY) != 0 && slice_starts(p->rest, S(" (")) && !parse_lazy(p)) return false;
	if (section && (!parse_section(p, &item) || (imap_parse_take(p, '<') && !parse_partial(p, &item))))
		return false;
	if ((item.word->needs & FETCH_WHOLE) != 0 && item.partial) return imap_parse_fail(p, "A size is not partial.");
	if ((item.word->needs & FETCH_NUMBERS) != 0 && item.section.len != 0 &&
	    !ascii_digit(item.section.at[item.section.len - 1]))
		return imap_parse_fail(p, "BINARY takes part numbers only.");
	if (item.word->section != NULL) item.section = slice_of(item.word->section);
	return add_item(p, f, item);
}

static bool parse_macro(struct imap_parse *p, struct fetch *f) {
	for (size_t i = 0; i < LEN(macros); i++) {
		if (!imap_parse_take_word(p, macros[i].name)) continue;
		for (size_t j = 0; j < LEN(macros[i].words) && macros[i].words[j] != NULL; j++)
			if (!add_item(p, f,
				      (struct fetch_item){ .word = find_word(slice_of(macros[i].words[j]), false) }))
				return false;
		return true;
	}
	return false;
}

bool fetch_parse(struct imap_parse *p, struct fetch *f, bool uid) {
	if (uid && !imap_enabled(f->s, IMAP_UIDONLY))
		add_item(p, f, (struct fetch_item){ .word = find_word(S("UID"), false) });
	if (imap_parse_take(p, '(')) {
		do {
			if (!parse_item(p, f)) return false;
		} while (imap_parse_take(p, ' '));
		if (!imap_parse_need(p, ')')) return false;
	} else if (!parse_macro(p, f) && !parse_item(p, f)) {
		return false;
	}
	return fetch_modifiers(p, f, uid) && imap_parse_end(p);
}

bool fetch_parse_later(struct imap_parse *p, struct slice *text) {
	AUTO_ARENA struct arena mem = { 0 };
	struct imap_session nobody = { .account = 0 };
	struct slice before = p->rest;
	struct fetch f = { .s = &nobody };
	size_t depth = 0, n = 0;
	for (bool quoted = false; n < before.len; n++) {
		char c = before.at[n];
		if (c == '"') quoted = !quoted;
		if (quoted) continue;
		if (c == '(') depth++;
		if (c == ')' && --depth == 0) break;
	}
	struct imap_parse own = IMAP_PARSE(slice_head(before, n + 1), &mem);
	if (!fetch_parse(&own, &f, true)) return imap_parse_fail(p, "Invalid FETCH items.");
	*text = slice_head(before, n + 1);
	p->rest = slice_skip(before, n + 1);
	return true;
}
