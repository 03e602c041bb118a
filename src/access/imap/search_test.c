/* SPDX-License-Identifier: Apache-2.0 */
/* The tests of SEARCH, cheapest first: what the row knows, what the summary knows, the header, the text. */
#include "access/imap/search.h"
#include "mime/header.h"
#include "store/text.h"

enum { FIELD_LIMIT = 4 * 1024 * 1024, HEADER_LIMIT = 1024 * 1024, PIECE = 32 * 1024 };

/* Nodes. */

int search_all(struct search_run *run, const struct search_node *node) {
	for (size_t i = 0; i < node->count; i++) {
		int r = node->children[i]->test(run, node->children[i]);
		if (r <= 0) return r;
	}
	return 1;
}

int search_any(struct search_run *run, const struct search_node *node) {
	for (size_t i = 0; i < node->count; i++) {
		int r = node->children[i]->test(run, node->children[i]);
		if (r != 0) return r;
	}
	return 0;
}

static int search_not(struct search_run *run, const struct search_node *node) {
	int r = search_all(run, node);
	return r < 0 ? r : !r;
}

int search_in_set(struct search_run *run, const struct search_node *node) {
	return imap_set_has(&node->set, run->m->uid);
}

/* Rows. */

static int test_flag(struct search_run *run, const struct search_node *node) {
	return (run->m->flags & node->detail) != 0;
}

static int test_no_flag(struct search_run *run, const struct search_node *node) {
	return (run->m->flags & node->detail) == 0;
}

static int test_keyword(struct search_run *run, const struct search_node *node) {
	struct slice rest = run->m->keywords;
	while (rest.at != NULL)
		if (slice_same(slice_cut(&rest, ' '), node->text)) return 1;
	return 0;
}

static int test_no_keyword(struct search_run *run, const struct search_node *node) {
	return !test_keyword(run, node);
}

static bool is_recent(const struct search_run *run) {
	return run->m->uid >= run->s->box.recent_from;
}

static int test_recent(struct search_run *run, const struct search_node *node) {
	(void)node;
	return is_recent(run);
}

static int test_old(struct search_run *run, const struct search_node *node) {
	(void)node;
	return !is_recent(run);
}

static int test_new(struct search_run *run, const struct search_node *node) {
	(void)node;
	return is_recent(run) && (run->m->flags & FLAG_SEEN) == 0;
}

static int test_larger(struct search_run *run, const struct search_node *node) {
	return run->m->size > (uint64_t)node->number;
}

static int test_smaller(struct search_run *run, const struct search_node *node) {
	return run->m->size < (uint64_t)node->number;
}

enum { BEFORE, ON, SINCE };

static int compare_day(uint32_t how, int64_t seconds, int64_t wanted) {
	int64_t day = seconds / 86400 - (seconds % 86400 < 0);
	return how == BEFORE ? day < wanted : how == ON ? day == wanted : day >= wanted;
}

static int test_date(struct search_run *run, const struct search_node *node) {
	return compare_day(node->detail, run->m->received_us / 1000000, node->number);
}

/* Summaries. BLOB_GONE means expunged meanwhile: such a message fits nothing. */

static int need_summary(struct search_run *run) {
	return imap_body_summary(&run->body, run->s->context->db, run->c, &run->mem);
}

static int test_sent(struct search_run *run, const struct search_node *node) {
	int r = need_summary(run);
	if (r != 0) return MIN_OF(r, 0);
	const struct summary *s = run->body.summary;
	/* RFC 3501: the day as it is written there, whatever the zone */
	return (s->flags & SUMMARY_HAS_DATE) != 0 && compare_day(node->detail, s->sent + (int64_t)s->zone * 60, node->number);
}

static bool value_holds(struct slice value, struct slice needle) {
	AUTO_BUF struct buf folded = BUF(FIELD_LIMIT);
	if (needle.len == 0) return true;
	store_text_value(&folded, value);
	return slice_search(buf_slice(&folded), needle) < folded.len;
}

static int test_envelope(struct search_run *run, const struct search_node *node) {
	struct slice value = SLICE_NONE;
	int r = need_summary(run);
	if (r != 0) return MIN_OF(r, 0);
	if (run->body.summary->envelopes_count != 0)
		memcpy(&value, (const char *)&run->body.summary->envelopes[0] + node->detail, sizeof(value));
	return value_holds(value, node->text);
}

/* Headers and bodies. */

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

static int need_body(struct search_run *run) {
	int r = need_summary(run);
	return r != 0 ? r : imap_body_open(&run->body, run->c);
}

static int test_field(struct search_run *run, const struct search_node *node) {
	AUTO_BUF struct buf header = BUF(HEADER_LIMIT);
	struct field field;
	int r = need_body(run);
	if (r != 0) return MIN_OF(r, 0);
	if ((r = read_range(run, 0, run->body.summary->header_size, &header)) < 0) return r;
	struct fields fields = { .block = buf_slice(&header) };
	while (header_find_from(&fields, node->field, &field))
		if (value_holds(field.value, node->text)) return 1;
	return 0;
}

