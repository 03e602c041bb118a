/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A name service in a table: these functions take the place of net/dns.c in a test program. The table fake_zone is the
 * test's: { name, "MX 10 host" | "A 192.0.2.1" | "LATER" | "NODATA" }, in any order. What is not in it does not exist.
 */
#include "base/fail.h"
#include "net/dns.h"
#include "smtp/hosts.h"
#include "base/test.h"

#define FAIL(...) (print_error(__VA_ARGS__), print_error("\n"), assert_true(false))

struct fake_record { const char *name, *data; };
static const struct fake_record fake_zone[];
static int fake_lookups;

/* DNS_OK: at least one record whose data starts with type; *from is where to go on. */
static const char *fake_next(struct slice name, const char *type, size_t *from) {
	for (; fake_zone[*from].name != NULL; (*from)++) {
		const struct fake_record *r = &fake_zone[*from];
		if (!slice_same(slice_of(r->name), name) || strncmp(r->data, type, strlen(type)) != 0) continue;
		(*from)++;
		return r->data + strlen(type);
	}
	return NULL;
}

static int fake_absence(struct slice name) {
	size_t at = 0;
	if (fake_next(name, "LATER", &at) != NULL) {
		fail("server failure");
		return DNS_LATER;
	}
	at = 0;
	return fake_next(name, "", &at) != NULL ? DNS_NODATA : DNS_NXDOMAIN;
}

int dns_mx(struct dns *d, struct slice domain, int64_t deadline, struct arena *mem, struct dns_mx **out, size_t *count,
	struct dns_facts *facts) {
	(void)d, (void)deadline, (void)facts;
	const char *data;
	struct dns_mx *list = arena_array(mem, 100, sizeof *list);
	size_t n = 0;
	fake_lookups++;
	for (size_t at = 0; (data = fake_next(domain, "MX ", &at)) != NULL && n < 100; n++) {
		struct slice rest = slice_of(data), number = slice_word(&rest, " ");
		uint64_t preference = 0;
		assert_true(slice_number(number, UINT16_MAX, &preference));
		list[n] = (struct dns_mx){ (uint16_t)preference, slice_trim(rest) };
		if (slice_eq(list[n].host, S("."))) list[n].host.len = 0;
		for (size_t i = n; i > 0 && list[i].preference < list[i - 1].preference; i--) {
			struct dns_mx keep = list[i];
			list[i] = list[i - 1];
			list[i - 1] = keep;
		}
	}
	if (n == 0) return fake_absence(domain);
	*out = list;
	*count = n;
	return DNS_OK;
}

int dns_addresses(struct dns *d, struct slice host, unsigned families, int64_t deadline, struct arena *mem,
	struct addr **out, size_t *count, struct dns_facts *facts) {
	(void)d, (void)deadline, (void)facts;
	const char *data;
	struct addr *list = arena_array(mem, 100, sizeof *list);
	size_t n = 0;
	fake_lookups++;
	for (size_t at = 0; (families & DNS_IPV6) && (data = fake_next(host, "AAAA ", &at)) != NULL; n++)
		assert_true(addr_parse(slice_of(data), &list[n]));
	for (size_t at = 0; (families & DNS_IPV4) && (data = fake_next(host, "A ", &at)) != NULL; n++)
		assert_true(addr_parse(slice_of(data), &list[n]));
	if (n == 0) return fake_absence(host);
	*out = list;
	*count = n;
	return DNS_OK;
}

/* "SRV 0 1 587 host" */
int dns_srv(struct dns *d, struct slice name, int64_t deadline, struct arena *mem, struct dns_srv **out, size_t *count,
	struct dns_facts *facts) {
	(void)d, (void)deadline, (void)facts;
	const char *data;
	struct dns_srv *list = arena_array(mem, 100, sizeof *list);
	size_t n = 0;
	fake_lookups++;
	for (size_t at = 0; (data = fake_next(name, "SRV ", &at)) != NULL && n < 100; n++) {
		unsigned priority, weight, port;
		int end = 0;
		assert_int_equal(sscanf(data, "%u %u %u %n", &priority, &weight, &port, &end), 3);
		list[n] =
			(struct dns_srv){ (uint16_t)priority, (uint16_t)weight, (uint16_t)port, slice_of(data + end) };
		if (slice_eq(list[n].host, S("."))) list[n].host.len = 0;
	}
	if (n == 0) return fake_absence(name);
	*out = list;
	*count = n;
	return DNS_OK;
}

int dns_tlsa(struct dns *d, struct slice name, int64_t deadline, struct arena *mem, struct dns_tlsa **out,
	     size_t *count, struct dns_facts *facts);
int dns_tlsa(struct dns *d, struct slice name, int64_t deadline, struct arena *mem, struct dns_tlsa **out,
	     size_t *count, struct dns_facts *facts) {
	(void)d, (void)deadline, (void)mem, (void)out, (void)count, (void)facts;
	return fake_absence(name);
}

bool dns_to_ascii(struct slice domain, struct arena *mem, struct slice *out) {
	if (domain.len > 253 || slice_find(domain, ' ') < domain.len || slice_search(domain, S("..")) < domain.len)
		return false;
	*out = arena_lower(mem, domain);
	return true;
}
