/* SPDX-License-Identifier: Apache-2.0 */
/* sqlite:, sqlite_table(5): a file is asked, never written. */
#include "conf/table/sql.h"
#include <sqlite3.h>
#include <sys/stat.h>

#define BUSY_MS 2000

struct file {
	sqlite3 *sql;
	dev_t dev;
	ino_t ino; /* a file that was put in another's place is opened anew */
};

static void disconnect(void *connection) {
	struct file *f = connection;
	sqlite3_close_v2(f->sql);
	free(f);
}

static int prepare(struct database *db) {
	if (database_text(db, "dbpath").len == 0) return fail("dbpath is missing");
	return sql_prepare(db);
}

static void *connect_file(struct database *db, struct slice host, int64_t deadline) {
	const char *path = database_string(db, "dbpath");
	struct stat st;
	(void)host, (void)deadline;
	if (stat(path, &st) != 0) return fail_errno("%s", path), NULL;
	struct file *f = mem_get(sizeof *f);
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	if (sqlite3_open_v2(path, &f->sql, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK) {
		fail("%s: %s", path, f->sql != NULL ? sqlite3_errmsg(f->sql) : "out of memory");
		disconnect(f);
		return NULL;
	}
	sqlite3_busy_timeout(f->sql, BUSY_MS);
	return f;
}

static void quote(void *ctx, struct buf *out, struct slice text) {
	(void)ctx;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '\'') buf_byte(out, '\''); /* all that sqlite3_mprintf("%q") does */
		buf_byte(out, text.at[i]);
	}
}

/* For a deadline inside of a query. */
static int too_late(void *ctx) {
	const struct question *q = ctx;
	return clock_ms() >= q->deadline;
}

static int rows(struct question *q, struct file *f, sqlite3_stmt *stmt) {
	for (;;) {
		int step = sqlite3_step(stmt);
		if (step == SQLITE_DONE) return TABLE_FOUND;
		if (step != SQLITE_ROW) return fail("%s", sqlite3_errmsg(f->sql)), TABLE_LATER;
		const void *text = sqlite3_column_text(stmt, 0); /* Postfix takes the first column only, here */
		int r = database_value(q, slice_from(text, (size_t)sqlite3_column_bytes(stmt, 0)));
		if (r != TABLE_FOUND) return r;
	}
}

static int ask(struct question *q, void *connection) {
	struct file *f = connection;
	AUTO_BUF struct buf sql = BUF(MIB(1));
	sqlite3_stmt *stmt = NULL;
	struct stat st;
	if (stat(database_string(q->db, "dbpath"), &st) != 0) return fail_errno("%s", database_string(q->db, "dbpath"));
	if (st.st_dev != f->dev || st.st_ino != f->ino)
		return fail("%s was replaced", database_string(q->db, "dbpath"));
	if (database_expand(q, database_text(q->db, "query"), quote, NULL, &sql) < 0) return TABLE_LATER;
	if (sqlite3_prepare_v2(f->sql, buf_text(&sql), -1, &stmt, NULL) != SQLITE_OK)
		return fail("%s", sqlite3_errmsg(f->sql)), TABLE_LATER;
	sqlite3_progress_handler(f->sql, 10000, too_late, q);
	int r = rows(q, f, stmt);
	sqlite3_progress_handler(f->sql, 0, NULL, NULL);
	sqlite3_finalize(stmt);
	return r;
}

static const struct parameter parameters[] = { { "dbpath", NULL }, SQL_PARAMETERS, { NULL, NULL } };
static const struct database_kind kind = {
	.parameters = parameters,
	.prepare = prepare,
	.connect = connect_file,
	.disconnect = disconnect,
	.ask = ask,
	.templates = { "query" },
};

static int open_sqlite(struct table *t) { return database_open(t, &kind); }

const struct table_type table_sqlite = { "sqlite", 0, open_sqlite, database_find, NULL, database_close };
