/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration travels between processes as the texts it was made from, not as a dump of values: what arrives is
 * then built by the same code, and nothing has to be kept in step. */
#include "base/fail.h"
#include "conf/expand.h"
#include "conf/snapshot.h"

const char conf_default_main_cf[] = "compatibility_level = 3.11\n";
const char conf_default_master_cf[] =
	"smtp        inet n - n - - smtpd\n"
	"submission  inet n - n - - smtpd\n"
	"  -o syslog_name=hato/submission -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes\n"
	"submissions inet n - n - - smtpd\n"
	"  -o syslog_name=hato/submissions -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes\n"
	"imap        inet n - n - - imapd\n"
	"imaps       inet n - n - - imapd\n"
	"  -o imapd_tls_wrappermode=yes\n"
	"pop3        inet n - n - - pop3d\n"
	"pop3s       inet n - n - - pop3d\n"
	"  -o pop3d_tls_wrappermode=yes\n"
	"smtp        unix - - n - - smtp\n"
	"relay       unix - - n - - smtp\n"
	"local       unix - - n - - local\n"
	"error       unix - - n - - error\n"
	"discard     unix - - n - - discard\n";

static struct conf *conf_new(void) {
	struct conf *c = mem_get(sizeof(*c));
	atomic_init(&c->refs, 1);
	c->files.mem = c->problems.mem = &c->mem;
	return c;
}

struct conf *conf_keep(struct conf *c) {
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void conf_drop(struct conf **at) {
	struct conf *c = TAKE(*at);
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1) return;
	map_done(&c->names, NULL);
	arena_done(&c->mem);
	free(c);
}

static int order_names(const void *a, const void *b, void *ctx) {
	const struct conf *c = ctx;
	return slice_order(c->params[*(const size_t *)a]->name, c->params[*(const size_t *)b]->name);
}

/* The list's own order is known; the file's names are put between. */
static void order_params(struct conf *c) {
	size_t own = c->params_count - SETTINGS_COUNT, listed = 0, next = 0;
	size_t *names = arena_array(&c->mem, own, sizeof *names);
	c->ordered = arena_array(&c->mem, c->params_count, sizeof(c->ordered[0]));
	for (size_t i = 0; i < own; i++) names[i] = SETTINGS_COUNT + i;
	qsort_r(names, own, sizeof *names, order_names, c);
	for (size_t i = 0; i < c->params_count; i++) {
		size_t id = listed < SETTINGS_COUNT ? (size_t)setting_in_order(listed) : 0;
		bool is_own = listed == SETTINGS_COUNT || (next < own && order_names(&names[next], &id, c) < 0);
		c->ordered[i] = is_own ? names[next++] : id;
		listed += !is_own;
	}
}

/* Builds everything from dir, settings, machine and the files behind them. */
static int build(struct conf *c) {
	struct slice main_cf = slice_of(conf_default_main_cf), master_cf = slice_of(conf_default_master_cf);
	c->main_path = arena_fmt(&c->mem, "%.*s/main.cf", SLICE_ARG(c->dir));
	c->master_path = arena_fmt(&c->mem, "%.*s/master.cf", SLICE_ARG(c->dir));
	int main_found = source_read(&c->files, c->main_path, &main_cf);
	int master_found = main_found < 0 ? -1 : source_read(&c->files, c->master_path, &master_cf);
	if (main_found < 0 || master_found < 0) return -1;
	c->main_is_embedded = main_found == SOURCE_ABSENT;
	c->master_is_embedded = master_found == SOURCE_ABSENT;

	params_begin(c);
	mainfile_read(c, main_cf);
	services_read(&c->services, master_cf, c->master_path, &c->files, &c->problems);
	for (size_t i = 0; i < c->services.count; i++)
		for (size_t k = 0; k < c->services.at[i].overrides_count; k++)
			param_get(c, c->services.at[i].overrides[k].name);
	transports_add(c);
	check_names(c);
	evaluate_views(c);
	check_values(c);
	check_dangers(c);
	bounces_load(c);
	order_params(c);
	return c->problems.errors > 0 ? CONF_REFUSED : CONF_GOOD;
}

