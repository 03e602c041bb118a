/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/ask.h"
#include "flow/route.h"
/* Mail that an alias, a table or a user of ours sends on to somebody else's server counts there as ours: what it is
 * worth is decided before it goes. The next server sees SPF of the rewritten sender, which says nothing of the author,
 * unless the author's own record names us; the signatures that were good here are good there, unless header_checks or
 * milters changed what was signed. */
enum forward_door { FORWARD_DOOR_REJECT, FORWARD_DOOR_KEEP, FORWARD_DOOR_SEND };
enum forward_choice { FORWARD_SEND, FORWARD_KEEP, FORWARD_WRAP }; /* stored (user_forward_choice): numbers stay */
struct forward_params {
	enum forward_door unauthenticated; /* what nobody proves to come from its author, and should */
	enum forward_choice failing;       /* what only SPF proves: it must fail DMARC at the next server */
	struct slice keep;                 /* who gets what is kept; with its domain */
};
/* ACCEPT_FORWARD_… of a message with this evidence; *why: for people, with the former. */
uint32_t forward_look(const struct evidence_record *e, struct arena *mem, struct slice *why);

enum forward_act { FORWARD_GOES, FORWARD_REFUSED, FORWARD_KEPT, FORWARD_WRAPPED };
/* What becomes of a message with these flags that came for `original`. <0: the database failed. */
int forward_decide(struct db_conn *c, const struct forward_params *p, const struct rewrite_params *rewrite,
		   uint32_t flags, struct slice original, struct arena *mem, enum forward_act *out);
extern const char *const forward_choice_words[]; /* "send", "keep", "wrap", NULL */

struct forwarding {
	const struct forward_params *params;
	const struct route_params *route;
	uint32_t flags;
	struct slice why, sender, queue_id;
	const struct route_end
		*mailbox; /* of mail that a user's .forward sends on: that user's mailbox, where it is kept */
	bool sender_doubtful;              /* SPF speaks against the envelope's sender: no notice goes there */
};
/* Applies it to the ends that are forwarded: those that are kept lead elsewhere now, and those to be wrapped say so.
 * When all are refused, none is left: the door says so. Beside others, a refused one leads nowhere, of which the sender
 * gets a notice; where he is doubtful, it is kept instead. Returns how many were refused, or <0: the database or a
 * table cannot be asked. */
int forward_apply(const struct forwarding *f, struct db_conn *c, struct routes *routes);

/* For `hato forward check`: what was found out about a message that is only looked at. */
struct forward_facts {
	struct evidence_record record;
	struct slice sender;
	bool spf_known;                    /* somebody said where it came from */
	uint32_t next_spf;                 /* enum trust_result: of srs_domain from our own addresses */
	struct slice next_spf_reason;
};
#define FORWARD_FACTS_FIELDS(F) \
	F(part, record, evidence_record) F(text, sender) F(bool_, spf_known) F(u32, next_spf) F(text, next_spf_reason)
WIRE_DECLARE(forward_facts)

/* The same message as an attachment of one of ours, from the alias, whose bounces go to its domain's postmaster. 0, or
 * <0. */
struct post;
int forward_wrap(struct post *post, const struct route_params *route, struct slice alias, struct arena *mem);
