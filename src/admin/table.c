/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/table.h"
#include "admin/json.h"
#include "admin/text.h"

enum { GAP = 2 };

static struct cell *next_cell(struct table *t) {
	if (t->count == t->room) {
		t->room = MAX_OF(t->room * 2, (size_t)64);
		struct cell *more = arena_array(t->mem, t->room, sizeof *more);
		if (t->count != 0) memcpy(more, t->cells, t->count * sizeof *more);
		t->cells = more;
	}
	return &t->cells[t->count++];
}

void table_text(struct table *t, struct slice s) {
	next_cell(t)->text = arena_slice(t->mem, s);
}

void table_number(struct table *t, int64_t v) {
	next_cell(t)->number = v;
}

size_t table_rows(const struct table *t) {
	return t->count / t->width;
}

static void cell_text(struct buf *out, const struct column *column, const struct cell *cell) {
	switch (column->kind) {
	case COLUMN_TEXT: text_clean(out, cell->text); break;
	case COLUMN_COUNT: buf_addf(out, "%lld", (long long)cell->number); break;
	case COLUMN_SIZE: text_size(out, (uint64_t)cell->number); break;
	case COLUMN_TIME:
		if (cell->number != 0) text_time(out, cell->number);
		else buf_byte(out, '-');
		break;
	case COLUMN_YES: buf_add(out, cell->number != 0 ? S("yes") : S("no")); break;
	}
}

static bool flush_right(const struct column *c) {
	return c->kind == COLUMN_COUNT || c->kind == COLUMN_SIZE;
}

static void put_padded(struct buf *out, struct slice s, size_t width, bool right, bool last) {
	size_t pad = width - MIN_OF(width, text_width(s));
	if (right) buf_addf(out, "%*s", (int)pad, "");
	buf_add(out, s);
	if (!right && !last) buf_addf(out, "%*s", (int)pad, "");
	buf_add(out, last ? S("\n") : S("  "));
}

static void print_paragraphs(const struct table *t, const struct slice *texts, size_t rows, struct buf *out) {
	for (size_t i = 0; i < rows * t->width; i++) {
		size_t column = i % t->width;
		if (column > 1) buf_add(out, S(", "));
		if (column == 1) buf_add(out, S("\n    "));
		if (column > 0) {
			for (const char *p = t->columns[column].title; *p != '\0'; p++) buf_byte(out, ascii_lower(*p));
			buf_byte(out, ' ');
		}
		buf_add(out, texts[i]);
		if (column == t->width - 1) buf_byte(out, '\n');
	}
}

void table_print(const struct table *t, size_t columns, struct buf *out) {
	size_t rows = table_rows(t), line = 0;
	if (rows == 0) return;
	AUTO_ARENA struct arena mem = {0};
	AUTO_BUF struct buf text = BUF(MIB(1));
	struct slice *texts = arena_array(&mem, rows * t->width, sizeof *texts);
	size_t *widths = arena_array(&mem, t->width, sizeof *widths);
	for (size_t k = 0; k < t->width; k++) widths[k] = strlen(t->columns[k].title);
	for (size_t i = 0; i < rows * t->width; i++) {
		buf_clear(&text);
		cell_text(&text, &t->columns[i % t->width], &t->cells[i]);
		texts[i] = arena_slice(&mem, buf_slice(&text));
		widths[i % t->width] = MAX_OF(widths[i % t->width], text_width(texts[i]));
	}
	for (size_t k = 0; k < t->width; k++) line += widths[k] + (k == 0 ? 0 : GAP);
	if (columns != 0 && line > columns && t->width > 1) {
		print_paragraphs(t, texts, rows, out);
		return;
	}
	for (size_t k = 0; k < t->width; k++)
		put_padded(out, slice_of(t->columns[k].title), widths[k], flush_right(&t->columns[k]),
			   k == t->width - 1);
	for (size_t i = 0; i < rows * t->width; i++)
		put_padded(out, texts[i], widths[i % t->width], flush_right(&t->columns[i % t->width]),
			   i % t->width == t->width - 1);
}

void table_json(const struct table *t, struct buf *out) {
	struct json j = { .out = out };
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < table_rows(t) * t->width; i++) {
		const struct column *c = &t->columns[i % t->width];
		const struct cell *cell = &t->cells[i];
		if (i % t->width == 0) json_open(&j, NULL, '{');
		switch (c->kind) {
		case COLUMN_TEXT: json_text(&j, c->key, cell->text); break;
		case COLUMN_TIME: json_time(&j, c->key, cell->number); break;
		case COLUMN_YES: json_bool(&j, c->key, cell->number != 0); break;
		default: json_number(&j, c->key, cell->number);
		}
		if (i % t->width == t->width - 1) json_close(&j, '}');
	}
	json_close(&j, ']');
}
