/* SPDX-License-Identifier: Apache-2.0 */
#include "user/inside.h"
#include "base/clock.h"
#include "base/fail.h"

#define ACCOUNT_COLUMNS "id, address, disabled, created_us, quota_bytes, quota_messages"

/* Never one that was used before: mail of a deleted account may still be waiting to be freed. */
static int next_id(struct db_conn *tx, int64_t *id) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE sequence SET last = last + 1 WHERE name = 'account' RETURNING last");
	int r = db_step(s);
	if (r != DB_ROW)
		return r < 0 ? r : fail("accounts: the sequence is missing (restore the database from a backup)");
	*id = db_int(s, 0);
	return db_run(s);
}

int user_account_add(struct db_conn *tx, struct slice address, int64_t *id) {
	AUTO_ARENA struct arena mem = {0};
	struct parts p;
	int64_t new_id = 0;
	int r = parts_of(&mem, address, false, &p);
	if (r == 0) r = next_id(tx, &new_id);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO account (id, address, domain, created_us) VALUES (?, ?, ?, ?)"
			   " ON CONFLICT DO NOTHING");
	db_bind_int(s, new_id);
	db_bind_text(s, p.whole);
	db_bind_text(s, p.domain);
	db_bind_int(s, wall_us());
	r = db_run(s);
	if (r < 0) return r;
	if (db_changed(tx) == 0) return USER_EXISTS;
	db_epoch_end(tx);
	*id = new_id;
	return 0;
}

static _Atomic uint64_t defaults[2];

void user_quota_default(uint64_t bytes, uint64_t messages) {
	bool same = defaults[QUOTA_OF_BYTES] == bytes && defaults[QUOTA_OF_MESSAGES] == messages;
	defaults[QUOTA_OF_BYTES] = bytes;
	defaults[QUOTA_OF_MESSAGES] = messages;
	if (!same) recall_forget();
}

uint64_t quota_or_default(int64_t stored, enum quota_kind kind) {
	if (stored == (int64_t)QUOTA_UNLIMITED) return 0;
	return stored != 0 ? (uint64_t)stored : defaults[kind];
}

static int row_get(struct db_stmt *s, struct arena *mem, struct account *out) {
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : USER_UNKNOWN;
	*out = (struct account){
		.id = db_int(s, 0),
		.address = arena_slice(mem, db_text(s, 1)),
		.disabled = db_int(s, 2) != 0,
		.created_us = db_int(s, 3),
		.quota_bytes = quota_or_default(db_int(s, 4), QUOTA_OF_BYTES),
		.quota_messages = quota_or_default(db_int(s, 5), QUOTA_OF_MESSAGES),
	};
	return 0;
}

int user_account_find(struct db_conn *c, struct arena *mem, struct slice address, struct account *out) {
	struct parts p;
	if (parts_of(mem, address, false, &p) != 0) return USER_UNKNOWN;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT " ACCOUNT_COLUMNS " FROM account WHERE address = ?");
	db_bind_text(s, p.whole);
	return row_get(s, mem, out);
}

int user_account_by_id(struct db_conn *c, struct arena *mem, int64_t id, struct account *out) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT " ACCOUNT_COLUMNS " FROM account WHERE id = ?");
	db_bind_int(s, id);
	return row_get(s, mem, out);
}

int user_account_each(struct db_conn *c, struct slice domain, int (*each)(void *ctx, const struct account *a),
                      void *ctx) {
	AUTO_ARENA struct arena mem = {0}, row = {0};
	struct slice name = S("");
	if (domain.len != 0 && user_domain(&mem, domain, &name) != 0) return 0;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, domain.len != 0 ? "SELECT " ACCOUNT_COLUMNS " FROM account WHERE domain = ? ORDER BY address"
	                              : "SELECT " ACCOUNT_COLUMNS " FROM account WHERE ? = '' ORDER BY address");
	db_bind_text(s, name);
	for (;;) {
		struct account a;
		int r = row_get(s, &row, &a);
		if (r != 0) return r == USER_UNKNOWN ? 0 : r;
		r = each(ctx, &a);
		if (r != 0) return r;
		arena_reset(&row);
	}
}

int user_account_delete(struct db_conn *tx, struct slice address, int64_t *id) {
	AUTO_ARENA struct arena mem = {0};
	struct account a;
	int r = user_account_find(tx, &mem, address, &a);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM account WHERE id = ?");
	db_bind_int(s, a.id);
	r = db_run(s);
	db_epoch_end(tx);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *l = db_sql(tx, "DELETE FROM last_login WHERE account_id = ?");
	db_bind_int(l, a.id);
	r = db_run(l);
	if (r == 0 && id != NULL) *id = a.id;
	return r;
}

/* Runs an UPDATE of two numbers for the account of that address. */
static int change(struct db_conn *tx, const char *sql, int64_t first, int64_t second, struct slice address) {
	AUTO_ARENA struct arena mem = {0};
	struct parts p;
	if (parts_of(&mem, address, false, &p) != 0) return USER_UNKNOWN;
	AUTO_STMT struct db_stmt *s = db_sql(tx, sql);
	db_bind_int(s, first);
	db_bind_int(s, second);
	db_bind_text(s, p.whole);
	int r = db_run(s);
	db_epoch_end(tx);
	return r < 0 ? r : db_changed(tx) == 0 ? USER_UNKNOWN : 0;
}

int user_account_disable(struct db_conn *tx, struct slice address, bool disabled) {
	return change(tx, "UPDATE account SET disabled = ? + ? WHERE address = ?", disabled, 0, address);
}

int user_account_quota(struct db_conn *tx, struct slice address, uint64_t bytes, uint64_t messages) {
	return change(tx, "UPDATE account SET quota_bytes = ?, quota_messages = ? WHERE address = ?",
		      (int64_t)MIN_OF(bytes, (uint64_t)INT64_MAX), (int64_t)MIN_OF(messages, (uint64_t)INT64_MAX),
		      address);
}

int user_login_note(struct db_conn *tx, int64_t account, const struct login_note *note) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO last_login (account_id, time_us, protocol, remote) "
						 "SELECT id, ?, ?, ? FROM account WHERE id = ?"
						 " ON CONFLICT (account_id) DO UPDATE SET time_us = excluded.time_us, "
						 "protocol = excluded.protocol, remote = excluded.remote");
	db_bind_int(s, note->time_us);
	db_bind_text(s, note->protocol);
	db_bind_text(s, note->remote);
	db_bind_int(s, account);
	return db_run(s);
}

int user_login_last(struct db_conn *c, struct arena *mem, int64_t account, struct login_note *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT time_us, protocol, remote FROM last_login WHERE account_id = ?");
	db_bind_int(s, account);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : USER_UNKNOWN;
	*out = (struct login_note){ db_int(s, 0), arena_slice(mem, db_text(s, 1)), arena_slice(mem, db_text(s, 2)) };
	return 0;
}
