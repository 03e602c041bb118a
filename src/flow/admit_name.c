/* SPDX-License-Identifier: Apache-2.0 */
/* A client's name is what its PTR record says, if that name leads back to the address; else it is "unknown", and how it
 * failed decides what restrictions say. */
#include "flow/admit_private.h"

enum { NAME_WAIT_MS = 5000, NAMES_MOST = 4 };

void admit_set_names(struct admit *a, struct slice name, struct slice reverse) {
	struct restrict_client *c = &a->access.client;
	char port[8];
	a->name = arena_slice(&a->mem, name);
	a->reverse = arena_slice(&a->mem, reverse);
	addr_text(&a->peer, a->ip);
	snprintf(port, sizeof port, "%u", addr_port(&a->peer));
	if (c->port.at == NULL) c->port = arena_slice(&a->mem, slice_of(port));
	a->client = arena_fmt(&a->mem, "%.*s[%s]", SLICE_ARG(a->name), a->ip);
	c->shown = a->client;
	if (a->params->log_port) a->client = arena_fmt(&a->mem, "%.*s:%.*s", SLICE_ARG(c->shown), SLICE_ARG(c->port));
	c->shown = a->client;
	c->addr = a->peer;
	c->ip = arena_slice(&a->mem, slice_of(a->ip));
	c->name = a->name;
	c->reverse = a->reverse;
}

/* Does the name lead back? */
static enum restrict_name confirm(struct admit *a, struct slice name, int64_t deadline) {
	unsigned family = addr_family(&a->peer) == AF_INET ? DNS_IPV4 : DNS_IPV6;
	struct addr *addresses;
	size_t n;
	int r = dns_addresses(a->params->dns, name, family, deadline, &a->mem, &addresses, &n, NULL);
	if (r != DNS_OK) return r == DNS_LATER ? NAME_LATER : NAME_NONE;
	for (size_t i = 0; i < n; i++)
		if (addr_same_host(&addresses[i], &a->peer)) return NAME_KNOWN;
	return NAME_FORGED;
}

static void tell(const struct admit *a, struct slice name, enum restrict_name state) {
	AUTO_BUF struct buf text = BUF(KIB(1));
	buf_addf(&text, "hostname %.*s does not resolve to address %s", SLICE_ARG(name), a->ip);
	if (state == NAME_NONE) buf_add(&text, S(": Name or service not known"));
	if (state == NAME_LATER) buf_add(&text, S(": Temporary failure in name resolution"));
	log_line(L_WARN, a->params->service, a->session, NULL, buf_text(&text), NULL, 0);
}

/* 127.0.0.1 and ::1, whom no PTR needs to name. */
static bool is_localhost(const struct addr *a) {
	return addr_family(a) == AF_INET ? a->v4.sin_addr.s_addr == htonl(INADDR_LOOPBACK) : addr_is_loopback(a);
}

void admit_find_names(struct admit *a) {
	struct restrict_client *c = &a->access.client;
	struct slice unknown = S("unknown"), *names;
	size_t count;
	c->name_state = c->reverse_state = NAME_NONE;
	if (is_localhost(&a->peer)) {
		c->name_state = c->reverse_state = NAME_KNOWN;
		admit_set_names(a, S("localhost"), S("localhost"));
		return;
	}
	addr_text(&a->peer, a->ip);
	int64_t deadline = deadline_in(NAME_WAIT_MS);
	int r = a->params->look_up_names ? dns_ptr(a->params->dns, &a->peer, deadline, &a->mem, &names, &count, NULL)
	                                 : DNS_NXDOMAIN;
	if (r == DNS_LATER) c->name_state = c->reverse_state = NAME_LATER;
	if (r != DNS_OK || count == 0) {
		admit_set_names(a, unknown, unknown);
		return;
	}
	c->reverse_state = NAME_KNOWN;
	size_t which = 0;
	c->name_state = confirm(a, names[0], deadline);
	for (size_t i = 1; i < MIN_OF(count, (size_t)NAMES_MOST) && c->name_state != NAME_KNOWN; i++)
		if (confirm(a, names[i], deadline) == NAME_KNOWN) {
			c->name_state = NAME_KNOWN;
			which = i;
		}
	if (c->name_state != NAME_KNOWN) tell(a, names[0], c->name_state);
	admit_set_names(a, c->name_state == NAME_KNOWN ? names[which] : unknown, names[which]);
}
