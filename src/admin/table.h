/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* A list to be printed: rows of cells, as aligned columns for a person or as JSON for a program. When the columns do
 * not fit the width, each row becomes a small paragraph: nothing is ever cut. */
struct column {
	const char *title, *key; /* "SIZE", "bytes" */
	enum { COLUMN_TEXT, COLUMN_COUNT, COLUMN_SIZE, COLUMN_TIME, COLUMN_YES } kind;
};
struct cell {
	struct slice text;
	int64_t number;
};
struct table {
	struct arena *mem;
	const struct column *columns;
	size_t width; /* number of columns */
	struct cell *cells;
	size_t count, room;
};
/* Cells come row by row. Text is copied. */
void table_text(struct table *t, struct slice s);
void table_number(struct table *t, int64_t v);
size_t table_rows(const struct table *t);
/* Nothing at all for an empty table. columns: of the terminal, 0: any number. */
void table_print(const struct table *t, size_t columns, struct buf *out);
void table_json(const struct table *t, struct buf *out);
