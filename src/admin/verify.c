/* SPDX-License-Identifier: Apache-2.0 */
/* Database, bodies, counters and index against each other. */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "base/fail.h"
#include "store/check.h"
#include "store/summary_cache.h"

#include <sysexits.h>

enum { LINES_MAX = 200 };

struct verifying {
	struct admin_call *c;
	struct search_index *index;
	struct table found; /* lines */
	uint64_t more;      /* lines that were too many */
};

static int index_mark(struct verifying *v, const struct check *k, struct check_count *n) {
	return store_check_index(k, v->index, n);
}
static int bodies(struct verifying *v, const struct check *k, struct check_count *n) {
	return call_option(v->c, "quick", NULL) ? 0 : check_bodies(k, n);
}

static const struct {
	const char *name;
	int (*run)(const struct check *k, struct check_count *n); /* or, where it wants more: */
	int (*run_here)(struct verifying *v, const struct check *k, struct check_count *n);
} checks[] = {
	{ "database", check_engine, NULL },
	{ "bodies", NULL, bodies },
	{ "references", check_references, NULL },
	{ "beside bodies", check_beside, NULL },
	{ "lost messages", store_check_lost, NULL },
	{ "mailboxes", store_check_mailboxes, NULL },
	{ "accounts", store_check_accounts, NULL },
	{ "domain limits", store_check_pools, NULL },
	{ "search index", NULL, index_mark },
	{ "packed summaries", summary_cache_check, NULL },
};

struct check_row {
	struct check_count n;
	size_t lines; /* found so far, with this check's */
};

static const struct column columns[] = {
	{ "CHECK", "check", COLUMN_TEXT },
	{ "CHECKED", "checked", COLUMN_COUNT },
	{ "WRONG", "wrong", COLUMN_COUNT },
	{ "MENDED", "mended", COLUMN_COUNT },
};
static const struct column line_columns[] = { { "FOUND", "found", COLUMN_TEXT } };

static void take_line(void *ctx, const char *text) {
	struct verifying *v = ctx;
	if (table_rows(&v->found) < LINES_MAX) table_text(&v->found, slice_of(text));
	else v->more++;
}

/* A row for each check, with the lines it found (LINES_MAX of all checks). */
static void show_json(const struct verifying *v, const struct check_row *rows, size_t count) {
	struct json j = { .out = v->c->out };
	size_t line = 0;
	json_open(&j, NULL, '[');
	for (size_t i = 0; i < count; i++) {
		json_open(&j, NULL, '{');
		json_text(&j, "check", slice_of(checks[i].name));
		json_number(&j, "checked", (int64_t)rows[i].n.checked);
		json_number(&j, "wrong", (int64_t)rows[i].n.wrong);
		json_number(&j, "mended", (int64_t)rows[i].n.mended);
		json_open(&j, "found", '[');
		for (; line < rows[i].lines; line++) json_text(&j, NULL, v->found.cells[line].text);
		json_close(&j, ']');
		json_close(&j, '}');
	}
	json_close(&j, ']');
}

static void show_text(const struct verifying *v, const struct check_row *rows, size_t count) {
	struct admin_call *c = v->c;
	struct table t = { .mem = c->mem, .columns = columns, .width = LEN(columns) };
	for (size_t i = 0; i < count; i++) {
		table_text(&t, slice_of(checks[i].name));
		table_number(&t, (int64_t)rows[i].n.checked);
		table_number(&t, (int64_t)rows[i].n.wrong);
		table_number(&t, (int64_t)rows[i].n.mended);
	}
	table_print(&t, c->width, c->out);
	for (size_t i = 0; i < table_rows(&v->found); i++) remark(c, "%.*s", SLICE_ARG(v->found.cells[i].text));
	if (v->more != 0) remark(c, "and %llu more", (unsigned long long)v->more);
}

int verb_verify(struct admin_call *c) {
	struct search_index *own = NULL;
	struct verifying v = { .c = c,
			       .index = index_of(c, &own),
			       .found = { .mem = c->mem, .columns = line_columns, .width = LEN(line_columns) } };
	const struct check k = { .db = c->a->db, .mend = call_option(c, "repair", NULL), .tell = take_line, .ctx = &v };
	struct check_row rows[LEN(checks)] = { 0 };
	uint64_t left = 0;
	int r = 0;
	for (size_t i = 0; i < LEN(checks) && r >= 0; i++) {
		struct check_count *n = &rows[i].n;
		r = checks[i].run != NULL ? checks[i].run(&k, n) : checks[i].run_here(&v, &k, n);
		rows[i].lines = table_rows(&v.found);
		left += n->wrong - MIN_OF(n->mended, n->wrong);
	}
	/* without a server nobody works off what was begun anew */
	while (r >= 0 && own != NULL && k.mend && (r = search_index_work(own)) == 1) {}
	search_index_close(&own);
	if (r < 0) return broken(c);
	(c->json ? show_json : show_text)(&v, rows, LEN(rows));
	return left == 0 ? EX_OK : EX_DATAERR;
}
