/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of bodies. Only their bytes are read, and they go to the client as they are read. Those of the message as a
 * whole need no look at its parts. A literal that was announced must come whole: what cannot be read then ends the
 * session. */
#include "access/imap/fetch.h"
#include "base/fail.h"

static void put_label(struct fetch *f, const struct fetch_item *item) {
	struct buf *out = imap_out(f->s);
	if (item->word->section != NULL) {
		struct slice name = slice_of(item->word->name);
		if (slice_ends(name, S(".PEEK"))) name.len -= 5;
		buf_add(out, name);
	} else {
		buf_add(out, S("BODY["));
		buf_add(out, item->section);
		buf_byte(out, ']');
	}
	if (item->partial) buf_addf(out, "<%llu>", (unsigned long long)item->from);
	buf_byte(out, ' ');
}

/* A literal cannot hold NUL (RFC 3501 §9 CHAR8); 0x80 in its place is what servers have always sent. */
void fetch_hide_nul(char *at, size_t len) {
	for (char *end = at + len; (at = memchr(at, '\0', (size_t)(end - at))) != NULL; at++) *at = (char)0x80;
}

bool fetch_unreadable(struct fetch *f, int why) {
	imap_refused(f->s, why < 0 ? -1 : fail("body is shorter than its row says"), "fetch");
	f->s->broken = f->s->over = true;
	return false;
}

bool fetch_body(struct fetch *f, struct fetch_row *row) {
	if (row->body.blob == NULL) f->failed = imap_body_open(&row->body, f->c);
	return f->failed == 0;
}

bool fetch_put_bytes(struct fetch *f, struct slice bytes) {
	return f->c != NULL ? buf_add(imap_out(f->s), bytes) : imap_put_large(f->s, bytes);
}

static void put_size(struct fetch *f, uint64_t size) {
	buf_byte(imap_out(f->s), '{');
	buf_number(imap_out(f->s), size);
	buf_add(imap_out(f->s), S("}\r\n"));
}

static bool put_range(struct fetch *f, struct fetch_row *row, uint64_t start, uint64_t end) {
	put_size(f, end - start);
	while (start < end) {
		struct slice piece;
		int r = blob_piece(row->body.blob, start, &piece);
		piece = slice_head(piece, end - start);
		if (r < 0 || piece.len == 0) return fetch_unreadable(f, r);
		if (memchr(piece.at, '\0', piece.len) != NULL) {
			char copy[4096];
			piece = slice_head(piece, sizeof copy);
			memcpy(copy, piece.at, piece.len);
			fetch_hide_nul(copy, piece.len);
			if (!fetch_put_bytes(f, slice_from(copy, piece.len))) return false;
		} else if (!fetch_put_bytes(f, piece)) {
			return false;
		}
		start += piece.len;
	}
	return true;
}

static bool put_fields(struct fetch *f, const struct fetch_item *item, struct fetch_row *row,
		       const struct section *section) {
	AUTO_BUF struct buf kept = BUF(IMAP_HEADER_LIMIT + 2);
	imap_body_fields(&row->body, section, item->fields, item->field_count, &kept);
	fetch_hide_nul(kept.at, kept.len);
	struct slice text = item->partial
				    ? slice_head(slice_skip(buf_slice(&kept), (size_t)item->from), (size_t)item->count)
				    : buf_slice(&kept);
	put_size(f, text.len);
	return fetch_put_bytes(f, text);
}

/* The sections of the message itself: where its header ends is all one has to know. */
static bool find_simply(const struct fetch_item *item, struct fetch_row *row, struct section *out) {
	struct slice text = item->section;
	uint64_t size = blob_size(row->body.blob);
	*out = (struct section){ .kind = SECTION_BODY, .end = size };
	if (text.len == 0) return true;
	const struct summary_ready *ready = fetch_ready(row);
	if (ready == NULL || ready->header_size > size) return false;
	if (slice_eq(text, S("TEXT"))) out->start = ready->header_size;
	else out->end = ready->header_size;
	if (slice_eq(text, S("TEXT")) || slice_eq(text, S("HEADER"))) return true;
	out->kind = slice_starts(text, S("HEADER.FIELDS.NOT")) ? SECTION_HEADER_FIELDS_NOT : SECTION_HEADER_FIELDS;
	return slice_starts(text, S("HEADER.FIELDS"));
}

/* All of a small message, unpacked to where it leaves from. */
static bool put_whole(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	struct buf *out = imap_out(f->s);
	put_label(f, item);
	put_size(f, row->m.size);
	size_t from = out->len;
	f->failed = blob_unpack(f->c, row->m.body, row->m.size, out);
	fetch_hide_nul(out->at + from, out->len - from);
	return f->failed == 0;
}

bool fetch_put_section(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	struct section section;
	if (f->c != NULL && item->section.len == 0 && !item->partial) return put_whole(f, item, row);
	if (!fetch_body(f, row)) return false;
	bool simple = find_simply(item, row, &section);
	if (!simple && !fetch_summary(f, row)) return false;
	put_label(f, item);
	if (!simple && summary_section(row->body.summary, item->section, &section) != SECTION_OK) {
		buf_add(imap_out(f->s), S("NIL"));
		return true;
	}
	if (section.kind == SECTION_HEADER_FIELDS || section.kind == SECTION_HEADER_FIELDS_NOT)
		return put_fields(f, item, row, &section);
	uint64_t start = section.start, end = section.end;
	if (item->partial) {
		start += MIN_OF(item->from, end - start);
		end = start + MIN_OF(item->count, end - start);
	}
	return put_range(f, row, start, end);
}
