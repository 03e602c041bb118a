/* SPDX-License-Identifier: Apache-2.0 */
/* Postfix resolves an address in one long function; here the class, what its class says, and what transport_maps make
 * of it are three steps, so that each can be shown to people. */
#include "flow/hop.h"

const struct transport *transport_find(const struct transports *t, struct slice name) {
	for (size_t i = 0; i < t->count; i++)
		if (slice_eq(t->at[i].name, name)) return &t->at[i];
	return NULL;
}

void transport_split(struct slice hop, struct slice *transport, struct slice *next_hop) {
	size_t colon = slice_find(hop, ':');
	if (colon == hop.len || hop.at[0] == '[') {
		*transport = S("smtp");
		*next_hop = hop;
		return;
	}
	*transport = slice_head(hop, colon);
	*next_hop = slice_skip(hop, colon + 1);
}

int class_of(const struct class_params *p, const struct rewrite_params *rewrite, struct slice domain, struct arena *mem,
	     enum route_class *out) {
	const struct {
		const struct domain_set *set;
		enum route_class class;
	} sets[] = { { &p->virtual_alias_domains, ROUTE_CLASS_VIRTUAL_ALIAS },
		     { &p->virtual_mailbox_domains, ROUTE_CLASS_VIRTUAL_MAILBOX },
		     { &p->relay_domains, ROUTE_CLASS_RELAY } };
	int r = rewrite_destination(rewrite, domain, mem);
	if (r == TABLE_LATER) return r;
	*out = r == TABLE_FOUND ? ROUTE_CLASS_LOCAL : ROUTE_CLASS_DEFAULT;
	for (size_t i = 0; i < LEN(sets) && *out == ROUTE_CLASS_DEFAULT; i++) {
		r = domain_set_match(sets[i].set, domain, mem);
		if (r == TABLE_LATER) return r;
		if (r == TABLE_FOUND) *out = sets[i].class;
	}
	return TABLE_FOUND;
}

/* Tables by sender: the forms of an alias table, `nobody` for the empty one. A hit that says DUNNO is none. */
static int by_sender(const struct lookup *maps, const struct rewrite_params *rewrite, struct slice sender,
		     struct slice nobody, struct arena *mem, struct lookup_hit *hit) {
	if (maps->count == 0) return TABLE_MISSING;
	int r = sender.len != 0 ? rewrite_find(rewrite, maps, sender, mem, hit)
				: lookup_key(maps, nobody.len != 0 ? nobody : S("<>"), mem, hit);
	return r == TABLE_FOUND && slice_same(hit->value, S("DUNNO")) ? TABLE_MISSING : r;
}

/* "transport", "transport:", "transport:next hop": what is empty leaves *hop as it was. */
static void apply(struct slice text, struct hop *hop) {
	size_t colon = slice_find(text, ':');
	struct slice next = slice_trim(slice_skip(text, colon + 1));
	if (colon != 0) hop->transport = slice_head(text, colon);
	if (next.len != 0) hop->next_hop = next;
}

/* Mail for other domains: relayhosts by sender, relayhost, or the domain; the transport by sender, or the class's. */
static int leave(const struct hop_params *p, const struct rewrite_params *rewrite, enum route_class class,
		 struct slice sender, const struct route_trace *trace, struct arena *mem, struct hop *hop) {
	struct lookup_hit hit;
	struct slice transport = class == ROUTE_CLASS_RELAY ? p->relay : p->other;
	int r = by_sender(&p->sender_relayhost, rewrite, sender, p->relayhost_nobody, mem, &hit);
	if (r == TABLE_LATER) return r;
	if (r == TABLE_FOUND) {
		trace_step(trace, "sender_dependent_relayhost_maps", hit.key, hit.value, table_name(hit.table));
		hop->next_hop = hit.value;
	} else if (p->relayhost.len != 0) {
		trace_step(trace, "relayhost", SLICE_NONE, p->relayhost, NULL);
		hop->next_hop = p->relayhost;
	}
	if (class == ROUTE_CLASS_DEFAULT) {
		r = by_sender(&p->sender_transport, rewrite, sender, p->transport_nobody, mem, &hit);
		if (r == TABLE_LATER) return r;
		if (r == TABLE_FOUND) {
			trace_step(trace, "sender_dependent_default_transport_maps", hit.key, hit.value,
				   table_name(hit.table));
			transport = hit.value;
		}
	}
	apply(transport, hop);
	return TABLE_FOUND;
}

