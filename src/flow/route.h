/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/alias.h"
#include "flow/hop.h"
#include "trust/srs.h"
#include "user/user.h"
/* Where an address leads. In Postfix's order, with hato's own accounts before everything (cleanup(8),
 * trivial-rewrite(8), local(8)):
 *
 *   addresses that SRS made for bounces: the sender they stand for;
 *   rewriting (canonical_maps, masquerading), once;
 *   accounts and aliases of the database; then virtual_alias_maps; both again for what they give;
 *   the class of the domain, and with it transport and next hop; transport_maps and relocated_maps over it;
 *   aliases(5), for what would go to local(8): its results begin anew.
 *
 * The ends are accounts here, hops, and nowhere. */
struct route_params {
	struct resolve_params resolve;      /* recipient_delimiter and its exceptions */
	struct rewrite_params rewrite;
	struct class_params classes;
	struct hop_params hops;
	struct lookup virtual_alias;
	size_t expansion_limit, recursion_limit, length_limit; /* virtual_alias_…; 0: 1000 */
	/* who there is, for the door; without tables everybody is (trivial: local_recipient_maps =) */
	struct lookup local_recipients, virtual_mailbox, relay_recipients;
	const struct alias_params *aliases; /* aliases(5); NULL: none */
	const struct srs_params *srs;       /* NULL: its addresses are addresses like others */
	struct slice host;                  /* myhostname */
	bool full_reject;                   /* quota_full_reject */
	bool to_detail;                     /* deliver_to_detail_mailbox */
	struct slice filter_next_hop;       /* default_filter_nexthop; empty: the recipient's domain */
	struct slice empty_recipient;       /* empty_address_recipient: who gets mail for <> */
};

enum { ROUTE_DEPTH = 50, ROUTE_ENDS = 10000 };
enum {
	ROUTE_LATER = 1, /* a table cannot be asked now: fail_text() */
	ROUTE_ENDLESS,   /* virtual aliases beyond a limit: later, too; fail_text() */
};

/* One end of a way. */
struct route_end {
	enum route_kind { ROUTE_TO_ACCOUNT, ROUTE_TO_HOP, ROUTE_TO_NOWHERE } kind;
	struct slice address;     /* the last address of the way; of an account: its own */
	struct slice original;    /* the first one, as given */
	bool aliased;             /* they differ by an alias, not by a mere extension */
	bool marked;              /* by an alias of the database or of aliases(5): what leaves says Delivered-To */
	bool forwarded;           /* ROUTE_TO_HOP: an alias or a user of ours sends it on to somebody else's server */
	bool wrapped;             /* it goes as an attachment of a message of ours (flow/forward.h) */
	bool fixed;               /* ROUTE_TO_HOP: not by tables: the hop stays as it is */
	int64_t account;          /* ROUTE_TO_ACCOUNT */
	uint64_t quota_bytes, quota_messages;
	struct slice detail;      /* ROUTE_TO_ACCOUNT: "Lists" of ann+Lists, where that names a mailbox; empty: INBOX */
	struct slice hop;         /* ROUTE_TO_HOP: "smtp:example.com" */
	uint32_t target_kind;     /* ROUTE_TO_HOP: enum relay_target, with target and rights as in relay_recipient */
	struct slice target, rights;
	/* Of a user of this machine: what Delivered-To says, empty: the address; and a second one below it, of the list
	 * that sent the message on; named: they are in the message already. */
	struct slice delivered, below;
	bool named;
	struct slice status, text; /* ROUTE_TO_NOWHERE: why: "5.1.1", words */
	struct slice owner;       /* sender instead of the message's own (owner-list); empty: no other */
	size_t source;            /* the caller's number of the address it came from */
};
struct routes {
	struct route_end *at;
	size_t count, room;
	struct arena *mem;        /* set by the caller; ends and their text live there */
};
struct route_from {
	struct slice address;
	struct slice sender;      /* for sender-dependent tables */
	struct slice original;    /* as first given, when that was another; empty: the address */
	size_t source;
	bool no_mappings;         /* ACCEPT_NO_MAPPINGS */
	bool rewritten;           /* canonical_maps and masquerading have been done */
	bool redirected;          /* by a user's .forward */
	struct slice filter;      /* "transport:nexthop" for all who would go anywhere; empty: none */
	const struct route_trace *trace; /* or NULL */
};
/* Adds the ends of one address. An end that is there already (same account, or same address elsewhere) is not added
 * again. 0, ROUTE_LATER or ROUTE_ENDLESS; <0: the database failed. */
int route_add(struct routes *routes, struct db_conn *c, const struct route_params *params,
	      const struct route_from *from);
/* The hop alone, for mail that waits, since tables may have changed. 0 or ROUTE_LATER; *out is empty for what has no
 * domain. */
int route_again(const struct route_params *params, struct slice address, struct slice sender, struct arena *mem,
		struct slice *out);
/* Adds an end whose way is known, or one that leads nowhere. */
void route_add_end(struct routes *routes, struct route_end end);
void route_add_nowhere(struct routes *routes, struct slice address, struct slice status, struct slice text,
		       size_t source);
/* What is said of an address that SRS did not make or that is too old: a status, and *text. */
const char *route_srs_refusal(enum srs_answer answer, struct slice *text);
/* Only the first step, as the door needs it. sender: for sender-dependent tables. 0, or <0. */
int route_judge(struct db_conn *c, const struct route_params *params, struct slice address, struct slice sender,
		struct arena *mem, struct route_answer *out);
