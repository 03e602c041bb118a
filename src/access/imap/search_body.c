/* SPDX-License-Identifier: Apache-2.0 */
/* The tests that must look into the message itself: header fields that the summary does not keep, and texts. What the
 * text of a message is, store/text.h says, so that the index and we agree. */
#include "access/imap/search.h"
#include "mime/fold.h"
#include "mime/header.h"
#include "store/extract.h"
#include "store/text.h"

enum { HEADER_LIMIT = 1024 * 1024, PIECE = 32 * 1024, OVERLAP = 256 };

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

/* Words in text; both sides are folded. */

struct fuzzy_reading { struct search_fuzzy fuzzy; struct buf end; };

/* A word that is cut in two by the end of a piece is found in the next, which begins with the end of this one. */
static int look_fuzzy(void *ctx, struct slice folded) {
	struct fuzzy_reading *f = ctx;
	buf_add(&f->end, slice_head(folded, OVERLAP));
	search_fuzzy_look(&f->fuzzy, buf_slice(&f->end));
	search_fuzzy_look(&f->fuzzy, folded);
	buf_clear(&f->end);
	buf_add(&f->end, slice_skip(folded, folded.len - MIN_OF(folded.len, (size_t)OVERLAP)));
	return f->fuzzy.whole;
}

static bool judge(struct search_run *run, unsigned score) {
	run->relevance += score;
	run->judged += score != 0;
	return score != 0;
}

static int search_text(struct search_run *run, const struct search_node *node, unsigned what) {
	if (node->text.len == 0) return 1;
	AUTO_BUF struct buf extracted = BUF(EXTRACT_MOST * 2);
	int r = search_need_body(run);
	if (r != 0) return MIN_OF(r, 0);
	if ((what & STORE_TEXT_BODY) != 0 && extract_may(run->body.summary) &&
	    (r = extract_read(run->c, run->body.m->blob_id, &extracted)) < 0)
		return r;
	struct slice more = buf_slice(&extracted);
	if (node->fuzzy) {
		struct fuzzy_reading f = { .end = BUF(OVERLAP * 2) };
		search_fuzzy_init(&f.fuzzy, node->text);
		r = store_text(run->body.blob, run->body.summary, what, more, look_fuzzy, &f);
		buf_done(&f.end);
		return r < 0 ? r : judge(run, search_fuzzy_score(&f.fuzzy));
	}
	AUTO_TEXT_FINDER struct text_finder f = TEXT_FINDER(node->text);
	r = store_text(run->body.blob, run->body.summary, what, more, text_find, &f);
	return r < 0 ? r : f.found;
}

int search_in_body(struct search_run *run, const struct search_node *node) {
	return search_text(run, node, STORE_TEXT_BODY);
}

int search_in_text(struct search_run *run, const struct search_node *node) {
	return search_text(run, node, STORE_TEXT_HEADER | STORE_TEXT_BODY);
}

/* Most fields are plain ASCII and need no decoding. */
bool search_value_holds(struct search_run *run, const struct search_node *node, struct slice raw) {
	buf_clear(&run->value);
	buf_clear(&run->folded);
	if (node->text.len == 0) return true;
	if (slice_is_ascii(raw) && slice_search(raw, S("=?")) == raw.len && memchr(raw.at, '\n', raw.len) == NULL &&
	    memchr(raw.at, '\x1b', raw.len) == NULL) {
		text_fold(&run->folded, raw);
	} else {
		header_text_add(&run->value, raw);
		text_fold(&run->folded, buf_slice(&run->value));
	}
	if (!node->fuzzy) return slice_search(buf_slice(&run->folded), node->text) < run->folded.len;
	struct search_fuzzy fuzzy;
	search_fuzzy_init(&fuzzy, node->text);
	search_fuzzy_look(&fuzzy, buf_slice(&run->folded));
	return judge(run, search_fuzzy_score(&fuzzy));
}
