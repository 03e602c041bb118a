/* SPDX-License-Identifier: Apache-2.0 */
/* Fields are found by their line starts only; nothing is copied until someone asks for a value without its folds. */
#include "mime/header.h"

static bool blank_line_at(struct slice block, size_t at) {
	char c = block.at[at];
	return c == '\n' || (c == '\r' && at + 1 < block.len && block.at[at + 1] == '\n');
}

/* Where the line after the one at `at` starts. */
static size_t line_after(struct slice block, size_t at) {
	return MIN_OF(at + slice_find(slice_skip(block, at), '\n') + 1, block.len);
}

static struct slice field_name(struct slice line) {
	struct slice name = slice_head(line, slice_find(line, ':'));
	if (name.len == line.len) return SLICE_NONE;
	while (name.len != 0 && ascii_blank(name.at[name.len - 1])) name.len--;
	for (size_t i = 0; i < name.len; i++)
		if (ascii_control(name.at[i]) || name.at[i] == ' ') return SLICE_NONE;
	return name;
}

bool fields_next(struct fields *f, struct field *out) {
	while (f->at < f->block.len && !blank_line_at(f->block, f->at)) {
		size_t start = f->at, first_end = line_after(f->block, start), end = first_end;
		while (end < f->block.len && ascii_blank(f->block.at[end])) end = line_after(f->block, end);
		f->at = end;
		struct slice name = field_name(slice_skip(slice_head(f->block, first_end), start));
		if (name.len == 0) continue;
		size_t colon = start + slice_find(slice_skip(f->block, start), ':');
		struct slice value = slice_skip(slice_head(f->block, end), colon + 1);
		if (value.len != 0 && value.at[value.len - 1] == '\n') value.len--;
		if (value.len != 0 && value.at[value.len - 1] == '\r') value.len--;
		*out = (struct field){ name, value, start, end };
		return true;
	}
	return false;
}

bool header_find_from(struct fields *f, struct slice name, struct field *out) {
	struct field found;
	while (fields_next(f, &found)) {
		if (!slice_same(found.name, name)) continue;
		*out = found;
		return true;
	}
	return false;
}

bool header_find(struct slice block, struct slice name, struct field *out) {
	struct fields f = { .block = block };
	return header_find_from(&f, name, out);
}

size_t header_length(struct slice block) {
	size_t at = 0;
	while (at < block.len) {
		bool last = blank_line_at(block, at);
		at = line_after(block, at);
		if (last) break;
	}
	return at;
}

struct slice header_unfold(struct slice value, struct arena *mem) {
	value = slice_trim(value);
	if (slice_find(value, '\n') == value.len && slice_find(value, '\r') == value.len) return value;
	char *line = arena_get(mem, value.len + 1);
	size_t n = 0;
	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];
		bool folded = i != 0 && value.at[i - 1] == '\n';
		if (c != '\r' && c != '\n') line[n++] = folded && c == '\t' ? ' ' : c;
	}
	return slice_from(line, n);
}

/* Without any < an id may still stand there bare: the next word with an @. */
static bool bare_id_next(struct slice *rest, struct slice *id) {
	struct slice word;
	do word = slice_word(rest, " \t\r\n");
	while (word.len != 0 && slice_find(word, '@') == word.len);
	if (word.len == 0) return false;
	*id = word;
	return true;
}

bool msgid_next(struct slice *rest, struct slice *id) {
	for (size_t open = slice_find(*rest, '<'); open < rest->len; open = slice_find(*rest, '<')) {
		struct slice behind = slice_skip(*rest, open + 1);
		struct slice text = slice_head(behind, slice_find(behind, '>'));
		*rest = slice_skip(behind, text.len + 1);
		size_t inner = slice_find_last(text, '<');
		if (inner < text.len) text = slice_skip(text, inner + 1);
		text = slice_trim(text);
		if (text.len == 0) continue;
		*id = text;
		return true;
	}
	return bare_id_next(rest, id);
}

/* FNV-1a with a final mix. Not keyed: it is stored, and who wants to join a thread need not look for collisions. */
uint64_t msgid_hash(struct slice id) {
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < id.len; i++) {
		char c = id.at[i];
		if (!ascii_space(c) && c != '"' && c != '\\') h = (h ^ (unsigned char)c) * 0x100000001b3u;
	}
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
	return h ^ h >> 33;
}
