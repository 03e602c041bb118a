/* SPDX-License-Identifier: Apache-2.0 */
/* Deleted mailboxes are emptied in small transactions: deliveries of others go in between. */
#include "store/inside.h"

enum { SLICE = 500 };

/* old_name: under which its messages go into the bin; empty: they are freed. */
static int mailbox_next(struct db_conn *tx, struct arena *mem, struct box *box, struct slice *old_name) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "SELECT account_id, id, old_name FROM mailbox WHERE name IS NULL LIMIT 1");
	int64_t keep_us;
	int r = bin_keeps(tx, &keep_us);
	if (r == 0) r = db_step(s);
	if (r != DB_ROW) return r;
	*box = (struct box){ db_int(s, 0), db_int(s, 1) };
	*old_name = keep_us == 0 || db_is_null(s, 2) ? SLICE_NONE : arena_slice(mem, db_text(s, 2));
	return r;
}

static int free_bodies(struct db_conn *tx, struct box box, bool unref, uint32_t *last) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "SELECT uid, blob_id FROM message WHERE account_id = ? AND mailbox_id = ? ORDER BY uid LIMIT ?");
	bind_box(s, box);
	db_bind_int(s, SLICE);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		*last = (uint32_t)db_int(s, 0);
		if (unref && blob_unref(tx, db_int(s, 1)) < 0) return -1;
	}
	return r;
}

static int run_for(struct db_conn *tx, const char *sql, struct box box) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, sql);
	bind_box(s, box);
	return db_run(s);
}

static int sweep_some(struct db_conn *tx, void *arg) {
	AUTO_ARENA struct arena mem = { 0 };
	bool *more = arg;
	struct box box;
	struct slice old_name = SLICE_NONE;
	uint32_t last = 0;
	int r = mailbox_next(tx, &mem, &box, &old_name);
	*more = r == DB_ROW;
	if (r != DB_ROW) return r;
	r = free_bodies(tx, box, old_name.len == 0, &last);
	if (r < 0) return r;
	if (last == 0) {
		static const char *const also[] = { "DELETE FROM expunged WHERE account_id = ? AND mailbox_id = ?",
			                            "DELETE FROM changed_part WHERE account_id = ? AND mailbox_id = ?",
			                            "DELETE FROM acl WHERE account_id = ? AND mailbox_id = ?",
			                            "DELETE FROM annotation WHERE account_id = ? AND mailbox_id = ?" };
		for (size_t i = 0; i < LEN(also) && r == 0; i++) r = run_for(tx, also[i], box);
		return r < 0 ? r : run_for(tx, "DELETE FROM mailbox WHERE account_id = ? AND id = ?", box);
	}
	if (old_name.len != 0) r = bin_take(tx, box, old_name, (struct uid_range){ 1, last }, 0);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "DELETE FROM message WHERE account_id = ? AND mailbox_id = ? AND uid <= ?");
	bind_box(s, box);
	db_bind_int(s, last);
	return db_run(s);
}

int store_sweep(struct db *db) {
	bool more = true;
	int r = 0;
	while (more && r == 0) r = db_write(db, sweep_some, &more);
	return r;
}
