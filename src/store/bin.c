/* SPDX-License-Identifier: Apache-2.0 */
/* Rows go into the bin with one statement for a whole range and no word about bodies: expunging got cheaper by it. What
 * frees bodies is the purge, later, in slices. */
#include "store/bin.h"
#include "base/clock.h"
#include "base/fail.h"
#include "store/inside.h"

enum { SLICE = 500 };

int bin_keeps(struct db_conn *c, int64_t *keep_us) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT keep_us FROM bin_keep");
	int r = db_step(s);
	*keep_us = r == DB_ROW ? db_int(s, 0) : 0;
	return r < 0 ? r : 0;
}

static int keep_set(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *d = db_sql(tx, "DELETE FROM bin_keep");
	int r = db_run(d);
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO bin_keep (keep_us) VALUES (?)");
	db_bind_int(s, *(int64_t *)arg);
	return r < 0 ? r : db_run(s);
}

static int keep_is(struct db *db, int64_t *keep_us) {
	AUTO_READ struct db_conn *c = db_read(db);
	return c == NULL ? -1 : bin_keeps(c, keep_us);
}

int store_bin_keep(struct db *db, int64_t keep_us) {
	int64_t now = 0;
	int r = keep_is(db, &now);
	return r < 0 || now == keep_us ? r : db_write(db, keep_set, &keep_us);
}

int bin_take(struct db_conn *tx, struct box box, struct slice mailbox, struct uid_range range, int64_t flag) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO bin (account_id, expunged_us, mailbox_id, uid, mailbox, flags, keywords, "
			   "received_us, size, blob_id, email_id)"
			   " SELECT account_id, ?, mailbox_id, uid, ?, flags, keywords, received_us, size, blob_id, "
			   "email_id FROM message"
			   " WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? AND (flags & ?) = ?");
	db_bind_int(s, wall_us());
	db_bind_text(s, mailbox);
	bind_range(s, box, range);
	db_bind_int(s, flag);
	db_bind_int(s, flag);
	return db_run(s);
}

/* Looking. */

#define BIN_COLUMNS "expunged_us, mailbox, uid, flags, keywords, received_us, size, bin.blob_id, email_id, mailbox_id"
#define BIN_WISH \
	"account_id = ? AND expunged_us >= ? AND (? = '' OR mailbox = ?)"

static void bind_wish(struct db_stmt *s, const struct bin_wish *wish) {
	struct slice name = wish->mailbox.len != 0 ? wish->mailbox : S("");
	db_bind_int(s, wish->account);
	db_bind_int(s, wish->since_us);
	db_bind_text(s, name);
	db_bind_text(s, name);
}

static struct bin_row row_of(struct db_stmt *s) {
	return (struct bin_row){
		.expunged_us = db_int(s, 0),
		.mailbox = db_text(s, 1),
		.uid = (uint32_t)db_int(s, 2),
		.flags = (uint32_t)db_int(s, 3),
		.keywords = db_text(s, 4),
		.received_us = db_int(s, 5),
		.size = (uint64_t)db_int(s, 6),
		.blob_id = db_int(s, 7),
		.email_id = db_int(s, 8),
	};
}

static bool wanted(const struct bin_wish *wish, uint32_t uid) {
	for (size_t i = 0; i < wish->uids.count; i++)
		if (uid >= wish->uids.at[i].first && uid <= wish->uids.at[i].last) return true;
	return wish->uids.count == 0;
}

int store_bin_each(struct db_conn *c, const struct bin_wish *wish, int (*each)(void *ctx, const struct bin_row *row),
		   void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT " BIN_COLUMNS ", summary.data FROM bin LEFT JOIN summary ON summary.blob_id = bin.blob_id"
		   " WHERE " BIN_WISH " ORDER BY expunged_us, mailbox_id, uid");
	bind_wish(s, wish);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct bin_row row = row_of(s);
		row.summary = db_bytes(s, 10);
		if (!wanted(wish, row.uid)) continue;
		r = each(ctx, &row);
		if (r != 0) return r;
	}
	return r;
}

