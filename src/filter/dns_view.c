/* SPDX-License-Identifier: Apache-2.0 */
#include "filter/dns_view.h"
#include "base/fail.h"

#include <netinet/in.h>

struct seen { /* an answer being looked through */
	const struct dns_view *view;
	struct arena *mem;
	struct slice name;
	struct dns_facts facts;
	bool broken;
};

static bool is_on(const struct dns_view *v) {
	return v->filter != NULL && v->filter->tables.count != 0;
}

static bool kept(struct seen *s, const char *type, struct slice data) {
	struct slice owner = s->facts.canonical.len != 0 ? s->facts.canonical : s->name;
	int r = dns_filter_judge(s->view->filter, dns_record_text(owner, &s->facts, type, data, s->mem), s->mem);
	s->broken |= r < 0;
	return r <= 0;
}

static int outcome(const struct seen *s, size_t before, size_t now) {
	if (s->broken) return fail("smtpd_dns_reply_filter cannot tell"), DNS_LATER;
	return now == 0 && before != 0 ? DNS_FILTERED : DNS_OK;
}

int dns_view_mx(const struct dns_view *v, struct slice domain, int64_t deadline, struct arena *mem, struct dns_mx **out,
		size_t *count) {
	struct seen s = { .view = v, .mem = mem, .name = domain };
	int r = dns_mx(v->dns, domain, deadline, mem, out, count, &s.facts);
	if (r != DNS_OK || !is_on(v)) return r;
	size_t n = 0, before = *count;
	for (size_t i = 0; i < before; i++) {
		struct dns_mx *mx = &(*out)[i];
		struct slice data = arena_fmt(mem, "%u %.*s.", mx->preference, SLICE_ARG(mx->host));
		if (kept(&s, "MX", data)) (*out)[n++] = *mx;
	}
	*count = n;
	return outcome(&s, before, n);
}

int dns_view_addresses(const struct dns_view *v, struct slice host, int64_t deadline, struct arena *mem,
		       struct addr **out, size_t *count) {
	struct seen s = { .view = v, .mem = mem, .name = host };
	int r = dns_addresses(v->dns, host, DNS_IPV4 | DNS_IPV6, deadline, mem, out, count, &s.facts);
	if (r != DNS_OK || !is_on(v)) return r;
	size_t n = 0, before = *count;
	for (size_t i = 0; i < before; i++) {
		char text[ADDR_TEXT_ROOM];
		struct addr a = (*out)[i];
		bool v6 = addr_family(&a) == AF_INET6;
		if (kept(&s, v6 ? "AAAA" : "A", slice_of(addr_text(&a, text)))) (*out)[n++] = a;
	}
	*count = n;
	return outcome(&s, before, n);
}

int dns_view_ipv4(const struct dns_view *v, struct slice name, int64_t deadline, struct arena *mem, struct slice **out,
		  size_t *count) {
	struct seen s = { .view = v, .mem = mem, .name = name };
	int r = dns_query(v->dns, name, DNS_A, deadline, mem, out, count, &s.facts);
	if (r != DNS_OK) return r;
	size_t n = 0, before = *count;
	for (size_t i = 0; i < before; i++) {
		struct slice bytes = (*out)[i];
		const uint8_t *o = (const uint8_t *)bytes.at;
		if (bytes.len != 4) continue;
		struct slice text = arena_fmt(mem, "%u.%u.%u.%u", o[0], o[1], o[2], o[3]);
		if (!is_on(v) || kept(&s, "A", text)) (*out)[n++] = bytes;
	}
	*count = n;
	return outcome(&s, before, n);
}

int dns_view_txt(const struct dns_view *v, struct slice name, int64_t deadline, struct arena *mem, struct slice **out,
		 size_t *count) {
	struct seen s = { .view = v, .mem = mem, .name = name };
	int r = dns_txt(v->dns, name, deadline, mem, out, count, &s.facts);
	if (r != DNS_OK || !is_on(v)) return r;
	size_t n = 0, before = *count;
	for (size_t i = 0; i < before; i++) {
		struct slice text = (*out)[i];
		if (kept(&s, "TXT", text)) (*out)[n++] = text;
	}
	*count = n;
	return outcome(&s, before, n);
}
