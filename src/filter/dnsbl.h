/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/dns.h"
/* DNS block and allow lists (RFC 5782), as reject_rbl_client, permit_dnswl_client and postscreen_dnsbl_sites use them. */

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
	struct slice text; /* the TXT records, joined; only when asked for */
};
enum dnsbl_result dnsbl_address(struct dns *dns, const struct dnsbl_zone *zone, const struct addr *client,
				int64_t deadline, bool want_text, struct arena *mem, struct dnsbl_hit *hit);
/* domain may be an address: what stands behind its @ counts. Literals and names that end in digits are not asked. */
enum dnsbl_result dnsbl_domain(struct dns *dns, const struct dnsbl_zone *zone, struct slice domain, int64_t deadline,
			       bool want_text, struct arena *mem, struct dnsbl_hit *hit);
