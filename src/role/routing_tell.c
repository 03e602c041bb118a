/* SPDX-License-Identifier: Apache-2.0 */
/* `hato route`: what the tables make of an address, the door's word about it, and what the next server will see. */
#include "role/routing_settings.h"
#include "admin/admin.h"
#include "base/fail.h"
#include "flow/explain.h"
#include "role/settings.h"

/* What the door says of an address that its tables do not know, though a hop for it can be found: mail of this
 * machine's users goes there, that of others is refused. */
static int tell_door(const struct routing_settings *s, struct db_conn *c, struct slice address, struct slice sender,
		     const struct admin_way *way, struct arena *mem) {
	struct route_answer door;
	if (slice_find(address, '@') == address.len) return 0;
	int r = route_judge(c, &s->route, address, sender, mem, &door);
	if (r == 0 && door.verdict == ROUTE_UNKNOWN)
		way->step(way->ctx, "refused from others", address,
			  arena_fmt(mem, "%.*s %.*s", SLICE_ARG(door.status), SLICE_ARG(door.text)), NULL);
	return r;
}

struct telling_routes {
	const struct routing_settings *settings;
	const struct admin_way *way;
	struct arena *mem;
	struct tables *tables; /* of the ways out: opened for this question */
	struct slice sender;   /* as rewritten */
};

static const struct conf_service *service_of(const struct conf *conf, struct slice transport) {
	size_t n;
	const struct conf_service *s = conf_services(conf, &n);
	for (size_t i = 0; i < n; i++)
		if (s[i].type == SERVICE_UNIX && slice_eq(s[i].name, transport)) return &s[i];
	return NULL;
}

/* smtp_generic_maps of the way out that an end takes: what the next server sees. */
static void tell_generic(const struct telling_routes *t, const struct route_end *end) {
	const struct conf *conf = t->settings->conf;
	struct slice transport, next_hop, out;
	transport_split(end->hop, &transport, &next_hop);
	const struct transport *way = transport_find(&t->settings->route.hops.transports, transport);
	const struct conf_service *service = service_of(conf, transport);
	if (way == NULL || way->kind != TRANSPORT_RELAY) return;
	const struct conf_view *v = service != NULL ? conf_service_view(conf, service) : conf_main(conf);
	bool lmtp = slice_eq(service != NULL ? service->command : transport, S("lmtp"));
	enum setting_id id = lmtp ? SET_lmtp_generic_maps : SET_smtp_generic_maps;
	struct lookup maps = tables_of_list(t->tables, v, id, 0, t->mem);
	struct rewrite_params generic;
	struct route_trace trace = { t->way->step, t->way->ctx };
	if (maps.count == 0) return;
	generic_settings_make(&generic, &t->settings->route.rewrite, maps, setting_of(id)->name);
	struct slice from = end->owner.len != 0 ? end->owner : t->sender;
	if (rewrite_traced(&generic, REWRITE_ENVELOPE_SENDER, from, &trace, t->mem, &out) == REWRITE_DONE &&
	    rewrite_traced(&generic, REWRITE_ENVELOPE_RECIPIENT, end->address, &trace, t->mem, &out) == REWRITE_DONE)
		return;
	t->way->step(t->way->ctx, setting_of(id)->name, end->address, /* a file that only relay may have, perhaps */
		     arena_fmt(t->mem, "cannot be asked from here: %s", fail_text()), NULL);
}

static void tell_end(const struct telling_routes *t, const struct route_end *end) {
	static const char *const copies[] = { [EXPLAIN_ALWAYS_BCC] = "always_bcc",
					      [EXPLAIN_SENDER_BCC] = "sender_bcc_maps",
					      [EXPLAIN_RECIPIENT_BCC] = "recipient_bcc_maps" };
	struct slice text;
	const char *kind = route_end_words(&t->settings->route.hops.transports, end, t->mem, &text);
	if (end->source != EXPLAIN_ITSELF)
		text = arena_fmt(t->mem, "%.*s%sa copy (%s)", SLICE_ARG(text), text.len != 0 ? ", " : "",
				 copies[end->source]);
	t->way->end(t->way->ctx, kind, end->address, text);
}

int routing_tell(const struct routing_settings *s, struct db *db, struct slice address, struct slice sender,
		 const struct admin_way *way) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_READ struct db_conn *c = db_read(db);
	struct routes routes = { .mem = &mem };
	struct route_trace trace = { way->step, way->ctx };
	struct telling_routes t = { .settings = s, .way = way, .mem = &mem, .sender = sender };
	if (c == NULL) return -1;
	int r = route_explain(c, &s->deliver, address, &t.sender, &trace, &routes);
	bool goes = false;
	for (size_t i = 0; i < routes.count; i++)
		goes = goes || (routes.at[i].kind == ROUTE_TO_HOP && routes.at[i].source == EXPLAIN_ITSELF);
	if (r == 0 && goes) r = tell_door(s, c, address, t.sender, way, &mem);
	t.tables = routing_tables(s->conf);
	for (size_t i = 0; i < routes.count && r == 0; i++)
		if (routes.at[i].kind == ROUTE_TO_HOP) tell_generic(&t, &routes.at[i]);
	for (size_t i = 0; i < routes.count && r == 0; i++) tell_end(&t, &routes.at[i]);
	tables_free(&t.tables);
	return r;
}
