/* SPDX-License-Identifier: Apache-2.0 */
/* Removing messages: rows go, bodies lose a reference, and the uids are written down as ranges for clients that come
 * back (QRESYNC, RFC 7162). */
#include "store/inside.h"

void gone_add(struct gone_list *g, uint32_t uid) {
	struct uid_range *last = g->count != 0 ? &g->ranges[g->count - 1] : NULL;
	if (last != NULL && last->last + 1 == uid) {
		last->last = uid;
		return;
	}
	if (g->count == g->room) {
		g->room = g->room == 0 ? 16 : g->room * 2;
		struct uid_range *more = arena_array(g->mem, g->room, sizeof *more);
		if (g->count != 0) memcpy(more, g->ranges, g->count * sizeof *more);
		g->ranges = more;
	}
	g->ranges[g->count++] = (struct uid_range){ uid, uid };
}

int gone_record(struct db_conn *tx, struct box box, const struct gone_list *g, uint64_t modseq) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx,
		"INSERT INTO expunged (account_id, mailbox_id, modseq, first_uid, last_uid) VALUES (?, ?, ?, ?, ?)");
	int r = 0;
	for (size_t i = 0; i < g->count && r == 0; i++) {
		bind_box(s, box);
		db_bind_int(s, (int64_t)modseq);
		db_bind_int(s, g->ranges[i].first);
		db_bind_int(s, g->ranges[i].last);
		r = db_run(s);
	}
	return r;
}

struct expunging {
	struct db_conn *tx;
	struct box box;
	struct slice bin; /* the mailbox's name, under which the messages go into the bin; empty: they are freed */
	int64_t flag; /* only rows with this flag; 0: all */
	struct delta delta;
	struct gone_list list;
	int (*gone)(void *ctx, uint32_t uid);
	void *ctx;
};

static void bind_those(struct db_stmt *s, const struct expunging *e, struct uid_range range) {
	bind_range(s, e->box, range);
	db_bind_int(s, e->flag);
	db_bind_int(s, e->flag);
}
#define THOSE "account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? AND (flags & ?) = ?"

/* What the look at the rows tells of their bodies. */
struct bodies {
	int64_t last;
	bool twice;      /* ids did not rise: a body may be there twice */
	uint64_t shared; /* that others use, too */
	struct buf free; /* pairs of id and form: nobody else uses them */
};

static void bodies_done(struct bodies *b) {
	buf_done(&b->free);
}

static void body_free(struct bodies *b, int64_t id, int64_t form) {
	const int64_t one[2] = { id, form };
	buf_add(&b->free, slice_from(one, sizeof one));
}

/* refs is NULL where a body is missing already: that does not keep its message here. */
static void body_look(struct bodies *b, struct db_stmt *s) {
	int64_t id = db_int(s, 3);
	b->twice |= id <= b->last;
	b->last = id;
	if (db_is_null(s, 4)) return;
	if (db_int(s, 4) > 1) b->shared++;
	else body_free(b, id, db_int(s, 5));
}

static int bodies_remove(struct expunging *e, const struct bodies *b) {
	int r = 0;
	for (size_t at = 0; at < b->free.len && r == 0; at += 2 * sizeof(int64_t)) {
		int64_t one[2];
		memcpy(one, b->free.at + at, sizeof one);
		r = blob_remove(e->tx, one[0], one[1]);
	}
	return r;
}

static int run_those(struct expunging *e, const char *sql, struct uid_range range) {
	AUTO_STMT struct db_stmt *s = db_sql(e->tx, sql);
	bind_those(s, e, range);
	return db_run(s);
}

