/* SPDX-License-Identifier: Apache-2.0 */
/* Restriction lists are read by those who will evaluate them, only without tables: the names they do not know, and what
 * misses its table or server, are told here instead of to the first client. */
#include "base/map.h"
#include "cli/checking.h"
#include "filter/restrict.h"

struct reading {
	struct checking *c;
	const struct conf_view *view;
	const struct conf_service *service;
	struct map *told; /* classes are read with each list */
	struct arena *mem;
};

static bool text_of(void *ctx, struct slice name, struct slice *out) {
	const struct reading *r = ctx;
	return conf_text_named(r->view, name, out);
}

static void tell(void *ctx, bool fatal, const char *text) {
	struct reading *r = ctx;
	struct place where = r->service->where;
	struct conf_raw raw;
	struct slice rest = slice_of(text), name = slice_cut(&rest, ':');
	if (map_get(r->told, slice_of(text)) != NULL) return;
	map_put(r->told, arena_slice(r->mem, slice_of(text)), r);
	if (r->view == conf_main(r->c->conf) && conf_raw_find(r->c->conf, name, &raw) && raw.is_set) where = raw.where;
	found_at(r->c, PROBLEM_WARNING, where, "%s%s", text,
		 fatal ? " (mail that gets there is answered \"451 4.3.5 Server configuration error\")" : "");
}

static void read_list(struct reading *r, enum restrict_stage stage, struct arena *mem) {
	struct restrict_params p = { .classes = conf_text(r->view, SET_smtpd_restriction_classes),
				     .text = text_of,
				     .problem = tell,
				     .ctx = r,
				     .policy = { .queue_directory = conf_text(r->view, SET_queue_directory).at } };
	p.lists[stage] = conf_text(r->view, setting_id_of(setting_find(slice_of(restrict_parameter(stage)))));
	struct restrictions *read = restrict_new(&p, mem);
	restrict_free(&read);
}

void check_restrictions(struct checking *c, struct arena *mem) {
	size_t count;
	struct map told = { 0 };
	const struct conf_service *services = conf_services(c->conf, &count);
	const struct conf_view *main_view = conf_main(c->conf);
	for (enum restrict_stage stage = 0; stage < RESTRICT_STAGES; stage++) {
		enum setting_id id = setting_id_of(setting_find(slice_of(restrict_parameter(stage))));
		bool main_done = false;
		for (size_t i = 0; i < count; i++) {
			struct reading r = { .c = c,
					     .view = conf_service_view(c->conf, &services[i]),
					     .service = &services[i],
					     .told = &told,
					     .mem = mem };
			if (services[i].role != SERVICE_SMTPD) continue;
			bool same = slice_eq(conf_text(r.view, id), conf_text(main_view, id));
			if (same && main_done) continue;
			if (same) r.view = main_view, main_done = true;
			read_list(&r, stage, mem);
		}
	}
	map_done(&told, NULL);
}
