/* SPDX-License-Identifier: Apache-2.0 */
/* A text is kept as pieces: one for each entry's lines, one for each line that belongs to none. */
#include "conf/table_text.h"
#include "base/map.h"
#include "conf/table/inside.h"
#include "net/file.h"
#include <sys/stat.h>

#define EDIT_MOST MIB(1024)

struct piece {
	struct slice text; /* with its line end */
	bool gone;
	struct piece *next; /* another one of the same entry: lines with comments between them */
};
struct table_text {
	struct arena mem;
	struct tables *tables; /* for telling: a report belongs to a table */
	struct table *table;
	char *path;
	bool aliases;
	struct map by_key;     /* to struct piece */
	struct piece **at;
	size_t count, room;
};

static struct piece *add_piece(struct table_text *t, struct slice text) {
	if (t->count == t->room) {
		t->room = t->room == 0 ? 256 : t->room * 2;
		t->at = mem_resize(t->at, t->room * sizeof *t->at);
	}
	struct piece *p = t->at[t->count++] = arena_get(&t->mem, sizeof *p);
	p->text = text;
	return p;
}

static bool is_comment(struct slice line) {
	struct slice text = slice_trim(line);
	return text.len == 0 || text.at[0] == '#';
}

/* The lines of one logical line, and the comments around them. */
static struct piece *add_lines(struct table_text *t, struct slice lines) {
	struct piece *first = NULL, *last = NULL;
	while (lines.len > 0) {
		size_t n = slice_find(lines, '\n');
		struct slice line = slice_head(lines, n + 1);
		lines = slice_skip(lines, n + 1);
		struct piece *p = add_piece(t, line);
		if (is_comment(line)) continue;
		if (first == NULL) first = p;
		else last->next = p;
		last = p;
	}
	return first;
}

static void drop(struct piece *p) {
	for (; p != NULL; p = p->next) p->gone = true;
}

static void append(struct piece *first, struct piece *more) {
	while (first->next != NULL) first = first->next;
	first->next = more;
}

static void take(struct table_text *t, struct slice lines, bool fresh, enum table_text_clash clash) {
	AUTO_ARENA struct arena mem = { 0 };
	struct report r = { .table = t->table, .path = fresh ? "standard input" : t->path };
	struct logical_lines walk = { .rest = lines };
	struct slice line, key, value;
	unsigned number;
	for (const char *from = lines.at; table_line_next(&walk, &mem, &line, &number, &r);
	     from = walk.rest.at, arena_reset(&mem)) {
		const char *end = walk.rest.at != NULL ? walk.rest.at : lines.at + lines.len;
		bool pair = text_split(line, t->aliases, &mem, &key, &value, &r, number);
		if (fresh && !pair) continue;
		struct slice low = pair ? arena_lower(&t->mem, key) : S("");
		struct piece *old = pair ? map_get(&t->by_key, low) : NULL;
		if (fresh && old != NULL && clash != TEXT_REPLACE) {
			if (clash == TEXT_KEEP) report_warning(&r, number, "duplicate entry: \"%.*s\"", SLICE_ARG(key));
			continue;
		}
		if (fresh) drop(old);
		struct piece *p = add_lines(t, slice_from(from, (size_t)(end - from)));
		if (pair && (fresh || old == NULL)) map_put(&t->by_key, low, p);
		else if (pair) append(old, p); /* a duplicate, which must not come to light when the first goes */
		if (walk.rest.at == NULL) break;
	}
	if (!fresh && t->count == 0) add_lines(t, lines); /* comments only */
}

static bool ends_line(const struct table_text *t) {
	if (t->count == 0) return true;
	struct slice last = t->at[t->count - 1]->text;
	return last.len > 0 && last.at[last.len - 1] == '\n';
}

int table_text_read(const char *path, unsigned flags, void (*tell)(void *ctx, int level, const char *text), void *ctx,
		    struct table_text **out) {
	AUTO_BUF struct buf text = BUF(EDIT_MOST);
	struct table_params params = { .tell = tell, .ctx = ctx };
	if (access(path, F_OK) == 0 && file_read(path, &text) < 0) return -1;
	struct table_text *t = mem_get(sizeof *t);
	t->path = mem_text(path);
	t->aliases = (flags & TABLE_ALIASES) != 0;
	t->tables = tables_new(&params);
	must(table_open(t->tables, S("internal:edit"), 0, &t->table) == TABLE_FOUND);
	take(t, arena_slice(&t->mem, buf_slice(&text)), false, TEXT_KEEP);
	*out = t;
	return 0;
}

void table_text_free(struct table_text **tp) {
	struct table_text *t = *tp;
	if (t == NULL) return;
	*tp = NULL;
	tables_free(&t->tables);
	map_done(&t->by_key, NULL);
	arena_done(&t->mem);
	free(t->at);
	free(t->path);
	free(t);
}

bool table_text_remove(struct table_text *t, struct slice key) {
	AUTO_ARENA struct arena mem = { 0 };
	struct piece *p = map_take(&t->by_key, arena_lower(&mem, key));
	drop(p);
	return p != NULL;
}

void table_text_add(struct table_text *t, struct slice lines, enum table_text_clash clash) {
	if (!ends_line(t)) add_piece(t, S("\n"));
	bool ended = lines.len == 0 || lines.at[lines.len - 1] == '\n';
	take(t, ended ? arena_slice(&t->mem, lines) : arena_fmt(&t->mem, "%.*s\n", SLICE_ARG(lines)), true, clash);
}

int table_text_write(const struct table_text *t) {
	AUTO_BUF struct buf text = BUF(EDIT_MOST * 2);
	struct stat st;
	bool known = stat(t->path, &st) == 0;
	for (size_t i = 0; i < t->count; i++)
		if (!t->at[i]->gone) buf_add(&text, t->at[i]->text);
	if (text.full) return fail("%s: too large", t->path);
	if (file_write(t->path, buf_slice(&text), known ? st.st_mode & 07777 : 0644) < 0) return -1;
	if (known && geteuid() == 0 && chown(t->path, st.st_uid, st.st_gid) != 0)
		return fail_errno("%s: owner", t->path);
	return 0;
}