static int build_and_give(struct conf *c, struct conf **out) {
	AUTO_CONF struct conf *made = c;
	int r = build(c);
	if (r < 0) return -1;
	*out = TAKE(made);
	return r;
}

static void copy_machine(struct conf *c, const struct machine *m) {
	AUTO_BUF struct buf packed = BUF(MIB(1));
	machine_pack(&packed, m);
	struct unwire w = UNWIRE(arena_slice(&c->mem, buf_slice(&packed)), &c->mem);
	machine_unpack(&w, &c->machine);
	must(!w.bad);
}

static struct conf *prepare(const struct conf_options *o) {
	struct conf *c = conf_new();
	c->dir = arena_slice(&c->mem, slice_of(o->dir));
	while (c->dir.len > 1 && c->dir.at[c->dir.len - 1] == '/') c->dir.len--;
	c->settings = arena_array(&c->mem, o->settings_count, sizeof(c->settings[0]));
	c->settings_count = o->settings_count;
	for (size_t i = 0; i < o->settings_count; i++) c->settings[i] = arena_slice(&c->mem, o->settings[i]);
	if (o->machine != NULL) copy_machine(c, o->machine);
	else machine_ask(&c->machine, &c->mem);
	return c;
}

int conf_load(const struct conf_options *options, struct conf **out) { return build_and_give(prepare(options), out); }

int conf_build(const struct conf_options *options, struct slice main_cf, struct slice master_cf, struct conf **out) {
	struct conf *c = prepare(options);
	source_put(&c->files, arena_fmt(&c->mem, "%.*s/main.cf", SLICE_ARG(c->dir)), main_cf, main_cf.at == NULL);
	source_put(&c->files, arena_fmt(&c->mem, "%.*s/master.cf", SLICE_ARG(c->dir)), master_cf, master_cf.at == NULL);
	return build_and_give(c, out);
}

/* Packing */

struct packed_setting {
	struct slice text;
};
#define SETTING_FIELDS(F) F(text, text)
WIRE_DECLARE(packed_setting)
WIRE_STRUCT(packed_setting, SETTING_FIELDS)
#define SOURCE_FIELDS(F) F(text, path) F(text, text) F(bool_, absent)
WIRE_DECLARE(source)
WIRE_STRUCT(source, SOURCE_FIELDS)
struct packed_conf {
	struct slice dir;
	struct packed_setting *settings;
	struct machine machine;
	struct source *files;
	size_t settings_count, files_count;
};
#define CONF_FIELDS(F) F(text, dir) F(list, settings, packed_setting) F(part, machine, machine) F(list, files, source)
WIRE_DECLARE(packed_conf)
WIRE_STRUCT(packed_conf, CONF_FIELDS)

void conf_pack(struct buf *b, const struct conf *c) {
	struct packed_conf p = { .dir = c->dir, .machine = c->machine, .settings_count = c->settings_count };
	p.settings = mem_array(c->settings_count + 1, sizeof(p.settings[0]));
	for (size_t i = 0; i < c->settings_count; i++) p.settings[i].text = c->settings[i];
	p.files = c->files.at;
	p.files_count = c->files.count;
	packed_conf_pack(b, &p);
	free(p.settings);
}

int conf_unpack(struct slice packed, struct conf **out) {
	AUTO_CONF struct conf *c = conf_new();
	struct unwire w = UNWIRE(arena_slice(&c->mem, packed), &c->mem);
	struct packed_conf p = { 0 };
	packed_conf_unpack(&w, &p);
	if (w.bad || w.rest.len > 0) return fail("configuration from another process: not well formed");
	c->dir = arena_slice(&c->mem, p.dir);
	c->machine = p.machine;
	c->settings = arena_array(&c->mem, p.settings_count, sizeof(c->settings[0]));
	c->settings_count = p.settings_count;
	for (size_t i = 0; i < p.settings_count; i++) c->settings[i] = p.settings[i].text;
	c->files.at = p.files;
	c->files.count = c->files.room = p.files_count;
	c->files.sealed = true;
	return build_and_give(TAKE(c), out);
}

/* Reading */