static int search_body(struct search_run *run, struct slice needle, unsigned what) {
	AUTO_TEXT_FINDER struct text_finder f = TEXT_FINDER(needle);
	int r = f.found ? 0 : store_text(run->body.blob, run->body.summary, what, text_find, &f);
	return r < 0 ? r : f.found;
}

static int test_body(struct search_run *run, const struct search_node *node) {
	int r = need_body(run);
	return r != 0 ? MIN_OF(r, 0) : search_body(run, node->text, STORE_TEXT_BODY);
}

static int test_text(struct search_run *run, const struct search_node *node) {
	int r = need_body(run);
	return r != 0 ? MIN_OF(r, 0) : search_body(run, node->text, STORE_TEXT_HEADER | STORE_TEXT_BODY);
}

#define FIELD_OF(name) offsetof(struct envelope, name)
const struct search_word search_words[] = {
	{ "ALL", ARG_NONE, COST_ROW, search_all, 0 },
	{ "ANSWERED", ARG_NONE, COST_ROW, test_flag, FLAG_ANSWERED },
	{ "DELETED", ARG_NONE, COST_ROW, test_flag, FLAG_DELETED },
	{ "DRAFT", ARG_NONE, COST_ROW, test_flag, FLAG_DRAFT },
	{ "FLAGGED", ARG_NONE, COST_ROW, test_flag, FLAG_FLAGGED },
	{ "SEEN", ARG_NONE, COST_ROW, test_flag, FLAG_SEEN },
	{ "UNANSWERED", ARG_NONE, COST_ROW, test_no_flag, FLAG_ANSWERED },
	{ "UNDELETED", ARG_NONE, COST_ROW, test_no_flag, FLAG_DELETED },
	{ "UNDRAFT", ARG_NONE, COST_ROW, test_no_flag, FLAG_DRAFT },
	{ "UNFLAGGED", ARG_NONE, COST_ROW, test_no_flag, FLAG_FLAGGED },
	{ "UNSEEN", ARG_NONE, COST_ROW, test_no_flag, FLAG_SEEN },
	{ "KEYWORD", ARG_KEYWORD, COST_ROW, test_keyword, 0 },
	{ "UNKEYWORD", ARG_KEYWORD, COST_ROW, test_no_keyword, 0 },
	{ "RECENT", ARG_NONE, COST_ROW, test_recent, 0 },
	{ "OLD", ARG_NONE, COST_ROW, test_old, 0 },
	{ "NEW", ARG_NONE, COST_ROW, test_new, 0 },
	{ "LARGER", ARG_NUMBER, COST_ROW, test_larger, 0 },
	{ "SMALLER", ARG_NUMBER, COST_ROW, test_smaller, 0 },
	{ "UID", ARG_UIDS, COST_ROW, search_in_set, 0 },
	{ "BEFORE", ARG_DATE, COST_ROW, test_date, BEFORE },
	{ "ON", ARG_DATE, COST_ROW, test_date, ON },
	{ "SINCE", ARG_DATE, COST_ROW, test_date, SINCE },
	{ "MODSEQ", ARG_MODSEQ, COST_ROW, search_modseq, 0 },
	{ "EMAILID", ARG_OBJECT_ID, COST_ROW, search_email_id, 0 },
	{ "THREADID", ARG_OBJECT_ID, COST_ROW, search_thread_id, 0 },
	{ "SAVEDBEFORE", ARG_DATE, COST_ROW, search_saved, BEFORE },
	{ "SAVEDON", ARG_DATE, COST_ROW, search_saved, ON },
	{ "SAVEDSINCE", ARG_DATE, COST_ROW, search_saved, SINCE },
	{ "SAVEDATESUPPORTED", ARG_NONE, COST_ROW, search_all, 0 },
	{ "SENTBEFORE", ARG_DATE, COST_SUMMARY, test_sent, BEFORE },
	{ "SENTON", ARG_DATE, COST_SUMMARY, test_sent, ON },
	{ "SENTSINCE", ARG_DATE, COST_SUMMARY, test_sent, SINCE },
	{ "BCC", ARG_TEXT, COST_SUMMARY, test_envelope, FIELD_OF(bcc) },
	{ "CC", ARG_TEXT, COST_SUMMARY, test_envelope, FIELD_OF(cc) },
	{ "FROM", ARG_TEXT, COST_SUMMARY, test_envelope, FIELD_OF(from) },
	{ "SUBJECT", ARG_TEXT, COST_SUMMARY, test_envelope, FIELD_OF(subject) },
	{ "TO", ARG_TEXT, COST_SUMMARY, test_envelope, FIELD_OF(to) },
	{ "HEADER", ARG_FIELD, COST_HEADER, test_field, 0 },
	{ "BODY", ARG_TEXT, COST_BODY, test_body, 0 },
	{ "TEXT", ARG_TEXT, COST_BODY, test_text, 0 },
	{ "NOT", ARG_KEY, COST_ROW, search_not, 0 },
	{ "OR", ARG_TWO_KEYS, COST_ROW, search_any, 0 },
};
const size_t search_word_count = LEN(search_words);
