/* SPDX-License-Identifier: Apache-2.0 */
/* The tests of SEARCH, cheapest first: what the row knows, then what the summary knows. */
#include "access/imap/search.h"
#include "mime/header.h"

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

int search_flag(struct search_run *run, const struct search_node *node) {
	return (run->m->flags & node->detail) != 0;
}

int search_no_flag(struct search_run *run, const struct search_node *node) {
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
	return run->m->uid >= run->scan->recent_from;
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

static int test_older(struct search_run *run, const struct search_node *node) {
	return run->m->received_us / 1000000 <= node->number;
}

static int test_younger(struct search_run *run, const struct search_node *node) {
	return run->m->received_us / 1000000 >= node->number;
}

/* Summaries. BLOB_GONE means expunged meanwhile: such a message fits nothing. */

int search_need_head(struct search_run *run) {
	if (run->head_read) return 0;
	run->head_read = summary_head(run->m->summary, &run->head);
	if (run->head_read) return 0;
	int r = imap_body_summary(&run->body, run->s->context->db, run->c, &run->mem);
	if (r != 0) return r;
	buf_clear(&run->references);
	summary_head_of(run->body.summary, &run->references, &run->head);
	run->head_read = true;
	return 0;
}

static int test_sent(struct search_run *run, const struct search_node *node) {
	int r = search_need_head(run);
	if (r != 0) return MIN_OF(r, 0);
	const struct summary_head *h = &run->head;
	/* RFC 3501: the day as it is written there, whatever the zone */
	return (h->flags & SUMMARY_HAS_DATE) != 0 &&
	       compare_day(node->detail, h->sent + (int64_t)h->zone * 60, node->number);
}

int search_in_envelope(struct search_run *run, const struct search_node *node) {
	struct slice value;
	int r = search_need_head(run);
	if (r != 0) return MIN_OF(r, 0);
	memcpy(&value, (const char *)&run->head.envelope + node->detail, sizeof value);
	return value.at != NULL && search_value_holds(run, node, value);
}

#define FIELD_OF(name) offsetof(struct envelope, name)
const struct search_word search_words[] = {
	{ "ALL", ARG_NONE, COST_ROW, search_all, 0 },
	{ "ANSWERED", ARG_NONE, COST_ROW, search_flag, FLAG_ANSWERED },
	{ "DELETED", ARG_NONE, COST_ROW, search_flag, FLAG_DELETED },
	{ "DRAFT", ARG_NONE, COST_ROW, search_flag, FLAG_DRAFT },
	{ "FLAGGED", ARG_NONE, COST_ROW, search_flag, FLAG_FLAGGED },
	{ "SEEN", ARG_NONE, COST_ROW, search_flag, FLAG_SEEN },
	{ "UNANSWERED", ARG_NONE, COST_ROW, search_no_flag, FLAG_ANSWERED },
	{ "UNDELETED", ARG_NONE, COST_ROW, search_no_flag, FLAG_DELETED },
	{ "UNDRAFT", ARG_NONE, COST_ROW, search_no_flag, FLAG_DRAFT },
	{ "UNFLAGGED", ARG_NONE, COST_ROW, search_no_flag, FLAG_FLAGGED },
	{ "UNSEEN", ARG_NONE, COST_ROW, search_no_flag, FLAG_SEEN },
	{ "KEYWORD", ARG_KEYWORD, COST_ROW, test_keyword, 0 },
	{ "UNKEYWORD", ARG_KEYWORD, COST_ROW, test_no_keyword, 0 },
	{ "RECENT", ARG_NONE, COST_ROW, test_recent, 0 },
	{ "OLD", ARG_NONE, COST_ROW, test_old, 0 },
	{ "NEW", ARG_NONE, COST_ROW, test_new, 0 },
	{ "LARGER", ARG_NUMBER, COST_ROW, test_larger, 0 },
	{ "SMALLER", ARG_NUMBER, COST_ROW, test_smaller, 0 },
	{ "UID", ARG_UIDS, COST_ROW, search_in_set, 0 },
	{ "UIDAFTER", ARG_UID_AFTER, COST_ROW, search_in_set, 0 },
	{ "UIDBEFORE", ARG_UID_BEFORE, COST_ROW, search_in_set, 0 },
	{ "BEFORE", ARG_DATE, COST_ROW, test_date, BEFORE },
	{ "ON", ARG_DATE, COST_ROW, test_date, ON },
	{ "SINCE", ARG_DATE, COST_ROW, test_date, SINCE },
	{ "OLDER", ARG_SECONDS, COST_ROW, test_older, 0 },
	{ "YOUNGER", ARG_SECONDS, COST_ROW, test_younger, 0 },
	{ "MODSEQ", ARG_MODSEQ, COST_ROW, search_modseq, 0 },
	{ "EMAILID", ARG_OBJECT_ID, COST_ROW, search_email_id, 'M' },
	{ "THREADID", ARG_OBJECT_ID, COST_ROW, search_thread_id, 'T' },
	{ "SAVEDBEFORE", ARG_DATE, COST_ROW, search_saved, BEFORE },
	{ "SAVEDON", ARG_DATE, COST_ROW, search_saved, ON },
	{ "SAVEDSINCE", ARG_DATE, COST_ROW, search_saved, SINCE },
	{ "X-SAVEDOLDER", ARG_SECONDS, COST_ROW, search_saved_moment, BEFORE }, /* not announced: doveadm's */
	{ "X-SAVEDYOUNGER", ARG_SECONDS, COST_ROW, search_saved_moment, SINCE },
	{ "SAVEDATESUPPORTED", ARG_NONE, COST_ROW, search_all, 0 },
	{ "SENTBEFORE", ARG_DATE, COST_SUMMARY, test_sent, BEFORE },
	{ "SENTON", ARG_DATE, COST_SUMMARY, test_sent, ON },
	{ "SENTSINCE", ARG_DATE, COST_SUMMARY, test_sent, SINCE },
	{ "BCC", ARG_TEXT, COST_SUMMARY, search_in_envelope, FIELD_OF(bcc) },
	{ "CC", ARG_TEXT, COST_SUMMARY, search_in_envelope, FIELD_OF(cc) },
	{ "FROM", ARG_TEXT, COST_SUMMARY, search_in_envelope, FIELD_OF(from) },
	{ "SUBJECT", ARG_TEXT, COST_SUMMARY, search_in_envelope, FIELD_OF(subject) },
	{ "TO", ARG_TEXT, COST_SUMMARY, search_in_envelope, FIELD_OF(to) },
	{ "HEADER", ARG_FIELD, COST_HEADER, search_in_field, 0 },
	{ "BODY", ARG_TEXT, COST_BODY, search_in_body, 0 },
	{ "TEXT", ARG_TEXT, COST_BODY, search_in_text, 0 },
	{ "NOT", ARG_KEY, COST_ROW, search_not, 0 },
	{ "FUZZY", ARG_FUZZY_KEY, COST_ROW, search_all, 0 },
	{ "OR", ARG_TWO_KEYS, COST_ROW, search_any, 0 },
};
const size_t search_word_count = LEN(search_words);
