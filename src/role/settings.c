/* SPDX-License-Identifier: Apache-2.0 */
#include "role/settings.h"

struct dns_params dns_params_of(const struct conf_view *v, struct arena *mem) {
	struct slice resolvers = conf_text(v, SET_dns_resolvers), anchor = conf_text(v, SET_dns_trust_anchor_file);
	/* who names resolvers of his own and no anchor trusts them as they are */
	bool own = resolvers.len != 0 && slice_eq(anchor, S("/usr/share/dns/root.key"));
	return (struct dns_params){ .resolvers = arena_text(mem, resolvers),
				    .trust_anchor_file = own ? "" : arena_text(mem, anchor) };
}

void protocols_of(const struct conf_view *v, bool *ipv4, bool *ipv6) {
	size_t n;
	const struct slice *words = conf_list(v, SET_inet_protocols, &n);
	*ipv4 = *ipv6 = false;
	for (size_t i = 0; i < n; i++) {
		bool all = slice_same(words[i], S("all"));
		*ipv4 = *ipv4 || all || slice_same(words[i], S("ipv4"));
		*ipv6 = *ipv6 || all || slice_same(words[i], S("ipv6"));
	}
}
