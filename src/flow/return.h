/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/deliver.h"
/* Returns: notices to the sender about what became of a message, as RFC 3464 multipart/report from the null sender. */
enum return_kind {
	RETURN_FAILURE,
	RETURN_DELAY,
	RETURN_RELAYED,
	RETURN_DELIVERED,
	RETURN_VERIFIED, /* what would become of a message */
}; /* those after RETURN_DELAY only where NOTIFY asks, but for the last */

/* Does a recipient's NOTIFY (RFC 3461 §4.1; 0: not said) ask for a notice of this kind? */
bool return_wanted(uint32_t notify, enum return_kind kind);

struct returned_recipient {
	struct slice address, original, orcpt; /* original: as first given; orcpt in xtext, or empty */
	struct slice status, text;             /* "5.1.1", what the log says */
	struct slice diagnostic, host;         /* the other server's own words and name, or empty */
	bool undeliverable;                    /* of RETURN_VERIFIED */
	bool unasked;                          /* by NOTIFY: only the postmaster hears of it */
};
struct returned {
	enum return_kind kind;
	struct slice queue_id, sender, envid;
	struct slice named; /* the sender as he was before VERP; empty: sender */
	struct slice verp; /* delimiters: a failure is told to each recipient's own sender (verp.h); empty: none */
	int64_t arrived_us, retry_until_us;    /* the second for delays */
	uint32_t ret;                          /* RET_FULL, RET_HDRS or not said */
	bool require_tls;                      /* the notice must go over TLS as the message had to (RFC 8689) */
	struct slice message;                  /* the original, or as much of it as is there */
	bool whole;                            /* it is all there and may be returned in full */
	const struct returned_recipient *recipients;
	size_t count;
	struct slice to;                       /* a postmaster who gets a copy; empty: the sender */
};
/* Prepares the notice's delivery to the sender; delivery_enter it in the transaction that settles the recipients.
 * *out stays NULL when there must be none: the null sender is never answered (RFC 5321 §6.1). Where notify_classes ask
 * for it, the postmaster gets a copy, or what the null sender does not get (2bounce). */
int return_prepare(struct db *db, const struct deliver_params *params, const struct returned *what,
		   struct delivery **out);
/* The notice itself, for tests: headers and body. */
void return_compose(struct buf *out, const struct deliver_params *params, const struct returned *what, struct slice id);
