/* SPDX-License-Identifier: Apache-2.0 */
/* Copying writes rows that point to the same bodies; moving does the same and takes the old rows away, so that the
 * references to bodies stay as many as they were. */
#include "store/inside.h"
#include "store/quota.h"
#include "base/clock.h"

struct copying {
	struct db_conn *tx;
	struct box from, to;
	bool move;
	uint32_t next_uid;
	uint64_t from_modseq, to_modseq;
	int64_t now;
	struct delta delta;
	struct gone_list gone;
	struct arena *mem;
	struct slice last_keywords; /* those the target is known to have */
	int (*each)(void *ctx, uint32_t from_uid, uint32_t to_uid);
	void *ctx;
};

/* The keywords of the target mailbox are brought up to date when they differ from those of the row before. */
static int note_keywords(struct copying *c, struct slice keywords) {
	if (keywords.len == 0 || slice_eq(keywords, c->last_keywords)) return 0;
	c->last_keywords = arena_slice(c->mem, keywords);
	return mailbox_keywords_add(c->tx, c->to, keywords);
}

static int count_row(struct copying *c, const struct message *m) {
	uint32_t to_uid = c->next_uid++;
	int r = note_keywords(c, m->keywords);
	if (r != 0) return r;
	delta_count(&c->delta, 1, m->flags, m->size);
	if (c->move) gone_add(&c->gone, m->uid);
	return c->each != NULL ? c->each(c->ctx, m->uid, to_uid) : 0;
}

/* All rows of the range at once, numbered in their order. */
static int insert_range(struct copying *c, struct uid_range range, uint32_t first) {
	AUTO_STMT struct db_stmt *s = db_sql(c->tx, "INSERT INTO message (account_id, mailbox_id, " MESSAGE_COLUMNS ")"
						    " SELECT ?, ?, ? + ROW_NUMBER() OVER (ORDER BY uid) - 1, ?, flags, "
						    "keywords, received_us, size, blob_id,"
						    " email_id, ? FROM message WHERE account_id = ? AND mailbox_id = ? "
						    "AND uid BETWEEN ? AND ? ORDER BY uid");
	bind_box(s, c->to);
	db_bind_int(s, first);
	db_bind_int(s, (int64_t)c->to_modseq);
	db_bind_int(s, c->now);
	bind_range(s, c->from, range);
	return db_run(s);
}

static int ref_range(struct copying *c, struct uid_range range) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c->tx, "UPDATE blob SET refs = refs + used.n FROM (SELECT blob_id, COUNT(*) AS n FROM message"
	           " WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? GROUP BY blob_id) AS used"
	           " WHERE blob.id = used.blob_id");
	bind_range(s, c->from, range);
	return db_run(s);
}

static int delete_range(struct copying *c, struct uid_range range) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c->tx, "DELETE FROM message WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?");
	bind_range(s, c->from, range);
	int r = db_run(s);
	return r == 0 ? changed_forget(c->tx, c->from, range) : r;
}

static int copy_range(struct copying *c, struct uid_range range) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c->tx, "SELECT " MESSAGE_COLUMNS " FROM message WHERE account_id = ? AND mailbox_id = ?"
	                  " AND uid BETWEEN ? AND ? ORDER BY uid");
	bind_range(s, c->from, range);
	uint32_t first = c->next_uid;
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct message m = message_of(s);
		r = count_row(c, &m);
		if (r != 0) return r;
	}
	db_again(s);
	if (r == 0 && c->next_uid != first) r = insert_range(c, range, first);
	if (r != 0) return r;
	return c->move ? delete_range(c, range) : ref_range(c, range);
}

static bool box_same(struct box a, struct box b) {
	return a.account == b.account && a.id == b.id;
}

static int count_both(struct copying *c) {
	struct delta none = {0}, less = { -c->delta.messages, -c->delta.unseen, -c->delta.deleted, -c->delta.bytes };
	if (box_same(c->from, c->to)) return count_change(c->tx, c->to, c->move ? &none : &c->delta, c->to_modseq);
	int r = count_change(c->tx, c->to, &c->delta, c->to_modseq);
	return r == 0 && c->move ? count_change(c->tx, c->from, &less, c->from_modseq) : r;
}

static int modseqs_take(struct copying *c) {
	int r = modseq_next(c->tx, c->to.account, &c->to_modseq);
	c->from_modseq = c->to_modseq;
	return r == 0 && c->move && c->from.account != c->to.account
	           ? modseq_next(c->tx, c->from.account, &c->from_modseq)
	           : r;
}

static int copy(struct copying *c, struct uid_set set, struct copied *out) {
	struct copied done = {0};
	uint64_t bytes;
	uint32_t first = 0;
	int r = mailbox_exists(c->tx, c->from);
	if (r == 0) r = store_quota_of(c->tx, c->from, set, &bytes, &done.count);
	if (r == 0) r = mailbox_uids_take(c->tx, c->to, done.count, &first, &done.uidvalidity);
	if (r == 0 && done.count != 0) r = modseqs_take(c);
	c->next_uid = first;
	c->now = wall_us();
	for (size_t i = 0; i < set.count && r == 0 && done.count != 0; i++) {
		struct uid_range range = set.at[i];
		if (box_same(c->from, c->to))
			range.last = MIN_OF(range.last, first - 1); /* not what is being written */
		if (range.first <= range.last) r = copy_range(c, range);
	}
	if (r == 0 && c->move) r = gone_record(c->tx, c->from, &c->gone, c->from_modseq);
	if (r == 0 && done.count != 0) r = count_both(c);
	if (r == 0 && out != NULL) *out = done;
	return r;
}

int store_copy(struct db_conn *tx, struct box from, struct uid_set set, struct box to,
               int (*each)(void *ctx, uint32_t from_uid, uint32_t to_uid), void *ctx, struct copied *out) {
	AUTO_ARENA struct arena mem = {0};
	struct copying c = { .tx = tx, .from = from, .to = to, .each = each, .ctx = ctx, .mem = &mem };
	return copy(&c, set, out);
}

int store_move(struct db_conn *tx, struct box from, struct uid_set set, struct box to,
               int (*each)(void *ctx, uint32_t from_uid, uint32_t to_uid), void *ctx, struct copied *out) {
	AUTO_ARENA struct arena mem = {0};
	struct copying c = { .tx = tx,
			     .from = from,
			     .to = to,
			     .move = true,
			     .each = each,
			     .ctx = ctx,
			     .mem = &mem,
			     .gone = { .mem = &mem } };
	return copy(&c, set, out);
}
