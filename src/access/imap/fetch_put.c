/* SPDX-License-Identifier: Apache-2.0 */
/* One function for each item of FETCH. Rows and summaries answer all but bodies. */
#include "access/imap/fetch.h"

const struct summary_ready *fetch_ready(struct fetch_row *row) {
	if (!row->ready_looked) row->ready_there = summary_ready_get(row->m.summary, &row->ready);
	row->ready_looked = true;
	return row->ready_there ? &row->ready : NULL;
}

bool fetch_summary(struct fetch *f, struct fetch_row *row) {
	f->failed = imap_body_summary(&row->body, f->s->context->db, f->c, &f->mem);
	return f->failed == 0;
}

static bool put_flags(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	buf_add(imap_out(f->s), S("FLAGS "));
	imap_put_message_flags(f->s, row->m.uid, row->m.flags, row->m.keywords);
	return true;
}

static bool put_uid(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	buf_add(imap_out(f->s), S("UID "));
	return buf_number(imap_out(f->s), row->m.uid);
}

static bool put_date(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	buf_add(imap_out(f->s), S("INTERNALDATE \""));
	date_add_internal(imap_out(f->s), (struct date){ row->m.received_us / 1000000, 0 });
	return buf_byte(imap_out(f->s), '"');
}

static bool put_size(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	buf_add(imap_out(f->s), S("RFC822.SIZE "));
	return buf_number(imap_out(f->s), row->m.size);
}

static bool put_envelope(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	const struct summary_ready *ready = fetch_ready(row);
	(void)item;
	if (ready == NULL && !fetch_summary(f, row)) return false;
	buf_add(imap_out(f->s), S("ENVELOPE "));
	if (ready != NULL) buf_add(imap_out(f->s), ready->envelope);
	else summary_imap_envelope(imap_out(f->s), row->body.summary);
	return true;
}

static bool put_structure(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	bool extended = item->word->name[4] != '\0'; /* not BODY */
	bool rev2 = imap_enabled(f->s, IMAP_REV2);
	const struct summary_ready *ready = extended ? fetch_ready(row) : NULL;
	if (ready != NULL && rev2 && (ready->flags & SUMMARY_GLOBAL) != 0) ready = NULL;
	if (ready == NULL && !fetch_summary(f, row)) return false;
	buf_add(imap_out(f->s), extended ? S("BODYSTRUCTURE ") : S("BODY "));
	if (ready != NULL) buf_add(imap_out(f->s), ready->structure);
	else summary_imap_bodystructure(imap_out(f->s), row->body.summary, extended, rev2);
	return true;
}

/* LAZY makes no difference: every preview was made when the message came. */
static bool put_preview(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	const struct summary_ready *ready = fetch_ready(row);
	(void)item;
	if (ready == NULL && !fetch_summary(f, row)) return false;
	buf_add(imap_out(f->s), S("PREVIEW "));
	imap_add_text(f->s, imap_out(f->s), ready != NULL ? ready->preview : row->body.summary->preview);
	return true;
}

enum { STRUCTURE = FETCH_SUMMARY, BYTES = FETCH_SUMMARY | FETCH_BODY };
const struct fetch_word fetch_words[] = {
	{ "FLAGS", 0, put_flags, NULL },
	{ "UID", 0, put_uid, NULL },
	{ "INTERNALDATE", FETCH_TIMES, put_date, NULL },
	{ "RFC822.SIZE", 0, put_size, NULL },
	{ "MODSEQ", FETCH_TIMES, fetch_put_modseq, NULL },
	{ "EMAILID", FETCH_ROW, fetch_put_email_id, NULL },
	{ "THREADID", FETCH_ROW | FETCH_DIGEST, fetch_put_thread_id, NULL },
	{ "SAVEDATE", FETCH_ROW, fetch_put_save_date, NULL },
	{ "ENVELOPE", STRUCTURE, put_envelope, NULL },
	{ "BODYSTRUCTURE", STRUCTURE, put_structure, NULL },
	{ "BODY", STRUCTURE, put_structure, NULL },
	{ "PREVIEW", STRUCTURE | FETCH_LAZY, put_preview, NULL },
	{ "BODY", FETCH_BODY | FETCH_SEEN | FETCH_SECTION, fetch_put_section, NULL },
	{ "BODY.PEEK", FETCH_BODY | FETCH_SECTION, fetch_put_section, NULL },
	{ "BINARY", BYTES | FETCH_SEEN | FETCH_SECTION | FETCH_NUMBERS, fetch_put_binary, NULL },
	{ "BINARY.PEEK", BYTES | FETCH_SECTION | FETCH_NUMBERS, fetch_put_binary, NULL },
	{ "BINARY.SIZE", BYTES | FETCH_SECTION | FETCH_NUMBERS | FETCH_WHOLE, fetch_put_binary_size, NULL },
	{ "RFC822", FETCH_BODY | FETCH_SEEN, fetch_put_section, "" },
	{ "RFC822.PEEK", FETCH_BODY, fetch_put_section, "" }, /* RFC 1730's; Outlook still says it */
	{ "RFC822.HEADER", BYTES, fetch_put_section, "HEADER" },
	{ "RFC822.TEXT", BYTES | FETCH_SEEN, fetch_put_section, "TEXT" },
	{ "RFC822.TEXT.PEEK", BYTES, fetch_put_section, "TEXT" },
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
	return buf_add(out, S(")\r\n"));
}
