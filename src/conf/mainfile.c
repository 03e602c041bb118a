/* SPDX-License-Identifier: Apache-2.0 */
/* main.cf, line by line, into what each parameter is set to. Nothing is expanded yet: a value may refer to a line
 * below. */
#include "conf/snapshot.h"

#define PARAMS_MOST 20000

struct param *param_find(const struct conf *c, struct slice name) {
	const struct setting *s = setting_find(name);
	return s != NULL ? c->params[setting_id_of(s)] : map_get(&c->names, name);
}

static void make_room(struct conf *c) {
	size_t room = c->params_room == 0 ? SETTINGS_COUNT + 64 : c->params_room * 2;
	struct param **params = arena_array(&c->mem, room, sizeof(struct param *));
	struct raw *raws = arena_array(&c->mem, room, sizeof(*raws));
	if (c->params_count > 0) {
		memcpy(params, c->params, c->params_count * sizeof(struct param *));
		memcpy(raws, c->main_raws, c->params_count * sizeof(*raws));
	}
	c->params = params;
	c->main_raws = raws;
	c->params_room = room;
}

void params_begin(struct conf *c) {
	struct param *all = arena_array(&c->mem, SETTINGS_COUNT, sizeof *all);
	make_room(c);
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		const struct setting *s = setting_of((enum setting_id)i);
		all[i] = (struct param){ .name = slice_of(s->name), .setting = s, .id = i };
		c->params[i] = &all[i];
	}
	c->params_count = SETTINGS_COUNT;
}

struct param *param_get(struct conf *c, struct slice name) {
	struct param *p = param_find(c, name);
	if (p != NULL) return p;
	if (c->params_count == c->params_room) make_room(c);
	p = arena_get(&c->mem, sizeof(*p));
	*p = (struct param){ .name = arena_slice(&c->mem, name), .id = c->params_count };
	c->params[c->params_count++] = p;
	map_put(&c->names, p->name, p);
	return p;
}

/* name = value. where.file is empty for the command line. */
static void read_assignment(struct conf *c, struct slice line, struct place where) {
	size_t equals = slice_find(line, '=');
	struct slice name = slice_trim(slice_head(line, equals)), shown = slice_head(line, 80);
	bool one_word = true;
	for (size_t i = 0; i < name.len; i++) one_word &= !ascii_space(name.at[i]);
	if (equals == line.len || !one_word) {
		problem_add_form(&c->problems, PROBLEM_ERROR, where, "missing '=' after attribute name: \"%.*s\"",
				 SLICE_ARG(shown));
		return;
	}
	if (name.len == 0) {
		problem_add_form(&c->problems, PROBLEM_ERROR, where, "missing attribute name: \"%.*s\"",
				 SLICE_ARG(shown));
		return;
	}
	if (c->params_count >= PARAMS_MOST && param_find(c, name) == NULL) {
		problem_add_form(&c->problems, PROBLEM_ERROR, where, "more than %d parameters", PARAMS_MOST);
		return;
	}
	struct param *p = param_get(c, name);
	struct raw *raw = &c->main_raws[p->id];
	if (raw->text.at != NULL && where.file.len > 0)
		problem_add_form(&c->problems, PROBLEM_WARNING, where, "overriding earlier entry: %.*s=%.*s",
				 SLICE_ARG(name), SLICE_ARG(slice_head(raw->text, 1000)));
	*raw = (struct raw){ arena_slice(&c->mem, slice_trim(slice_skip(line, equals + 1))), where };
}

void mainfile_read(struct conf *c, struct slice text) {
	struct logical_lines lines = { .rest = text };
	struct place where = { .file = c->main_path };
	for (struct slice line; logical_line_next(&lines, &c->mem, &line, &where.line);) {
		if (line.len > LOGICAL_LINE_MOST)
			problem_add_form(&c->problems, PROBLEM_ERROR, where,
					 "logical line of %zu bytes: \"%.*s…\" (at most %zu are taken; put long lists "
					 "into a table)",
					 line.len, SLICE_ARG(slice_head(line, 40)), LOGICAL_LINE_MOST);
		else if (!ascii_blank(line.at[0])) read_assignment(c, line, where);
		else
			problem_add_form(&c->problems, PROBLEM_WARNING, where,
					 "logical line must not start with whitespace: \"%.*s\"",
					 SLICE_ARG(slice_head(line, 80)));
	}
	for (size_t i = 0; i < c->settings_count; i++)
		read_assignment(c, c->settings[i], (struct place){ SLICE_NONE, 0 });
}
