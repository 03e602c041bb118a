/* SPDX-License-Identifier: Apache-2.0 */
/* Text is folded in windows that end between two words where that is possible, so that a message of any size needs
 * little memory. */
#include "store/text.h"
#include "base/fail.h"
#include "mime/decode.h"
#include "mime/fold.h"
#include "mime/header.h"

enum {
	SUMMARY_LIMIT = 8 * 1024 * 1024,
	FIELD_LIMIT = 1024 * 1024,
	HEADER_LIMIT = 1024 * 1024,
	PIECE = 32 * 1024,
	WINDOW = 64 * 1024
};

struct reading {
	struct blob *blob;
	struct buf pending; /* decoded, not folded yet */
	struct buf folded;
	int (*take)(void *ctx, struct slice folded);
	void *ctx;
};

/* Hands on what is pending when there is enough of it, or at the end. */
static int hand_on(struct reading *t, bool end) {
	if (t->pending.len < WINDOW && !end) return 0;
	size_t whole = end ? t->pending.len : text_fold_whole(buf_slice(&t->pending));
	buf_clear(&t->folded);
	text_fold(&t->folded, slice_head(buf_slice(&t->pending), whole));
	buf_eat(&t->pending, whole);
	t->pending.full = false;
	return t->folded.len != 0 ? t->take(t->ctx, buf_slice(&t->folded)) : 0;
}

static int read_range(struct blob *blob, uint64_t start, uint64_t end, struct buf *out) {
	while (start < end) {
		size_t want = (size_t)MIN_OF(end - start, (uint64_t)PIECE);
		char *at = buf_room(out, want);
		if (at == NULL) return 0; /* a header beyond all measure: what fits of it */
		ssize_t n = blob_read(blob, start, at, want);
		if (n <= 0) return (int)n;
		out->len += (size_t)n;
		start += (uint64_t)n;
	}
	return 0;
}

/* Every field of the header of a message, or of one that is a part of it. */
static int header_of(struct reading *t, const struct part *part) {
	AUTO_BUF struct buf header = BUF(HEADER_LIMIT);
	struct field field;
	int r = read_range(t->blob, part->header_start, part->body_start, &header);
	struct fields fields = { .block = buf_slice(&header) };
	while (r == 0 && fields_next(&fields, &field)) {
		buf_add(&t->pending, field.name);
		buf_add(&t->pending, S(": "));
		header_text_add(&t->pending, field.value);
		buf_byte(&t->pending, '\n');
		r = hand_on(t, false);
	}
	return r;
}

static int text_of(struct reading *t, const struct part *part) {
	struct slice charset = param_raw(part->params, part->params_count, S("charset"));
	struct text_decoder *decoder = text_decoder_open(part->encoding, charset, slice_eq(part->subtype, S("html")));
	AUTO_FREE char *piece = mem_get(PIECE);
	int r = 0;
	for (uint64_t at = part->body_start; at < part->body_end && r == 0;) {
		ssize_t n = blob_read(t->blob, at, piece, (size_t)MIN_OF(part->body_end - at, (uint64_t)PIECE));
		if (n < 0) r = -1;
		if (n <= 0) break;
		text_decoder_feed(decoder, slice_from(piece, (size_t)n), &t->pending);
		at += (uint64_t)n;
		r = hand_on(t, false);
	}
	text_decoder_finish(&decoder, &t->pending);
	buf_byte(&t->pending, '\n');
	return r == 0 ? hand_on(t, false) : r;
}

static void name_of(struct reading *t, const struct part *part) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice name = param_text(part->disposition_params, part->disposition_params_count, S("filename"), &mem);
	if (name.len == 0) name = param_text(part->params, part->params_count, S("name"), &mem);
	if (name.len == 0) return;
	buf_add(&t->pending, name);
	buf_byte(&t->pending, '\n');
}

/* What is text already, UTF-8. */
static int text_given(struct reading *t, struct slice text) {
	int r = 0;
	while (text.len != 0 && r == 0) {
		buf_add(&t->pending, slice_head(text, PIECE));
		text = slice_skip(text, PIECE);
		r = hand_on(t, false);
	}
	return r;
}

static int text_of_parts(struct reading *t, const struct summary *s, unsigned what, struct slice more) {
	int r = 0;
	for (size_t i = 0; i < s->parts_count && r == 0; i++) {
		const struct part *part = &s->parts[i];
		unsigned where = i == 0 ? STORE_TEXT_HEADER : STORE_TEXT_BODY;
		if (part->envelope != 0 && (what & where) != 0) r = header_of(t, part);
		if (r != 0 || (what & STORE_TEXT_BODY) == 0) continue;
		name_of(t, part);
		if (slice_eq(part->type, S("text")) && part->child == 0) r = text_of(t, part);
	}
	if (r == 0 && (what & STORE_TEXT_BODY) != 0) r = text_given(t, more);
	return r == 0 ? hand_on(t, true) : r;
}

int store_text(struct blob *b, const struct summary *s, unsigned what, struct slice more,
	       int (*take)(void *ctx, struct slice folded), void *ctx) {
	struct reading t = {
		.blob = b, .pending = BUF(WINDOW * 64), .folded = BUF(WINDOW * 256), .take = take, .ctx = ctx
	};
	int r = text_of_parts(&t, s, what, more);
	buf_done(&t.pending);
	buf_done(&t.folded);
	return r;
}

static int feed(void *scan, struct slice piece) {
	summary_scan_feed(scan, piece);
	return 0;
}

int store_summary_scan(struct blob *b, struct arena *mem, struct summary *out) {
	AUTO_BUF struct buf packed = BUF(SUMMARY_LIMIT);
	struct summary scanned;
	struct summary_scan *scan = summary_scan_new();
	int r = blob_each(b, feed, scan);
	if (r == 0) {
		summary_scan_finish(scan, &scanned);
		summary_pack(&packed, &scanned);
	}
	summary_scan_free(&scan);
	if (r != 0 || packed.full) return r != 0 ? r : fail("summary is too large");
	struct unwire w = UNWIRE(arena_slice(mem, buf_slice(&packed)), mem);
	summary_unpack(&w, out);
	return w.bad ? fail("summary does not unpack") : 0;
}

int store_summary(struct slice packed, struct blob *b, struct arena *mem, struct summary *out) {
	struct unwire w = UNWIRE(packed, mem);
	if (packed.len != 0) summary_unpack(&w, out);
	return packed.len != 0 && !w.bad ? 0 : store_summary_scan(b, mem, out);
}

int text_find(void *finder, struct slice folded) {
	struct text_finder *f = finder;
	if (f->found) return 1;
	if (f->seen.len == 0) f->found = slice_search(folded, f->needle) < folded.len;
	size_t keep = f->needle.len - 1;
	if (!f->found && f->seen.len != 0) { /* first what goes over the border, then the rest */
		buf_add(&f->seen, slice_head(folded, keep));
		f->found = slice_search(buf_slice(&f->seen), f->needle) < f->seen.len ||
			   slice_search(folded, f->needle) < folded.len;
	}
	if (f->found) return 1;
	if (folded.len >= keep) {
		buf_clear(&f->seen);
		buf_add(&f->seen, slice_skip(folded, folded.len - keep));
	} else {
		if (f->seen.len == 0) buf_add(&f->seen, folded);
		buf_eat(&f->seen, f->seen.len - MIN_OF(f->seen.len, keep));
	}
	return 0;
}

void text_finder_done(struct text_finder *f) {
	buf_done(&f->seen);
}