int store_bin_sum(struct db_conn *c, int64_t account, struct bin_sum *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM bin WHERE account_id = ?");
	db_bind_int(s, account);
	int r = db_step(s);
	if (r == DB_ROW) *out = (struct bin_sum){ (uint64_t)db_int(s, 0), (uint64_t)db_int(s, 1) };
	return r < 0 ? r : 0;
}

/* Putting back. */

struct restoring {
	const struct bin_wish *wish;
	struct arena mem;        /* of one transaction */
	struct row { struct bin_row b; int64_t mailbox_id; struct row *next; } *rows;
	size_t count;
	int64_t after_us, after_mailbox; /* where the last slice ended */
	uint32_t after_uid;
	bool more;
	struct bin_sum sum;      /* of one transaction */
};

/* The next rows that are wanted: looked at in the order of their key. */
static int collect(struct db_conn *tx, struct restoring *t) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "SELECT " BIN_COLUMNS " FROM bin WHERE " BIN_WISH
						 " AND (expunged_us, mailbox_id, uid) > (?, ?, ?)"
						 " ORDER BY expunged_us, mailbox_id, uid");
	bind_wish(s, t->wish);
	db_bind_int(s, t->after_us);
	db_bind_int(s, t->after_mailbox);
	db_bind_int(s, t->after_uid);
	struct row **end = &t->rows;
	int r;
	while ((r = db_step(s)) == DB_ROW && t->count < SLICE) {
		if (!wanted(t->wish, (uint32_t)db_int(s, 2))) continue;
		struct row *row = arena_get(&t->mem, sizeof *row);
		row->b = row_of(s);
		row->b.mailbox = arena_slice(&t->mem, row->b.mailbox);
		row->b.keywords = row->b.keywords.at != NULL ? arena_slice(&t->mem, row->b.keywords) : SLICE_NONE;
		row->mailbox_id = db_int(s, 9);
		*end = row;
		end = &row->next;
		t->count++;
	}
	t->more = r == DB_ROW;
	return r < 0 ? r : 0;
}

static int box_of(struct db_conn *tx, struct arena *mem, int64_t account, struct slice name, struct box *out) {
	struct mailbox m;
	int r = store_find(tx, mem, account, name, &m);
	if (r == STORE_NO_MAILBOX) {
		r = store_create(tx, account, name, 0, out);
		return r == 0 ? store_subscribe(tx, account, name, true) : r;
	}
	*out = m.box;
	return r;
}

static int remove_row(struct db_conn *tx, int64_t account, const struct row *row) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "DELETE FROM bin WHERE account_id = ? AND expunged_us = ? AND mailbox_id = ? AND uid = ?");
	db_bind_int(s, account);
	db_bind_int(s, row->b.expunged_us);
	db_bind_int(s, row->mailbox_id);
	db_bind_int(s, row->b.uid);
	return db_run(s);
}

/* A run of rows of one mailbox: one modseq, one change of counters. */
static int put_back(struct db_conn *tx, struct restoring *t, struct row *row, uint64_t count) {
	struct box box;
	struct delta delta = { 0 };
	uint32_t uid = 0, uidvalidity;
	uint64_t modseq = 0;
	int64_t now = wall_us();
	int r = box_of(tx, &t->mem, t->wish->account, row->b.mailbox, &box);
	if (r == 0) r = mailbox_uids_take(tx, box, count, &uid, &uidvalidity);
	if (r == 0) r = modseq_next(tx, box.account, &modseq);
	for (; count > 0 && r == 0; count--, row = row->next) {
		const struct message m = { .uid = uid++,
					   .flags = row->b.flags & ~(uint32_t)FLAG_DELETED,
					   .modseq = modseq,
					   .size = row->b.size,
					   .received_us = row->b.received_us,
					   .blob_id = row->b.blob_id,
					   .email_id = row->b.email_id,
					   .keywords = row->b.keywords,
					   .saved_us = now };
		if (m.keywords.len != 0) r = mailbox_keywords_add(tx, box, m.keywords);
		if (r == 0) r = message_insert(tx, box, &m);
		if (r == 0) r = remove_row(tx, box.account, row);
		delta_count(&delta, 1, m.flags, m.size);
		t->sum.messages++;
		t->sum.bytes += m.size;
	}
	return r == 0 ? count_change(tx, box, &delta, modseq) : r;
}

