/* SPDX-License-Identifier: Apache-2.0 */
/* Not a second routing: the same functions, with somebody listening. */
#include "flow/explain.h"

static int copies(const struct deliver_params *params, const struct lookup *maps, struct slice key, const char *what,
		  const struct route_trace *trace, struct arena *mem) {
	struct lookup_hit hit;
	int r = rewrite_find(&params->route->rewrite, maps, key, mem, &hit);
	if (r == TABLE_FOUND) trace_step(trace, what, hit.key, hit.value, table_name(hit.table));
	return r == TABLE_LATER ? ROUTE_LATER : 0;
}

int route_explain(struct db_conn *c, const struct deliver_params *params, struct slice address, struct slice sender,
		  const struct route_trace *trace, struct routes *out) {
	const struct rewrite_params *rewrite = &params->route->rewrite;
	if (sender.len != 0 &&
	    rewrite_traced(rewrite, REWRITE_ENVELOPE_SENDER, sender, trace, out->mem, &sender) == REWRITE_LATER)
		return ROUTE_LATER;
	struct route_from from = {
		.address = address, .sender = sender, .original = address, .rewritten = true, .trace = trace
	};
	if (rewrite_traced(rewrite, REWRITE_ENVELOPE_RECIPIENT, address, trace, out->mem, &from.address) ==
	    REWRITE_LATER)
		return ROUTE_LATER;
	if (params->always_bcc.len != 0) trace_step(trace, "always_bcc", SLICE_NONE, params->always_bcc, NULL);
	int r = copies(params, &params->sender_bcc, sender, "sender_bcc_maps", trace, out->mem);
	if (r == 0) r = copies(params, &params->recipient_bcc, from.address, "recipient_bcc_maps", trace, out->mem);
	return r == 0 ? route_add(out, c, params->route, &from) : r;
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
