/* SPDX-License-Identifier: Apache-2.0 */
/* The tests that must look into the message itself: header fields that the summary does not keep, and texts. Only what
 * can hold words is decoded: the headers and the parts of type text. */
#include "access/imap/search.h"
#include "mime/decode.h"
#include "mime/header.h"

enum { HEADER_LIMIT = 1024 * 1024, PIECE = 32 * 1024 };

static int read_range(struct search_run *run, uint64_t start, uint64_t end, struct buf *out) {
	while (start < end) {
		size_t want = (size_t)MIN_OF(end - start, (uint64_t)PIECE);
		char *at = buf_room(out, want);
		if (at == NULL) return 0; /* a header beyond all measure: what fits of it */
		ssize_t n = blob_read(run->body.blob, start, at, want);
		if (n <= 0) return (int)n;
		out->len += (size_t)n;
		start += (uint64_t)n;
	}
	return 0;
}

int search_need_body(struct search_run *run) {
	int r = imap_body_summary(&run->body, run->s->context->db, run->c, &run->mem);
	return r != 0 ? r : imap_body_open(&run->body, run->c);
}

/* Fields of which the summary keeps the one that counts; To and Cc may stand several times in real mail. */
static const struct { const char *name; size_t at; } kept[] = {
	{ "subject", offsetof(struct envelope, subject) }, { "message-id", offsetof(struct envelope, message_id) },
	{ "in-reply-to", offsetof(struct envelope, in_reply_to) }, { "date", offsetof(struct envelope, date) },
};

/* 1, 0, <0; 2: the header itself has to be read */
static int look_at_kept(struct search_run *run, const struct search_node *node) {
	for (size_t i = 0; i < LEN(kept); i++) {
		struct slice value;
		if (!slice_same(node->field, slice_of(kept[i].name))) continue;
		int r = search_need_head(run);
		if (r != 0) return MIN_OF(r, 0);
		memcpy(&value, (const char *)&run->head.envelope + kept[i].at, sizeof value);
		if (value.len != 0) return search_value_holds(run, node, value);
	}
	return 2;
}

int search_in_field(struct search_run *run, const struct search_node *node) {
	int known = look_at_kept(run, node);
	if (known != 2) return known;
	AUTO_BUF struct buf header = BUF(HEADER_LIMIT);
	struct field field;
	int r = search_need_body(run);
	if (r != 0) return MIN_OF(r, 0);
	if ((r = read_range(run, 0, run->body.summary->header_size, &header)) < 0) return r;
	struct fields fields = { .block = buf_slice(&header) };
	while (header_find_from(&fields, node->field, &field))
		if (search_value_holds(run, node, field.value)) return 1;
	return 0;
}

/* Every field of the header of a message, or of one that is a part of it. */
static int look_at_header(struct search_run *run, const struct part *part, struct search_finder *f) {
	AUTO_BUF struct buf header = BUF(HEADER_LIMIT);
	struct field field;
	int r = read_range(run, part->header_start, part->body_start, &header);
	struct fields fields = { .block = buf_slice(&header) };
	while (r == 0 && !f->found && fields_next(&fields, &field)) {
		buf_add(&f->pending, field.name);
		buf_add(&f->pending, S(": "));
		header_text_add(&f->pending, field.value);
		buf_byte(&f->pending, '\n');
		search_finder_look(f, false);
	}
	return r;
}

static int look_at_text(struct search_run *run, const struct part *part, struct search_finder *f) {
	struct slice charset = param_raw(part->params, part->params_count, S("charset"));
	struct text_decoder *decoder = text_decoder_open(part->encoding, charset, slice_eq(part->subtype, S("html")));
	AUTO_FREE char *piece = mem_get(PIECE);
	ssize_t n = 1;
	for (uint64_t at = part->body_start; at < part->body_end && n > 0 && !f->found; at += (uint64_t)n) {
		n = blob_read(run->body.blob, at, piece, (size_t)MIN_OF(part->body_end - at, (uint64_t)PIECE));
		if (n <= 0) break;
		text_decoder_feed(decoder, slice_from(piece, (size_t)n), &f->pending);
		search_finder_look(f, false);
	}
	text_decoder_finish(&decoder, &f->pending);
	buf_byte(&f->pending, '\n');
	search_finder_look(f, true);
	return n < 0 ? -1 : 0;
}

/* A part's header: for an embedded message all of it, else what says how an attachment is called, decoded. */
static int look_at_part_header(struct search_run *run, const struct part *part, struct search_finder *f) {
	const struct { const struct param *params; size_t count; const char *name; } names[] = {
		{ part->params, part->params_count, "name" },
		{ part->disposition_params, part->disposition_params_count, "filename" },
	};
	for (size_t i = 0; i < LEN(names); i++) {
		struct slice name = param_text(names[i].params, names[i].count, slice_of(names[i].name), &run->mem);
		if (name.len == 0) continue;
		buf_add(&f->pending, name);
		buf_byte(&f->pending, '\n');
	}
	return look_at_header(run, part, f);
}

static int search_body(struct search_run *run, const struct search_node *node, bool header) {
	struct search_finder f = SEARCH_FINDER(node->text);
	struct search_fuzzy fuzzy;
	const struct summary *s = run->body.summary;
	int r = 0;
	if (node->fuzzy) {
		search_fuzzy_init(&fuzzy, node->text);
		f.fuzzy = &fuzzy;
	}
	for (size_t i = 0; i < s->parts_count && r == 0 && !f.found; i++) {
		const struct part *part = &s->parts[i];
		if (i == 0 && header) r = look_at_header(run, part, &f);
		if (i != 0) r = look_at_part_header(run, part, &f);
		if (r == 0 && slice_eq(part->type, S("text")) && part->child == 0) r = look_at_text(run, part, &f);
	}
	if (r == 0) search_finder_look(&f, true);
	if (r == 0 && node->fuzzy && !f.found) f.found = search_fuzzy_score(&fuzzy) != 0;
	if (f.found && node->fuzzy) {
		run->relevance += search_fuzzy_score(&fuzzy);
		run->judged++;
	}
	search_finder_done(&f);
	return r < 0 ? r : f.found;
}

int search_in_body(struct search_run *run, const struct search_node *node) {
	int r = search_need_body(run);
	return r != 0 ? MIN_OF(r, 0) : search_body(run, node, false);
}

int search_in_text(struct search_run *run, const struct search_node *node) {
	int r = search_need_body(run);
	return r != 0 ? MIN_OF(r, 0) : search_body(run, node, true);
}
