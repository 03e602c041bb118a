/* SPDX-License-Identifier: Apache-2.0 */
#include "store/inside.h"

/* What came after since stands at the end: uid and the modseq of arrival rise together, and no modseq ever falls. So
 * the last row from the end with an older one has no newcomers before it. *from: the first uid behind it. */
static int newcomers(struct db_conn *c, struct box box, int64_t since, int64_t *from) {
	*from = 0;
	if (since == 0) return 0;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT uid, modseq FROM message WHERE account_id = ? AND mailbox_id = ? ORDER BY uid DESC");
	bind_box(s, box);
	int r;
	while ((r = db_step(s)) == DB_ROW && db_int(s, 1) > since) {
	}
	if (r == DB_ROW) *from = db_int(s, 0) + 1;
	return r < 0 ? r : 0;
}

static int each_changed(struct db_conn *c, struct box box, uint64_t since_modseq,
                        int (*changed)(void *ctx, const struct message *m), void *ctx) {
	int64_t since = (int64_t)MIN_OF(since_modseq, (uint64_t)INT64_MAX), from;
	int r = newcomers(c, box, since, &from);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT " MESSAGE_COLUMNS
			  " FROM message WHERE account_id = ? AND mailbox_id = ? AND uid >= ? UNION ALL"
			  " SELECT " MESSAGE_COLUMNS
			  " FROM message WHERE account_id = ? AND mailbox_id = ? AND changed = 1 AND modseq > ?"
			  " AND uid + 0 < ? ORDER BY 2, 1"); /* + 0: the index is by modseq */
	bind_box(s, box);
	db_bind_int(s, from);
	bind_box(s, box);
	db_bind_int(s, since);
	db_bind_int(s, from);
	while ((r = db_step(s)) == DB_ROW) {
		struct message m = message_of(s);
		r = changed(ctx, &m);
		if (r != 0) return r;
	}
	return r;
}

static int each_vanished(struct db_conn *c, struct box box, uint64_t since,
                         int (*vanished)(void *ctx, uint32_t first, uint32_t last), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT first_uid, last_uid FROM expunged WHERE account_id = ? AND mailbox_id = ? AND modseq > ?"
		   " ORDER BY modseq, first_uid");
	bind_box(s, box);
	db_bind_int(s, (int64_t)MIN_OF(since, (uint64_t)INT64_MAX));
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = vanished(ctx, (uint32_t)db_int(s, 0), (uint32_t)db_int(s, 1));
		if (r != 0) return r;
	}
	return r;
}

int store_changes(struct db_conn *c, struct box box, uint64_t since, int (*changed)(void *ctx, const struct message *m),
                  int (*vanished)(void *ctx, uint32_t first, uint32_t last), void *ctx) {
	int r = mailbox_exists(c, box);
	if (r == 0 && vanished != NULL) r = each_vanished(c, box, since, vanished, ctx);
	if (r == 0 && changed != NULL) r = each_changed(c, box, since, changed, ctx);
	return r;
}
