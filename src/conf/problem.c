/* SPDX-License-Identifier: Apache-2.0 */
/* Problems are collected instead of logged at once, because the one who loads decides where they go: to the log after a
 * reload, to the terminal for `hato check`, nowhere in a child process that got a configuration already reported on. */
#include "conf/problem.h"

static void add(struct problems *p, struct problem made, const char *format, va_list args) {
	if (made.level == PROBLEM_ERROR) p->errors++;
	if (p->count == PROBLEMS_KEPT) return;
	AUTO_BUF struct buf text = BUF(KIB(4));
	if (!buf_addv(&text, format, args)) {
		buf_clear(&text);
		buf_addf(&text, "a problem with a very long text, beginning: %.200s", format);
	}
	for (size_t i = 0; i < text.len; i++)
		if (ascii_control(text.at[i])) text.at[i] = ' ';
	if (p->count == p->room) {
		size_t room = p->room == 0 ? 16 : p->room * 2;
		struct problem *at = arena_array(p->mem, room, sizeof(*at));
		if (p->count > 0) memcpy(at, p->at, p->count * sizeof(*at));
		p->at = at;
		p->room = room;
	}
	made.text = arena_slice(p->mem, buf_slice(&text));
	p->at[p->count++] = made;
}

void problem_add(struct problems *p, enum problem_level level, struct place where, const char *format, ...) {
	va_list args;
	va_start(args, format);
	add(p, (struct problem){ .level = level, .file = where.file, .line = where.line }, format, args);
	va_end(args);
}

void problem_add_about(struct problems *p, enum problem_about about, enum problem_level level, struct place where,
                       const char *format, ...) {
	va_list args;
	va_start(args, format);
	add(p, (struct problem){ .level = level, .file = where.file, .line = where.line, .about = about }, format,
	    args);
	va_end(args);
}

static bool same(const struct problem *a, const struct problem *b) {
	return a->level == b->level && a->line == b->line && slice_eq(a->file, b->file) && slice_eq(a->text, b->text);
}

void problems_once(struct problems *p, size_t from) {
	size_t kept = MIN_OF(from, p->count);
	for (size_t i = kept; i < p->count; i++) {
		size_t k = 0;
		while (k < kept && !same(&p->at[k], &p->at[i])) k++;
		if (k == kept) p->at[kept++] = p->at[i];
		else if (p->at[i].level == PROBLEM_ERROR) p->errors--;
	}
	p->count = kept;
}

void problem_line(struct buf *out, const struct problem *p) {
	static const char *const words[] = { "info", "warning", "error" };
	buf_addf(out, "%s: ", words[p->level]);
	if (p->file.len > 0) buf_addf(out, "%.*s", SLICE_ARG(p->file));
	if (p->line > 0) buf_addf(out, ", line %u", p->line);
	if (p->file.len > 0) buf_addf(out, ": ");
	buf_add(out, p->text);
}
