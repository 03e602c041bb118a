/* SPDX-License-Identifier: Apache-2.0 */
/* Record data into structs. A record that does not keep to its form is left out: one broken line in somebody's zone
 * must not hide the others. */
#include "base/fail.h"
#include "base/encode.h"
#include "net/dns_private.h"

static int one(struct dns *d, struct slice name, int type, int64_t deadline, struct arena *mem,
	struct dns_answer *answer, struct dns_facts *facts) {
	char text[DNS_TEXT_ROOM];
	*answer = (struct dns_answer){ .result = DNS_NXDOMAIN, .facts.canonical = name };
	if (dns_name_check(name, text)) dns_ask(d, text, &type, 1, deadline, mem, answer);
	if (answer->result == DNS_LATER) fail("%s", answer->why);
	else if (facts != NULL) *facts = answer->facts;
	return answer->result;
}

int dns_query(struct dns *d, struct slice name, int type, int64_t deadline, struct arena *mem, struct slice **out,
	size_t *count, struct dns_facts *facts) {
	struct dns_answer a;
	int r = one(d, name, type, deadline, mem, &a, facts);
	if (r != DNS_OK) return r;
	*out = a.rdata;
	*count = a.count;
	return DNS_OK;
}

static int mx_order(const void *a, const void *b) {
	return ((const struct dns_mx *)a)->preference - ((const struct dns_mx *)b)->preference;
}

static uint16_t number_at(struct slice data, size_t at) {
	return (uint16_t)((unsigned char)data.at[at] << 8 | (unsigned char)data.at[at + 1]);
}

int dns_mx(struct dns *d, struct slice domain, int64_t deadline, struct arena *mem, struct dns_mx **out, size_t *count,
           struct dns_facts *facts) {
	struct dns_answer a;
	int r = one(d, domain, DNS_MX, deadline, mem, &a, facts);
	if (r != DNS_OK) return r;
	struct dns_mx *mx = arena_array(mem, a.count, sizeof *mx);
	size_t n = 0;
	for (size_t i = 0; i < a.count; i++) {
		struct slice rest = slice_skip(a.rdata[i], 2);
		if (a.rdata[i].len < 3 || !dns_name_take(&rest, mem, &mx[n].host)) continue;
		mx[n++].preference = number_at(a.rdata[i], 0);
	}
	qsort(mx, n, sizeof *mx, mx_order);
	if (n == 0) return DNS_NODATA;
	*out = mx;
	*count = n;
	return DNS_OK;
}

static void srv_arrange(struct dns_srv *list, size_t count) {
	for (size_t i = 0; i < count; i++) {
		uint16_t best = UINT16_MAX;
		uint64_t tickets = 0;
		size_t found = i;
		for (size_t k = i; k < count; k++) best = MIN_OF(best, list[k].priority);
		for (size_t k = i; k < count; k++) tickets += list[k].priority == best ? list[k].weight + 1u : 0;
		uint64_t drawn = random_below(tickets);
		while (list[found].priority != best || drawn > list[found].weight) {
			if (list[found].priority == best) drawn -= list[found].weight + 1u;
			found++;
		}
		struct dns_srv keep = list[i];
		list[i] = list[found];
		list[found] = keep;
	}
}

int dns_srv(struct dns *d, struct slice name, int64_t deadline, struct arena *mem, struct dns_srv **out, size_t *count,
            struct dns_facts *facts) {
	struct dns_answer a;
	int r = one(d, name, DNS_SRV, deadline, mem, &a, facts);
	if (r != DNS_OK) return r;
	struct dns_srv *list = arena_array(mem, a.count, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; i < a.count; i++) {
		struct slice data = a.rdata[i], rest = slice_skip(data, 6);
		if (data.len < 7 || !dns_name_take(&rest, mem, &list[n].host)) continue;
		list[n].priority = number_at(data, 0);
		list[n].weight = number_at(data, 2);
		list[n++].port = number_at(data, 4);
	}
	srv_arrange(list, n);
	if (n == 0) return DNS_NODATA;
	*out = list;
	*count = n;
	return DNS_OK;
}

