/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/search.h"
/* SORT (RFC 5256 §3, 5957, 6203): the keys of a command, and messages in their order. Keys of text are collated once
 * (base/collate.h), where a message is found. */
enum sort_by {
	SORT_ARRIVAL, SORT_DATE, SORT_SIZE, SORT_SUBJECT, SORT_FROM, SORT_TO, SORT_CC, SORT_DISPLAYFROM, SORT_DISPLAYTO,
	SORT_RELEVANCY
};
enum { SORT_KEYS_MAX = 20 };
struct sort_keys {
	struct { enum sort_by by; bool reverse; } at[SORT_KEYS_MAX];
	size_t count;
};
bool sort_parse(struct imap_parse *p, struct sort_keys *out); /* " (DATE REVERSE SUBJECT)" */
/* Runs the scan and gives what it found in order. */
int sort_find(struct search_scan *scan, const struct sort_keys *keys, struct search_result *out);
/* RFC 5256 §2.2: the Date field; where it is missing or cannot be read, when the message came. Wants run->head. */
int64_t sort_sent_date(const struct search_run *run);