/* Counts what each loses, and looks for those that have none left. */
static int unref_twice(struct expunging *e, struct uid_range range, struct bodies *b) {
	int r = run_those(e, "UPDATE blob SET refs = refs - used.n FROM (SELECT blob_id, COUNT(*) AS n FROM message"
			     " WHERE " THOSE " GROUP BY blob_id) AS used WHERE blob.id = used.blob_id", range);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *s = db_sql(
		e->tx,
		"SELECT id, form FROM blob WHERE refs <= 0 AND id IN (SELECT blob_id FROM message WHERE " THOSE ")");
	bind_those(s, e, range);
	b->free.len = 0;
	while ((r = db_step(s)) == DB_ROW) body_free(b, db_int(s, 0), db_int(s, 1));
	return r;
}

/* All bodies of the range lose their references at once; those that have none left go. */
static int unref_range(struct expunging *e, struct uid_range range, struct bodies *b) {
	int r = 0;
	if (b->twice) r = unref_twice(e, range, b);
	else if (b->shared != 0)
		r = run_those(e, "UPDATE blob SET refs = refs - 1 WHERE id IN (SELECT blob_id FROM message WHERE " THOSE
				 ")", range);
	return r == 0 ? bodies_remove(e, b) : r;
}

static int look_at(struct expunging *e, struct uid_range range, struct bodies *b) {
	static const char rows[] = "SELECT uid, flags, size FROM message WHERE " THOSE " ORDER BY uid",
			  rows_and_bodies[] = "SELECT uid, flags, message.size, blob_id, refs, form FROM message"
					      " LEFT JOIN blob ON blob.id = blob_id WHERE " THOSE " ORDER BY uid";
	bool binned = e->bin.len != 0;
	AUTO_STMT struct db_stmt *s = db_sql(e->tx, binned ? rows : rows_and_bodies);
	bind_those(s, e, range);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		uint32_t uid = (uint32_t)db_int(s, 0);
		delta_count(&e->delta, -1, (uint32_t)db_int(s, 1), (uint64_t)db_int(s, 2));
		gone_add(&e->list, uid);
		if (!binned) body_look(b, s);
		r = e->gone != NULL ? e->gone(e->ctx, uid) : 0;
		if (r != 0) return r;
	}
	return r;
}

static int expunge_range(struct expunging *e, struct uid_range range) {
	AUTO(bodies_done) struct bodies b = { .free = BUF(SIZE_MAX / 2) };
	int64_t before = e->delta.messages;
	int r = look_at(e, range, &b);
	if (r != 0 || e->delta.messages == before) return r;
	r = e->bin.len != 0 ? bin_take(e->tx, e->box, e->bin, range, e->flag) : unref_range(e, range, &b);
	if (r == 0) r = run_those(e, "DELETE FROM message WHERE " THOSE, range);
	return r == 0 ? changed_forget(e->tx, e->box, range) : r;
}

/* STORE_NO_MAILBOX. */
static int expunge_begin(struct expunging *e, struct arena *mem) {
	int64_t keep_us;
	struct mailbox m;
	int r = bin_keeps(e->tx, &keep_us);
	if (r < 0) return r;
	if (keep_us == 0) return mailbox_exists(e->tx, e->box);
	r = store_mailbox(e->tx, mem, e->box, &m);
	e->bin = r == 0 ? m.name : SLICE_NONE;
	return r;
}

int store_expunge(struct db_conn *tx, struct box box, struct uid_set set, bool only_deleted,
                  int (*gone)(void *ctx, uint32_t uid), void *ctx) {
	AUTO_ARENA struct arena mem = {0};
	struct expunging e = { .tx = tx,
		                   .box = box,
		                   .flag = only_deleted ? FLAG_DELETED : 0,
		                   .list = { .mem = &mem },
		                   .gone = gone,
		                   .ctx = ctx };
	uint64_t modseq = 0;
	int r = expunge_begin(&e, &mem);
	for (size_t i = 0; i < set.count && r == 0; i++) r = expunge_range(&e, set.at[i]);
	if (r != 0 || e.list.count == 0) return r;
	r = modseq_next(tx, box.account, &modseq);
	if (r == 0) r = gone_record(tx, box, &e.list, modseq);
	return r == 0 ? count_change(tx, box, &e.delta, modseq) : r;
}