int dns_addresses(struct dns *d, struct slice host, unsigned families, int64_t deadline, struct arena *mem,
	struct addr **out, size_t *count, struct dns_facts *facts) {
	static const struct { unsigned flag; int type, family; } kinds[] = {
		{ DNS_IPV6, DNS_AAAA, AF_INET6 }, { DNS_IPV4, DNS_A, AF_INET } };
	char text[DNS_TEXT_ROOM];
	struct dns_answer a[LEN(kinds)] = {0};
	int types[LEN(kinds)], family[LEN(kinds)], r = DNS_NXDOMAIN;
	size_t asked = 0, n = 0;
	for (size_t i = 0; i < LEN(kinds); i++) {
		if ((families & kinds[i].flag) == 0) continue;
		types[asked] = kinds[i].type;
		family[asked++] = kinds[i].family;
	}
	if (asked == 0 || !dns_name_check(host, text)) return DNS_NXDOMAIN;
	dns_ask(d, text, types, asked, deadline, mem, a);
	struct addr *list = arena_array(mem, a[0].count + a[1].count, sizeof *list);
	/* What failed does not make the rest less secure: else, who suppresses an AAAA answer has switched DANE off. */
	struct dns_facts all = { .secure = true, .ttl = UINT32_MAX };
	bool later = false;
	for (size_t i = 0; i < asked; i++) {
		if (a[i].result == DNS_LATER) {
			fail("%s", a[i].why);
			later = true;
			continue;
		}
		for (size_t k = 0; k < a[i].count; k++)
			n += addr_from_bytes(a[i].rdata[k], 0, &list[n]) && addr_family(&list[n]) == family[i];
		if (a[i].result != DNS_NXDOMAIN) r = DNS_NODATA; /* the name exists */
		all.secure = all.secure && a[i].facts.secure;
		all.ttl = MIN_OF(all.ttl, a[i].facts.ttl);
		all.canonical = a[i].facts.canonical;
	}
	if (n == 0 && later) return DNS_LATER;
	if (facts != NULL) *facts = all;
	if (n == 0) return r;
	*out = list;
	*count = n;
	return DNS_OK;
}

int dns_ptr(struct dns *d, const struct addr *a, int64_t deadline, struct arena *mem, struct slice **out, size_t *count,
            struct dns_facts *facts) {
	struct slice reversed = dns_reversed(a, mem);
	struct slice name =
		arena_fmt(mem, "%.*s%s", SLICE_ARG(reversed), addr_family(a) == AF_INET ? "in-addr.arpa" : "ip6.arpa");
	struct dns_answer answer;
	int r = one(d, name, DNS_PTR, deadline, mem, &answer, facts);
	if (r != DNS_OK) return r;
	struct slice *names = arena_array(mem, answer.count, sizeof *names);
	size_t n = 0;
	for (size_t i = 0; i < answer.count; i++) {
		struct slice rest = answer.rdata[i];
		n += dns_name_take(&rest, mem, &names[n]) && names[n].len != 0;
	}
	if (n == 0) return DNS_NODATA;
	*out = names;
	*count = n;
	return DNS_OK;
}

static struct slice txt_join(struct slice rdata, struct arena *mem) {
	char *text = arena_get(mem, rdata.len + 1);
	size_t len = 0;
	while (rdata.len != 0) {
		struct slice part = slice_head(slice_skip(rdata, 1), (unsigned char)rdata.at[0]);
		memcpy(text + len, part.at, part.len);
		len += part.len;
		rdata = slice_skip(rdata, part.len + 1);
	}
	return slice_from(text, len);
}

int dns_txt(struct dns *d, struct slice name, int64_t deadline, struct arena *mem, struct slice **out, size_t *count,
            struct dns_facts *facts) {
	struct dns_answer a;
	int r = one(d, name, DNS_TXT, deadline, mem, &a, facts);
	if (r != DNS_OK) return r;
	for (size_t i = 0; i < a.count; i++) a.rdata[i] = txt_join(a.rdata[i], mem);
	*out = a.rdata;
	*count = a.count;
	return DNS_OK;
}

int dns_tlsa(struct dns *d, struct slice name, int64_t deadline, struct arena *mem, struct dns_tlsa **out,
	size_t *count, struct dns_facts *facts) {
	struct dns_answer a;
	int r = one(d, name, DNS_TLSA, deadline, mem, &a, facts);
	if (r != DNS_OK) return r;
	struct dns_tlsa *list = arena_array(mem, a.count, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; i < a.count; i++) {
		const unsigned char *b = (const unsigned char *)a.rdata[i].at;
		if (a.rdata[i].len > 3) list[n++] = (struct dns_tlsa){ b[0], b[1], b[2], slice_skip(a.rdata[i], 3) };
	}
	if (n == 0) return DNS_NODATA;
	*out = list;
	*count = n;
	return DNS_OK;
}
