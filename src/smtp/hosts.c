/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups stop as soon as whole groups of equal preference fill the address limit: a domain with a hundred MX hosts
 * costs what one with five does, and a group is never judged by half of it (we ourselves may be the other half). */
#include "smtp/hosts.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "net/dns.h"

#include <netdb.h>

enum { LOOKUPS_MAX = 20, DEFAULT_PORT = 25, DEFAULT_ADDRESSES = 5 };

struct finding {
	const struct smtp_hosts_params *params;
	struct arena *mem;
	struct smtp_hosts *out;
	struct slice domain;      /* in ASCII */
	uint16_t port;
	bool named_port;
	int64_t deadline;
	size_t room, lookups;
	unsigned self;            /* the best preference at which we met ourselves; UINT_MAX: not met */
	bool later;               /* some name could not be looked up now */
	bool filtered;            /* records were there, and all of some kind were left out */
	struct slice unjudged;    /* a record that the filter could not judge, in words */
	struct slice mx_domain;   /* while MX hosts are looked up: whose they are, … */
	bool mx_secure;           /* … and whether that is proved */
	struct slice trouble;     /* the last look-up that gave nothing, in words */
};

static enum smtp_hosts_answer answer(
	struct finding *f, enum smtp_hosts_answer a, const char *status, struct slice text) {
	f->out->list = NULL;
	f->out->count = 0;
	snprintf(f->out->status, sizeof f->out->status, "%s", status);
	f->out->text = text;
	return a;
}

static struct slice name_error(struct finding *f, struct slice name, const char *type, int result) {
	static const char *const why[] = {
		[DNS_NODATA] = "Host found but no data record of requested type",
		[DNS_NXDOMAIN] = "Host not found",
		[DNS_LATER] = "Host not found, try again",
	};
	const char *words = result > 0 && (size_t)result < LEN(why) ? why[result] : fail_text();
	return arena_fmt(f->mem, "Host or domain name not found. Name service error for name=%.*s type=%s: %s",
		SLICE_ARG(name), type, words);
}

static bool own_name(const struct smtp_hosts_params *p, struct slice name) {
	for (size_t i = 0; i < p->own_names_count; i++)
		if (slice_same(p->own_names[i], name)) return true;
	return false;
}

