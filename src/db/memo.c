/* SPDX-License-Identifier: Apache-2.0 */
/* Swept in slices by their end, so that no sweep holds the committer for long. */
#include "db/memo.h"
#include "base/clock.h"

enum { SWEEP_SLICE = 1000 };

int memo_put(struct db_conn *tx, enum memo_kind kind, struct slice key, struct slice value, int64_t until_us) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "INSERT INTO memo (kind, key, value, until_us) VALUES (?, ?, ?, ?)"
		    " ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value, until_us = excluded.until_us");
	db_bind_int(s, kind);
	db_bind_text(s, key);
	db_bind_bytes(s, value);
	db_bind_int(s, until_us);
	return db_run(s);
}

int memo_get(struct db_conn *c, enum memo_kind kind, struct slice key, struct arena *mem, struct slice *value,
	     int64_t *until_us) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT value, until_us FROM memo WHERE kind = ? AND key = ? AND until_us > ?");
	db_bind_int(s, kind);
	db_bind_text(s, key);
	db_bind_int(s, wall_us());
	int r = db_step(s);
	if (r != DB_ROW) return r;
	*value = arena_slice(mem, db_bytes(s, 0));
	if (until_us != NULL) *until_us = db_int(s, 1);
	return DB_ROW;
}

static int sweep_some(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "DELETE FROM memo WHERE (kind, key) IN"
			   " (SELECT kind, key FROM memo WHERE until_us <= ? ORDER BY until_us LIMIT ?)");
	db_bind_int(s, wall_us());
	db_bind_int(s, SWEEP_SLICE);
	int r = db_run(s);
	*(int64_t *)arg = db_changed(tx);
	return r;
}

int memo_sweep(struct db *db) {
	int64_t swept;
	int r;
	do r = db_write(db, sweep_some, &swept);
	while (r == 0 && swept == SWEEP_SLICE);
	return r;
}
