/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "net/addr.h"
/* Hosts: from a next hop in Postfix's words to the addresses to try, in order (RFC 5321 §5.1).
 *
 *   example.com        example.com:26      its MX hosts, or its own addresses when it has no MX
 *   example.com:submission                 the hosts of its SRV records, where srv_services says so
 *   [mail.example.com] [mail.example.com]:587   that host's addresses, no MX
 *   [192.0.2.1]:25     [IPv6:2001:db8::1]  192.0.2.1   that address
 *   unix:/run/lmtp     inet:[host]:24      a local socket; inet: is the default and may be left out
 *
 * MX hosts come by preference. Addresses of equal preference are shuffled, then IPv6 and IPv4 take turns, so that a
 * broken family does not use up the limit. */
struct dns;

enum smtp_address_preference { SMTP_PREFER_ANY, SMTP_PREFER_IPV6, SMTP_PREFER_IPV4 };

struct smtp_hosts_params {
	struct dns *dns;
	uint16_t port;                /* when the next hop names none; 0: 25 */
	bool no_ipv4, no_ipv6;        /* inet_protocols */
	/* Where names are looked for as well (smtp_dns_resolver_options): those without a dot in the first of these
	 * (default_domain), all in all of them when they are not there as written (search_domains). */
	const struct slice *search;
	size_t search_count;
	bool default_domain, search_domains;
	bool no_mx;                   /* MX records are not asked for: LMTP, and where DNS is switched off */
	bool no_dns, native; /* smtp_host_lookup: addresses from DNS; from the system (/etc/hosts), after it or alone */
	enum smtp_address_preference preference;
	bool no_balance; /* families do not take turns: the preferred one comes first, or whatever the shuffle gives */
	bool defer_no_address;        /* MX hosts none of which has an address: later, 4.4.4, not never */
	bool ignore_mx_error; /* an MX look-up that fails now counts as one that finds none (ignore_mx_lookup_error) */
	/* Services ("submission") that are looked up as SRV (RFC 2782) where a next hop names one of them as its port.
	 * Without SRV records, or when the look-up fails: MX or addresses, where that is allowed. */
	const struct slice *srv_services;
	size_t srv_services_count;
	bool srv_fallback, ignore_srv_error;
	/* Each record that is found (dns_record_text): 1 leaves it out, <0: no record can be relied on now
	 * (smtp_dns_reply_filter). */
	int (*ignore_record)(void *ctx, struct slice record, struct arena *mem);
	void *ignore_ctx;
	bool keep_order;              /* equal preference is not shuffled (smtp_randomize_addresses = no) */
	unsigned address_limit;       /* how many addresses at most (smtp_mx_address_limit); 0: 5 */
	/* Who we are. An MX that is ourselves, and all of equal or worse preference, are no way to go. Names count on
	 * MX hosts only; addresses with their port, where port 0 is any port and the any-address is every address of
	 * this machine. */
	const struct slice *own_names;
	size_t own_names_count;
	const struct addr *own_addresses;
	size_t own_addresses_count;
	int64_t dns_timeout;          /* ms for all look-ups together; 0: 60 s */
};

struct smtp_host {
	struct slice name;            /* "mx.example.org", or the address when there is no name; NUL behind it */
	struct addr addr;             /* with port; AF_UNSPEC: a local socket */
	struct slice path;            /* that local socket; NUL behind it */
	unsigned preference;
	struct slice domain;          /* whose MX it is, in ASCII; empty: it is none. NUL behind it */
	struct slice canonical;       /* what the name is an alias of (CNAME), when that is proved; else empty */
	bool domain_secure, secure;   /* DNSSEC proved the MX records; the addresses */
	bool named_port;              /* the next hop said which port: talking to ourselves is then on purpose */
};

enum smtp_hosts_answer {
	SMTP_HOSTS_OK,
	SMTP_HOSTS_NULL_MX, /* never, 5.1.10: "Domain … does not accept mail (nullMX)" (RFC 7505) */
	SMTP_HOSTS_NONE,    /* never, 5.4.4: no such domain, or neither it nor its MX hosts have an address */
	SMTP_HOSTS_BAD,     /* never, 5.1.2: the next hop is not a host name */
	SMTP_HOSTS_LOOPS,   /* never, 5.4.6: "mail for … loops back to myself" */
	SMTP_HOSTS_LATER, /* 4.4.3: the name service does not answer; 4.4.4: only better MX hosts lack addresses; 4.7.0:
			     all was filtered out */
};

struct smtp_hosts {
	struct smtp_host *list;       /* SMTP_HOSTS_OK: at least one */
	size_t count;
	char status[12];              /* all others: enhanced status and words, as Postfix logs them */
	struct slice text;
};
/* Always fills *out, whose memory is mem's. Returns one of the answers, never less than zero: what cannot be found out
 * now is SMTP_HOSTS_LATER. */
enum smtp_hosts_answer smtp_hosts_find(const struct smtp_hosts_params *params, struct slice next_hop, struct arena *mem,
                                       struct smtp_hosts *out);

/* The parts of a next hop (what smtp_hosts_find does first). False: neither host nor path. */
struct smtp_next_hop {
	struct slice host;            /* name or address without brackets, final dot and "IPv6:" */
	struct slice path;            /* unix: */
	struct addr literal;          /* when host is an address */
	uint16_t port;                /* 0: none named */
	struct slice service;         /* the port as it was written */
	bool no_mx;                   /* brackets or an address */
};
bool smtp_next_hop_parse(struct slice text, struct smtp_next_hop *out);
