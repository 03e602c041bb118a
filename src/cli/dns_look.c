/* SPDX-License-Identifier: Apache-2.0 */
/* Each record is asked for as strangers ask for it. As long as answers come there is time for the next; a resolver that
 * is silent costs one wait, and everything behind it is "unknown" at once. */
#include "admin/text.h"
#include "base/clock.h"
#include "base/fail.h"
#include "cli/dns.h"

enum { ANSWER_MS = 10000 };

int64_t dns_until(const struct dns_looking *l) {
	return MIN_OF(l->deadline, l->end);
}

int dns_seen(struct dns_looking *l, int result) {
	if (result != DNS_LATER) l->deadline = deadline_in(ANSWER_MS);
	return result;
}

struct slice dns_shown(struct arena *mem, struct slice text) {
	AUTO_BUF struct buf clean = BUF(MIB(1));
	text_clean(&clean, text);
	return arena_slice(mem, buf_slice(&clean));
}

struct dns_row *dns_row_add(struct dns_looking *l, struct dns_sheet *s, const char *type, struct slice name,
			    struct slice value) {
	if (s->count == s->room) {
		s->room = MAX_OF(s->room * 2, (size_t)16);
		struct dns_row *more = arena_array(l->mem, s->room, sizeof *more);
		if (s->count != 0) memcpy(more, s->rows, s->count * sizeof *more);
		s->rows = more;
	}
	struct dns_row *row = &s->rows[s->count++];
	*row = (struct dns_row){ .name = name, .type = slice_of(type), .value = value, .state = DNS_ROW_MISSING };
	return row;
}

void dns_row_unknown(struct dns_looking *l, struct dns_row *row) {
	row->state = DNS_ROW_UNKNOWN;
	row->reason = arena_slice(l->mem, slice_of(fail_text()));
}

static struct slice text_of(struct dns_looking *l, const struct addr *a) {
	char room[ADDR_TEXT_ROOM];
	return arena_fmt(l->mem, "%s", addr_text(a, room));
}

/* ---- the host ---- */

static const char *family_type(const struct addr *a) {
	return addr_family(a) == AF_INET6 ? "AAAA" : "A";
}

static struct slice list_of(struct dns_looking *l, const struct addr *list, size_t count) {
	AUTO_BUF struct buf text = BUF(KIB(16));
	for (size_t i = 0; i < count; i++)
		buf_addf(&text, "%s%.*s", i != 0 ? ", " : "", SLICE_ARG(text_of(l, &list[i])));
	return arena_slice(l->mem, buf_slice(&text));
}

struct host_answer {
	int result;
	struct addr *list;
	size_t count;
	struct dns_facts facts;
};

static void judge_address(struct dns_looking *l, struct dns_row *row, const struct addr *own,
			  const struct host_answer *h) {
	if (h->result == DNS_LATER) return dns_row_unknown(l, row);
	struct addr *same = arena_array(l->mem, h->count + 1, sizeof *same);
	size_t n = 0;
	for (size_t i = 0; i < h->count; i++) {
		if (addr_same_host(&h->list[i], own)) row->state = DNS_ROW_RIGHT;
		if (addr_family(&h->list[i]) == addr_family(own)) same[n++] = h->list[i];
	}
	if (row->state == DNS_ROW_RIGHT || n == 0) return;
	row->state = DNS_ROW_DIFFERS;
	row->found = list_of(l, same, n);
	row->reason = S("if that is where strangers reach this server, set proxy_interfaces to it");
}

/* This machine has no address that strangers see: those in DNS are believed. */
static void take_addresses(struct dns_looking *l, struct dns_sheet *s, const struct host_answer *h) {
	for (size_t i = 0; i < h->count && i < DNS_OWN_MAX; i++) {
		l->own->faces.at[l->own->faces.count++] = h->list[i];
		struct dns_row *row =
			dns_row_add(l, s, family_type(&h->list[i]), l->own->host, text_of(l, &h->list[i]));
		row->state = DNS_ROW_RIGHT;
	}
	if (l->own->sends.count == 0) l->own->sends = l->own->faces;
	if (h->count != 0) return;
	struct dns_row *row = dns_row_add(l, s, "A", l->own->host, SLICE_NONE);
	if (h->result == DNS_LATER)
		dns_row_unknown(l, row);
	else
		row->reason = S("which address strangers reach this server by is not known here: set proxy_interfaces");
}

