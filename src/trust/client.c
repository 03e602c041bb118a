/* SPDX-License-Identifier: Apache-2.0 */
/* An address can be called anything by whoever owns its reverse zone, so only a name that leads back counts. */
#include "trust/client.h"
#include "mime/address.h"

enum { NAMES_MOST = 4 };

static enum trust_result leads_to(struct dns *dns, struct slice name, const struct addr *client, int64_t deadline,
				  struct arena *mem) {
	struct addr *found;
	size_t n;
	int r = dns_addresses(dns, name, addr_family(client) == AF_INET ? DNS_IPV4 : DNS_IPV6, deadline, mem, &found,
			      &n, NULL);
	if (r == DNS_LATER) return TRUST_TEMPERROR;
	if (r == DNS_NXDOMAIN) return TRUST_PERMERROR;
	for (size_t i = 0; r == DNS_OK && i < n; i++)
		if (addr_same_host(&found[i], client)) return TRUST_PASS;
	return TRUST_FAIL;
}

enum trust_result client_helo(struct dns *dns, const struct addr *client, struct slice helo, int64_t deadline,
			      struct arena *mem) {
	struct addr literal;
	if (helo.len == 0) return TRUST_NONE;
	if (domain_is_literal(helo)) {
		struct slice text = slice_from(helo.at + 1, helo.len - 2);
		return addr_parse(text, &literal) && addr_same_host(&literal, client) ? TRUST_PASS : TRUST_PERMERROR;
	}
	if (!domain_valid(helo, false) || slice_find(helo, '.') == helo.len) return TRUST_PERMERROR;
	return leads_to(dns, helo, client, deadline, mem);
}

void client_look(struct dns *dns, const struct addr *client, struct slice helo, int64_t deadline, struct arena *mem,
		 struct client_names *out) {
	struct slice *names;
	size_t n = 0;
	struct client_names c = { .iprev = TRUST_PERMERROR };
	int r = dns_ptr(dns, client, deadline, mem, &names, &n, NULL);
	if (r == DNS_LATER) c.iprev = TRUST_TEMPERROR;
	for (size_t i = 0; r == DNS_OK && i < MIN_OF(n, (size_t)NAMES_MOST) && c.iprev != TRUST_PASS; i++) {
		enum trust_result one = leads_to(dns, names[i], client, deadline, mem);
		if (i != 0 && one != TRUST_PASS) continue;
		c.name = names[i];
		c.iprev = one == TRUST_PERMERROR ? TRUST_FAIL : one;
	}
	c.helo = client_helo(dns, client, helo, deadline, mem);
	*out = c;
}
