/* SPDX-License-Identifier: Apache-2.0 */
/* XCLIENT makes the session somebody else's; XFORWARD only tells whose message this is, for the log and for those who
 * get it after us. */
#include "flow/admit_private.h"

bool admit_may_forward(void *owner, bool xforward) {
	const struct admit *a = owner;
	if (xforward) return a->access.may_forward;
	return !a->local && a->params->xclient != NULL && networks_match_sockaddr(a->params->xclient, &a->peer.any);
}

void admit_forward_init(struct admit *a) {
	a->access.may_forward =
		a->params->xforward != NULL && networks_match_sockaddr(a->params->xforward, &a->peer.any);
}

static struct smtp_reply bad(struct arena *mem, const struct smtp_attribute *t) {
	AUTO_BUF struct buf shown = BUF(KIB(2));
	for (size_t i = 0; i < t->value.len; i++) {
		char c = t->value.at[i];
		buf_byte(&shown, c < ' ' || c == 127 ? '?' : c);
	}
	char name[16];
	size_t n = MIN_OF(t->name.len, sizeof name - 1);
	for (size_t i = 0; i < n; i++) name[i] = ascii_upper(t->name.at[i]);
	name[n] = '\0';
	return smtp_reply_fmt(mem, 501, "5.5.4", "Bad %s syntax: %.*s", name, SLICE_ARG(buf_slice(&shown)));
}

static bool read_address(const struct admit *a, struct slice text, struct addr *out) {
	struct addr found;
	bool six = slice_starts_same(text, S("IPV6:"));
	if (six) text = slice_skip(text, 5);
	if (!addr_parse(text, &found) || addr_port(&found) != 0 || (six && slice_find(text, ':') == text.len))
		return false;
	if (addr_family(&found) == AF_INET6 && (!six || !a->params->six)) return false;
	*out = found;
	return true;
}

static bool host_name(struct slice text) {
	return domain_valid(text, true);
}

static bool port_number(struct slice text) {
	uint64_t n;
	return slice_number(text, 99999, &n);
}

static bool is(const struct smtp_attribute *t, const char *name) {
	return slice_same(t->name, slice_of(name));
}

static enum restrict_name state_of(const struct smtp_attribute *t) {
	return t->value.at != NULL ? NAME_KNOWN : t->later ? NAME_LATER : NAME_NONE;
}

struct client_change {
	struct addr peer;
	struct slice name, reverse;
	struct restrict_client client;
	bool reverse_said;
};

/* False: the value cannot be. */
static bool change(struct admit *a, struct client_change *c, const struct smtp_attribute *t) {
	bool there = t->value.at != NULL;
	if (is(t, "NAME")) {
		if (there && !host_name(t->value)) return false;
		c->client.name_state = state_of(t);
		c->name = there ? t->value : S("unknown");
	} else if (is(t, "REVERSE_NAME")) {
		if (there && !host_name(t->value)) return false;
		c->client.reverse_state = state_of(t);
		c->reverse = there ? t->value : S("unknown");
		c->reverse_said = true;
	} else if (is(t, "ADDR")) {
		if (there && !read_address(a, t->value, &c->peer)) return false;
		if (!there) c->peer = (struct addr){ 0 };
	} else if (is(t, "PORT")) {
		if (there && !port_number(t->value)) return false;
		c->client.port = there ? arena_slice(&a->mem, t->value) : S("unknown");
	} else if (is(t, "DESTADDR")) {
		struct addr own;
		if (there && !read_address(a, t->value, &own)) return false;
		c->client.server_ip = there ? arena_slice(&a->mem, t->value) : S("unknown");
	} else if (is(t, "DESTPORT")) {
		if (there && !port_number(t->value)) return false;
		c->client.server_port = there ? arena_slice(&a->mem, t->value) : S("unknown");
	}
	return true;
}

struct smtp_reply admit_xclient(void *owner, const struct smtp_attribute *attributes, size_t count, struct arena *mem) {
	struct admit *a = owner;
	struct client_change c = {
		.peer = a->peer, .name = a->name, .reverse = a->reverse, .client = a->access.client
	};
	for (size_t i = 0; i < count; i++)
		if (!change(a, &c, &attributes[i])) return bad(mem, &attributes[i]);
	a->access.client = c.client;
	a->access.spoken_for = true;
	a->peer = c.peer;
	if (!c.reverse_said &&
	    !slice_eq(c.name, a->name)) { /* as Postfix: an old client names only what is confirmed */
		c.reverse = c.name;
		a->access.client.reverse_state = c.client.name_state;
	}
	admit_set_names(a, c.name, c.reverse);
	a->inside = networks_match_sockaddr(a->params->networks, &a->peer.any);
	a->unlimited = networks_match_sockaddr(a->params->rate_exceptions, &a->peer.any);
	milting_free(&a->milting); /* they are told of the new client */
	return (struct smtp_reply){ 0 };
}

static void set(struct admit *a, struct slice *field, struct slice value) {
	*field = value.at != NULL ? arena_slice(&a->access.forward_mem, value) : S("");
}

struct smtp_reply admit_xforward(void *owner, const struct smtp_attribute *attributes, size_t count,
				 struct arena *mem) {
	struct admit *a = owner;
	struct relay_client *f = &a->access.forward;
	struct addr addr;
	for (size_t i = 0; i < count; i++) {
		const struct smtp_attribute *t = &attributes[i];
		bool there = t->value.at != NULL;
		bool good =
			!there ||
			((!is(t, "NAME") || host_name(t->value)) &&
			 (!is(t, "ADDR") || read_address(a, t->value, &addr)) &&
			 (!is(t, "PORT") || port_number(t->value)) &&
			 (!is(t, "SOURCE") || slice_same(t->value, S("LOCAL")) || slice_same(t->value, S("REMOTE"))));
		if (!good) return bad(mem, t);
	}
	for (size_t i = 0; i < count; i++) {
		const struct smtp_attribute *t = &attributes[i];
		if (is(t, "NAME")) set(a, &f->name, t->value);
		if (is(t, "ADDR")) set(a, &f->address, t->value);
		if (is(t, "PORT")) set(a, &f->port, t->value);
		if (is(t, "PROTO")) set(a, &f->protocol, t->value);
		if (is(t, "HELO")) set(a, &f->helo, t->value);
	}
	return (struct smtp_reply){ 0 };
}
