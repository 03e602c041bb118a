/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/bounce.h"
#include "conf/conf.h"
#include "conf/value.h"
#include "base/map.h"
#include <stdatomic.h>
/* The inside of a configuration: for the files of this room only.
 *
 * Building goes in steps: main.cf is parsed (mainfile.c) and master.cf (service.c); every name found gets a number, the
 * settings of the list having the first SETTINGS_COUNT; each view is evaluated (evaluate.c); all is checked (check.c).
 */

/* A name that has a value somewhere, or is in the list. */
struct param {
	struct slice name;
	const struct setting *setting; /* NULL: the file's own */
	size_t id;
	bool mentioned;                /* some $name refers to it */
	bool of_service;               /* transport.h */
	struct slice computed;         /* the default of settings whose default comes from the machine */
};
/* What is written; text.at == NULL: nothing. */
struct raw {
	struct slice text;
	struct place where;
};
enum evaluation { NOT_EVALUATED, UNDER_WAY, EVALUATED };
struct conf_view {
	struct conf *conf;
	const struct conf_service *service; /* NULL: main.cf's */
	struct raw *raws;                   /* by number; with places: only what differs from main.cf's */
	struct value *values;
	uint16_t *places;                   /* by number: where in these, counted from 1; 0: as in main.cf */
	uint8_t *states;                    /* enum evaluation */
	unsigned depth;
};
struct conf {
	atomic_uint refs;
	struct arena mem;
	struct slice dir, main_path, master_path;
	struct slice *settings;             /* of conf_options */
	size_t settings_count;
	struct machine machine;
	struct sources files;
	struct problems problems;
	struct map names;                   /* to struct param, of those that are not in the list */
	struct param **params;              /* by number */
	size_t params_count, params_room;
	size_t *ordered;                    /* numbers, ordered by name */
	struct raw *main_raws;              /* as long as params_room */
	struct conf_view main;
	struct services services;
	struct conf_view **views;           /* of each service */
	bool main_is_embedded, master_is_embedded;
	struct bounce_template bounces[BOUNCE_KINDS];
	struct slice replaced[4];           /* sockets of filters whose work is done here (adopt.h) */
	size_t replaced_count;
};

static inline const struct raw *view_raw(const struct conf_view *v, size_t id) {
	if (v->places == NULL) return &v->raws[id];
	return v->places[id] != 0 ? &v->raws[v->places[id] - 1] : &v->conf->main_raws[id];
}
static inline const struct value *view_value(const struct conf_view *v, size_t id) {
	if (v->places == NULL) return &v->values[id];
	return v->places[id] != 0 ? &v->values[v->places[id] - 1] : &v->conf->main.values[id];
}

/* Is the setting set on the service's own line? */
static inline bool view_is_own(const struct conf_view *v, size_t id) {
	return v->service != NULL && view_raw(v, id)->text.at != v->conf->main_raws[id].text.at;
}

void params_begin(struct conf *c); /* those of the list */
struct param *param_find(const struct conf *c, struct slice name);
struct param *param_get(struct conf *c, struct slice name) NONNULL_RESULT; /* makes it when new */

void mainfile_read(struct conf *c, struct slice text);
void evaluate_views(struct conf *c);
/* The evaluated text of a parameter; evaluates it when that is still to be done. <0: it refers to itself, or too deep.
 */
int evaluate(struct conf_view *v, const struct param *p, struct slice *out) MUST_USE;
void check_names(struct conf *c);  /* before evaluation: unknown, unused, not acted on */
void check_values(struct conf *c); /* after it: what single values cannot say */
void bounces_load(struct conf *c);  /* after it */
void check_dangers(struct conf *c); /* after it: what they do together */

/* May everybody send mail to anywhere through this server (stranger.c)? Then *out tells by what: permit_mynetworks, a
 * table with the word before it, a class, or an entry of a list of domains (setting). */
struct open_door {
	enum setting_id setting;
	struct slice word;
};
bool strangers_may_send(const struct conf_view *v, struct arena *mem, struct open_door *out);
/* Is everybody in this list of networks? */
bool strangers_in(const struct conf_view *v, enum setting_id networks, struct arena *mem);
