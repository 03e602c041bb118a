/* SPDX-License-Identifier: Apache-2.0 */
/* permit_mx_backup: mail for a domain that names us as one of its MX hosts, but not as one of the first: nobody is
 * before those whom the mail could go on to. */
#include "filter/restrict_private.h"

#define NAMED "<%.*s>: %s rejected: "
#define NAMED_ARG(to) SLICE_ARG(to), item_titles[ITEM_RECIPIENT]

struct backup {
	struct walk *w;
	struct slice to;
	int64_t deadline;
	bool failed; /* *result is the answer */
	enum result result;
};

/* The addresses of a host of the MX list. Without them nobody knows whether the mail is welcome: what refuses it later
 * in the list refuses it for now only. */
static size_t addresses_of(struct backup *b, struct slice host, struct addr **out) {
	size_t n = 0;
	int r = dns_addresses(b->w->p->dns, host, DNS_IPV4 | DNS_IPV6, b->deadline, b->w->run->mem, out, &n, NULL);
	if (r == DNS_OK) return n;
	if (!b->failed) {
		b->failed = true;
		b->result = defer_if_reject(b->w, 450, "4.4.4", NAMED "Unable to look up mail exchanger host %.*s: %s",
		                            NAMED_ARG(b->to), SLICE_ARG(host),
		                            r == DNS_LATER ? "Temporary failure in name resolution"
		                                           : "Name or service not known");
	}
	return 0;
}

static bool is_us(struct backup *b, struct slice host) {
	if (slice_same(host, slice_of(b->w->p->host))) return true;
	struct addr *addresses;
	size_t n = addresses_of(b, host, &addresses);
	for (size_t i = 0; i < n; i++)
		if (is_our_address(b->w->p, &addresses[i])) return true;
	return false;
}

static bool any_is_us(struct backup *b, const struct dns_mx *mx, size_t count) {
	bool us = false;
	for (size_t i = 0; i < count && !us; i++) us = is_us(b, mx[i].host);
	return us;
}

/* All first hosts must lie in permit_mx_backup_networks, where that is set. */
static bool first_allowed(struct backup *b, const struct dns_mx *mx, size_t first) {
	const struct networks *allowed = b->w->p->backup_networks;
	if (allowed == NULL) return true;
	for (size_t i = 0; i < first; i++) {
		struct addr *addresses;
		size_t n = addresses_of(b, mx[i].host, &addresses), k = 0;
		while (k < n && networks_match_sockaddr(allowed, &addresses[k].any)) k++;
		if (n == 0 || k < n) return false;
	}
	return true;
}

enum result check_backup(struct walk *w, const struct check *c) {
	struct slice to = item_text(w, ITEM_RECIPIENT);
	if (to.at == NULL || w->p->dns == NULL) return DUNNO;
	int ours = is_our_destination(w, to);
	if (ours < 0) return lookup_trouble(w, to);
	if (ours > 0) return permit(w, c->word->name, item_titles[w->item], w->reply_name, NULL);
	struct slice domain = domain_for_dns(domain_of(to), w->run->mem);
	struct backup b = { .w = w, .to = to, .deadline = deadline_in(DNS_WAIT_MS) };
	struct dns_mx *mx;
	size_t n;
	int r = dns_mx(w->p->dns, domain, b.deadline, w->run->mem, &mx, &n, NULL);
	if (r == DNS_LATER)
		return defer_if_reject(w, 450, "4.4.4", NAMED "Unable to look up mail exchanger information: no answer",
		                       NAMED_ARG(to));
	if (r != DNS_OK || dns_mx_is_null(mx, n)) return DUNNO;
	size_t first = 1;
	while (first < n && mx[first].preference == mx[0].preference) first++;
	if (any_is_us(&b, mx, first) || b.failed) return b.failed ? b.result : DUNNO;
	if (!any_is_us(&b, mx + first, n - first) || !first_allowed(&b, mx, first)) return b.failed ? b.result : DUNNO;
	return permit(w, c->word->name, item_titles[w->item], w->reply_name, NULL);
}
