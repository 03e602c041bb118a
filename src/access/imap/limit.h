/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/state.h"
/* MESSAGELIMIT (RFC 9738): how many messages one command handles, the newest first. Of a larger set the rest is left,
 * and the answer says how far it went; COPY, APPEND and THREAD, which are whole or not at all, are refused. SAVELIMIT
 * holds for COPY and APPEND alone. */
uint64_t imap_messages_limit(const struct imap_session *s); /* 0: none */
uint64_t imap_saves_limit(const struct imap_session *s);    /* of COPY and APPEND */
/* Leaves of a settled set of UIDs the highest `limit` messages that are in the view. The lowest UID that is kept, when
 * something was cut off; 0: the set is small enough. The view is loaded. */
uint32_t imap_limit_set(struct imap_session *s, uint64_t limit, struct imap_set *set);
/* "[MESSAGELIMIT 1000 23221] text"; lowest 0: it is not known. In s->mem. */
const char *imap_limit_text(struct imap_session *s, uint64_t limit, uint32_t lowest, const char *text);
/* What concerns many messages is done in slices: next_slice puts one after the other into `now`; false: that was all.
 */
struct imap_slices {
	const struct imap_set *set; /* of UIDs, settled; set and most are given, the rest begins as zero */
	uint32_t most;              /* messages of the view in a slice */
	struct imap_set now;
	size_t next;                /* range, and its first message that is still to do; 0: from its start */
	uint32_t first;
};
bool imap_next_slice(struct imap_session *s, struct imap_slices *k);
/* The OK of a command that may have been cut short: text with the code, if lowest is not 0. Where the answer has a code
 * of its own, or is no OK, the limit is told in an untagged NO. */
struct imap_answer imap_limit_answer(struct imap_session *s, uint32_t lowest, struct imap_answer a);
