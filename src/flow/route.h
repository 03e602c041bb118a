/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/network.h"
#include "user/user.h"
/* Where an address leads: aliases are followed to their ends, which are accounts here or addresses elsewhere. */
struct route_params {
	struct resolve_params resolve;      /* recipient_delimiter and its exceptions */
	const struct domains *destinations; /* mydestination: ours, even without an account */
	struct slice relayhost;             /* empty: by MX */
	struct slice host;                  /* myhostname */
};

enum { ROUTE_DEPTH = 50, ROUTE_ENDS = 10000 };

/* One end of a way. */
struct route_end {
	enum route_kind { ROUTE_TO_ACCOUNT, ROUTE_TO_HOP, ROUTE_TO_NOWHERE } kind;
	struct slice address;     /* the last address of the way; of an account: its own */
	struct slice original;    /* the first one, as given */
	bool aliased;             /* they differ by an alias, not by a mere extension */
	int64_t account;          /* ROUTE_TO_ACCOUNT */
	uint64_t quota_bytes, quota_messages;
	struct slice hop;         /* ROUTE_TO_HOP: "example.com", or relayhost */
	struct slice status, text; /* ROUTE_TO_NOWHERE: why: "5.1.1", words */
	size_t source;            /* the caller's number of the address it came from */
};
struct routes {
	struct route_end *at;
	size_t count, room;
	struct arena *mem;        /* set by the caller; ends and their text live there */
};
/* Adds the ends of one address. An end that is there already (same account, or same address elsewhere) is not added
 * again. <0: the database failed. */
int route_add(struct routes *routes, struct db_conn *c, const struct route_params *params, struct slice address,
	      size_t source);
/* An end that leads nowhere, for the reason given. */
void route_add_nowhere(struct routes *routes, struct slice address, struct slice status, struct slice text, size_t source);
/* Only the first step, as the door needs it: enum route_verdict of flow/ask.h, or <0. */
int route_judge(struct db_conn *c, const struct route_params *params, struct slice address, struct arena *mem);
