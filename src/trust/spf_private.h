/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "trust/spf.h"
/* What the files of SPF share: a record as it was parsed, and macros. */
enum spf_kind { SPF_ALL, SPF_INCLUDE, SPF_A, SPF_MX, SPF_PTR, SPF_IP4, SPF_IP6, SPF_EXISTS };
struct spf_term {
	enum trust_result result;  /* of a match */
	enum spf_kind kind;
	struct slice text;         /* as it stands in the record */
	struct slice domain;       /* with its macros; empty: the domain under check */
	unsigned char network[16]; /* ip4: the first four bytes */
	unsigned bits4, bits6;     /* length of the prefix in either family */
};
struct spf_record {
	struct spf_term *terms;
	size_t count;
	struct slice redirect, exp; /* with their macros; empty: absent */
};
bool spf_record_is(struct slice txt); /* begins with "v=spf1" and a blank or the end (§4.5) */
/* The whole record, which must be one. False: malformed anywhere; *reason names the term. Slices point into text. */
bool spf_record_parse(struct slice text, struct arena *mem, struct spf_record *out, struct slice *reason);

/* spf_macro.c (§7) */
struct spf_macros {
	const struct addr *client;
	struct slice local, sender_domain; /* l and o */
	struct slice domain, helo, receiver;
	struct slice (*validated)(void *ctx); /* p: the client's confirmed name */
	void *ctx;
};
/* A term's domain-spec, an unknown modifier's value, an explanation. */
enum spf_text { SPF_TEXT_DOMAIN, SPF_TEXT_MODIFIER, SPF_TEXT_EXPLANATION };
bool spf_macro_valid(struct slice text, enum spf_text what);
/* text is valid. False: over out's limit. */
bool spf_macro_expand(struct slice text, const struct spf_macros *m, struct buf *out);
