/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/table.h"
/* How a thing is looked up in a list of tables: an address, a domain or a client is tried in several forms, from the
 * whole to its parts (compat.md §2.4). Each form is tried in all tables before the next one; pattern tables are asked
 * for the first, whole form only. */
struct lookup {
	struct table **tables;
	size_t count;
};
/* Opens the tables named in a list ("hash:/a, regexp:/b"). TABLE_FOUND or TABLE_BAD with fail_text(). */
int lookup_open(struct tables *tables, const struct slice *names, size_t count, unsigned flags, struct arena *mem,
		struct lookup *out) MUST_USE;

/* What a form of a key was found as. */
struct lookup_hit {
	struct slice value;      /* in the arena given */
	struct slice key;        /* the form that was found */
	const struct table *table;
	struct slice extension;  /* what the form left out, with its delimiter ("+lists"); empty when none was */
};

/* The key as it is. All give enum table_answer, never TABLE_BAD. */
int lookup_key(const struct lookup *l, struct slice key, struct arena *mem, struct lookup_hit *hit) MUST_USE;

enum lookup_forms {
	LOOKUP_WHOLE = 1,        /* user@dom */
	LOOKUP_LOCAL = 2,        /* user; only when `domain_is_local` */
	LOOKUP_AT_DOMAIN = 8,    /* @dom */
	LOOKUP_DOMAIN = 16,      /* dom, then its parents */
	LOOKUP_USER_AT = 32,     /* user@ */
	LOOKUP_DOT_PARENTS = 64, /* parents are written ".parent"; else "parent" (parent_domain_matches_subdomains) */
	LOOKUP_NAME = 128,       /* a bare local name (aliases): "name+ext", "name" */
};
/* An address. With a delimiter from `delimiters` (a set, recipient_delimiter; never empty local part) each form with a
 * local part is tried with the extension first. Order: as in compat.md §2.4 for the forms asked. */
int lookup_address(const struct lookup *l, struct slice address, unsigned forms, struct slice delimiters,
		   bool domain_is_local, struct arena *mem, struct lookup_hit *hit) MUST_USE;
/* A host or domain and its parents. dots: parents are written ".parent", else "parent". */
int lookup_domain(const struct lookup *l, struct slice domain, bool dots, struct arena *mem,
		  struct lookup_hit *hit) MUST_USE;
/* An IP address as text, then cut octet by octet or group by group (access(5)). */
int lookup_ip(const struct lookup *l, struct slice address, struct arena *mem, struct lookup_hit *hit) MUST_USE;
