/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/conf.h"
#include "flow/send.h"
/* Settings become the parameters of rewriting, routing and delivery: for core, and for `hato route` when the server is
 * down. */
struct routing_settings {
	const struct conf *conf;      /* what they were made of; outlives them */
	struct tables *tables;        /* opened by and for these settings */
	struct route_params route, probe_route; /* probe_route: address_verify_transport_maps and the like */
	struct deliver_params deliver;
};
/* Everything it points to lives in mem or belongs to the configuration. A table that cannot be used is told in the log
 * once, and what asks it waits. */
void routing_settings_make(struct routing_settings *out, const struct conf *conf, struct arena *mem);
/* None yet; to be freed by tables_free. */
struct tables *routing_tables(const struct conf *conf);
/* admin_ops.route: tells the way of an address. */
struct admin_way;
int routing_tell(const struct routing_settings *s, struct db *db, struct slice address, struct slice sender,
		 const struct admin_way *way);
void routing_settings_done(struct routing_settings *s);
/* smtp_generic_maps of a way out, which work as canonical(5) does on whatever leaves. */
void generic_settings_make(struct rewrite_params *out, const struct rewrite_params *ours, struct lookup maps,
			   const char *maps_name);
/* Rewriting alone, for edge's headers. */
void rewrite_settings_make(struct rewrite_params *out, struct tables *tables, const struct conf *conf,
			   const struct conf_view *v, struct arena *mem);

/* The tables of a list; one that cannot be opened becomes one whose answer is always "later". */
struct lookup tables_of_list(struct tables *tables, const struct conf_view *v, enum setting_id id, unsigned flags,
			     struct arena *mem);
