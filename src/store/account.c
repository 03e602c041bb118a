/* SPDX-License-Identifier: Apache-2.0 */
/* The counters of an account live in one row, changed by every write of that account: its change counter orders all
 * of them. */
#include "store/inside.h"
#include "base/clock.h"

int modseq_next(struct db_conn *tx, int64_t account, uint64_t *modseq) {
	AUTO_STMT struct db_stmt *look = db_sql(tx, "SELECT modseq FROM account_state WHERE account_id = ?");
	db_bind_int(look, account);
	int r = db_step(look);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_ACCOUNT;
	*modseq = (uint64_t)db_int(look, 0) + 1;
	/* RETURNING costs SQLite a table of its own each time, and nobody else writes now */
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE account_state SET modseq = ? WHERE account_id = ?");
	db_bind_int(s, (int64_t)*modseq);
	db_bind_int(s, account);
	return db_run(s);
}

int count_account(struct db_conn *tx, int64_t account, int64_t messages, int64_t bytes) {
	if (messages == 0 && bytes == 0) return 0;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE account_state SET messages = messages + ?, bytes = bytes + ? WHERE account_id = ?");
	db_bind_int(s, messages);
	db_bind_int(s, bytes);
	db_bind_int(s, account);
	int r = db_run(s);
	return r == 0 ? pool_count(tx, account, messages, bytes) : r;
}

void announce(struct db_conn *tx, struct box box, uint64_t modseq) {
	change_announce(tx, &(struct change){ .account = box.account, .mailbox = box.id, .modseq = modseq });
}

int count_change(struct db_conn *tx, struct box box, const struct delta *d, uint64_t modseq) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE mailbox SET messages = messages + ?, unseen = unseen + ?, deleted = deleted + ?,"
	               " bytes = bytes + ?, highestmodseq = ? WHERE account_id = ? AND id = ?");
	db_bind_int(s, d->messages);
	db_bind_int(s, d->unseen);
	db_bind_int(s, d->deleted);
	db_bind_int(s, d->bytes);
	db_bind_int(s, (int64_t)modseq);
	bind_box(s, box);
	int r = db_run(s);
	if (r == 0 && db_changed(tx) == 0) return STORE_NO_MAILBOX;
	if (r == 0) r = count_account(tx, box.account, d->messages, d->bytes);
	if (r == 0) announce(tx, box, modseq);
	return r;
}

static const struct {
	const char *name;
	uint32_t use;
} first_mailboxes[] = {
	{ "INBOX", 0 },       { "Drafts", USE_DRAFTS }, { "Sent", USE_SENT },
	{ "Junk", USE_JUNK }, { "Trash", USE_TRASH },   { "Archive", USE_ARCHIVE },
};

static int is_used(struct db_conn *tx, int64_t account) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx,
		"SELECT 1 FROM account_state WHERE account_id = ? UNION ALL SELECT 1 FROM mailbox WHERE account_id = ?"
		" LIMIT 1");
	db_bind_int(s, account);
	db_bind_int(s, account);
	return db_step(s);
}

int store_account_create(struct db_conn *tx, int64_t account) {
	int r = is_used(tx, account);
	if (r != 0) return r < 0 ? r : STORE_EXISTS;
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "INSERT INTO account_state (account_id, modseq, bytes, messages, next_mailbox, last_uidvalidity)"
		    " VALUES (?, 1, 0, 0, 1, 0)");
	db_bind_int(s, account);
	r = db_run(s);
	for (size_t i = 0; i < LEN(first_mailboxes) && r == 0; i++) {
		struct slice name = slice_of(first_mailboxes[i].name);
		struct box box;
		r = mailbox_insert(tx, account, name, first_mailboxes[i].use, &box);
		if (r == 0) r = store_subscribe(tx, account, name, true);
	}
	return r;
}

static int run_for(struct db_conn *tx, const char *sql, int64_t account) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, sql);
	db_bind_int(s, account);
	return db_run(s);
}

int store_account_delete(struct db_conn *tx, int64_t account) {
	struct store_usage had;
	int r = store_usage(tx, account, &had);
	if (r == 0) r = pool_count(tx, account, -(int64_t)had.messages, -(int64_t)had.bytes);
	if (r == 0) r = run_for(tx, "DELETE FROM account_state WHERE account_id = ?", account);
	if (r == 0) r = run_for(tx, "UPDATE mailbox SET name = NULL, old_name = NULL WHERE account_id = ?", account);
	static const char *const also[] = {
		"DELETE FROM subscription WHERE account_id = ?",  "DELETE FROM acl WHERE account_id = ?",
		"DELETE FROM annotation WHERE account_id = ?",    "DELETE FROM annotation WHERE reader_id = ?",
		"DELETE FROM quota_warning WHERE account_id = ?", "DELETE FROM pop3_uidl WHERE account_id = ?",
		"DELETE FROM imported WHERE account_id = ?"
	};
	for (size_t i = 0; i < LEN(also) && r == 0; i++) r = run_for(tx, also[i], account);
	if (r == 0) announce(tx, (struct box){ account, 0 }, 0);
	return r;
}

int store_usage(struct db_conn *c, int64_t account, struct store_usage *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT bytes, messages, modseq FROM account_state WHERE account_id = ?");
	db_bind_int(s, account);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_ACCOUNT;
	*out = (struct store_usage){ (uint64_t)db_int(s, 0), (uint64_t)db_int(s, 1), (uint64_t)db_int(s, 2) };
	return 0;
}
