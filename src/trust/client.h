/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/dns.h"
#include "trust/result.h"
/* Who a client says he is: the name of his address (RFC 8601 §3, "iprev", also called FCrDNS) and the one he greets
 * with. */
struct client_names {
	enum trust_result
		iprev; /* pass; fail: the name does not lead back; permerror: the address has no name; temperror */
	struct slice name;        /* what PTR says; confirmed when iprev is pass; empty: none */
	enum trust_result
		helo; /* pass: leads to the address; fail: leads elsewhere; permerror: no such name, or none at all
		       * (a word without a dot, somebody else's address in brackets); temperror; none: no greeting */
};
/* At most a few names are tried. Waits until the deadline. */
void client_look(struct dns *dns, const struct addr *client, struct slice helo, int64_t deadline, struct arena *mem,
		 struct client_names *out);
/* Only the greeting. */
enum trust_result client_helo(struct dns *dns, const struct addr *client, struct slice helo, int64_t deadline,
			      struct arena *mem);