static void look_addresses(struct dns_looking *l, struct dns_sheet *s) {
	struct host_answer h = { 0 };
	h.result = dns_seen(l, dns_addresses(l->dns, l->own->host, DNS_IPV4 | DNS_IPV6, dns_until(l), l->mem, &h.list,
					     &h.count, &h.facts));
	if (h.result != DNS_OK) h.count = 0;
	if (l->own->faces.count == 0)
		take_addresses(l, s, &h);
	else
		for (size_t i = 0; i < l->own->faces.count; i++) {
			const struct addr *a = &l->own->faces.at[i];
			judge_address(l, dns_row_add(l, s, family_type(a), l->own->host, text_of(l, a)), a, &h);
		}
	if (h.result == DNS_OK && !slice_same(h.facts.canonical, l->own->host) && s->count != 0) {
		s->rows[0].state = DNS_ROW_DIFFERS;
		s->rows[0].found = arena_fmt(l->mem, "CNAME %.*s", SLICE_ARG(h.facts.canonical));
		s->rows[0].reason = S("an MX must not lead to an alias (RFC 2181, 10.3): publish the address itself");
	}
}

static void look_name_of(struct dns_looking *l, struct dns_sheet *s, const struct addr *a) {
	struct slice *names, reversed = dns_reversed(a, l->mem);
	size_t n = 0;
	const char *end = addr_family(a) == AF_INET6 ? "ip6.arpa" : "in-addr.arpa";
	struct dns_row *row =
		dns_row_add(l, s, "PTR", arena_fmt(l->mem, "%.*s%s", SLICE_ARG(reversed), end), l->own->helo);
	row->elsewhere = true;
	row->optional = l->own->relay.len != 0; /* others see the relayhost's */
	int r = dns_seen(l, dns_ptr(l->dns, a, dns_until(l), l->mem, &names, &n, NULL));
	if (r == DNS_LATER) return dns_row_unknown(l, row);
	AUTO_BUF struct buf found = BUF(KIB(16));
	for (size_t i = 0; r == DNS_OK && i < n; i++) {
		if (slice_same(names[i], l->own->helo)) row->state = DNS_ROW_RIGHT;
		buf_addf(&found, "%s%.*s", i != 0 ? ", " : "", SLICE_ARG(names[i]));
	}
	if (row->state == DNS_ROW_RIGHT) return;
	if (found.len != 0) row->state = DNS_ROW_DIFFERS;
	row->found = arena_slice(l->mem, buf_slice(&found));
	row->reason = arena_fmt(l->mem,
				"whoever gave you %.*s sets it (your provider's panel); without it large "
				"providers refuse mail",
				SLICE_ARG(text_of(l, a)));
}

void dns_look_host(struct dns_looking *l, struct dns_sheet *out) {
	*out = (struct dns_sheet){ .name = l->own->host, .note = S("this server") };
	look_addresses(l, out);
	for (size_t i = 0; i < l->own->sends.count; i++) look_name_of(l, out, &l->own->sends.at[i]);
	if (l->own->relay.len == 0 && l->own->sends.count != 0) dns_look_helo_spf(l, out);
}

/* ---- a domain ---- */

static void look_mx(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s) {
	struct dns_mx *mx;
	size_t n = 0;
	AUTO_BUF struct buf found = BUF(KIB(16));
	struct dns_row *row = dns_row_add(l, s, "MX", d->name, arena_fmt(l->mem, "10 %.*s", SLICE_ARG(l->own->host)));
	int r = dns_seen(l, dns_mx(l->dns, d->name, dns_until(l), l->mem, &mx, &n, NULL));
	if (r == DNS_LATER) return dns_row_unknown(l, row);
	if (r == DNS_NXDOMAIN) row->reason = S("the domain itself is not in DNS");
	for (size_t i = 0; r == DNS_OK && i < n; i++) {
		struct slice text = arena_fmt(l->mem, "%u %.*s", mx[i].preference, SLICE_ARG(mx[i].host));
		buf_addf(&found, "%s%.*s", i != 0 ? ", " : "", SLICE_ARG(text));
		if (slice_same(mx[i].host, l->own->host) && row->state != DNS_ROW_RIGHT) {
			row->state = DNS_ROW_RIGHT;
			row->value = text;
		}
	}
	if (row->state == DNS_ROW_RIGHT || r != DNS_OK || n == 0) return;
	row->state = DNS_ROW_DIFFERS;
	row->found = arena_slice(l->mem, buf_slice(&found));
	row->reason = dns_mx_is_null(mx, n) ? S("\"MX 0 .\" says that the domain takes no mail (RFC 7505)")
					    : S("its mail goes to other servers");
}

