/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/domain_set.h"
#include "net/addr.h"
/* Rewriting: one address in, one out (ADDRESS_REWRITING_README, canonical(5), trivial-rewrite(8), cleanup(8)). In this
 * order:
 *
 *   the standard form: source routes go, site!user and user%domain become user@site and user@domain, a missing domain
 * is added, as is a missing parent domain, a final dot goes; sender_canonical_maps or recipient_canonical_maps, then
 * canonical_maps, each where its classes say so; masquerade_domains.
 *
 * Core rewrites envelopes with it, edge headers. Addresses are local@domain, quoted where the wire needs it; the null
 * sender stays what it is. Without tables and domains it costs a scan of the address. */
enum rewrite_class {
	REWRITE_ENVELOPE_SENDER = 1,
	REWRITE_ENVELOPE_RECIPIENT = 2,
	REWRITE_HEADER_SENDER = 4,    /* From, Sender, Reply-To, Errors-To, … */
	REWRITE_HEADER_RECIPIENT = 8, /* To, Cc, Bcc, … */
};
enum rewrite_tables { /* propagate_unmatched_extensions */
	REWRITE_EXTEND_CANONICAL = 1,
	REWRITE_EXTEND_VIRTUAL = 2,
	REWRITE_EXTEND_ALIAS = 4,
	REWRITE_EXTEND_FORWARD = 8,
	REWRITE_EXTEND_INCLUDE = 16,
	REWRITE_EXTEND_GENERIC = 32,
};
struct rewrite_map {
	struct lookup maps;
	unsigned classes;             /* of enum rewrite_class */
};
struct rewrite_params {
	struct slice origin;          /* myorigin; empty: nothing is added (append_at_myorigin = no) */
	struct slice domain;          /* mydomain; empty: nothing is added (append_dot_mydomain = no) */
	bool swap_bangpath, percent_hack;
	bool as_is;                   /* addresses have their form: only tables change them (smtp_generic_maps) */
	struct slice delimiters;      /* recipient_delimiter */
	bool owner_request_whole;     /* owner_request_special */
	bool keep_quoted;             /* resolve_dequoted_address = no: an @ inside of quotes is no route */
	struct slice bounce_user;     /* double_bounce_sender; "double-bounce" when empty */
	struct domain_set destinations; /* mydestination: where table entries without domain count */
	const struct addr *own_addresses; /* of this machine and proxy_interfaces: user@[address] is local */
	size_t own_addresses_count;
	unsigned extend;              /* of enum rewrite_tables */
	struct rewrite_map sender_canonical, recipient_canonical, canonical;
	const char *canonical_name;   /* the setting that canonical is from; NULL: canonical_maps */
	const struct slice *masquerade; /* masquerade_domains, in order, with their ! */
	size_t masquerade_count;
	unsigned masquerade_classes;
	struct lookup exceptions;     /* tables in masquerade_exceptions */
	const struct slice *exception_names; /* and plain names */
	size_t exception_names_count;
};

/* What was asked and found on the way, for `hato route`; NULL where nobody wants to know. */
struct route_trace {
	void (*step)(void *ctx, const char *what, struct slice key, struct slice value, const char *table);
	void *ctx;
};
void trace_step(const struct route_trace *t, const char *what, struct slice key, struct slice value, const char *table);

enum rewrite_answer {
	REWRITE_DONE,
	REWRITE_LATER, /* a table cannot be asked now; fail_text() says which */
};
/* Everything. class: exactly one. *out is in mem, or the address itself where nothing changed. */
int rewrite_address(const struct rewrite_params *p, enum rewrite_class class, struct slice address, struct arena *mem,
		    struct slice *out) MUST_USE;
int rewrite_traced(const struct rewrite_params *p, enum rewrite_class class, struct slice address,
		   const struct route_trace *trace, struct arena *mem, struct slice *out) MUST_USE;
/* Could rewrite_address change an address of this class by a table or masquerading? When not, rewrite_standard does. */
bool rewrite_has_tables(const struct rewrite_params *p, enum rewrite_class class);
/* The standard form alone. origin and domain: what is added; for headers of strangers remote_header_rewrite_domain and
 * nothing (whose headers must not be rewritten at all when that is empty). */
struct slice rewrite_standard(const struct rewrite_params *p, struct slice origin, struct slice domain,
			      struct slice address, struct arena *mem);

/* What an address means where mail is routed: in a domain of mydestination, a%b@here, b!a@here and a@b@here (quoted)
 * are a@b, as trivial-rewrite(8) resolves them: who asks whether mail may be relayed asks about that. TABLE_FOUND or
 * TABLE_LATER. */
int rewrite_resolve(const struct rewrite_params *p, struct slice address, struct arena *mem,
		    struct slice *out) MUST_USE;

/* One table look-up as all of them do it: user+ext@dom, user@dom, user+ext and user where the domain is ours, @dom. The
 * result is the hit's value; TABLE_FOUND, TABLE_MISSING, TABLE_LATER. */
int rewrite_find(const struct rewrite_params *p, const struct lookup *maps, struct slice address, struct arena *mem,
		 struct lookup_hit *hit) MUST_USE;
/* The addresses that a table's value stands for, in standard form: a list separated by commas, "@other" with the local
 * part of the address asked for, and with the extension that did not match, if `extend`. At most `limit` are given. */
size_t rewrite_results(const struct rewrite_params *p, const struct lookup_hit *hit, struct slice address, bool extend,
		       size_t limit, struct arena *mem, struct slice **out);

/* Is this the local part of double_bounce_sender? Mail for it in a local domain is taken and dropped (qmgr(8)). */
bool rewrite_for_nobody(const struct rewrite_params *p, struct slice local);
/* The delimiters that may split this local part: none for postmaster, mailer-daemon, the double-bounce sender, owner-x
 * and x-request, and where the local part starts with one. */
struct slice rewrite_delimiters(const struct rewrite_params *p, struct slice local);
/* Where the extension starts (at its delimiter); the length of local when there is none. */
size_t rewrite_split(const struct rewrite_params *p, struct slice local);
/* Is this domain myorigin, in mydestination, or an address of ours in brackets? TABLE_FOUND, TABLE_MISSING,
 * TABLE_LATER. */
int rewrite_local_domain(const struct rewrite_params *p, struct slice domain, struct arena *mem);
/* The same without myorigin: what mail is delivered here for (trivial-rewrite(8)). */
int rewrite_destination(const struct rewrite_params *p, struct slice domain, struct arena *mem);
/* local@domain taken apart; false: no domain. */
bool rewrite_parts(struct slice address, struct slice *local, struct slice *domain);
