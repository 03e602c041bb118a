/* SPDX-License-Identifier: Apache-2.0 */
/* Each parameter of a view is evaluated once and remembered, so that a value which mentions another twice costs nothing
 * more, and one that leads back to itself is noticed. A faulty value is reported and replaced by its default: the rest
 * of the file can then be checked in the same run. */
#include "base/fail.h"
#include "conf/expand.h"
#include "conf/opendkim.h"
#include "conf/equal_file.h"
#include "conf/opendmarc.h"
#include "conf/snapshot.h"
#include <pthread.h>

/* Does a fault in this view still need to be told, or did main.cf's own evaluation tell it? */
static bool is_new(const struct conf_view *v, size_t id) {
	return v->service == NULL || view_is_own(v, id);
}

static int value_for_expand(void *ctx, struct slice name, struct buf *out) {
	struct conf_view *v = ctx;
	const struct param *p = param_find(v->conf, name);
	struct slice text = SLICE_NONE;
	if (p == NULL) return EXPAND_UNKNOWN;
	if (evaluate(v, p, &text) < 0) return -1;
	buf_add(out, text);
	return EXPAND_KNOWN;
}

/* The text of another setting while one is evaluated; empty when it cannot be had. */
static struct slice text_of(struct conf_view *v, enum setting_id id) {
	struct slice text = S("");
	if (evaluate(v, v->conf->params[id], &text) < 0) return S("");
	return text;
}

static struct slice compute_hostname(struct conf_view *v) {
	struct slice host = v->conf->machine.host;
	if (slice_find(host, '.') < host.len) return host;
	bool given = view_raw(v, SET_mydomain)->text.at != NULL;
	struct slice domain = given ? text_of(v, SET_mydomain) : S("localdomain");
	return arena_fmt(&v->conf->mem, "%.*s.%.*s", SLICE_ARG(host), SLICE_ARG(domain));
}

static struct slice compute_domain(struct conf_view *v) {
	struct slice host = text_of(v, SET_myhostname);
	size_t dot = slice_find(host, '.');
	return dot + 1 < host.len ? slice_skip(host, dot + 1) : S("localdomain");
}

static struct slice compute_networks(struct conf_view *v) {
	return machine_networks(&v->conf->machine, text_of(v, SET_mynetworks_style), text_of(v, SET_inet_interfaces),
	                        text_of(v, SET_inet_protocols), &v->conf->mem);
}

/* Postfix lets the neighbours relay below level 2, which is where a main.cf without the line stands. To be an open door
 * must be asked for. */
static struct slice compute_style(struct conf_view *v) {
	uint64_t major;
	struct slice level = text_of(v, SET_compatibility_level);
	bool asked = view_raw(v, SET_compatibility_level)->text.at != NULL;
	return asked && slice_number(slice_cut(&level, '.'), INT_MAX, &major) && major < 2 ? S("subnet") : S("host");
}

static struct slice compute_directory(struct conf_view *v) { return v->conf->dir; }

static bool is_postfix(struct slice dir) {
	while (dir.len > 1 && dir.at[dir.len - 1] == '/') dir.len--;
	return slice_eq(slice_skip(dir, slice_find_last(dir, '/') + 1), S("postfix"));
}

/* Who points us at Postfix's own folder has tools that look for "postfix/smtpd[" in the log: a fail2ban that finds
 * nothing any more does not say so, either. */
static struct slice compute_log_name(struct conf_view *v) {
	AUTO_FREE char *real = realpath(arena_text(&v->conf->mem, v->conf->dir), NULL);
	bool postfix = is_postfix(v->conf->dir) || (real != NULL && is_postfix(slice_of(real)));
	return postfix ? S("postfix") : S("hato");
}

static const struct {
	enum setting_id id;
	struct slice (*compute)(struct conf_view *v);
} computed[] = {
	{ SET_myhostname, compute_hostname },
	{ SET_mydomain, compute_domain },
	{ SET_mynetworks, compute_networks },
	{ SET_mynetworks_style, compute_style },
	{ SET_config_directory, compute_directory },
	{ SET_syslog_name, compute_log_name },
};

static struct slice compute(struct conf_view *v, size_t id) {
	for (size_t i = 0; i < LEN(computed); i++)
		if (computed[i].id == id) return computed[i].compute(v);
	return S("");
}

