/* SPDX-License-Identifier: Apache-2.0 */
/* Statements are prepared once per connection and found again by the address of their text, which is a literal. One
 * that is in use (a walk whose callback runs the same statement) is prepared a second time and thrown away after.
 * Errors stick until db_step, so that preparing and binding need no checks. */
#include "db/inside.h"

static size_t slot_of(const char *sql) {
	return (size_t)(((uintptr_t)sql * UINT64_C(0x9E3779B97F4A7C15)) >> 57) % STMT_SLOTS;
}

static struct db_stmt *prepare(struct db_conn *c, const char *sql, bool keep) {
	struct db_stmt *s = mem_get(sizeof *s);
	s->c = c;
	s->sql = sql;
	s->cached = keep;
	s->error = sqlite3_prepare_v3(c->sqlite, sql, -1, keep ? SQLITE_PREPARE_PERSISTENT : 0, &s->s, NULL);
	if (s->error != SQLITE_OK) s->cached = false;
	return s;
}

struct db_stmt *db_sql(struct db_conn *c, const char *sql) {
	if (!c->writer && !c->begun) snapshot_begin(c);
	struct db_stmt **slot = &c->stmts[slot_of(sql)];
	bool in_use = false;
	for (struct db_stmt *s = *slot; s != NULL; s = s->next) {
		if (s->sql != sql || strcmp(sqlite3_sql(s->s), sql) != 0) continue;
		if (s->busy) {
			in_use = true;
			continue;
		}
		s->busy = true;
		return s;
	}
	struct db_stmt *s = prepare(c, sql, !in_use);
	s->busy = true;
	if (s->cached) {
		s->next = *slot;
		*slot = s;
	}
	return s;
}

void db_again(struct db_stmt *s) {
	if (s->s != NULL) {
		sqlite3_reset(s->s);
		s->error = SQLITE_OK;
	}
	s->bound = 0;
}

void db_done(struct db_stmt **sp) {
	struct db_stmt *s = TAKE(*sp);
	if (s == NULL) return;
	if (s->cached) {
		db_again(s);
		sqlite3_clear_bindings(s->s);
		s->busy = false;
		return;
	}
	sqlite3_finalize(s->s);
	free(s);
}

static void bound(struct db_stmt *s, int result) {
	if (s->error == SQLITE_OK) s->error = result;
}

void db_bind_int(struct db_stmt *s, int64_t v) {
	bound(s, sqlite3_bind_int64(s->s, ++s->bound, v));
}

void db_bind_text(struct db_stmt *s, struct slice v) {
	bound(s, sqlite3_bind_text64(s->s, ++s->bound, v.at, v.len, SQLITE_STATIC, SQLITE_UTF8));
}

void db_bind_bytes(struct db_stmt *s, struct slice v) {
	bound(s, sqlite3_bind_blob64(s->s, ++s->bound, v.at, v.len, SQLITE_STATIC));
}

void db_bind_null(struct db_stmt *s) {
	bound(s, sqlite3_bind_null(s->s, ++s->bound));
}

int db_step(struct db_stmt *s) {
	if (s->error != SQLITE_OK) return conn_fail(s->c, s->sql);
	int r = sqlite3_step(s->s);
	if (r == SQLITE_ROW) return DB_ROW;
	if (r == SQLITE_DONE) return DB_DONE;
	s->error = r;
	return conn_fail(s->c, s->sql);
}

int db_run(struct db_stmt *s) {
	int r;
	do r = db_step(s); while (r == DB_ROW);
	db_again(s);
	return r;
}

int64_t db_int(struct db_stmt *s, int column) {
	return sqlite3_column_int64(s->s, column);
}

struct slice db_text(struct db_stmt *s, int column) {
	const unsigned char *at = sqlite3_column_text(s->s, column);
	return slice_from(at, (size_t)sqlite3_column_bytes(s->s, column));
}

struct slice db_bytes(struct db_stmt *s, int column) {
	const void *at = sqlite3_column_blob(s->s, column);
	return slice_from(at, (size_t)sqlite3_column_bytes(s->s, column));
}

bool db_is_null(struct db_stmt *s, int column) {
	return sqlite3_column_type(s->s, column) == SQLITE_NULL;
}
