/* SPDX-License-Identifier: Apache-2.0 */
/* BINARY (RFC 3516): parts without their transfer encoding. A literal's size stands before its bytes, so a body is
 * decoded twice: once to count, once to send. No more than a piece of it is held. */
#include "access/imap/fetch.h"
#include "mime/decode.h"

struct decoding {
	struct section section;
	struct transfer transfer;
	uint64_t at;
	bool nul;
	uint64_t size;
};

static bool known(struct slice encoding) {
	static const char *const names[] = { "", "7bit", "8bit", "binary", "base64", "quoted-printable" };
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_same(encoding, slice_of(names[i]))) return true;
	return false;
}

/* 1: another piece is in out; 0: that was all; <0 */
static int next_piece(struct decoding *d, struct blob *blob, struct buf *out) {
	struct slice piece;
	buf_clear(out);
	if (d->at == d->section.end) return 0;
	int r = blob_piece(blob, d->at, &piece);
	if (r < 0) return r;
	piece = slice_head(slice_head(piece, d->section.end - d->at), KIB(32));
	if (piece.len == 0) return -1;
	transfer_feed(&d->transfer, piece, out);
	d->at += piece.len;
	if (d->at == d->section.end) transfer_finish(&d->transfer, out);
	return 1;
}

/* SECTION_OK and what it holds; SECTION_BAD stands for an encoding that we do not know. */
static enum section_answer measure(struct fetch *f, const struct fetch_item *item, struct fetch_row *row,
				   struct decoding *out) {
	AUTO_BUF struct buf bytes = BUF(KIB(64));
	struct decoding d = { .size = 0 };
	if (summary_section(row->body.summary, item->section, &d.section) != SECTION_OK) return SECTION_ABSENT;
	const struct part *part = &row->body.summary->parts[d.section.part];
	/* of a message as a whole, and of a multipart, nothing is taken away: their parts have encodings of their own
	 */
	bool whole = item->section.len == 0 || part->child != 0;
	if (!whole && !known(part->encoding)) return SECTION_BAD;
	struct transfer start = transfer_start(whole ? ENCODING_NONE : encoding_of(part->encoding));
	d.transfer = start;
	d.at = d.section.start;
	int r;
	while ((r = next_piece(&d, row->body.blob, &bytes)) == 1) {
		d.size += bytes.len;
		d.nul |= bytes.len != 0 && memchr(bytes.at, '\0', bytes.len) != NULL;
	}
	if (r < 0) f->failed = r;
	d.transfer = start;
	d.at = d.section.start;
	*out = d;
	return SECTION_OK;
}

static void put_label(struct fetch *f, const char *name, const struct fetch_item *item) {
	struct buf *out = imap_out(f->s);
	buf_addf(out, "%s[%.*s]", name, SLICE_ARG(item->section));
	if (item->partial) buf_addf(out, "<%llu>", (unsigned long long)item->from);
	buf_byte(out, ' ');
}

static bool put_bytes(struct fetch *f, struct fetch_row *row, struct decoding *d, uint64_t from, uint64_t to) {
	AUTO_BUF struct buf bytes = BUF(KIB(64));
	uint64_t at = 0;
	int r = 0;
	while (at < to && (r = next_piece(d, row->body.blob, &bytes)) == 1) {
		struct slice s = buf_slice(&bytes);
		s = slice_head(s, to - at);
		if (at < from) s = slice_skip(s, from - at);
		at += bytes.len;
		if (s.len != 0 && !fetch_put_bytes(f, s)) return false;
	}
	return at >= to ? true : fetch_unreadable(f, r);
}

bool fetch_put_binary(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	struct decoding d;
	if (!fetch_body(f, row) || !fetch_summary(f, row)) return false;
	enum section_answer r = measure(f, item, row, &d);
	if (f->failed != 0) return false;
	put_label(f, "BINARY", item);
	if (r != SECTION_OK) {
		f->unknown_encoding |= r == SECTION_BAD;
		return buf_add(imap_out(f->s), S("NIL"));
	}
	uint64_t from = item->partial ? MIN_OF(item->from, d.size) : 0;
	uint64_t to = item->partial ? from + MIN_OF(item->count, d.size - from) : d.size;
	buf_addf(imap_out(f->s), "%s{%llu}\r\n", d.nul ? "~" : "", (unsigned long long)(to - from));
	return put_bytes(f, row, &d, from, to);
}

bool fetch_put_binary_size(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	struct decoding d = { .size = 0 };
	if (!fetch_body(f, row) || !fetch_summary(f, row)) return false;
	enum section_answer r = measure(f, item, row, &d);
	if (f->failed != 0) return false;
	f->unknown_encoding |= r == SECTION_BAD;
	put_label(f, "BINARY.SIZE", item);
	return buf_number(imap_out(f->s), r == SECTION_OK ? d.size : 0);
}
