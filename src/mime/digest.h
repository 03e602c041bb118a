/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "mime/summary.h"
/* A digest is what sorting and threading look at of a message, and nothing else, in some hundred bytes: stored beside
 * the summary, it makes the first SORT of a large mailbox a matter of milliseconds. It can always be made again. Texts
 * are collated (base/collate.h): they compare byte by byte. */
struct digest {
	int64_t sent;                  /* as in the summary: seconds, 0: none that can be read */
	uint64_t id;                   /* msgid_hash of the Message-ID; 0: none */
	bool reply;                    /* subject_base says so */
	struct slice references;       /* for summary_reference_next */
	struct slice subject;          /* the base subject */
	struct slice from, to, cc;     /* first_address_add */
	struct slice display_from, display_to;
	uint64_t root;                 /* digest_add_root; 0: what it names first itself */
};
enum { DIGEST_VERSION = 1 };
void digest_add(struct buf *out, const struct summary_head *h); /* packed */
void digest_of_summary(struct buf *out, const struct summary *s);
/* At the end of a packed one: where its conversation began (a msgid_hash), when that is known from the message that it
 * answers. */
void digest_add_root(struct buf *packed, uint64_t root);
/* The conversation a message belongs to (RFC 8474, THREADID): the same number for messages with the same base subject
 * and the same root: that, or what is named first in References or, without that, In-Reply-To; its own Message-ID where
 * it answers nothing. So it never changes. 0: a message without any of these, which is alone. */
uint64_t digest_thread(const struct digest *d);
bool digest_read(struct slice packed, struct digest *out);      /* text points into packed; false: unknown or broken */
