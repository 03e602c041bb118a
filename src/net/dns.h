/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "net/addr.h"
/* The domain name system (RFC 1035), validated with DNSSEC (RFC 4035) by ourselves. Calls wait, until the answer or the
 * deadline, and may be made from many threads. Files are read by dns_open, so that the process may be locked in
 * afterwards; threads, sockets and caches (about 3 MB) come with the first question. */
struct dns;
struct dns_params {
	/* "192.0.2.1 [2001:db8::1]:53", separated by blanks or commas; empty: the system's (/etc/resolv.conf). When the
	 * system's fail or strip DNSSEC, the root servers are asked directly. */
	const char *resolvers;
	/* DS or DNSKEY records, one a line; empty: the system's for the root if it is there; with own resolvers none.
	 */
	const char *trust_anchor_file;
	int timeout_ms; /* the longest that one question may take, whatever the deadline; 0: 30 s */
};
int dns_open(const struct dns_params *params, struct dns **out); /* 0, or <0 fail() */
/* The domains that the system's resolver looks for short names in (search or domain of /etc/resolv.conf). No look-up
 * here does that by itself. They live as long as d. */
const struct slice *dns_search_list(const struct dns *d, size_t *count);
/* The process ends: whoever waits for an answer, and whoever asks from now on, gets DNS_LATER within a moment, unless
 * the answer is there. */
void dns_end(struct dns *d);
void dns_close(struct dns **d); /* no question may be under way */

enum dns_result {
	DNS_OK,
	DNS_NODATA,    /* the name exists, records of this type do not */
	DNS_NXDOMAIN,  /* there is no such name, or it cannot be one */
	DNS_LATER,     /* nobody knows now; fail_text() says why: time-out, server failure, or bogus signatures */
};

/* What is known beside the records. Pass NULL where it is of no interest. */
struct dns_facts {
	bool secure;            /* DNSSEC proved all of it (also proved: that it does not exist) */
	uint32_t ttl;           /* seconds; the least of all records */
	struct slice canonical; /* the name at the end of the CNAMEs; the name itself without */
};

/* A record as it stands in a zone file, "example.com. 300 IN MX 10 mx.example.com."; data: "10 mx.example.com.". */
static inline struct slice dns_record_text(struct slice name, const struct dns_facts *facts, const char *type,
					   struct slice data, struct arena *mem) {
	return arena_fmt(mem, "%.*s. %u IN %s %.*s", SLICE_ARG(name), facts->ttl, type, SLICE_ARG(data));
}

/* Of one answer; the rest is left out. TXT comes whole (64 KiB at most): which records matter is known only when they
 * are read, and their order is chance. */
#define DNS_RECORDS_MAX 128
enum dns_type {
	DNS_A = 1, DNS_NS = 2, DNS_CNAME = 5, DNS_SOA = 6, DNS_PTR = 12, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28,
	DNS_SRV = 33, DNS_TLSA = 52, DNS_CAA = 257,
};

/* Names are ASCII (see dns_to_ascii), with or without the dot at the end; results are in lower case without it, live in
 * `mem`, and are untouched unless DNS_OK (facts: whenever there was an answer). CNAMEs are followed. Host names in
 * records with bytes that cannot be in one are left out. */
struct dns_mx { uint16_t preference; struct slice host; };
/* Sorted by preference. */
int dns_mx(struct dns *d, struct slice domain, int64_t deadline, struct arena *mem, struct dns_mx **out, size_t *count,
           struct dns_facts *facts);
/* "MX 0 .": the domain takes no mail (RFC 7505). */
static inline bool dns_mx_is_null(const struct dns_mx *mx, size_t count) { return count == 1 && mx[0].host.len == 0; }

/* Services (RFC 2782), in the order to try: by priority, among equals by lot, in which each has as many chances as its
 * weight says. name is complete: "_submission._tcp.example.org". A host of no name: the service is not there. */
struct dns_srv { uint16_t priority, weight, port; struct slice host; };
int dns_srv(struct dns *d, struct slice name, int64_t deadline, struct arena *mem, struct dns_srv **out, size_t *count,
            struct dns_facts *facts);

/* A and AAAA, asked at the same time; IPv6 first. Port 0. When one kind fails and the other has records: DNS_OK. */
enum { DNS_IPV4 = 1, DNS_IPV6 = 2 };
int dns_addresses(struct dns *d, struct slice host, unsigned families, int64_t deadline, struct arena *mem,
	struct addr **out, size_t *count, struct dns_facts *facts);
int dns_ptr(struct dns *d, const struct addr *a, int64_t deadline, struct arena *mem, struct slice **out, size_t *count,
            struct dns_facts *facts);
/* One slice for each record, its strings joined (RFC 7208 3.3). */
int dns_txt(struct dns *d, struct slice name, int64_t deadline, struct arena *mem, struct slice **out, size_t *count,
            struct dns_facts *facts);
struct dns_tlsa { uint8_t usage, selector, matching; struct slice data; };
/* name is complete: "_25._tcp.mx.example.org". */
int dns_tlsa(struct dns *d, struct slice name, int64_t deadline, struct arena *mem, struct dns_tlsa **out,
	size_t *count, struct dns_facts *facts);
/* Any type: the records' data as it is on the wire, names uncompressed. */
int dns_query(struct dns *d, struct slice name, int type, int64_t deadline, struct arena *mem, struct slice **out,
	size_t *count, struct dns_facts *facts);

/* Asks without waiting, so that the answer is there, or on its way, when somebody wants it. */
void dns_hint(struct dns *d, struct slice name, int type);

/* A domain in UTF-8 or ASCII as it stands in DNS: IDNA2008 A-labels (RFC 5891), lower case, no dot at the end. False:
 * cannot be one (empty or overlong labels, bytes that no host name has). */
bool dns_to_ascii(struct slice domain, struct arena *mem, struct slice *out);
/* "2.0.0.127.in-addr.arpa" without its end: "2.0.0.127.", the form that PTR and DNS block lists ask for; in both
 * families. */
struct slice dns_reversed(const struct addr *a, struct arena *mem);