static const struct service_name {
	const char *label;
	enum service_role role;
	uint16_t port;
} service_names[] = {
	{ "_submissions._tcp", SERVICE_SMTPD, 465 }, { "_submission._tcp", SERVICE_SMTPD, 587 },
	{ "_imaps._tcp", SERVICE_IMAPD, 993 },       { "_imap._tcp", SERVICE_IMAPD, 143 },
	{ "_pop3s._tcp", SERVICE_POP3D, 995 },       { "_pop3._tcp", SERVICE_POP3D, 110 },
};

static bool is_served(const struct conf *conf, const struct service_name *name) {
	size_t n;
	const struct conf_service *s = conf_services(conf, &n);
	for (size_t i = 0; i < n; i++)
		if (s[i].type == SERVICE_INET && s[i].role == name->role && s[i].port == name->port) return true;
	return false;
}

/* Where mail programs find the servers by the address alone (RFC 6186, RFC 8314 §5.1). */
static void look_service(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *s,
			 const struct service_name *service) {
	struct dns_srv *srv;
	size_t n = 0;
	struct slice name = arena_fmt(l->mem, "%s.%.*s", service->label, SLICE_ARG(d->name));
	struct dns_row *row = dns_row_add(l, s, "SRV", name,
					  arena_fmt(l->mem, "0 1 %u %.*s", service->port, SLICE_ARG(l->own->host)));
	row->optional = true;
	int r = dns_seen(l, dns_srv(l->dns, name, dns_until(l), l->mem, &srv, &n, NULL));
	if (r == DNS_LATER) return dns_row_unknown(l, row);
	for (size_t i = 0; r == DNS_OK && i < n; i++) {
		row->state = DNS_ROW_DIFFERS;
		row->found = arena_fmt(l->mem, "%u %u %u %.*s", srv[i].priority, srv[i].weight, srv[i].port,
				       SLICE_ARG(srv[i].host));
		if (!slice_same(srv[i].host, l->own->host) || srv[i].port != service->port) continue;
		row->state = DNS_ROW_RIGHT;
		row->value = row->found;
		row->found = SLICE_NONE;
		return;
	}
}

static void hint(struct dns_looking *l, const struct dns_domain *d) {
	dns_hint(l->dns, d->name, DNS_TXT);
	if (d->received) dns_hint(l->dns, d->name, DNS_MX);
	dns_hint(l->dns, arena_fmt(l->mem, "_dmarc.%.*s", SLICE_ARG(d->name)), DNS_TXT);
}

void dns_look_domain(struct dns_looking *l, const struct dns_domain *d, struct dns_sheet *out) {
	size_t keys = 0;
	for (size_t i = 0; i < l->keys_count; i++) keys += slice_same(l->keys[i].domain, d->name);
	*out = (struct dns_sheet){ .name = d->name,
				   .note = d->received ? S("mail for it is received here")
					   : keys != 0 ? S("its mail is signed here, and not received")
						       : S("no mail for it is received here, no key signs for it") };
	hint(l, d);
	bool is_host = slice_same(d->name, l->own->host);
	if (d->received && !is_host) look_mx(l, d, out);
	if (!is_host || l->own->relay.len != 0) dns_look_spf(l, d, out); /* the host's own: with the host */
	dns_look_dkim(l, d, out);
	if (!d->below) dns_look_dmarc(l, d, out);
	if (d->reports.len != 0) dns_look_tlsrpt(l, d, out);
	for (size_t i = 0; d->received && !is_host && i < LEN(service_names); i++)
		if (is_served(l->conf, &service_names[i])) look_service(l, d, out, &service_names[i]);
}
