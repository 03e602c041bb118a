/* SPDX-License-Identifier: Apache-2.0 */
/* Limits against counters. That somebody has to be warned is a row written in the transaction that crossed the level:
 * the mail is made later, and not lost when the machine stops in between. */
#include "store/quota.h"
#include "store/inside.h"
#include "base/clock.h"

enum { A_DAY_S = 86400 };

static bool over(uint64_t limit, uint64_t have, uint64_t more) {
	return limit != 0 && (have > limit || more > limit - have);
}

static int pool_get(struct db_stmt *s, struct arena *mem, struct quota_pool *out) {
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_MAILBOX;
	*out = (struct quota_pool){ arena_slice(mem, db_text(s, 0)), (uint64_t)db_int(s, 1), (uint64_t)db_int(s, 2),
		                    (uint64_t)db_int(s, 3), (uint64_t)db_int(s, 4) };
	return 0;
}

int store_pool(struct db_conn *c, struct arena *mem, struct slice name, struct quota_pool *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT name, limit_bytes, limit_messages, bytes, messages FROM quota_pool WHERE name = ?");
	db_bind_text(s, name);
	return pool_get(s, mem, out);
}

int store_pool_of(struct db_conn *c, struct arena *mem, int64_t account, struct quota_pool *out) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT p.name, p.limit_bytes, p.limit_messages, p.bytes, p.messages "
						"FROM account_state AS a, quota_pool AS p"
						" WHERE a.account_id = ? AND p.name = a.pool");
	db_bind_int(s, account);
	return pool_get(s, mem, out);
}

int store_quota_fits(struct db_conn *c, int64_t account, const struct quota *q, uint64_t bytes, uint64_t messages) {
	AUTO_ARENA struct arena mem = {0};
	struct store_usage have;
	struct quota_pool pool;
	int r = store_usage(c, account, &have);
	if (r != 0) return r;
	if (over(q->bytes, have.bytes, bytes) || over(q->messages, have.messages, messages)) return STORE_OVER_QUOTA;
	r = store_pool_of(c, &mem, account, &pool);
	if (r != 0) return r == STORE_NO_MAILBOX ? 0 : r;
	bool full = over(pool.limit_bytes, pool.bytes, bytes) || over(pool.limit_messages, pool.messages, messages);
	return full ? STORE_OVER_QUOTA : 0;
}

int store_quota_of(struct db_conn *c, struct box box, struct uid_set set, uint64_t *bytes, uint64_t *messages) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT SUM(size), COUNT(*) FROM message WHERE account_id = ? AND mailbox_id = ?"
			  " AND uid BETWEEN ? AND ?");
	*bytes = *messages = 0;
	for (size_t i = 0; i < set.count; i++) {
		bind_range(s, box, set.at[i]);
		int r = db_step(s);
		if (r < 0) return r;
		*bytes += (uint64_t)db_int(s, 0);
		*messages += (uint64_t)db_int(s, 1);
		db_again(s);
	}
	return 0;
}

int store_deleted_bytes(struct db_conn *c, struct box box, uint64_t *bytes) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT SUM(size) FROM message WHERE account_id = ? AND mailbox_id = ? AND (flags & ?) <> 0");
	bind_box(s, box);
	db_bind_int(s, FLAG_DELETED);
	int r = db_step(s);
	*bytes = r == DB_ROW ? (uint64_t)db_int(s, 0) : 0;
	return r < 0 ? r : 0;
}

static int warn(struct db_conn *tx, int64_t account, uint8_t level) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO quota_warning (account_id, level, crossed_us, told) VALUES (?, ?, ?, 0)"
	               " ON CONFLICT (account_id, level) DO UPDATE SET crossed_us = excluded.crossed_us, told = 0"
	               " WHERE quota_warning.told = 1 AND quota_warning.crossed_us < excluded.crossed_us - ?");
	db_bind_int(s, account);
	db_bind_int(s, level);
	db_bind_int(s, wall_us());
	db_bind_int(s, (int64_t)A_DAY_S * 1000000);
	return db_run(s);
}

static bool crossed(uint64_t limit, uint64_t before, uint64_t after, uint8_t level) {
	if (limit == 0 || level == 0) return false;
	uint64_t mark = limit / 100 * level + (limit % 100 * level + 99) / 100;
	return before < mark && after >= mark;
}

