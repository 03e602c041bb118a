/* SPDX-License-Identifier: Apache-2.0 */
/* Uids from elsewhere. */
#include "store/inside.h"

int import_is_free(struct db_conn *tx, struct box box, uint32_t uid) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "SELECT 1 FROM message WHERE account_id = ? AND mailbox_id = ? AND uid = ?");
	bind_box(s, box);
	db_bind_int(s, uid);
	int r = db_step(s);
	return r == DB_ROW ? STORE_EXISTS : r;
}

int store_import_uidvalidity(struct db_conn *tx, int64_t account, uint32_t last) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "UPDATE account_state SET last_uidvalidity = ? WHERE account_id = ? AND last_uidvalidity < ?");
	db_bind_int(s, last);
	db_bind_int(s, account);
	db_bind_int(s, last);
	return db_run(s);
}

int store_import_begin(struct db_conn *tx, struct box box, uint32_t uidvalidity, uint32_t uidnext) {
	struct mailbox m;
	uint64_t modseq;
	int r = store_mailbox(tx, db_memory(tx), box, &m);
	if (r != 0) return r;
	if (uidvalidity == 0 || uidnext == 0 || uidnext >= UINT32_MAX - 1) return STORE_LIMIT;
	if (m.exists != 0 && m.uidvalidity != uidvalidity) return STORE_EXISTS;
	if (m.uidvalidity == uidvalidity && m.uidnext >= uidnext) return 0;
	r = modseq_next(tx, box.account, &modseq);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE mailbox SET uidvalidity = ?, uidnext = ?, recent_from = 1, "
						 "highestmodseq = ? WHERE account_id = ? AND id = ?");
	db_bind_int(s, uidvalidity);
	db_bind_int(s, m.uidvalidity == uidvalidity ? MAX_OF(m.uidnext, uidnext) : uidnext);
	db_bind_int(s, (int64_t)modseq);
	bind_box(s, box);
	r = db_run(s);
	if (r != 0) return r;
	r = store_import_uidvalidity(tx, box.account, uidvalidity);
	if (r == 0) announce(tx, box, modseq);
	return r;
}

int store_import_name(struct db_conn *tx, struct box box, struct slice name) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "INSERT INTO imported (account_id, mailbox_id, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
	bind_box(s, box);
	db_bind_text(s, name);
	int r = db_run(s);
	return r < 0 ? r : db_changed(tx) == 0 ? STORE_EXISTS : 0;
}
