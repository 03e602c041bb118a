/* SPDX-License-Identifier: Apache-2.0 */
/* The settings of a transport are entries made while loading: from there on they are read, checked and shown like those
 * of the list. */
#include "conf/snapshot.h"

static const struct {
	const char *ending;
	enum setting_id fallback;
} transport_settings[] = {
#define TRANSPORT_ROW(id, ending, fallback) { ending, SET_##fallback },
	TRANSPORT_SETTINGS(TRANSPORT_ROW)
#undef TRANSPORT_ROW
};

/* Commands whose services have them, from which to which. */
static const struct {
	struct slice command;
	enum transport_setting first, last;
} commands[] = {
	{ S("local"), TRANSPORT_RECIPIENT_LIMIT, TRANSPORT_TRANSPORT_RATE_DELAY },
	{ S("error"), TRANSPORT_RECIPIENT_LIMIT, TRANSPORT_TRANSPORT_RATE_DELAY },
	{ S("virtual"), TRANSPORT_RECIPIENT_LIMIT, TRANSPORT_TRANSPORT_RATE_DELAY },
	{ S("smtp"), TRANSPORT_RECIPIENT_LIMIT, TRANSPORT_TRANSPORT_RATE_DELAY },
	{ S("lmtp"), TRANSPORT_RECIPIENT_LIMIT, TRANSPORT_TRANSPORT_RATE_DELAY },
	{ S("pipe"), TRANSPORT_TIME_LIMIT, TRANSPORT_TRANSPORT_RATE_DELAY },
	{ S("spawn"), TRANSPORT_TIME_LIMIT, TRANSPORT_TIME_LIMIT },
};

const struct usual_transport usual_transports[USUAL_TRANSPORTS] = {
	{ S("smtp"), S("smtp") },   { S("relay"), S("smtp") },	    { S("lmtp"), S("lmtp") },
	{ S("local"), S("local") }, { S("virtual"), S("virtual") }, { S("error"), S("error") },
	{ S("retry"), S("error") }, { S("discard"), S("discard") },
};

static struct slice name_of(struct conf *c, struct slice service, enum transport_setting which) {
	return arena_fmt(&c->mem, "%.*s%s", SLICE_ARG(service), transport_settings[which].ending);
}

static void add(struct conf *c, struct slice service, enum transport_setting which) {
	const struct setting *model = setting_of(transport_settings[which].fallback);
	struct param *p = param_get(c, name_of(c, service, which));
	p->of_service = true;
	if (p->setting != NULL) return; /* in the list, with a default of its own */
	struct setting *s = arena_get(&c->mem, sizeof *s);
	*s = *model;
	s->name = p->name.at;
	s->fallback = arena_fmt(&c->mem, "$%s", model->name).at;
	p->setting = s;
}

void transports_add(struct conf *c) {
	for (size_t i = 0; i < c->services.count; i++) {
		for (size_t k = 0; k < LEN(commands); k++) {
			if (!slice_eq(c->services.at[i].command, commands[k].command)) continue;
			for (unsigned w = commands[k].first; w <= commands[k].last; w++)
				add(c, c->services.at[i].name, (enum transport_setting)w);
		}
	}
	for (size_t i = 0; i < LEN(usual_transports); i++)
		for (unsigned w = TRANSPORT_RECIPIENT_LIMIT; w <= TRANSPORT_TRANSPORT_RATE_DELAY; w++) {
			const struct param *p = param_find(c, name_of(c, usual_transports[i].name, w));
			if (p != NULL && p->setting == NULL) add(c, usual_transports[i].name, w);
		}
}

static const struct value *value_of(const struct conf *c, struct slice service, enum transport_setting which) {
	AUTO_BUF struct buf name = BUF(KIB(16));
	buf_addf(&name, "%.*s%s", SLICE_ARG(service), transport_settings[which].ending);
	const struct param *p = param_find(c, buf_slice(&name));
	return &c->main.values[p != NULL && p->setting != NULL ? p->id : (size_t)transport_settings[which].fallback];
}

int64_t conf_transport(const struct conf *c, struct slice service, enum transport_setting which) {
	enum setting_kind kind = setting_of(transport_settings[which].fallback)->kind;
	must(kind == KIND_NUMBER || kind == KIND_TIME);
	return value_of(c, service, which)->number;
}

struct slice conf_transport_text(const struct conf *c, struct slice service, enum transport_setting which) {
	return value_of(c, service, which)->text;
}
