/* SPDX-License-Identifier: Apache-2.0 */
/* check_…_{mx,ns,a}_access: access tables are asked about the hosts behind a domain, first by name, then by address. */
#include "filter/restrict_private.h"

enum { SERVERS_MAX = 100 }; /* hosts that are looked at */

struct hosts {
	struct slice *at;
	size_t count;
};

static const char *type_name(int type) {
	return type == DNS_MX ? "MX" : type == DNS_NS ? "NS" : "A";
}

static int find_mx(struct walk *w, struct slice domain, int64_t deadline, struct hosts *out) {
	struct dns_mx *mx;
	size_t n;
	const struct dns_view view = dns_view_of(w);
	int r = dns_view_mx(&view, domain, deadline, w->run->mem, &mx, &n);
	if (r == DNS_OK && dns_mx_is_null(mx, n)) {
		out->count = 0;
		return DNS_OK;
	}
	if (r == DNS_NODATA || r == DNS_NXDOMAIN) { /* its own address is its MX */
		*out = (struct hosts){ arena_array(w->run->mem, 1, sizeof(struct slice)), 1 };
		out->at[0] = domain;
		return DNS_OK;
	}
	if (r != DNS_OK) return r;
	*out = (struct hosts){ arena_array(w->run->mem, n, sizeof(struct slice)), n };
	for (size_t i = 0; i < n; i++) out->at[i] = mx[i].host;
	return r;
}

enum result dns_filtered(struct walk *w, struct slice name, const char *what) {
	warn(w, "%.*s: %s lookup error: DNS reply filter drops all results", SLICE_ARG(name), what);
	return DUNNO;
}

/* The name in an NS record, which is uncompressed labels. */
static struct slice name_of_labels(struct slice data, struct arena *mem) {
	AUTO_BUF struct buf text = BUF(300);
	for (size_t i = 0; i < data.len && data.at[i] != 0;) {
		size_t len = (unsigned char)data.at[i];
		if (i + 1 + len > data.len) return S("");
		if (text.len != 0) buf_byte(&text, '.');
		buf_add(&text, slice_head(slice_skip(data, i + 1), len));
		i += 1 + len;
	}
	return arena_lower(mem, buf_slice(&text));
}

/* Where a name has none, those of the domain around it. */
static int find_ns(struct walk *w, struct slice *domain, int64_t deadline, struct hosts *out) {
	for (;;) {
		struct slice *records;
		size_t n;
		int r = dns_query(w->p->dns, *domain, DNS_NS, deadline, w->run->mem, &records, &n, NULL);
		if (r == DNS_OK) {
			*out = (struct hosts){ arena_array(w->run->mem, n, sizeof(struct slice)), n };
			for (size_t i = 0; i < n; i++) out->at[i] = name_of_labels(records[i], w->run->mem);
			return r;
		}
		size_t dot = slice_find(*domain, '.');
		if (r == DNS_LATER || dot + 1 >= domain->len) return r;
		*domain = slice_skip(*domain, dot + 1);
	}
}

/* OK would let everybody in who makes his domain point to a good host. */
static enum result no_permit(struct walk *w, const struct check *c, enum result r, struct slice name) {
	if (r != PERMIT) return r;
	warn(w, "restriction %.*s returns OK for %.*s", SLICE_ARG(c->word->name), SLICE_ARG(name));
	warn(w, "this is not allowed for security reasons");
	warn(w, "use DUNNO instead of OK if you want to make an exception");
	return server_error(w);
}

static enum result check_host(struct walk *w, const struct check *c, struct slice host, struct slice name,
			      int64_t deadline, bool *found) {
	enum item item = c->word->item;
	enum result r = access_domain(w, c, host, name, item, found);
	if (*found) return r;
	const struct dns_view view = dns_view_of(w);
	struct addr *addresses, one;
	size_t n = 1;
	if (addr_parse(host, &one)) {
		addresses = &one;
	} else if (dns_view_addresses(&view, host, deadline, w->run->mem, &addresses, &n) != DNS_OK) {
		warn(w, "Unable to look up %s host %.*s for %s %.*s", type_name(c->word->how), SLICE_ARG(host),
		     item_titles[item], SLICE_ARG(name));
		return DUNNO;
	}
	for (size_t i = 0; i < n && !*found; i++) {
		char text[ADDR_TEXT_ROOM];
		r = access_ip(w, c, slice_of(addr_text(&addresses[i], text)), name, item, found);
	}
	return r;
}

/* "[192.0.2.1]" and "[IPv6:…]" without brackets. */
static bool literal(struct slice domain, struct slice *inside) {
	if (!slice_starts(domain, S("[")) || !slice_ends(domain, S("]"))) return false;
	*inside = slice_from(domain.at + 1, domain.len - 2);
	if (slice_starts_same(*inside, S("IPv6:"))) *inside = slice_skip(*inside, 5);
	return true;
}

enum result check_servers(struct walk *w, const struct check *c) {
	enum item item = c->word->item;
	struct slice text = item_text(w, item);
	if (text.at == NULL) return DUNNO;
	struct slice name = item == ITEM_CLIENT ? w->f->client->shown : text;
	struct slice domain = slice_find(text, '@') < text.len ? domain_of(text) : text, inside;
	if (domain.len == 0 || w->p->dns == NULL) return DUNNO;
	int64_t deadline = deadline_in(DNS_WAIT_MS);
	struct hosts hosts = { .count = 0 };
	bool found = false;
	if (literal(domain, &inside))
		return c->word->how == DNS_NS ? DUNNO
					      : no_permit(w, c, check_host(w, c, inside, name, deadline, &found), text);
	domain = domain_for_dns(domain, w->run->mem);
	int r = DNS_OK;
	if (c->word->how == DNS_MX) r = find_mx(w, domain, deadline, &hosts);
	else if (c->word->how == DNS_NS) r = find_ns(w, &domain, deadline, &hosts);
	else hosts = (struct hosts){ &domain, 1 };
	if (r != DNS_OK) {
		warn(w, "Unable to look up %s host for %.*s: %s", type_name(c->word->how), SLICE_ARG(text),
		     r == DNS_LATER ? "no answer" : "Host found but no data record of requested type");
		return DUNNO;
	}
	enum result result = DUNNO;
	for (size_t i = 0; i < MIN_OF(hosts.count, (size_t)SERVERS_MAX) && !found; i++)
		result = check_host(w, c, hosts.at[i], name, deadline, &found);
	return no_permit(w, c, result, text);
}
