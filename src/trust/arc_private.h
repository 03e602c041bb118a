/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/arc.h"
#include "trust/dkim_private.h"
/* The ARC sets of a header (RFC 8617 §4.2.1): three fields for each instance. */
struct arc_signed {
	struct slice field;         /* whole; empty: absent */
	struct signature signature;
	enum trust_result read;     /* TRUST_PASS: the field makes sense */
	struct slice reason;        /* when it does not */
};
struct arc_set {
	struct slice results_field; /* whole; empty: absent */
	struct slice results;       /* behind "i=N;" */
	struct arc_signed message, seal;
};
struct arc_chain {
	struct arc_set *sets; /* [0] is i=1; ARC_SETS_MAX of them */
	size_t count;         /* the highest instance */
	struct slice wrong;   /* why it is no chain; empty: it is one */
};
/* Copies the fields to mem. False: no field of ARC is there. */
bool arc_chain_read(struct slice header, struct arena *mem, struct arc_chain *out);
