/* SPDX-License-Identifier: Apache-2.0 */
/* Copying writes rows that point to the same bodies; moving does the same and takes the old rows away, so that the
 * references to bodies stay as many as they were. */
#include "store/inside.h"
#include "base/clock.h"

struct copying {
	struct db_conn *tx;
	struct box from, to;
	bool move;
	uint64_t from_modseq, to_modseq;
	int64_t now;
	struct delta delta;
	struct gone_list those; /* what is copied: runs of uids without holes */
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

static bool box_same(struct box a, struct box b) {
	return a.account == b.account && a.id == b.id;
}

/* rising: each body is there but once. */
static int ref_range(struct copying *c, struct uid_range range, bool rising) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c->tx, rising ? "UPDATE blob SET refs = refs + 1 WHERE id IN (SELECT blob_id FROM message"
				" WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?)"
			      : "UPDATE blob SET refs = refs + used.n FROM (SELECT blob_id, COUNT(*) AS n FROM message"
				" WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? GROUP BY blob_id)"
				" AS used WHERE blob.id = used.blob_id");
	bind_range(s, c->from, range);
	return db_run(s);
}

/* Nothing is written there yet: the messages to be copied are just these, also within one mailbox. */
static int look_at(struct copying *c, struct uid_range range) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c->tx, "SELECT uid, flags, size, keywords, blob_id FROM message WHERE account_id = ?"
			      " AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid");
	bind_range(s, c->from, range);
	int64_t body = 0, before = 0;
	bool rising = true, any = false;
	int r;
	for (; (r = db_step(s)) == DB_ROW; before = body) {
		gone_add(&c->those, (uint32_t)db_int(s, 0));
		delta_count(&c->delta, 1, (uint32_t)db_int(s, 1), (uint64_t)db_int(s, 2));
		if (!db_is_null(s, 3) && (r = note_keywords(c, db_text(s, 3))) != 0) return r;
		body = db_int(s, 4);
		rising = rising && body > before;
		any = true;
	}
	db_again(s);
	return r == 0 && any && !c->move ? ref_range(c, range, rising) : r;
}

/* Rows of one table come out of it and go back through a table of SQLite's own; numbering them there would cost half as
 * much again as this. */
static int insert_run(struct copying *c, struct uid_range run, uint32_t first) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c->tx, "INSERT INTO message (account_id, mailbox_id, " MESSAGE_COLUMNS ") SELECT ?, ?, uid + ?, ?,"
		       " flags, keywords, received_us, size, blob_id, email_id, ? FROM message"
		       " WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid");
	bind_box(s, c->to);
	db_bind_int(s, (int64_t)first - run.first);
	db_bind_int(s, (int64_t)c->to_modseq);
	db_bind_int(s, c->now);
	bind_range(s, c->from, run);
	int r = db_run(s);
	for (uint32_t uid = run.first; r == 0 && c->each != NULL; uid++, first++) {
		r = c->each(c->ctx, uid, first);
		if (uid == run.last) break;
	}
	return r;
}

static int insert_all(struct copying *c, uint32_t first) {
	int r = 0;
	for (size_t i = 0; i < c->those.count && r == 0; i++) {
		struct uid_range run = c->those.ranges[i];
		r = insert_run(c, run, first);
		first += run.last - run.first + 1;
	}
	return r;
}

/* before: the first uid that may be a new one. */
static int delete_range(struct copying *c, struct uid_range range, uint32_t before) {
	if (box_same(c->from, c->to)) range.last = MIN_OF(range.last, before - 1);
	if (range.first > range.last) return 0;
	AUTO_STMT struct db_stmt *s =
		db_sql(c->tx, "DELETE FROM message WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?");
	bind_range(s, c->from, range);
	int r = db_run(s);
	return r == 0 ? changed_forget(c->tx, c->from, range) : r;
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
	uint32_t first = 0;
	int r = mailbox_exists(c->tx, c->from);
	if (r == 0) r = mailbox_exists(c->tx, c->to);
	c->now = wall_us();
	for (size_t i = 0; i < set.count && r == 0; i++) r = look_at(c, set.at[i]);
	done.count = (uint64_t)c->delta.messages;
	if (r == 0) r = mailbox_uids_take(c->tx, c->to, done.count, &first, &done.uidvalidity);
	if (r == 0 && done.count != 0) r = modseqs_take(c);
	if (r == 0) r = insert_all(c, first);
	for (size_t i = 0; i < set.count && r == 0 && c->move && done.count != 0; i++)
		r = delete_range(c, set.at[i], first);
	if (r == 0 && c->move) r = gone_record(c->tx, c->from, &c->those, c->from_modseq);
	if (r == 0 && done.count != 0) r = count_both(c);
	if (r == 0 && out != NULL) *out = done;
	return r;
}

int store_copy(struct db_conn *tx, struct box from, struct uid_set set, struct box to,
               int (*each)(void *ctx, uint32_t from_uid, uint32_t to_uid), void *ctx, struct copied *out) {
	AUTO_ARENA struct arena mem = {0};
	struct copying c = {
		.tx = tx, .from = from, .to = to, .each = each, .ctx = ctx, .mem = &mem, .those = { .mem = &mem }
	};
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
			     .those = { .mem = &mem } };
	return copy(&c, set, out);
}
