/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of main.cf, and how any setting is written: the forms that scripts parse. */
#include "admin/json.h"
#include "base/fail.h"
#include "cli/postconf.h"
#include "conf/expand.h"

enum { COLUMNS = 80, INDENT = 4 };

void postconf_words(struct buf *out, struct slice text, bool fold) {
	size_t column = 0;
	for (struct slice word; (word = slice_word(&text, " \t\r\n")).len != 0; column += word.len) {
		bool breaks = fold && column + word.len >= COLUMNS;
		if (column != 0) buf_addf(out, breaks ? "\n    " : " ");
		if (column != 0) column = breaks ? INDENT : column + 1;
		buf_add(out, word);
	}
	buf_byte(out, '\n');
}

void postconf_json(struct slice label, struct slice value) {
	AUTO_BUF struct buf out = BUF(MIB(32));
	for (int i = 0; i < 2; i++) {
		struct slice s = i == 0 ? label : value;
		buf_addf(&out, i == 0 ? "{\"" : "\": \"");
		for (size_t k = 0; k < s.len; k++) {
			if (ascii_control(s.at[k])) buf_addf(&out, "\\u%04x", (unsigned)(unsigned char)s.at[k]);
			else buf_addf(&out, s.at[k] == '"' || s.at[k] == '\\' ? "\\%c" : "%c", s.at[k]);
		}
	}
	printf("%s\"}\n", buf_text(&out));
}

int postconf_put(const struct postconf *p, struct slice label, struct slice value, const struct conf_view *view) {
	AUTO_BUF struct buf expanded = BUF(EXPAND_LIMIT), line = BUF(MIB(32)), out = BUF(MIB(32));
	if (p->expand && view != NULL) {
		if (conf_expand(view, value, &expanded) < 0) {
			postconf_warn(p, "%s", fail_text());
			return postconf_fatal(p, "macro processing error");
		}
		value = slice_trim(buf_slice(&expanded));
	}
	if (p->json) return postconf_json(label, value), POSTCONF_GOOD;
	if (!p->no_names || p->no_values) buf_add(&line, label);
	if (!p->no_names && !p->no_values) buf_add(&line, S(" = "));
	if (!p->no_values) buf_add(&line, value);
	postconf_words(&out, buf_slice(&line), p->fold);
	fwrite(buf_text(&out), 1, out.len, stdout);
	return POSTCONF_GOOD;
}

static bool is_known(const struct conf_raw *r) { return r->class == CONF_USER ? r->is_set && r->used : true; }

/* Texts whose $names are those of a delivery. */
static bool is_foreign(const struct conf_raw *r) { return r->setting != NULL && r->setting->kind == KIND_RAW; }

static int put_parameter(const struct postconf *p, const struct conf_raw *r) {
	return postconf_put(p, r->name, p->defaults ? r->fallback : r->value,
			    is_foreign(r) ? NULL : conf_main(p->conf));
}

/* The folder that -c names stands among what is set. */
static bool is_selected(const struct postconf *p, const struct conf_raw *r) {
	if (!is_known(r) || !p->classes[r->class]) return false;
	return !p->set_only || r->is_set || (p->dir_given && slice_eq(r->name, S("config_directory")));
}

static int show_all(const struct postconf *p) {
	int code = POSTCONF_GOOD;
	for (size_t i = 0; code == POSTCONF_GOOD && i < conf_raw_count(p->conf); i++) {
		struct conf_raw r = conf_raw_at(p->conf, i);
		if (is_selected(p, &r)) code = put_parameter(p, &r);
	}
	return code;
}

static int show_named(const struct postconf *p) {
	int code = POSTCONF_GOOD;
	for (size_t i = 0; code == POSTCONF_GOOD && i < p->count; i++) {
		struct conf_raw r;
		if (!conf_raw_find(p->conf, p->args[i], &r) || !is_known(&r)) {
			if (!p->quiet) postconf_warn(p, "%.*s: unknown parameter", SLICE_ARG(p->args[i]));
		} else if (!p->set_only || is_selected(p, &r)) code = put_parameter(p, &r);
	}
	return code;
}

