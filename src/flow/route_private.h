/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/route.h"
/* What the files of routing share: a way, which is one address with all that comes of it, as a list of steps to be
 * taken. */

struct step {
	struct step *up;          /* what it came from; NULL: the address itself */
	struct step *next;        /* to be taken after this one */
	struct slice address;
	bool aliased, marked, forwarded;
	bool rewrite;             /* canonical_maps and masquerading come first */
	bool accounts_only;       /* a target equal to its alias: the account of that name */
	bool no_aliases;          /* "\name", or the name of the alias itself: the user, not the alias */
	struct slice owner;
	struct slice alias;       /* the name in aliases(5) that this came from; empty: none */
	struct slice delivered, below; /* as in route_end */
	uint32_t target_kind;     /* with target: what an alias gives beside addresses */
	struct slice target, rights, hop;
	unsigned depth;
};
struct way {
	struct routes *routes;
	struct arena *mem;        /* of the routes */
	struct db_conn *c;
	const struct route_params *params;
	const struct route_from *from;
	struct slice original;
	struct step *todo;
	size_t expanded;
	bool endless;             /* virtual aliases go beyond a limit */
	struct step *last;        /* of those that the step under way has added */
};
/* A step behind `up`; they are taken in the order added. */
struct step *way_add(struct way *w, struct step *up, struct slice address) NONNULL_RESULT;
void way_nowhere(struct way *w, const struct step *s, const char *status, struct slice text);
void way_trace(const struct way *w, const char *what, struct slice key, struct slice value, const char *table);
void way_end(struct way *w, struct route_end end);
void way_hop(struct way *w, const struct step *s, struct slice hop);

/* alias.c: aliases(5) of a name that goes to transport local. ALIAS_FOUND: its steps were added. */
enum { ALIAS_FOUND, ALIAS_NONE, ALIAS_LATER };
int alias_follow(struct way *w, struct step *s, struct slice hop);
