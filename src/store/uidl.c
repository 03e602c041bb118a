/* SPDX-License-Identifier: Apache-2.0 */
/* Ids that POP3 clients knew a message by on the server it came from. Rows of messages that are gone stay until the
 * next store_uidl_tidy: nobody else is slowed down by them. */
#include "store/inside.h"

int store_uidl_put(struct db_conn *tx, struct box box, uint32_t uid, struct slice uidl) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO pop3_uidl (account_id, mailbox_id, uid, uidl) VALUES (?, ?, ?, ?)"
	               " ON CONFLICT (account_id, mailbox_id, uid) DO UPDATE SET uidl = excluded.uidl");
	bind_box(s, box);
	db_bind_int(s, uid);
	db_bind_text(s, uidl);
	return db_run(s);
}

int store_uidl_each(struct db_conn *c, struct box box, struct uid_range range,
                    int (*each)(void *ctx, uint32_t uid, struct slice uidl), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT uid, uidl FROM pop3_uidl WHERE account_id = ? AND mailbox_id = "
						"? AND uid BETWEEN ? AND ? ORDER BY uid");
	int r;
	bind_range(s, box, range);
	while ((r = db_step(s)) == DB_ROW) {
		r = each(ctx, (uint32_t)db_int(s, 0), db_text(s, 1));
		if (r != 0) return r;
	}
	return r;
}

int store_uidl_tidy(struct db_conn *tx, struct box box) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx,
		"DELETE FROM pop3_uidl WHERE account_id = ? AND mailbox_id = ? AND NOT EXISTS (SELECT 1 FROM message m"
		" WHERE m.account_id = pop3_uidl.account_id AND m.mailbox_id = pop3_uidl.mailbox_id AND m.uid = "
		"pop3_uidl.uid)");
	bind_box(s, box);
	return db_run(s);
}