/* Names that stand in a value and that nobody knows. */
struct mentions {
	const struct postconf *p;
	struct slice file;
	const struct conf_service *service; /* whose own settings count, too */
};

static void tell_undefined(void *ctx, struct slice name) {
	struct mentions *m = ctx;
	struct conf_raw r;
	if (conf_raw_find(m->p->conf, name, &r) && (r.is_set || r.setting != NULL)) return;
	for (size_t i = 0; m->service != NULL && i < m->service->overrides_count; i++)
		if (slice_eq(m->service->overrides[i].name, name)) return;
	postconf_warn(m->p, "%.*s: undefined parameter: %.*s", SLICE_ARG(m->file), SLICE_ARG(name));
}

/* What took the place of an old name: the first name of a setting in its doc line. */
static struct slice successor(const struct setting *s) {
	struct slice rest = slice_of(s->doc);
	for (struct slice word; (word = slice_word(&rest, " .,=")).len != 0;)
		if (setting_find(word) != NULL) return word;
	return SLICE_NONE;
}

static void tell_names(const struct postconf *p, const struct conf_raw *r) {
	struct slice instead;
	if (!is_known(r))
		postconf_warn(p, "%.*s: unused parameter: %.*s=%.*s", SLICE_ARG(r->where.file), SLICE_ARG(r->name),
			      SLICE_ARG(r->value));
	else if (r->setting != NULL && r->setting->state >= OLD && (instead = successor(r->setting)).len != 0)
		postconf_warn(p, "%.*s: support for parameter \"%.*s\" will be removed; instead, specify \"%.*s\"",
			      SLICE_ARG(r->where.file), SLICE_ARG(r->name), SLICE_ARG(instead));
}

static bool is_in_main(const struct conf_raw *r) { return r->is_set && r->where.file.len != 0; }

/* Everything that is set: in main.cf, and on the services' own lines. */
struct set_value {
	const struct conf_service *service; /* NULL: in main.cf */
	struct slice file, name, value;
	const struct conf_raw *known;       /* NULL: nobody knows that name */
};

static void each_set(const struct postconf *p, bool main_too,
		     void (*visit)(const struct postconf *p, const struct set_value *v)) {
	for (size_t i = 0; main_too && i < conf_raw_count(p->conf); i++) {
		struct conf_raw r = conf_raw_at(p->conf, i);
		if (is_in_main(&r)) visit(p, &(struct set_value){ NULL, r.where.file, r.name, r.value, &r });
	}
	size_t count;
	const struct conf_service *services = conf_services(p->conf, &count);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < services[i].overrides_count; k++) {
			struct conf_raw r;
			const struct conf_override *o = &services[i].overrides[k];
			bool found = conf_raw_find(p->conf, o->name, &r);
			visit(p, &(struct set_value){ &services[i], services[i].where.file, o->name, o->value,
						      found ? &r : NULL });
		}
	}
}

static void look_for_undefined(const struct postconf *p, const struct set_value *v) {
	struct mentions m = { p, v->file, v->service };
	if (v->known == NULL || !is_foreign(v->known)) expand_names(v->value, tell_undefined, &m);
}

static void look_for_unused(const struct postconf *p, const struct set_value *v) {
	if (v->service == NULL) tell_names(p, v->known);
	else if (v->known == NULL || (v->known->setting == NULL && !v->known->used))
		postconf_warn(p, "%.*s: unused parameter: %.*s=%.*s", SLICE_ARG(v->file), SLICE_ARG(v->name),
			      SLICE_ARG(v->value));
}

void postconf_tell_undefined(const struct postconf *p) { each_set(p, true, look_for_undefined); }
void postconf_tell_unused(const struct postconf *p) { each_set(p, p->view == VIEW_MAIN, look_for_unused); }

int postconf_main(const struct postconf *p) { return p->count == 0 ? show_all(p) : show_named(p); }
