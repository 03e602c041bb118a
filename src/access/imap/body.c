/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/body.h"
#include "mime/digest.h"
#include "mime/header.h"
#include "store/text.h"

void imap_body_close(struct imap_body *b) {
	blob_close(&b->blob);
	b->summary = NULL;
}

int imap_body_open(struct imap_body *b, struct db_conn *c) {
	if (b->blob != NULL) return 0;
	if (b->m->body.at == NULL) return blob_open(c, b->m->blob_id, &b->blob);
	return blob_open_stored(c, b->m->blob_id, b->m->body, b->m->size, &b->blob);
}

static bool named(const struct slice *names, size_t count, struct slice name) {
	for (size_t i = 0; i < count; i++)
		if (slice_same(names[i], name)) return true;
	return false;
}

void imap_body_fields(struct imap_body *b, const struct section *section, const struct slice *names, size_t count,
		      struct buf *out) {
	AUTO_BUF struct buf raw = BUF(IMAP_HEADER_LIMIT);
	size_t len = (size_t)MIN_OF(section->end - section->start, (uint64_t)IMAP_HEADER_LIMIT);
	struct slice piece;
	struct field field;
	while (raw.len < len && blob_piece(b->blob, section->start + raw.len, &piece) == 0 && piece.len != 0)
		buf_add(&raw, slice_head(piece, len - raw.len));
	struct fields fields = { .block = buf_slice(&raw) };
	bool negative = section->kind == SECTION_HEADER_FIELDS_NOT;
	while (fields_next(&fields, &field))
		if (named(names, count, field.name) != negative) {
			buf_add(out, slice_from(raw.at + field.start, field.end - field.start));
			if (raw.at[field.end - 1] != '\n') buf_add(out, S("\r\n")); /* the message ends in its header */
		}
	buf_add(out, S("\r\n"));
}

int64_t imap_thread_id(const struct message *m, const struct digest *d) {
	uint64_t thread = digest_thread(d);
	int64_t id = (int64_t)((thread != 0 ? thread : (uint64_t)m->email_id) & INT64_MAX);
	return MAX_OF(id, INT64_C(1));
}

int imap_body_summary(struct imap_body *b, struct db *db, struct db_conn *c, struct arena *mem) {
	struct unwire w = UNWIRE(b->m->summary, mem);
	if (b->summary != NULL) return 0;
	b->summary = arena_get(mem, sizeof(*b->summary));
	w.bad = b->m->summary.len == 0;
	if (!w.bad) summary_unpack(&w, b->summary);
	if (!w.bad) return 0;
	AUTO_READ struct db_conn *borrowed = c == NULL ? db_read(db) : NULL;
	if (c == NULL && borrowed == NULL) return -1;
	int r = imap_body_open(b, c != NULL ? c : borrowed);
	return r != 0 ? r : store_summary_scan(b->blob, mem, b->summary);
}