int quota_crossed(struct db_conn *tx, int64_t account, const struct quota *q, const struct store_usage *before,
		  uint64_t bytes, uint64_t messages) {
	uint8_t highest = 0; /* one mail for one message, however far it went */
	for (size_t i = 0; i < QUOTA_LEVELS; i++)
		if (crossed(q->bytes, before->bytes, before->bytes + bytes, q->levels[i]) ||
		    crossed(q->messages, before->messages, before->messages + messages, q->levels[i]))
			highest = q->levels[i];
	return highest != 0 ? warn(tx, account, highest) : 0;
}

int store_quota_grown(struct db_conn *tx, int64_t account, const struct quota *q, uint64_t bytes, uint64_t messages) {
	struct store_usage now;
	if (q->bytes == 0 && q->messages == 0) return 0;
	int r = store_usage(tx, account, &now);
	if (r != 0) return r;
	struct store_usage before = { now.bytes - MIN_OF(bytes, now.bytes),
				      now.messages - MIN_OF(messages, now.messages), 0 };
	return quota_crossed(tx, account, q, &before, bytes, messages);
}

/* Pools. */

int pool_count(struct db_conn *tx, int64_t account, int64_t messages, int64_t bytes) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE quota_pool SET messages = messages + ?, bytes = bytes + ?"
	                                         " WHERE name = (SELECT pool FROM account_state WHERE account_id = ?)");
	db_bind_int(s, messages);
	db_bind_int(s, bytes);
	db_bind_int(s, account);
	return db_run(s);
}

static int pool_end(struct db_conn *tx, struct slice name) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE account_state SET pool = NULL WHERE pool = ?");
	db_bind_text(s, name);
	int r = db_run(s);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *d = db_sql(tx, "DELETE FROM quota_pool WHERE name = ?");
	db_bind_text(d, name);
	return db_run(d);
}

int store_pool_set(struct db_conn *tx, struct slice name, uint64_t limit_bytes, uint64_t limit_messages) {
	if (limit_bytes == 0 && limit_messages == 0) return pool_end(tx, name);
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "INSERT INTO quota_pool (name, limit_bytes, limit_messages, bytes, messages) VALUES (?, ?, ?, 0, 0)"
		    " ON CONFLICT (name) DO UPDATE SET limit_bytes = excluded.limit_bytes, limit_messages = "
		    "excluded.limit_messages");
	db_bind_text(s, name);
	db_bind_int(s, (int64_t)MIN_OF(limit_bytes, (uint64_t)INT64_MAX));
	db_bind_int(s, (int64_t)MIN_OF(limit_messages, (uint64_t)INT64_MAX));
	return db_run(s);
}

int store_pool_join(struct db_conn *tx, struct slice name, int64_t account) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE account_state SET pool = ? WHERE account_id = ? AND pool IS NULL"
			   " AND EXISTS (SELECT 1 FROM quota_pool WHERE name = ?)");
	db_bind_text(s, name);
	db_bind_int(s, account);
	db_bind_text(s, name);
	int r = db_run(s);
	if (r < 0 || db_changed(tx) == 0) return r;
	struct store_usage have;
	r = store_usage(tx, account, &have);
	return r != 0 ? r : pool_count(tx, account, (int64_t)have.messages, (int64_t)have.bytes);
}

/* Warnings. */

int store_quota_warnings(struct db_conn *c, int (*each)(void *ctx, const struct quota_warning *w), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c,
		"SELECT account_id, level, crossed_us FROM quota_warning WHERE told = 0 ORDER BY crossed_us LIMIT 100");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct quota_warning w = { db_int(s, 0), (uint8_t)db_int(s, 1), db_int(s, 2) };
		r = each(ctx, &w);
		if (r != 0) return r;
	}
	return r;
}

int store_quota_told(struct db_conn *tx, const struct quota_warning *w) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE quota_warning SET told = 1 WHERE account_id = ? AND level = ? AND crossed_us = ?");
	db_bind_int(s, w->account);
	db_bind_int(s, w->level);
	db_bind_int(s, w->crossed_us);
	return db_run(s);
}
