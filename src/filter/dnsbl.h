/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "filter/dns_view.h"
/* DNS block and allow lists (RFC 5782), as reject_rbl_client, permit_dnswl_client and postscreen_dnsbl_sites use them.
 */

/* "zen.spamhaus.org=127.0.0.[2..11;14]": which answers count. Without "=" all do. */
struct dnsbl_pattern {
	struct { uint8_t from, to; } ranges[16];
	uint8_t starts[5]; /* the ranges of octet i are starts[i] … starts[i + 1] */
};
struct dnsbl_zone {
	struct slice spec;    /* as written */
	struct slice domain;
	bool filtered;
	struct dnsbl_pattern pattern;
	int weight;           /* "*3", "*-2": only for postscreen_dnsbl_sites, else 1 */
};
/* False: fail_text() says what is wrong. Texts are borrowed. */
bool dnsbl_zone_parse(struct slice spec, bool weighted, struct dnsbl_zone *out);
bool dnsbl_pattern_match(const struct dnsbl_pattern *p, const uint8_t octets[4]);

/* Answers of 127.255.255.0/24 are errors of the list, not verdicts (a public resolver, too many questions): they are
 * warned of and count as DNSBL_LATER. */
enum dnsbl_result { DNSBL_LISTED, DNSBL_CLEAN, DNSBL_LATER };
struct dnsbl_hit {
	struct slice text; /* the first TXT record; only when asked for */
};
/* What is asked: "7.2.0.192.zen.example". Of a domain, which may be an address: what stands behind its @; SLICE_NONE
 * for literals and names that end in a number, which are not asked. */
struct slice dnsbl_address_name(const struct dnsbl_zone *zone, const struct addr *client, struct arena *mem);
struct slice dnsbl_domain_name(const struct dnsbl_zone *zone, struct slice domain, struct arena *mem);
/* An empty name is DNSBL_CLEAN. */
enum dnsbl_result dnsbl_ask(const struct dns_view *dns, const struct dnsbl_zone *zone, struct slice name,
			    int64_t deadline, bool want_text, struct arena *mem, struct dnsbl_hit *hit);