/* Only an address of this machine can be bound: no list of interfaces to keep up to date. */
static bool on_this_machine(const struct addr *a) {
	struct addr any_port = *a;
	addr_set_port(&any_port, 0);
	AUTO_FD int fd = socket(addr_family(a), SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && bind(fd, &any_port.any, any_port.len) == 0;
}

static bool own_address(const struct smtp_hosts_params *p, const struct addr *a) {
	for (size_t i = 0; i < p->own_addresses_count; i++) {
		const struct addr *own = &p->own_addresses[i];
		if (addr_port(own) != 0 && addr_port(own) != addr_port(a)) continue;
		if (addr_same_host(own, a)) return true;
		if (addr_is_any(own) && addr_family(own) == addr_family(a) && on_this_machine(a)) return true;
	}
	return false;
}

static bool family_allowed(const struct smtp_hosts_params *p, int family) {
	return family == AF_INET ? !p->no_ipv4 : !p->no_ipv6;
}

/* Shall a record be left out? data: as it stands in a zone file. */
static bool ignored(struct finding *f, struct slice name, const struct dns_facts *facts, const char *type,
		    struct slice data) {
	const struct smtp_hosts_params *p = f->params;
	if (p->ignore_record == NULL) return false;
	int r = p->ignore_record(p->ignore_ctx, dns_record_text(name, facts, type, data, f->mem), f->mem);
	if (r < 0)
		f->unjudged = arena_fmt(f->mem, "Error looking up name=%.*s type=%s: Invalid DNS reply filter syntax",
					SLICE_ARG(name), type);
	return r != 0;
}

static struct slice all_filtered(struct finding *f, struct slice name, const char *type) {
	f->filtered = true;
	return arena_fmt(f->mem, "Error looking up name=%.*s type=%s: DNS reply filter drops all results",
			 SLICE_ARG(name), type);
}

static struct smtp_host *add_host(struct finding *f, struct slice name, struct addr addr, unsigned preference) {
	if (addr_port(&addr) == 0) addr_set_port(&addr, f->port);
	if (own_address(f->params, &addr)) f->self = MIN_OF(f->self, preference);
	if (f->out->count == f->room) {
		size_t room = f->room == 0 ? 16 : f->room * 2;
		struct smtp_host *list = arena_array(f->mem, room, sizeof *list);
		for (size_t i = 0; i < f->out->count; i++) list[i] = f->out->list[i];
		f->out->list = list;
		f->room = room;
	}
	struct smtp_host *host = &f->out->list[f->out->count++];
	*host = (struct smtp_host){ .name = arena_slice(f->mem, name),
				    .addr = addr,
				    .preference = preference,
				    .domain = f->mx_domain,
				    .domain_secure = f->mx_secure,
				    .named_port = f->named_port };
	return host;
}

/* What the system knows, in its own way (nsswitch.conf). False: nothing. */
static bool look_up_native(struct finding *f, struct slice name, unsigned preference) {
	const struct smtp_hosts_params *p = f->params;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	bool any = false;
	int r = getaddrinfo(arena_text(f->mem, name), NULL, &hints, &list);
	if (r != 0) {
		f->later |= r == EAI_AGAIN;
		f->trouble = arena_fmt(f->mem, "unable to look up host %.*s: %s", SLICE_ARG(name), gai_strerror(r));
		return false;
	}
	for (const struct addrinfo *i = list; i != NULL; i = i->ai_next) {
		struct addr a;
		if (!addr_from_sockaddr(i->ai_addr, i->ai_addrlen, &a)) continue;
		if (addr_family(&a) == AF_INET ? p->no_ipv4 : p->no_ipv6) continue;
		addr_set_port(&a, 0);
		add_host(f, name, a, preference);
		any = true;
	}
	freeaddrinfo(list);
	return any;
}

static struct slice address_text(struct finding *f, const struct addr *a) {
	char text[ADDR_TEXT_ROOM];
	return arena_slice(f->mem, slice_of(addr_text(a, text)));
}

static void add_found(struct finding *f, struct slice name, const struct dns_facts *facts, struct addr addr,
		      unsigned preference) {
	bool alias = facts->canonical.len != 0 && !slice_same(facts->canonical, name);
	const char *type = addr_family(&addr) == AF_INET ? "A" : "AAAA";
	if (ignored(f, alias ? facts->canonical : name, facts, type, address_text(f, &addr))) return;
	struct smtp_host *host = add_host(f, name, addr, preference);
	host->secure = facts->secure;
	if (alias && facts->secure) host->canonical = facts->canonical;
}

/* The names that one name may stand for, in the order of res_search(3); SLICE_NONE: no more. */
static struct slice candidate(const struct finding *f, struct slice name, size_t i) {
	const struct smtp_hosts_params *p = f->params;
	bool dotted = slice_find(name, '.') < name.len;
	size_t n = !dotted && p->default_domain ? MIN_OF(p->search_count, (size_t)1) : 0;
	if (p->search_domains) n = p->search_count;
	if (i > n) return SLICE_NONE;
	if (i == (dotted ? 0 : n)) return name;
	return arena_fmt(f->mem, "%.*s.%.*s", SLICE_ARG(name), SLICE_ARG(p->search[dotted ? i - 1 : i]));
}

static bool is_absent(int r) {
	return r == DNS_NODATA || r == DNS_NXDOMAIN;
}

/* What a name leads to; port 0: the next hop's. */
static void look_up_host(struct finding *f, struct slice name, unsigned preference, uint16_t port) {
	const struct smtp_hosts_params *p = f->params;
	if (p->no_dns) {
		f->lookups++;
		look_up_native(f, name, preference);
		return;
	}
	unsigned families = (p->no_ipv4 ? 0 : DNS_IPV4) | (p->no_ipv6 ? 0 : DNS_IPV6);
	struct addr *addrs = NULL;
	struct dns_facts facts = { 0 };
	size_t count = 0, before = f->out->count;
	f->lookups++;
	int r = DNS_NXDOMAIN;
	struct slice asked = name;
	for (size_t i = 0; is_absent(r) && (asked = candidate(f, name, i)).len != 0; i++)
		r = dns_addresses(p->dns, asked, families, f->deadline, f->mem, &addrs, &count, &facts);
	if (r == DNS_OK) name = asked;
	if (r != DNS_OK) {
		if (p->native && look_up_native(f, name, preference)) return;
		f->later |= r == DNS_LATER || r < 0;
		f->trouble = name_error(f, name, p->no_ipv6 ? "A" : "AAAA", r);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (port != 0) addr_set_port(&addrs[i], port);
		add_found(f, name, &facts, addrs[i], preference);
	}
	if (f->out->count == before) f->trouble = all_filtered(f, name, p->no_ipv6 ? "A" : "AAAA");
}

static void swap_hosts(struct smtp_host *a, struct smtp_host *b) {
	struct smtp_host keep = *a;
	*a = *b;
	*b = keep;
}

/* Of addresses that are equally good: any order, but families in turn, or the preferred one first. */
static void arrange(const struct smtp_hosts_params *p, struct smtp_host *list, size_t count) {
	if (!p->keep_order)
		for (size_t i = count; i > 1; i--) swap_hosts(&list[i - 1], &list[random_below(i)]);
	if (p->no_balance && p->preference == SMTP_PREFER_ANY) return;
	int next = p->preference == SMTP_PREFER_IPV4 ? AF_INET
		: p->preference == SMTP_PREFER_IPV6  ? AF_INET6
		: count > 0                          ? addr_family(&list[0].addr)
						     : 0;
	for (size_t i = 0; i < count; i++) {
		size_t found = i;
		while (found < count && addr_family(&list[found].addr) != next) found++;
		if (found < count)
			for (; found > i; found--) swap_hosts(&list[found], &list[found - 1]);
		if (!p->no_balance) next = addr_family(&list[i].addr) == AF_INET ? AF_INET6 : AF_INET;
	}
}

/* What was collected, as the answer. best: the best preference that the domain names. */
static enum smtp_hosts_answer conclude(struct finding *f, unsigned best) {
	struct smtp_hosts *out = f->out;
	while (out->count > 0 && out->list[out->count - 1].preference >= f->self) out->count--;
	if (out->count > 0) {
		unsigned limit = f->params->address_limit != 0 ? f->params->address_limit : DEFAULT_ADDRESSES;
		out->count = MIN_OF(out->count, (size_t)limit);
		return SMTP_HOSTS_OK;
	}
	if (f->self == best)
		return answer(f, SMTP_HOSTS_LOOPS, "5.4.6",
			arena_fmt(f->mem, "mail for %.*s loops back to myself", SLICE_ARG(f->domain)));
	if (f->self != UINT_MAX)
		return answer(f, SMTP_HOSTS_LATER, "4.4.4",
			arena_fmt(f->mem, "unable to find primary relay for %.*s", SLICE_ARG(f->domain)));
	if (f->filtered) return answer(f, SMTP_HOSTS_LATER, "4.7.0", f->trouble);
	if (f->later) return answer(f, SMTP_HOSTS_LATER, "4.4.3", f->trouble);
	if (f->mx_domain.len != 0 && f->params->defer_no_address)
		return answer(f, SMTP_HOSTS_LATER, "4.4.4", f->trouble);
	return answer(f, SMTP_HOSTS_NONE, "5.4.4", f->trouble);
}

static enum smtp_hosts_answer find_addresses(struct finding *f) {
	look_up_host(f, f->domain, 0, 0);
	arrange(f->params, f->out->list, f->out->count);
	return conclude(f, 0);
}

static enum smtp_hosts_answer follow_mx(struct finding *f, const struct dns_mx *mx, size_t count) {
	size_t limit = f->params->address_limit != 0 ? f->params->address_limit : DEFAULT_ADDRESSES;
	if (!f->named_port)
		for (size_t i = 0; i < count; i++)
			if (own_name(f->params, mx[i].host)) f->self = MIN_OF(f->self, mx[i].preference);
	for (size_t i = 0;
		i < count && f->out->count < limit && f->lookups < LOOKUPS_MAX && mx[i].preference < f->self;) {
		size_t group = f->out->count;
		unsigned preference = mx[i].preference;
		for (; i < count && mx[i].preference == preference; i++)
			if (f->lookups < LOOKUPS_MAX) look_up_host(f, mx[i].host, preference, 0);
		arrange(f->params, f->out->list + group, f->out->count - group);
	}
	return conclude(f, mx[0].preference);
}

/* The MX records that the filter leaves; false: none. */
static bool filter_mx(struct finding *f, const struct dns_facts *facts, struct dns_mx *mx, size_t *count) {
	size_t kept = 0;
	for (size_t i = 0; i < *count; i++)
		if (!ignored(f, f->domain, facts, "MX",
			     arena_fmt(f->mem, "%u %.*s.", mx[i].preference, SLICE_ARG(mx[i].host))))
			mx[kept++] = mx[i];
	*count = kept;
	return kept != 0;
}

static enum smtp_hosts_answer find_mx(struct finding *f) {
	struct dns_mx *mx = NULL;
	struct dns_facts facts = { 0 };
	size_t count = 0;
	int r = DNS_NXDOMAIN;
	struct slice asked;
	bool nodata = false;
	for (size_t i = 0; is_absent(r) && (asked = candidate(f, f->domain, i)).len != 0; i++) {
		r = dns_mx(f->params->dns, asked, f->deadline, f->mem, &mx, &count, &facts);
		nodata |= r == DNS_NODATA;
	}
	if (r == DNS_NXDOMAIN && nodata) r = DNS_NODATA;
	if (r == DNS_OK) f->domain = asked;
	bool passed_over = (r == DNS_LATER || r < 0) && f->params->ignore_mx_error;
	if (r == DNS_NODATA || passed_over || (r == DNS_OK && count == 0)) return find_addresses(f);
	if (r == DNS_NXDOMAIN) return answer(f, SMTP_HOSTS_NONE, "5.4.4", name_error(f, f->domain, "MX", r));
	if (r != DNS_OK) return answer(f, SMTP_HOSTS_LATER, "4.4.3", name_error(f, f->domain, "MX", r));
	if (!filter_mx(f, &facts, mx, &count))
		return answer(f, SMTP_HOSTS_LATER, "4.7.0", all_filtered(f, f->domain, "MX"));
	if (dns_mx_is_null(mx, count))
		return answer(f, SMTP_HOSTS_NULL_MX, "5.1.10",
			arena_fmt(f->mem, "Domain %.*s does not accept mail (nullMX)", SLICE_ARG(f->domain)));
	f->mx_domain = arena_slice(f->mem, f->domain);
	f->mx_secure = facts.secure;
	return follow_mx(f, mx, count);
}

/* Services. */

static bool wants_srv(const struct finding *f, const struct smtp_next_hop *hop) {
	for (size_t i = 0; i < f->params->srv_services_count && !hop->no_mx; i++)
		if (slice_same(f->params->srv_services[i], hop->service)) return true;
	return false;
}

static enum smtp_hosts_answer follow_srv(struct finding *f, const struct smtp_next_hop *hop, const struct dns_srv *list,
					 size_t count) {
	if (count == 1 && list[0].host.len == 0)
		return answer(f, SMTP_HOSTS_NULL_MX, "5.1.10",
			      arena_fmt(f->mem, "Domain %.*s does not support service %.*s", SLICE_ARG(f->domain),
					SLICE_ARG(hop->service)));
	for (size_t i = 0; i < count && f->lookups < LOOKUPS_MAX; i++) {
		size_t before = f->out->count;
		look_up_host(f, list[i].host, (unsigned)i, list[i].port);
		arrange(f->params, f->out->list + before, f->out->count - before);
	}
	return conclude(f, 0);
}

static bool srv_ignored(struct finding *f, struct slice name, const struct dns_facts *facts, const struct dns_srv *s) {
	return ignored(f, name, facts, "SRV",
		       arena_fmt(f->mem, "%u %u %u %.*s.", s->priority, s->weight, s->port, SLICE_ARG(s->host)));
}

/* True: *out is the answer; else the domain is looked up as if nobody had asked for SRV. */
static bool find_srv(struct finding *f, const struct smtp_next_hop *hop, enum smtp_hosts_answer *out) {
	struct slice name = arena_fmt(f->mem, "_%.*s._tcp.%.*s", SLICE_ARG(hop->service), SLICE_ARG(f->domain));
	const struct smtp_hosts_params *p = f->params;
	struct dns_srv *list = NULL;
	struct dns_facts facts = { 0 };
	size_t count = 0, kept = 0;
	int r = dns_srv(p->dns, name, f->deadline, f->mem, &list, &count, &facts);
	for (size_t i = 0; i < count && r == DNS_OK; i++)
		if (!srv_ignored(f, name, &facts, &list[i])) list[kept++] = list[i];
	bool later = r == DNS_LATER || r < 0;
	if (kept != 0) *out = follow_srv(f, hop, list, kept);
	else if (p->srv_fallback || (later && p->ignore_srv_error)) return false;
	else if (r == DNS_OK) *out = answer(f, SMTP_HOSTS_LATER, "4.7.0", all_filtered(f, name, "SRV"));
	else if (later) *out = answer(f, SMTP_HOSTS_LATER, "4.4.3", name_error(f, name, "SRV", r));
	else *out = answer(f, SMTP_HOSTS_NONE, "5.4.4", name_error(f, name, "SRV", r));
	return true;
}

static enum smtp_hosts_answer find(struct finding *f, struct slice next_hop) {
	const struct smtp_hosts_params *params = f->params;
	struct smtp_next_hop hop;
	if (!smtp_next_hop_parse(next_hop, &hop)) goto bad;
	f->named_port = hop.port != 0;
	f->port = hop.port != 0 ? hop.port : params->port != 0 ? params->port : DEFAULT_PORT;
	f->domain = hop.host;
	if (hop.path.len > 0) {
		add_host(f, hop.path, (struct addr){ 0 }, 0);
		f->out->list[0].path = arena_slice(f->mem, hop.path);
		return SMTP_HOSTS_OK;
	}
	if (addr_family(&hop.literal) != AF_UNSPEC) {
		if (!family_allowed(params, addr_family(&hop.literal)))
			return answer(f, SMTP_HOSTS_NONE, "5.4.4",
				arena_fmt(f->mem, "%.*s: this address family is switched off (see inet_protocols)",
					SLICE_ARG(hop.host)));
		add_host(f, hop.host, hop.literal, 0);
		return conclude(f, 0);
	}
	if (!dns_to_ascii(hop.host, f->mem, &f->domain)) goto bad;
	enum smtp_hosts_answer by_srv;
	if (wants_srv(f, &hop) && find_srv(f, &hop, &by_srv)) return by_srv;
	return hop.no_mx || params->no_mx ? find_addresses(f) : find_mx(f);
bad:
	return answer(
		f, SMTP_HOSTS_BAD, "5.1.2", arena_fmt(f->mem, "bad destination host name: %.*s", SLICE_ARG(next_hop)));
}

enum smtp_hosts_answer smtp_hosts_find(const struct smtp_hosts_params *params, struct slice next_hop, struct arena *mem,
                                       struct smtp_hosts *out) {
	*out = (struct smtp_hosts){ 0 };
	struct finding f = { .params = params, .mem = mem, .out = out, .self = UINT_MAX };
	f.deadline = deadline_in(params->dns_timeout != 0 ? params->dns_timeout : SECONDS(60));
	enum smtp_hosts_answer a = find(&f, next_hop);
	return f.unjudged.len != 0 ? answer(&f, SMTP_HOSTS_LATER, "4.4.3", f.unjudged) : a;
}

static bool port_number(struct slice text, uint16_t *out) {
	static const struct { const char *name; uint16_t port; } services[] = {
		{ "smtp", 25 }, { "lmtp", 24 }, { "submission", 587 }, { "submissions", 465 }, { "smtps", 465 },
	};
	for (size_t i = 0; i < LEN(services); i++)
		if (slice_same(text, slice_of(services[i].name))) return *out = services[i].port, true;
	uint64_t n = 0;
	if (!slice_number(text, UINT16_MAX, &n) || n == 0) return false;
	*out = (uint16_t)n;
	return true;
}

bool smtp_next_hop_parse(struct slice text, struct smtp_next_hop *out) {
	struct smtp_next_hop hop = { 0 };
	text = slice_trim(text);
	if (slice_starts_same(text, S("unix:"))) {
		hop.path = slice_skip(text, 5);
		if (hop.path.len == 0 || slice_find(hop.path, '\0') < hop.path.len) return false;
		*out = hop;
		return true;
	}
	if (slice_starts_same(text, S("inet:"))) text = slice_skip(text, 5);
	struct slice port = SLICE_NONE;
	if (!addr_split_host_port(text, &hop.host, &port) || hop.host.len == 0) return false;
	if (port.len > 0 && !port_number(port, &hop.port)) return false;
	hop.service = port;
	if (slice_starts_same(hop.host, S("IPv6:"))) hop.host = slice_skip(hop.host, 5);
	hop.no_mx = text.at[0] == '[';
	if (addr_parse(hop.host, &hop.literal)) {
		hop.no_mx = true;
		if (hop.port != 0) addr_set_port(&hop.literal, hop.port);
	}
	if (hop.host.len > 1 && hop.host.at[hop.host.len - 1] == '.') hop.host.len--;
	*out = hop;
	return true;
}