static int expand_raw(struct conf_view *v, const struct param *p, struct slice raw, struct buf *out) {
	struct expand_ops ops = { value_for_expand, v, &v->depth };
	if (p->setting != NULL && p->setting->kind == KIND_RAW)
		return buf_add(out, raw) ? 0 : fail("value is too long");
	return expand(raw, &ops, out);
}

/* "/etc/mailname" stands for its first line. */
static int read_origin(struct conf_view *v, const struct setting *s, struct slice *text) {
	if (text->len == 0 || text->at[0] != '/') return 0;
	struct slice content = SLICE_NONE;
	int r = source_read(&v->conf->files, *text, &content);
	if (r < 0) return fail_add("%s", s->name);
	if (r == SOURCE_ABSENT) return fail("%s: %.*s: no such file", s->name, SLICE_ARG(*text));
	struct slice line = slice_trim(slice_cut(&content, '\n'));
	if (line.len == 0) return fail("%s: %.*s: the first line is empty", s->name, SLICE_ARG(*text));
	*text = arena_slice(&v->conf->mem, line);
	return 0;
}

static bool names_parents(struct conf_view *v, const struct setting *s) {
	struct slice rest = text_of(v, SET_parent_domain_matches_subdomains);
	for (struct slice word; (word = slice_word(&rest, ", \t\r\n")).len > 0;)
		if (slice_same(word, slice_of(s->name))) return true;
	return false;
}

/* Faults of a list are reported where they stand; what is left out of a default was told for the setting it comes from.
 */
static void read_patterns(struct conf_view *v, const struct setting *s, struct place where, bool given,
                          struct value *out) {
	struct problems unheard = { .mem = &v->conf->mem };
	struct problems *problems = given && s->state != NOT_YET ? &v->conf->problems : &unheard;
	struct slice text = out->text;
	if (s->kind == KIND_NETWORKS) networks_read(&out->networks, text, s->name, where, &v->conf->files, problems);
	else domains_read(&out->domains, text, names_parents(v, s), s->name, where, &v->conf->files, problems);
}

enum { EXPANSION_FAILED = -2 };

/* One try: from text to value. */
static int try_value(struct conf_view *v, const struct param *p, struct slice raw, bool given, struct value *out) {
	AUTO_BUF struct buf expanded = BUF(EXPAND_LIMIT);
	struct conf *c = v->conf;
	const struct setting *s = p->setting;
	if (expand_raw(v, p, raw, &expanded) < 0) {
		fail_add("%.*s", SLICE_ARG(p->name));
		return EXPANSION_FAILED;
	}
	struct slice text = slice_trim(buf_slice(&expanded));
	bool inherits = v->service != NULL && c->main.states[p->id] == EVALUATED;
	if (inherits && (s == NULL || s->kind != KIND_ORIGIN) && slice_eq(text, c->main.values[p->id].text)) {
		*out = c->main.values[p->id];
		return 0;
	}
	text = arena_slice(&c->mem, text);
	*out = (struct value){ .text = text };
	if (s == NULL) return 0;
	if (s->kind == KIND_ORIGIN && read_origin(v, s, &text) < 0) return -1;
	if (s->kind == KIND_WORDS && text.len == 0 && given) return try_value(v, p, slice_of(s->fallback), false, out);
	int r = value_read(out, s, text, &c->mem);
	if (r < 0) return -1;
	if (r == VALUE_EXTENSION)
		problem_add(&c->problems, PROBLEM_WARNING, view_raw(v, p->id)->where,
			    "%s = %.*s: read as %lld bytes (Postfix takes no suffix in a size)", s->name,
			    SLICE_ARG(text), (long long)out->number);
	if (s->kind == KIND_NETWORKS || s->kind == KIND_DOMAINS)
		read_patterns(v, s, view_raw(v, p->id)->where, given, out);
	return 0;
}

static void report(struct conf_view *v, const struct param *p, bool given, int failure) {
	bool acted = p->setting == NULL || p->setting->state == ACTED || p->setting->state >= OLD;
	struct place where = view_raw(v, p->id)->where;
	if (!given) where = (struct place){ v->conf->main_path, 0 };
	if (is_new(v, p->id))
		problem_add_about(&v->conf->problems, failure == EXPANSION_FAILED ? PROBLEM_EXPANSION : PROBLEM_OTHER,
				  acted ? PROBLEM_ERROR : PROBLEM_WARNING, where, "%s", fail_text());
}

/* Most settings have a default that is the same everywhere: it is read once. Written under pthread_once, and only read
 * after that. */
