/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses others see: those that settings name, else those of the machine's interfaces that can be reached from
 * outside. Behind NAT there are none; proxy_interfaces, or the host's own record in DNS, says it then. */
#include "cli/dns.h"
#include "conf/machine.h"
#include "role/settings.h"

static void add(struct own_addresses *to, const struct addr *a) {
	for (size_t i = 0; i < to->count; i++)
		if (addr_same_host(&to->at[i], a)) return;
	if (to->count == DNS_OWN_MAX) return;
	to->at[to->count] = *a;
	addr_set_port(&to->at[to->count++], 0);
}

static void add_machine(struct own_addresses *to, struct arena *mem) {
	struct machine m;
	struct addr a;
	machine_ask(&m, mem);
	for (size_t i = 0; i < m.addresses_count; i++)
		if (addr_from_bytes(m.addresses[i].address, 0, &a) && addr_is_public(&a)) add(to, &a);
}

static void add_words(struct own_addresses *to, const struct conf_view *v, enum setting_id id, bool outside,
		      struct arena *mem) {
	size_t n;
	struct addr a;
	const struct slice *words = conf_list(v, id, &n);
	for (size_t i = 0; i < n; i++) {
		if (slice_same(words[i], S("all")))
			add_machine(to, mem);
		else if (addr_parse(words[i], &a) && (outside || addr_is_public(&a)))
			add(to, &a);
	}
}

static size_t add_bound(struct own_addresses *to, const struct conf_view *v, int family) {
	struct addr a;
	if (!addr_parse(conf_text(v, family == AF_INET ? SET_smtp_bind_address : SET_smtp_bind_address6), &a) ||
	    addr_family(&a) != family || !addr_is_public(&a))
		return 0;
	return add(to, &a), 1;
}

/* A way out that is bound sends from there; one that is not, from any of ours. */
static void find_sends(const struct conf *conf, struct dns_own *own) {
	static const int families[] = { AF_INET, AF_INET6 };
	size_t n;
	const struct conf_service *services = conf_services(conf, &n);
	for (size_t f = 0; f < LEN(families); f++) {
		if (add_bound(&own->sends, conf_main(conf), families[f]) == 0)
			for (size_t i = 0; i < own->faces.count; i++)
				if (addr_family(&own->faces.at[i]) == families[f]) add(&own->sends, &own->faces.at[i]);
		for (size_t i = 0; i < n; i++)
			if (services[i].role == SERVICE_CLIENT && slice_eq(services[i].command, S("smtp")))
				add_bound(&own->sends, conf_service_view(conf, &services[i]), families[f]);
	}
}

static void keep_protocols(struct own_addresses *a, const struct conf_view *v) {
	bool four, six;
	size_t kept = 0;
	protocols_of(v, &four, &six);
	for (size_t i = 0; i < a->count; i++)
		if (addr_family(&a->at[i]) == AF_INET ? four : six) a->at[kept++] = a->at[i];
	a->count = kept;
}

/* Providers that tell their customers what to include. */
static const struct {
	const char *end, *term;
} keepers[] = {
	{ ".gmail.com", "include:_spf.google.com" },     { ".sendgrid.net", "include:sendgrid.net" },
	{ ".amazonaws.com", "include:amazonses.com" },   { ".office365.com", "include:spf.protection.outlook.com" },
	{ ".mailgun.org", "include:mailgun.org" },       { ".mailjet.com", "include:spf.mailjet.com" },
	{ ".postmarkapp.com", "include:spf.mtasv.net" },
};

bool dns_relayhost(const struct conf_view *v, struct smtp_next_hop *out) {
	struct slice words = conf_text(v, SET_relayhost), text = slice_word(&words, " \t,");
	if (slice_starts(text, S("smtp:"))) text = slice_skip(text, 5);
	return text.len != 0 && smtp_next_hop_parse(text, out) && out->path.len == 0;
}

static void find_relay(const struct conf_view *v, struct dns_own *own, struct arena *mem) {
	struct smtp_next_hop hop;
	char room[ADDR_TEXT_ROOM];
	if (!dns_relayhost(v, &hop)) return;
	own->relay = arena_lower(mem, hop.host);
	for (size_t i = 0; i < LEN(keepers); i++)
		if (slice_ends_same(hop.host, slice_of(keepers[i].end))) {
			own->relay_term = slice_of(keepers[i].term);
			own->relay_known = true;
			return;
		}
	if (addr_family(&hop.literal) != AF_UNSPEC)
		own->relay_term = arena_fmt(mem, "%s:%s", addr_family(&hop.literal) == AF_INET ? "ip4" : "ip6",
					    addr_text(&hop.literal, room));
	else own->relay_term = arena_fmt(mem, "%s:%.*s", hop.no_mx ? "a" : "mx", SLICE_ARG(own->relay));
}

void dns_own_of(const struct conf *conf, struct arena *mem, struct dns_own *out) {
	const struct conf_view *v = conf_main(conf);
	*out = (struct dns_own){ .host = arena_lower(mem, conf_text(v, SET_myhostname)),
				 .helo = arena_lower(mem, conf_text(v, SET_smtp_helo_name)) };
	add_words(&out->faces, v, SET_proxy_interfaces, true, mem);
	add_words(&out->faces, v, SET_inet_interfaces, false, mem);
	keep_protocols(&out->faces, v);
	find_sends(conf, out);
	keep_protocols(&out->sends, v);
	find_relay(v, out, mem);
}