static int restore_slice(struct db_conn *tx, void *arg) {
	struct restoring *t = arg;
	struct store_usage usage;
	int r = store_usage(tx, t->wish->account, &usage);
	t->rows = NULL;
	t->count = 0;
	t->sum = (struct bin_sum){ 0 };
	if (r == 0) r = collect(tx, t);
	for (struct row *first = t->rows, *row = first; first != NULL && r == 0; first = row) {
		uint64_t count = 0;
		for (; row != NULL && slice_eq(row->b.mailbox, first->b.mailbox); row = row->next) count++;
		r = put_back(tx, t, first, count);
	}
	return r;
}

int store_bin_restore(struct db *db, const struct bin_wish *wish, struct bin_sum *restored) {
	struct restoring t = { .wish = wish, .more = true };
	int r = 0;
	*restored = (struct bin_sum){ 0 };
	while (t.more && r == 0) {
		r = db_write(db, restore_slice, &t);
		if (r == 0) restored->messages += t.sum.messages;
		if (r == 0) restored->bytes += t.sum.bytes;
		for (const struct row *row = t.rows; row != NULL && r == 0; row = row->next) {
			t.after_us = row->b.expunged_us;
			t.after_mailbox = row->mailbox_id;
			t.after_uid = row->b.uid;
		}
		arena_reset(&t.mem);
	}
	arena_done(&t.mem);
	return r;
}

/* Freeing. */

struct purging {
	int64_t account, before_us;
	struct bin_sum sum;
	bool more;
};

static int next_account(struct db *db, struct purging *p) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT MIN(account_id), (SELECT 1 FROM account_state WHERE account_state.account_id = "
			  "(SELECT MIN(account_id) FROM bin WHERE account_id > ?))"
			  " FROM bin WHERE account_id > ?");
	int64_t keep_us = 0;
	db_bind_int(s, p->account);
	db_bind_int(s, p->account);
	int r = db_step(s);
	if (r < 0) return r;
	if (r != DB_ROW || db_is_null(s, 0)) return 0;
	p->account = db_int(s, 0);
	if (bin_keeps(c, &keep_us) < 0) return -1;
	p->before_us = db_is_null(s, 1) ? INT64_MAX : wall_us() - keep_us;
	return DB_ROW;
}

static int purge_slice(struct db_conn *tx, void *arg) {
	struct purging *p = arg;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM bin WHERE (account_id, expunged_us, mailbox_id, uid) IN "
						 "(SELECT account_id, expunged_us, mailbox_id, uid"
						 " FROM bin WHERE account_id = ? AND expunged_us <= ? ORDER BY "
						 "expunged_us LIMIT ?) RETURNING blob_id, size");
	db_bind_int(s, p->account);
	db_bind_int(s, p->before_us);
	db_bind_int(s, SLICE);
	p->sum = (struct bin_sum){ 0 };
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		p->sum.messages++;
		p->sum.bytes += (uint64_t)db_int(s, 1);
		if (blob_unref(tx, db_int(s, 0)) < 0) return -1;
	}
	p->more = p->sum.messages == SLICE;
	return r;
}

int store_bin_purge(struct db *db, struct bin_sum *freed) {
	struct purging p = { .account = INT64_MIN };
	int r;
	*freed = (struct bin_sum){ 0 };
	while ((r = next_account(db, &p)) == DB_ROW) {
		do {
			r = db_write(db, purge_slice, &p);
			if (r < 0) return r;
			freed->messages += p.sum.messages;
			freed->bytes += p.sum.bytes;
		} while (p.more);
	}
	return r;
}