static pthread_once_t constants_once = PTHREAD_ONCE_INIT;
static struct value constants[SETTINGS_COUNT]; /* text.at NULL: none */
static uint16_t same_as[SETTINGS_COUNT];       /* the default is that setting's value, "$name"; itself: it is not */
static struct arena constants_mem;

static bool is_read_alike(const struct setting *a, const struct setting *b) {
	return a->kind == b->kind && a->least == b->least && a->most == b->most && a->words == b->words &&
	       a->unit == b->unit;
}

static void read_constant(size_t id) {
	const struct setting *s = setting_of((enum setting_id)id), *other;
	struct slice text = slice_of(s->fallback);
	same_as[id] = (uint16_t)id;
	if (s->fallback == NULL || s->kind == KIND_ORIGIN || s->kind == KIND_NETWORKS || s->kind == KIND_DOMAINS)
		return;
	if (slice_starts(text, S("$")) && s->kind != KIND_RAW) {
		other = setting_find(slice_skip(text, 1));
		if (other != NULL && is_read_alike(s, other)) same_as[id] = (uint16_t)setting_id_of(other);
	}
	if (slice_find(text, '$') != text.len || slice_trim(text).len != text.len) return;
	constants[id].text = text;
	if (value_read(&constants[id], s, text, &constants_mem) != VALUE_GOOD) constants[id].text = SLICE_NONE;
}

static void read_constants(void) {
	for (size_t i = 0; i < SETTINGS_COUNT; i++) read_constant(i);
}

/* Of a setting that is not set. NULL: its default has to be made from others, or from files. */
static const struct value *default_of(struct conf_view *v, const struct param *p) {
	struct slice text;
	pthread_once(&constants_once, read_constants);
	if (p->id >= SETTINGS_COUNT) return NULL;
	if (constants[p->id].text.at != NULL) return &constants[p->id];
	size_t other = same_as[p->id];
	return other != p->id && evaluate(v, v->conf->params[other], &text) == 0 ? &v->values[other] : NULL;
}

/* A service shares what main.cf says with it, unless a $name in there may lead to one of its own settings. */
static bool is_shared(const struct conf_view *v, const struct param *p) {
	if (v->service == NULL || is_new(v, p->id)) return false;
	struct slice text = view_raw(v, p->id)->text;
	if (text.at == NULL && p->setting != NULL) text = slice_of(p->setting->fallback);
	return text.at != NULL && slice_find(text, '$') == text.len;
}

static void evaluate_fresh(struct conf_view *v, const struct param *p) {
	struct value *out = &v->values[p->id];
	const struct raw *raw = view_raw(v, p->id);
	bool given = raw->text.at != NULL;
	const struct value *usual = given ? NULL : default_of(v, p);
	if (usual != NULL) {
		*out = *usual;
		return;
	}
	if (is_shared(v, p)) {
		*out = v->conf->main.values[p->id];
		return;
	}
	int r = given ? try_value(v, p, raw->text, true, out) : 0;
	if (given && r == 0) return;
	if (given) report(v, p, true, r);
	struct slice fallback = S("");
	if (p->setting != NULL)
		fallback = p->setting->fallback != NULL ? slice_of(p->setting->fallback) : compute(v, p->id);
	r = try_value(v, p, fallback, false, out);
	if (r == 0) return;
	if (!given) report(v, p, false, r);
	*out = (struct value){ .text = S("") };
}

int evaluate(struct conf_view *v, const struct param *p, struct slice *out) {
	if (v->places != NULL) {
		*out = view_value(v, p->id)->text;
		return 0;
	}
	uint8_t *state = &v->states[p->id];
	if (*state == UNDER_WAY)
		return fail("unreasonable macro call nesting: \"%.*s\" refers to itself", SLICE_ARG(p->name));
	if (*state == NOT_EVALUATED) {
		*state = UNDER_WAY;
		evaluate_fresh(v, p);
		*state = EVALUATED;
	}
	*out = view_value(v, p->id)->text;
	return 0;
}

static void init_view(struct conf *c, struct conf_view *v, const struct conf_service *s, struct arena *mem) {
	*v = (struct conf_view){ .conf = c, .service = s };
	v->raws = c->main_raws;
	v->values = arena_array(mem, c->params_count, sizeof(v->values[0]));
	v->states = arena_array(mem, c->params_count, 1);
}

static void evaluate_all(struct conf_view *v) {
	struct slice text = SLICE_NONE;
	for (size_t i = 0; i < v->conf->params_count; i++)
		if (evaluate(v, v->conf->params[i], &text) < 0)
			must_failed("evaluation ended in itself", __FILE__, __LINE__);
}