static int by_transport_maps(const struct hop_params *p, const struct rewrite_params *rewrite, struct slice address,
			     struct slice domain, const struct route_trace *trace, struct arena *mem, struct hop *hop) {
	struct lookup_hit hit;
	struct slice local = address, rest;
	if (p->transport_maps.count == 0) return TABLE_FOUND;
	rewrite_parts(address, &local, &rest);
	unsigned forms = LOOKUP_WHOLE | LOOKUP_DOMAIN | (p->transport_dots ? (unsigned)LOOKUP_DOT_PARENTS : 0u);
	int r = lookup_address(&p->transport_maps, address, forms, rewrite_delimiters(rewrite, local), false, mem,
			       &hit);
	if (r == TABLE_MISSING) r = lookup_key(&p->transport_maps, S("*"), mem, &hit);
	if (r == TABLE_LATER) return r;
	if (r != TABLE_FOUND) return TABLE_FOUND;
	trace_step(trace, "transport_maps", hit.key, hit.value, table_name(hit.table));
	struct slice text = slice_trim(hit.value);
	size_t colon = slice_find(text, ':');
	struct slice next = slice_trim(slice_skip(text, colon + 1));
	if (colon != 0) {
		hop->transport = slice_head(text, colon);
		hop->next_hop = next.len != 0 ? next : domain;
	} else if (next.len != 0) {
		hop->next_hop = next;
	}
	return TABLE_FOUND;
}

static int by_relocated(const struct hop_params *p, const struct rewrite_params *rewrite, struct slice address,
			const struct route_trace *trace, struct arena *mem, struct hop *hop) {
	struct lookup_hit hit;
	int r = rewrite_find(rewrite, &p->relocated, address, mem, &hit);
	if (r == TABLE_LATER) return r;
	if (r != TABLE_FOUND) return TABLE_FOUND;
	trace_step(trace, "relocated_maps", hit.key, hit.value, table_name(hit.table));
	*hop = (struct hop){ S("error"), p->relocated_whole ? arena_slice(mem, hit.value)
							    : arena_fmt(mem, "5.1.6 User has moved to %.*s",
									SLICE_ARG(hit.value)) };
	return TABLE_FOUND;
}

int hop_find(const struct hop_params *p, const struct rewrite_params *rewrite, enum route_class class,
	     struct slice address, struct slice sender, const struct route_trace *trace, struct arena *mem,
	     struct hop *out) {
	struct slice local = address, domain = SLICE_NONE;
	rewrite_parts(address, &local, &domain);
	domain = arena_lower(mem, domain);
	struct hop hop = { .next_hop = domain };
	int r = TABLE_FOUND;
	switch (class) {
	case ROUTE_CLASS_LOCAL: apply(p->local, &hop); break;
	case ROUTE_CLASS_VIRTUAL_ALIAS:
		hop = (struct hop){ S("error"), p->hide_table ? S("5.1.1 User unknown")
							      : S("5.1.1 User unknown in virtual alias table") };
		break;
	case ROUTE_CLASS_VIRTUAL_MAILBOX: apply(p->virtual_, &hop); break;
	default: r = leave(p, rewrite, class, sender, trace, mem, &hop);
	}
	if (r == TABLE_FOUND) r = by_transport_maps(p, rewrite, address, domain, trace, mem, &hop);
	if (r == TABLE_FOUND) r = by_relocated(p, rewrite, address, trace, mem, &hop);
	/* what cannot even be told to the postmaster goes no further, whatever the tables say */
	if (class == ROUTE_CLASS_LOCAL && rewrite_for_nobody(rewrite, local))
		hop = (struct hop){ S("discard"), S("undeliverable postmaster notification discarded") };
	if (r == TABLE_FOUND) *out = hop;
	return r;
}

struct slice hop_status(struct slice *text, struct slice usual, struct arena *mem) {
	struct slice rest = *text, word = slice_word(&rest, " ");
	struct slice parts = word, class = slice_cut(&parts, '.'), subject = slice_cut(&parts, '.');
	uint64_t n;
	bool status = slice_eq(class, S("2")) || slice_eq(class, S("4")) || slice_eq(class, S("5"));
	if (!status || !slice_number(subject, 999, &n) || !slice_number(parts, 999, &n)) return usual;
	*text = slice_trim(rest);
	return arena_fmt(mem, "%c.%.*s.%.*s", usual.at[0], SLICE_ARG(subject), SLICE_ARG(parts));
}
