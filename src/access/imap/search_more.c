/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of SEARCH on a message's history and identity: MODSEQ (RFC 7162 §3.1.5), EMAILID and THREADID (RFC 8474 §6),
 * SAVED… (RFC 8514 §4.3). */
#include "access/imap/search.h"

enum { BEFORE, ON, SINCE };

/* MODSEQ "/flags/\\draft" all 620162338: the entry's own modseq is not kept, so that of the message stands for it, as
 * RFC 7162 §3.1.5 has it for servers with one for each message. */
bool search_parse_modseq(struct imap_parse *p, int64_t *out) {
	static const char *const types[] = { "priv", "shared", "all" };
	struct slice entry;
	uint64_t number = 0;
	size_t i = 0;
	if (imap_parse_next_is(p, '"')) {
		if (!imap_parse_string(p, &entry) || !imap_parse_space(p)) return false;
		if (!slice_starts_same(entry, S("/flags/"))) return imap_parse_fail(p, "Unknown metadata entry.");
		while (i < LEN(types) && !imap_parse_take_word(p, types[i])) i++;
		if (i == LEN(types)) return imap_parse_fail(p, "Expected priv, shared or all.");
		if (!imap_parse_space(p)) return false;
	}
	if (!imap_parse_number(p, INT64_MAX, &number)) return false;
	*out = (int64_t)number;
	return true;
}

bool search_parse_object_id(struct imap_parse *p, char kind, int64_t *out) {
	struct slice id;
	uint64_t number = 0;
	if (!imap_parse_astring(p, &id)) return false;
	bool good = id.len > 1 && id.len <= 17 && id.at[0] == kind;
	for (size_t i = 1; i < id.len && good; i++) {
		const char *digits = "0123456789abcdef", *at = memchr(digits, id.at[i], 16);
		good = at != NULL && !(i == 1 && id.at[i] == '0');
		if (good) number = number * 16 + (uint64_t)(at - digits);
	}
	*out = good ? (int64_t)number : -1;
	return true;
}

int search_modseq(struct search_run *run, const struct search_node *node) {
	return run->m->modseq >= (uint64_t)node->number;
}

int search_email_id(struct search_run *run, const struct search_node *node) {
	return run->m->email_id == node->number;
}

int search_thread_id(struct search_run *run, const struct search_node *node) {
	int r = search_need_digest(run);
	if (r != 0) return MIN_OF(r, 0);
	return imap_thread_id(run->m, &run->digest) == node->number;
}

/* RFC 8514 §4.3: where the save date is not known, the internal date stands for it. */
static int64_t saved_at(const struct search_run *run) {
	return (run->m->saved_us != 0 ? run->m->saved_us : run->m->received_us) / 1000000;
}

/* As OLDER and YOUNGER (RFC 5032), of the time of saving. */
int search_saved_moment(struct search_run *run, const struct search_node *node) {
	return node->detail == BEFORE ? saved_at(run) <= node->number : saved_at(run) >= node->number;
}

int search_saved(struct search_run *run, const struct search_node *node) {
	int64_t seconds = saved_at(run);
	int64_t day = seconds / 86400 - (seconds % 86400 < 0);
	return node->detail == BEFORE ? day < node->number
	       : node->detail == ON   ? day == node->number
				      : day >= node->number;
}
