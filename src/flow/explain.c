/* SPDX-License-Identifier: Apache-2.0 */
/* Not a second routing: the same functions, with somebody listening. */
#include "flow/explain.h"

struct explaining {
	struct db_conn *c;
	const struct deliver_params *params;
	const struct route_trace *trace;
	struct routes *out;
	struct slice sender, recipient;  /* as rewritten */
	struct slice copies[EXPLAIN_RECIPIENT_BCC + 1];
};

static int find_copy(struct explaining *e, const struct lookup *maps, struct slice key, enum explain_source which) {
	static const char *const names[] = { [EXPLAIN_SENDER_BCC] = "sender_bcc_maps",
					     [EXPLAIN_RECIPIENT_BCC] = "recipient_bcc_maps" };
	const struct rewrite_params *rewrite = &e->params->route->rewrite;
	struct lookup_hit hit;
	struct slice *results;
	int r = maps->count != 0 ? rewrite_find(rewrite, maps, key, e->out->mem, &hit) : TABLE_MISSING;
	if (r != TABLE_FOUND) return r == TABLE_LATER ? ROUTE_LATER : 0;
	if (rewrite_results(rewrite, &hit, key, false, 1, e->out->mem, &results) != 0) e->copies[which] = results[0];
	trace_step(e->trace, names[which], hit.key, e->copies[which], table_name(hit.table));
	return 0;
}

/* All copies are found before one is followed: what they lead to is told in order. One who has the message already gets
 * no copy (flow/envelope.c). */
static int add_copies(struct explaining *e) {
	e->copies[EXPLAIN_ALWAYS_BCC] = e->params->always_bcc;
	if (e->params->always_bcc.len != 0)
		trace_step(e->trace, "always_bcc", SLICE_NONE, e->params->always_bcc, NULL);
	int r = find_copy(e, &e->params->sender_bcc, e->sender, EXPLAIN_SENDER_BCC);
	if (r == 0) r = find_copy(e, &e->params->recipient_bcc, e->recipient, EXPLAIN_RECIPIENT_BCC);
	for (size_t i = EXPLAIN_ALWAYS_BCC; i < LEN(e->copies) && r == 0; i++) {
		bool there = e->copies[i].len == 0 || slice_same(e->copies[i], e->recipient);
		for (size_t k = EXPLAIN_ALWAYS_BCC; k < i; k++) there = there || slice_same(e->copies[k], e->copies[i]);
		if (there) continue;
		r = route_add(e->out, e->c, e->params->route,
			      &(struct route_from){ .address = e->copies[i],
						    .sender = e->sender,
						    .original = e->copies[i],
						    .source = i,
						    .rewritten = true,
						    .trace = e->trace });
	}
	return r;
}

int route_explain(struct db_conn *c, const struct deliver_params *params, struct slice address, struct slice *sender,
		  const struct route_trace *trace, struct routes *out) {
	const struct rewrite_params *rewrite = &params->route->rewrite;
	struct explaining e = { .c = c, .params = params, .trace = trace, .out = out };
	if (sender->len != 0 &&
	    rewrite_traced(rewrite, REWRITE_ENVELOPE_SENDER, *sender, trace, out->mem, sender) == REWRITE_LATER)
		return ROUTE_LATER;
	struct route_from from = {
		.address = address, .sender = *sender, .original = address, .rewritten = true, .trace = trace
	};
	if (rewrite_traced(rewrite, REWRITE_ENVELOPE_RECIPIENT, address, trace, out->mem, &from.address) ==
	    REWRITE_LATER)
		return ROUTE_LATER;
	e.sender = *sender;
	e.recipient = from.address;
	int r = route_add(out, c, params->route, &from);
	return r == 0 ? add_copies(&e) : r;
}

const char *route_end_words(const struct transports *transports, const struct route_end *end, struct arena *mem,
			    struct slice *text) {
	struct slice transport, next_hop;
	*text = SLICE_NONE;
	if (end->kind == ROUTE_TO_ACCOUNT) return "mailbox";
	if (end->kind == ROUTE_TO_NOWHERE) {
		*text = arena_fmt(mem, "%.*s %.*s", SLICE_ARG(end->status), SLICE_ARG(end->text));
		return "returned";
	}
	transport_split(end->hop, &transport, &next_hop);
	const struct transport *t = transport_find(transports, transport);
	if (t != NULL && t->kind == TRANSPORT_RETRY) {
		*text = next_hop;
		return "waits";
	}
	*text = arena_fmt(mem, "by %.*s to %.*s", SLICE_ARG(transport), SLICE_ARG(next_hop));
	if (end->target_kind == RELAY_COMMAND) *text = arena_fmt(mem, "command %.*s", SLICE_ARG(end->target));
	if (end->target_kind == RELAY_FILE) *text = arena_fmt(mem, "file %.*s", SLICE_ARG(end->target));
	if (end->owner.len != 0) *text = arena_fmt(mem, "%.*s, from %.*s", SLICE_ARG(*text), SLICE_ARG(end->owner));
	return "delivered";
}
