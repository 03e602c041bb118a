/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/addr.h"
#include "base/arena.h"
/* An SPF record to be published (RFC 7208 §3.1, §4.5): what stands in DNS already is somebody's work and is kept; what
 * is missing is added to it. */
struct spf_wish {
	const struct addr *addresses; /* to be added: ip4: and ip6: */
	size_t count;
	struct slice term;            /* one more: "include:_spf.example.net"; may be empty */
	bool mx;                      /* of a new record: the domain's MX may send, too */
	struct slice all;             /* how a new record ends: "-all" */
};
/* The texts that are SPF records, in their order, in out (room for count). How many: more than one is an error of the
 * domain's. */
size_t spf_records_among(const struct slice *texts, size_t count, struct slice *out);
/* One record of all published ones: own addresses first (they cost nothing and nothing before them can refuse them),
 * each term once, without what is no term; the mildest of their ends, but never "+all". In mem; none
 * when it would be longer than 8 KiB. */
struct slice spf_record_wanted(const struct slice *records, size_t count, const struct spf_wish *w, struct arena *mem);
/* Everybody may send: the record says +all. */
bool spf_record_lets_all(struct slice record);
/* Has the record this term (ASCII case ignored)? */
bool spf_record_has(struct slice record, struct slice term);
