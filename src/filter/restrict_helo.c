/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of the name in HELO. */
#include "filter/restrict_private.h"
#include "mime/address.h"

#define NAMED "<%.*s>: %s rejected: "
#define NAMED_ARG(w) SLICE_ARG((w)->f->helo), item_titles[ITEM_HELO]

/* One dot at the end is fine, two are not. */
static struct slice without_dot(struct slice name) {
	if (slice_ends(name, S(".")) && !slice_ends(name, S(".."))) name.len--;
	return name;
}

/* A host name as smtpd wants it: labels of letters, digits, - and _, or an address. */
static bool host_valid(struct slice name) {
	struct addr a;
	return domain_valid(name, true) ||
	       (slice_find(name, '[') == name.len && addr_parse(name, &a) && addr_port(&a) == 0);
}

static bool literal_valid(struct slice name) {
	struct addr a;
	if (name.len > 2 && slice_ends(name, S("]"))) name = slice_from(name.at + 1, name.len - 2);
	return addr_parse(name, &a) && addr_port(&a) == 0;
}

/* What is written as a literal only has to be one. */
static bool literal(struct walk *w, enum result *result) {
	if (!slice_starts(w->f->helo, S("["))) return false;
	*result = literal_valid(w->f->helo)
	                  ? DUNNO
	                  : reject(w, w->p->codes.bad_name, "5.5.2", NAMED "invalid ip address", NAMED_ARG(w));
	return true;
}

enum result check_helo_valid(struct walk *w, const struct check *c) {
	(void)c;
	enum result result;
	if (w->f->helo.at == NULL) return DUNNO;
	if (literal(w, &result)) return result;
	if (host_valid(without_dot(w->f->helo))) return DUNNO;
	return reject(w, w->p->codes.bad_name, "5.5.2", NAMED "Invalid name", NAMED_ARG(w));
}

enum result check_helo_fqdn(struct walk *w, const struct check *c) {
	(void)c;
	enum result result;
	if (w->f->helo.at == NULL) return DUNNO;
	if (literal(w, &result)) return result;
	struct slice name = without_dot(w->f->helo);
	if (domain_valid(name, true) && slice_find(name, '.') < name.len) return DUNNO;
	return reject(w, w->p->codes.non_fqdn, "5.5.2", NAMED "need fully-qualified hostname", NAMED_ARG(w));
}

enum result check_helo_known(struct walk *w, const struct check *c) {
	(void)c;
	enum result result;
	if (w->f->helo.at == NULL) return DUNNO;
	if (literal(w, &result)) return result;
	struct slice name = domain_for_dns(w->f->helo, w->run->mem);
	struct addr *addresses;
	struct dns_mx *mx;
	size_t n;
	int64_t deadline = deadline_in(DNS_WAIT_MS);
	const struct dns_view view = dns_view_of(w);
	int r = view.dns == NULL ? DNS_LATER
				 : dns_view_addresses(&view, name, deadline, w->run->mem, &addresses, &n);
	if (r == DNS_NODATA || r == DNS_LATER)
		r = view.dns == NULL ? DNS_LATER : dns_view_mx(&view, name, deadline, w->run->mem, &mx, &n);
	if (r == DNS_FILTERED) return dns_filtered(w, name, "address or MX");
	if (r == DNS_OK) return DUNNO;
	if (r != DNS_LATER) return reject(w, w->p->codes.unknown_helo, "4.7.1", NAMED "Host not found", NAMED_ARG(w));
	return defer_if_permit(w, w->p->helo_tempfail, 450, "4.7.1", NAMED "Host not found", NAMED_ARG(w));
}

enum result check_naked_address(struct walk *w, const struct check *c) {
	struct addr a;
	struct slice name = w->f->helo;
	if (name.at == NULL || slice_starts(name, S("[")) || !addr_parse(name, &a) || addr_port(&a) != 0) return DUNNO;
	return permit(w, c->word->name, item_titles[w->item], w->reply_name, NULL);
}
