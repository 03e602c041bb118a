/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/map.h"
#include "cli/inside.h"
#include "net/addr.h"
#include "net/dns.h"
#include "smtp/hosts.h"
/* hato dns: the records to publish, beside what is published. */
enum dns_state { DNS_ROW_RIGHT, DNS_ROW_MISSING, DNS_ROW_DIFFERS, DNS_ROW_UNKNOWN };
struct dns_row {
	struct slice name, type;
	struct slice value;  /* as a web form takes it: no quotes, no dots at the end; at NULL: cannot be said now */
	struct slice found;  /* what is there instead; may be empty */
	struct slice reason; /* for people; may be empty */
	enum dns_state state;
	bool optional;       /* good to have; its absence is no fault */
	bool elsewhere;      /* not in the domain's own zone (PTR) */
};
/* One for the host, one for each domain. */
struct dns_sheet {
	struct slice name, note;
	struct dns_row *rows;
	size_t count, room;
};

enum { DNS_OWN_MAX = 64 };
struct own_addresses {
	struct addr at[DNS_OWN_MAX];
	size_t count;
};
/* dns_own.c: what strangers see of us. */
struct dns_own {
	struct slice host, helo;
	struct own_addresses faces; /* where they reach us */
	struct own_addresses sends; /* where our mail comes from */
	struct slice relay;         /* relayhost, host or domain; empty: mail leaves directly */
	struct slice relay_term;    /* SPF's word for it */
	bool relay_known;           /* the word is its keeper's own */
};
void dns_own_of(const struct conf *conf, struct arena *mem, struct dns_own *out);
/* Where mail for strangers goes by the settings. False: there is no relayhost, or it is not one that can be reached. */
bool dns_relayhost(const struct conf_view *v, struct smtp_next_hop *out);

struct dns_key { /* a line of `dkim keys` */
	struct slice domain, selector, state, public_key;
	unsigned algorithm;
};
/* The next line of such an answer; false: there is none. */
bool dns_key_next(struct slice *text, struct arena *mem, struct dns_key *out);
struct dns_domain {
	struct slice name, reports; /* reports: an address there that somebody reads; may be empty */
	bool received;
	bool below;                 /* a domain above it is ours, too: its policy (DMARC) counts */
};
/* dns_domains.c: which are ours. */
struct dns_domains {
	struct arena *mem;
	struct map seen;
	struct dns_domain **at;
	size_t count, room;
	struct dns_unlisted { struct slice setting, table, why; } *unlisted; /* what could not be looked into */
	size_t unlisted_count;
};
void dns_domains_add(struct dns_domains *d, struct slice name, struct slice reports, bool received);
/* Those of mydestination and its like, also of tables that can be listed. */
void dns_domains_add_settings(struct dns_domains *d, const struct conf_view *v);
void dns_domains_find_parents(struct dns_domains *d); /* fills `below` */
struct dns_looking {
	struct dns *dns;
	struct arena *mem;
	struct dns_own *own;
	const struct conf *conf;
	const struct dns_key *keys;
	size_t keys_count;
	int64_t deadline, end;
};
/* dns_look.c: asks DNS, and fills the sheet. The first look at the host completes own, where this machine has no
 * address that strangers see. */
void dns_look_host(struct dns_looking *l, struct dns_sheet *out);
void dns_look_domain(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *out);
/* What both share; dns_look.c has it. A deadline for the next question, and what its answer means for those behind. */
int64_t dns_until(const struct dns_looking *l);
int dns_seen(struct dns_looking *l, int result);
struct dns_row *dns_row_add(struct dns_looking *l, struct dns_sheet *s, const char *type, struct slice name,
			    struct slice value) NONNULL_RESULT;
void dns_row_unknown(struct dns_looking *l, struct dns_row *row); /* fail_text() says why */
struct slice dns_shown(struct arena *mem, struct slice text);     /* a stranger's text, harmless */
/* dns_text.c: rows of TXT records: SPF, DKIM, DMARC, reports about TLS. */
void dns_look_spf(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s);
void dns_look_helo_spf(struct dns_looking *l, struct dns_sheet *s);
void dns_look_dkim(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s);
void dns_look_dmarc(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s);
void dns_look_tlsrpt(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s);

/* dns_print.c */
void dns_print_states(const struct dns_sheet *s, bool values);
void dns_print_zone(const struct dns_sheet *s);
void dns_print_json(const struct dns_own *own, const struct dns_sheet *sheets, size_t count);
