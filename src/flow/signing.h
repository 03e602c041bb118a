/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/generation.h"
#include "flow/ask.h"
#include "smtp/client.h"
#include "trust/arc.h"
/* Signing as mail leaves: the last that is done to it, over the text as it will stand on the wire (lines folded, CRLF).
 * The header and the body are read once; what is added stands in front of smtp_body.head.
 *
 * Keys are in vault. Which of them sign for an author is asked there and remembered for some seconds. A signature over
 * the same text with the same key is made once, so that a message to many destinations costs one. */
struct signing_params {
	bool sign, seal;
	struct dkim_sign_params form;        /* without sign, ctx, now_s */
	const struct slice *author_fields;   /* SenderHeaders: the first of these that is there names the author */
	size_t author_fields_count;
	bool subdomains;                     /* the keys of a domain sign for those below it */
	bool unsigned_if_late; /* dkim_on_error = accept: it goes without, when the keys cannot be used now */
	bool remove_old;                     /* DKIM-Signature fields it came with are left out */
	struct slice authserv_id;            /* whose Authentication-Results is sealed */
	struct slice seal_domain;            /* whose key seals when the forwarding domain has none */
	bool log_why;                        /* dkim_log_why */
	size_t line_limit;                   /* longer lines are folded on the wire (smtp_line_length_limit) */
	const char *tag;                     /* in the log */
};
struct signing; /* what is remembered */
struct signing *signing_new(struct link *vault) NONNULL_RESULT;
/* ours: sign as its author. forwarder: an alias's domain that sends a stranger's mail on, to be sealed; empty: none.
 * 0: m's body is what goes out; <0: not now, fail_text() says why. */
int signing_apply(struct signing *s, const struct signing_params *p, bool ours, struct slice forwarder,
		  struct smtp_message *m, struct arena *mem);