static void apply_overrides(struct conf_view *v, const struct conf_service *s) {
	for (size_t i = 0; i < s->overrides_count; i++) {
		const struct param *p = param_find(v->conf, s->overrides[i].name);
		v->raws[p->id] = (struct raw){ s->overrides[i].value, s->where };
	}
}

static bool differs(const struct conf_view *v, size_t id) {
	const struct conf_view *main = &v->conf->main;
	return memcmp(&v->raws[id], &main->raws[id], sizeof(v->raws[0])) != 0 ||
	       memcmp(&v->values[id], &main->values[id], sizeof(v->values[0])) != 0;
}

/* A service differs from main.cf in few of a thousand settings, and each process has a view of each service. */
static void keep_own(struct conf_view *v) {
	struct arena *mem = &v->conf->mem;
	size_t all = v->conf->params_count, count = 0;
	uint16_t *places = arena_array(mem, all, sizeof *places);
	for (size_t i = 0; i < all; i++)
		if (differs(v, i) && count < UINT16_MAX) places[i] = (uint16_t)++count;
	struct raw *raws = arena_array(mem, count, sizeof *raws);
	struct value *values = arena_array(mem, count, sizeof *values);
	for (size_t i = 0; i < all; i++) {
		if (places[i] == 0) continue;
		raws[places[i] - 1] = v->raws[i];
		values[places[i] - 1] = v->values[i];
	}
	v->raws = raws;
	v->values = values;
	v->places = places;
	v->states = NULL;
}

static struct conf_view *service_view(struct conf *c, const struct conf_service *s) {
	bool named = c->params[SET_service_name]->mentioned || c->params[SET_process_name]->mentioned;
	if (s->overrides_count == 0 && !named) return &c->main;
	struct conf_view *v = arena_get(&c->mem, sizeof(*v));
	AUTO_ARENA struct arena mem = { 0 };
	init_view(c, v, s, &mem);
	v->raws = arena_array(&mem, c->params_count, sizeof(v->raws[0]));
	memcpy(v->raws, c->main_raws, c->params_count * sizeof(v->raws[0]));
	v->raws[SET_service_name] = (struct raw){ s->name, s->where };
	v->raws[SET_process_name] = (struct raw){ s->command, s->where };
	if (slice_eq(s->command, S("postscreen"))) /* the smtpd that it hands clients to */
		for (size_t i = 0; i < c->services.count; i++)
			if (c->services.at[i].type == SERVICE_PASS && c->services.at[i].role == SERVICE_SMTPD)
				apply_overrides(v, &c->services.at[i]);
	apply_overrides(v, s);
	evaluate_all(v);
	keep_own(v);
	return v;
}

/* "inet", "smtp.inet", "!smtp.inet": the first word of master_service_disable that means the service decides. */
static bool is_disabled(const struct conf_service *s, struct slice words) {
	struct slice type = slice_of(service_type_word(s->type));
	for (struct slice word; (word = slice_word(&words, ", \t\r\n")).len > 0;) {
		bool but = word.at[0] == '!';
		if (but) word = slice_skip(word, 1);
		size_t dot = slice_find_last(word, '.');
		struct slice last = dot < word.len ? slice_skip(word, dot + 1) : word;
		if (slice_same(last, type) && (dot == word.len || slice_eq(slice_head(word, dot), s->name)))
			return !but;
	}
	return false;
}

static void drop_disabled(struct conf *c) {
	struct services *all = &c->services;
	size_t kept = 0;
	for (size_t i = 0; i < all->count; i++) {
		if (is_disabled(&all->at[i], conf_text(&c->main, SET_master_service_disable))) continue;
		all->at[kept] = all->at[i];
		all->at[kept].index = kept;
		kept++;
	}
	all->count = kept;
}

void evaluate_views(struct conf *c) {
	init_view(c, &c->main, NULL, &c->mem);
	opendkim_adopt(c);
	opendmarc_adopt(c);
	policyd_spf_adopt(c);
	postsrsd_adopt(c);
	evaluate_all(&c->main);
	for (size_t i = 0; i < LEN(computed); i++) c->params[computed[i].id]->computed = computed[i].compute(&c->main);
	drop_disabled(c);
	c->views = arena_array(&c->mem, c->services.count, sizeof(c->views[0]));
	for (size_t i = 0; i < c->services.count; i++) c->views[i] = service_view(c, &c->services.at[i]);
}
