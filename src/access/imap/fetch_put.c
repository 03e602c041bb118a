/* SPDX-License-Identifier: Apache-2.0 */
/* One function for each item of FETCH. Rows and summaries answer all but bodies; of a body only the bytes of the
 * section are read, and they go to the client as they are read. */
#include "access/imap/fetch.h"
#include "base/fail.h"
#include "mime/header.h"

enum { HEADER_LIMIT = 1024 * 1024, PIECE = 64 * 1024 };

static bool put_flags(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	buf_add(imap_out(f->s), S("FLAGS "));
	imap_put_message_flags(f->s, row->m.uid, row->m.flags, row->m.keywords);
	return true;
}

static bool put_uid(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	return buf_addf(imap_out(f->s), "UID %u", row->m.uid);
}

static bool put_date(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	buf_add(imap_out(f->s), S("INTERNALDATE \""));
	date_add_internal(imap_out(f->s), (struct date){ row->m.received_us / 1000000, 0 });
	return buf_byte(imap_out(f->s), '"');
}

static bool put_size(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	return buf_addf(imap_out(f->s), "RFC822.SIZE %llu", (unsigned long long)row->m.size);
}

static bool put_envelope(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	buf_add(imap_out(f->s), S("ENVELOPE "));
	summary_imap_envelope(imap_out(f->s), row->body.summary);
	return true;
}

static bool put_structure(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	buf_addf(imap_out(f->s), "%s ", item->word->name);
	summary_imap_bodystructure(imap_out(f->s), row->body.summary, strcmp(item->word->name, "BODY") != 0);
	return true;
}

/* Bodies. A literal that was announced must come whole: what cannot be read then ends the session. */

static void put_label(struct fetch *f, const struct fetch_item *item) {
	struct buf *out = imap_out(f->s);
	if (item->word->section != NULL) {
		buf_add(out, slice_of(item->word->name));
	} else {
		buf_add(out, S("BODY["));
		buf_add(out, item->section);
		buf_byte(out, ']');
	}
	if (item->partial) buf_addf(out, "<%llu>", (unsigned long long)item->from);
	buf_byte(out, ' ');
}

/* A literal cannot hold NUL (RFC 3501 §9 CHAR8); 0x80 in its place is what servers have always sent. */
static void hide_nul(char *at, size_t len) {
	for (char *end = at + len; (at = memchr(at, '\0', (size_t)(end - at))) != NULL; at++) *at = (char)0x80;
}

static bool put_range(struct fetch *f, struct fetch_row *row, uint64_t start, uint64_t end) {
	bool nul = (row->body.summary->flags & SUMMARY_NUL) != 0;
	AUTO_FREE char *piece = mem_get(PIECE);
	buf_addf(imap_out(f->s), "{%llu}\r\n", (unsigned long long)(end - start));
	while (start < end) {
		ssize_t n = blob_read(row->body.blob, start, piece, (size_t)MIN_OF(end - start, (uint64_t)PIECE));
		if (n <= 0) {
			imap_refused(f->s, n < 0 ? -1 : fail("body is shorter than its row says"), "fetch");
			f->s->broken = f->s->over = true;
			return false;
		}
		if (nul) hide_nul(piece, (size_t)n);
		if (!imap_put_large(f->s, slice_from(piece, (size_t)n))) return false;
		start += (uint64_t)n;
	}
	return true;
}

static bool wanted(const struct fetch_item *item, struct slice name) {
	for (size_t i = 0; i < item->field_count; i++)
		if (slice_same(item->fields[i], name)) return true;
	return false;
}

static bool put_fields(struct fetch *f, const struct fetch_item *item, struct fetch_row *row,
		       const struct section *section) {
	AUTO_BUF struct buf raw = BUF(HEADER_LIMIT), kept = BUF(HEADER_LIMIT + 2);
	size_t len = (size_t)MIN_OF(section->end - section->start, (uint64_t)HEADER_LIMIT);
	char *at = buf_room(&raw, len);
	struct field field;
	while (at != NULL && raw.len < len) {
		ssize_t n = blob_read(row->body.blob, section->start + raw.len, raw.at + raw.len, len - raw.len);
		if (n <= 0) break;
		raw.len += (size_t)n;
	}
	struct fields fields = { .block = buf_slice(&raw) };
	bool negative = section->kind == SECTION_HEADER_FIELDS_NOT;
	while (fields_next(&fields, &field))
		if (wanted(item, field.name) != negative) buf_add(&kept, slice_from(raw.at + field.start, field.end - field.start));
	buf_add(&kept, S("\r\n"));
	hide_nul(kept.at, kept.len);
	struct slice text = item->partial
				    ? slice_head(slice_skip(buf_slice(&kept), (size_t)item->from), (size_t)item->count)
				    : buf_slice(&kept);
	buf_addf(imap_out(f->s), "{%zu}\r\n", text.len);
	return imap_put_large(f->s, text);
}

static bool put_section(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	struct section section;
	put_label(f, item);
	if (summary_section(row->body.summary, item->section, &section) != SECTION_OK) {
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

enum { STRUCTURE = FETCH_SUMMARY, BYTES = FETCH_SUMMARY | FETCH_BODY };
const struct fetch_word fetch_words[] = {
	{ "FLAGS", 0, put_flags, NULL },
	{ "UID", 0, put_uid, NULL },
	{ "INTERNALDATE", 0, put_date, NULL },
	{ "RFC822.SIZE", 0, put_size, NULL },
	{ "MODSEQ", 0, fetch_put_modseq, NULL },
	{ "EMAILID", 0, fetch_put_email_id, NULL },
	{ "THREADID", 0, fetch_put_thread_id, NULL },
	{ "SAVEDATE", 0, fetch_put_save_date, NULL },
	{ "ENVELOPE", STRUCTURE, put_envelope, NULL },
	{ "BODYSTRUCTURE", STRUCTURE, put_structure, NULL },
	{ "BODY", STRUCTURE, put_structure, NULL },
	{ "BODY", BYTES | FETCH_SEEN | FETCH_SECTION, put_section, NULL },
	{ "BODY.PEEK", BYTES | FETCH_SECTION, put_section, NULL },
	{ "RFC822", BYTES | FETCH_SEEN, put_section, "" },
	{ "RFC822.HEADER", BYTES, put_section, "HEADER" },
	{ "RFC822.TEXT", BYTES | FETCH_SEEN, put_section, "TEXT" },
};
const size_t fetch_word_count = LEN(fetch_words);

bool fetch_put_row(struct fetch *f, struct fetch_row *row) {
	struct buf *out = imap_out(f->s);
	if (view_number(&f->s->box.view, row->m.uid) == 0) return true;
	imap_put_fetch(f->s, row->m.uid);
	for (size_t i = 0; i < f->item_count; i++) {
		if (i != 0) buf_byte(out, ' ');
		if (!f->items[i].word->put(f, &f->items[i], row)) return false;
	}
	if (row->now_seen && !f->tells_flags) {
		buf_byte(out, ' ');
		put_flags(f, NULL, row);
	}
	if ((row->now_seen || f->since) && !f->tells_modseq && imap_enabled(f->s, IMAP_CONDSTORE)) {
		buf_byte(out, ' ');
		fetch_put_modseq(f, NULL, row);
	}
	buf_add(out, S(")\r\n"));
	return imap_drain(f->s);
}
