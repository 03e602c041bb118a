/* SPDX-License-Identifier: Apache-2.0 */
/* Section numbers count what IMAP sees, which is not quite the tree: the one body of a message that is no multipart is
 * its part 1 though it has no header of its own, and a message/rfc822 part is at once a leaf and the door to what is in
 * it. */
#include "mime/scan.h"

/* Where the numbers have led. as_message: a message as a whole, whose body is not yet chosen. */
struct place {
	uint32_t part;
	bool as_message;
};

static bool step(const struct summary *s, uint64_t number, struct place *at) {
	if (!at->as_message && part_is_message(&s->parts[at->part]))
		*at = (struct place){ s->parts[at->part].child, true };
	const struct part *p = &s->parts[at->part];
	if (!part_is_multipart(p)) {
		bool first = at->as_message && number == 1;
		at->as_message = false;
		return first;
	}
	uint32_t i = p->child;
	while (i != 0 && --number != 0) i = s->parts[i].next;
	*at = (struct place){ i, false };
	return i != 0;
}

static const struct word {
	const char *text;
	enum section_kind kind;
} words[] = {
	{ "HEADER", SECTION_HEADER }, { "TEXT", SECTION_TEXT }, { "MIME", SECTION_MIME },
	{ "HEADER.FIELDS", SECTION_HEADER_FIELDS }, { "HEADER.FIELDS.NOT", SECTION_HEADER_FIELDS_NOT },
};

/* The word behind the numbers and, for HEADER.FIELDS, the list. */
static bool read_word(struct slice text, struct section *out) {
	struct slice fields = slice_skip(text, slice_find(text, ' '));
	struct slice word = slice_head(text, text.len - fields.len);
	for (size_t i = 0; i < LEN(words); i++) {
		if (!slice_same(word, slice_of(words[i].text))) continue;
		bool wants_fields =
			words[i].kind == SECTION_HEADER_FIELDS || words[i].kind == SECTION_HEADER_FIELDS_NOT;
		out->kind = words[i].kind;
		out->fields = slice_trim(fields);
		return wants_fields == (out->fields.len != 0);
	}
	return false;
}

static enum section_answer range_of(const struct summary *s, struct place at, bool numbered, struct section *out) {
	const struct part *p = &s->parts[at.part];
	if (out->kind == SECTION_MIME || (out->kind == SECTION_BODY && numbered)) {
		if (!numbered) return SECTION_BAD;
		bool mime = out->kind == SECTION_MIME;
		out->part = at.part;
		out->start = mime ? p->header_start : p->body_start;
		out->end = mime ? p->body_start : p->body_end;
		return SECTION_OK;
	}
	if (numbered && !part_is_message(p)) return SECTION_ABSENT;
	out->part = numbered ? p->child : 0;
	const struct part *message = &s->parts[out->part];
	bool body = out->kind == SECTION_TEXT || out->kind == SECTION_BODY;
	out->start = out->kind == SECTION_TEXT ? message->body_start : message->header_start;
	out->end = body ? message->body_end : message->body_start;
	return SECTION_OK;
}

enum section_answer summary_section(const struct summary *s, struct slice text, struct section *out) {
	struct section found = { .kind = SECTION_BODY };
	struct place at = { 0, true };
	bool numbered = false, absent = false;
	while (text.len != 0 && ascii_digit(text.at[0])) {
		struct slice rest = text;
		uint64_t number;
		if (!slice_number(slice_cut(&rest, '.'), UINT32_MAX, &number) || number == 0) return SECTION_BAD;
		if (rest.at != NULL && rest.len == 0) return SECTION_BAD;
		numbered = true;
		absent = absent || !step(s, number, &at);
		text = rest;
	}
	if (text.len != 0 && !read_word(text, &found)) return SECTION_BAD;
	if (absent) return SECTION_ABSENT;
	enum section_answer r = range_of(s, at, numbered, &found);
	if (r == SECTION_OK) *out = found;
	return r;
}