const struct problem *conf_problems(const struct conf *c, size_t *count) {
	*count = c->problems.count;
	return c->problems.at;
}

const struct source *conf_sources(const struct conf *c, size_t *count) {
	*count = c->files.count;
	return c->files.at;
}

struct slice conf_dir(const struct conf *c) { return c->dir; }

const struct conf_view *conf_main(const struct conf *c) { return &c->main; }

const struct conf_service *conf_services(const struct conf *c, size_t *count) {
	*count = c->services.count;
	return c->services.at;
}

const struct conf_view *conf_service_view(const struct conf *c, const struct conf_service *s) {
	must(s->index < c->services.count);
	return c->views[s->index];
}

static const struct value *value_of(const struct conf_view *v, enum setting_id id, enum setting_kind kind) {
	must(setting_of(id)->kind == kind);
	return view_value(v, id);
}

struct slice conf_text(const struct conf_view *v, enum setting_id id) {
	return view_value(v, setting_id_of(setting_of(id)))->text;
}
bool conf_bool(const struct conf_view *v, enum setting_id id) { return value_of(v, id, KIND_BOOL)->number != 0; }
int64_t conf_number(const struct conf_view *v, enum setting_id id) { return value_of(v, id, KIND_NUMBER)->number; }
int64_t conf_time_ms(const struct conf_view *v, enum setting_id id) { return value_of(v, id, KIND_TIME)->number; }
uint64_t conf_size(const struct conf_view *v, enum setting_id id) {
	return (uint64_t)value_of(v, id, KIND_SIZE)->number;
}
int conf_enum(const struct conf_view *v, enum setting_id id) { return (int)value_of(v, id, KIND_WORDS)->number; }

const struct slice *conf_list(const struct conf_view *v, enum setting_id id, size_t *count) {
	const struct value *value = value_of(v, id, KIND_LIST);
	*count = value->list.count;
	return value->list.words;
}

const struct networks *conf_networks(const struct conf_view *v, enum setting_id id) {
	return &value_of(v, id, KIND_NETWORKS)->networks;
}

const struct domains *conf_domains(const struct conf_view *v, enum setting_id id) {
	return &value_of(v, id, KIND_DOMAINS)->domains;
}

bool conf_text_named(const struct conf_view *v, struct slice name, struct slice *out) {
	const struct param *p = param_find(v->conf, name);
	if (p == NULL || (p->setting == NULL && view_raw(v, p->id)->text.at == NULL)) return false;
	*out = view_value(v, p->id)->text;
	return true;
}

static int add_named(void *ctx, struct slice name, struct buf *out) {
	struct slice text;
	if (!conf_text_named(ctx, name, &text)) return EXPAND_UNKNOWN;
	buf_add(out, text);
	return EXPAND_KNOWN;
}

int conf_expand(const struct conf_view *v, struct slice text, struct buf *out) {
	unsigned depth = 0;
	struct expand_ops ops = { add_named, (void *)(uintptr_t)v, &depth };
	return expand(text, &ops, out);
}

size_t conf_raw_count(const struct conf *c) { return c->params_count; }

static struct conf_raw raw_of(const struct conf *c, const struct param *p) {
	const struct raw *raw = &c->main_raws[p->id];
	struct conf_raw r = {
		.name = p->name, .setting = p->setting, .is_set = raw->text.at != NULL, .where = raw->where
	};
	r.class = p->of_service                                     ? CONF_SERVICE
		  : p->setting == NULL || p->setting->state == GONE ? CONF_USER
								    : CONF_BUILTIN;
	r.used = p->mentioned || p->setting != NULL;
	if (p->setting != NULL)
		r.fallback = p->setting->fallback != NULL ? slice_of(p->setting->fallback) : p->computed;
	r.value = r.is_set ? raw->text : r.fallback;
	return r;
}

struct conf_raw conf_raw_at(const struct conf *c, size_t i) {
	must(i < c->params_count);
	return raw_of(c, c->params[c->ordered[i]]);
}

bool conf_raw_find(const struct conf *c, struct slice name, struct conf_raw *out) {
	const struct param *p = param_find(c, name);
	if (p == NULL) return false;
	*out = raw_of(c, p);
	return true;
}
