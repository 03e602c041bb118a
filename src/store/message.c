/* SPDX-License-Identifier: Apache-2.0 */
#include "store/inside.h"
#include "store/summary_cache.h"

static const struct uid_range whole = { 1, UINT32_MAX };
const struct uid_set uid_all = { &whole, 1 };

void bind_box(struct db_stmt *s, struct box box) {
	db_bind_int(s, box.account);
	db_bind_int(s, box.id);
}

void bind_range(struct db_stmt *s, struct box box, struct uid_range range) {
	bind_box(s, box);
	db_bind_int(s, range.first);
	db_bind_int(s, range.last);
}

struct message message_of(struct db_stmt *s) {
	return (struct message){
		.uid = (uint32_t)db_int(s, 0),
		.modseq = (uint64_t)db_int(s, 1),
		.flags = (uint32_t)db_int(s, 2),
		.keywords = db_text(s, 3),
		.received_us = db_int(s, 4),
		.size = (uint64_t)db_int(s, 5),
		.blob_id = db_int(s, 6),
		.email_id = db_int(s, 7),
		.saved_us = db_int(s, 8),
	};
}

int message_insert(struct db_conn *tx, struct box box, const struct message *m) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO message (account_id, mailbox_id, " MESSAGE_COLUMNS
	                                         ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	bind_box(s, box);
	db_bind_int(s, m->uid);
	db_bind_int(s, (int64_t)m->modseq);
	db_bind_int(s, m->flags);
	db_bind_text(s, m->keywords);
	db_bind_int(s, m->received_us);
	db_bind_int(s, (int64_t)m->size);
	db_bind_int(s, m->blob_id);
	db_bind_int(s, m->email_id);
	db_bind_int(s, m->saved_us);
	return db_run(s);
}

int store_uids(struct db_conn *c, struct box box, uint32_t since, struct buf *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT uid FROM message WHERE account_id = ? AND mailbox_id = ? AND uid >= ? ORDER BY uid");
	bind_box(s, box);
	db_bind_int(s, since);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		uint32_t uid = (uint32_t)db_int(s, 0);
		if (!buf_add(out, slice_from(&uid, sizeof uid))) return STORE_LIMIT;
	}
	return r;
}

static int one_uid(struct db_conn *c, const char *sql, struct box box, uint32_t below, uint32_t *out) {
	AUTO_STMT struct db_stmt *s = db_sql(c, sql);
	bind_box(s, box);
	db_bind_int(s, below);
	int r = db_step(s);
	*out = r == DB_ROW ? (uint32_t)db_int(s, 0) : 0;
	return MIN_OF(r, 0);
}

int store_uid_ends(struct db_conn *c, struct box box, uint32_t below, uint32_t *first, uint32_t *last) {
	int r = one_uid(c, "SELECT uid FROM message WHERE account_id = ? AND mailbox_id = ? AND uid < ?"
			   " ORDER BY uid LIMIT 1", box, below, first);
	return r != 0 ? r : one_uid(c, "SELECT uid FROM message WHERE account_id = ? AND mailbox_id = ? AND uid < ?"
				       " ORDER BY uid DESC LIMIT 1", box, below, last);
}

/* Walking. Each column costs as much as the step to the next row: there is a statement for every level that is used.
 * What is kept by body comes from walks of its own beside it (blob_walk). */
#define LEAN "uid, flags, keywords, size"
#define BRIEF LEAN ", modseq, received_us"
#define WHOLE BRIEF ", email_id, saved_us"
#define WALK(columns) \
	"SELECT " columns " FROM message WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid"

static const char *sql_for(unsigned want) {
	static const char *const all[][2] = { { WALK(WHOLE), WALK(WHOLE ", blob_id") },
					      { WALK(BRIEF), WALK(BRIEF ", blob_id") },
					      { WALK(LEAN), WALK(LEAN ", blob_id") } };
	bool blob = (want & ~(unsigned)(WANT_LEAN | WANT_BRIEF)) != 0; /* WANT_BLOB is one of them */
	if ((want & (WANT_LEAN | WANT_BRIEF)) == 0) return all[0][1];
	return all[(want & WANT_LEAN) != 0 ? 2 : 1][blob];
}

static void read_row(struct db_stmt *s, unsigned want, struct message *m) {
	int at = 4;
	m->uid = (uint32_t)db_int(s, 0);
	m->flags = (uint32_t)db_int(s, 1);
	m->keywords = db_is_null(s, 2) ? SLICE_NONE : db_text(s, 2);
	m->size = (uint64_t)db_int(s, 3);
	if ((want & WANT_LEAN) == 0) {
		m->modseq = (uint64_t)db_int(s, at++);
		m->received_us = db_int(s, at++);
	}
	if ((want & (WANT_LEAN | WANT_BRIEF)) == 0) {
		m->email_id = db_int(s, at++);
		m->saved_us = db_int(s, at++);
	} else if ((want & ~(unsigned)(WANT_LEAN | WANT_BRIEF)) == 0) {
		return;
	}
	m->blob_id = db_int(s, at);
}

enum { PACKED_LEAST = 40 /* messages; for fewer the packs are not asked: one has some hundred */ };

static uint64_t span_of(struct uid_set set) {
	uint64_t span = 0;
	for (size_t i = 0; i < set.count; i++) span += set.at[i].last - set.at[i].first + UINT64_C(1);
	return span;
}

struct walks walks_open(struct db_conn *c, struct box box, struct uid_set set, unsigned want) {
	bool summaries = (want & WANT_SUMMARY) != 0, digests = (want & WANT_DIGEST) != 0,
	     packed = span_of(set) >= PACKED_LEAST;
	return (struct walks){ summaries ? blob_walk(c, BLOB_SUMMARY) : NULL,
			       digests ? blob_walk(c, BLOB_DIGEST) : NULL,
			       (want & WANT_BODY) != 0 ? blob_walk(c, BLOB_STORED) : NULL,
			       summaries && packed ? summary_walk(c, BLOB_SUMMARY, box) : NULL,
			       digests && packed ? summary_walk(c, BLOB_DIGEST, box) : NULL };
}

void walks_close(struct walks *w) {
	blob_walk_end(&w->summary);
	blob_walk_end(&w->digest);
	blob_walk_end(&w->body);
	summary_walk_end(&w->summaries);
	summary_walk_end(&w->digests);
}

/* From a pack, or else from the row. */
static int kept_to(struct summary_walk *packed, struct blob_walk *rows, const struct message *m, struct slice *out) {
	*out = packed != NULL ? summary_walk_to(packed, m->uid, m->blob_id) : SLICE_NONE;
	return out->at != NULL ? 0 : blob_walk_to(rows, m->blob_id, out);
}

int walks_to(struct walks *w, struct message *m) {
	int r = w->summary != NULL ? kept_to(w->summaries, w->summary, m, &m->summary) : 0;
	if (r == 0 && w->digest != NULL) r = kept_to(w->digests, w->digest, m, &m->digest);
	if (r == 0 && w->body != NULL) r = blob_walk_to(w->body, m->blob_id, &m->body);
	return r;
}

int store_each_flagged(struct db_conn *c, struct box box, struct uid_set set, uint32_t mask, uint32_t flags,
		       int (*each)(void *ctx, const struct message *m), void *ctx) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT " BRIEF " FROM message WHERE account_id = ? AND mailbox_id = ?"
			  " AND uid BETWEEN ? AND ? AND (flags & ?) = ? ORDER BY uid");
	struct message m = { .uid = 0 };
	int r = 0;
	for (size_t i = 0; i < set.count && r == 0; i++) {
		db_again(s);
		bind_range(s, box, set.at[i]);
		db_bind_int(s, mask);
		db_bind_int(s, flags);
		while ((r = db_step(s)) == DB_ROW) {
			read_row(s, WANT_BRIEF, &m);
			if ((r = each(ctx, &m)) != 0) return r;
		}
	}
	return r;
}

int store_each(struct db_conn *c, struct box box, struct uid_set set, unsigned want,
               int (*each)(void *ctx, const struct message *m), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(c, sql_for(want));
	AUTO(walks_close) struct walks walks = walks_open(c, box, set, want);
	struct message m = { .uid = 0 };
	int r = 0;
	for (size_t i = 0; i < set.count; i++) {
		db_again(s);
		bind_range(s, box, set.at[i]);
		while ((r = db_step(s)) == DB_ROW) {
			read_row(s, want, &m);
			r = walks_to(&walks, &m);
			if (r == 0) r = each(ctx, &m);
			if (r != 0) return r;
		}
		if (r < 0) return r;
	}
	return 0;
}

/* Of the first message from there on. */
static int64_t blob_of(struct db_conn *c, struct box box, uint32_t uid) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT blob_id FROM message WHERE account_id = ? AND mailbox_id = ?"
						" AND uid >= ? ORDER BY uid LIMIT 1");
	bind_box(s, box);
	db_bind_int(s, uid);
	return db_step(s) == DB_ROW ? db_int(s, 0) : 0;
}

/* A page has some 60 rows of messages and 40 digests. Ids of bodies rise with uids, but where many were copied. To ask
 * costs as much as the walk itself when all is there, which is likely where there is little. */
enum { AHEAD_LEAST = 2000 /* messages */, ROWS_A_PAGE = 40, DIGESTS_A_PAGE = 20, PAGES_MORE = 500 };

void store_ahead(struct db_conn *c, struct box box, struct uid_set set, unsigned want) {
	uint32_t first = 0, last = 0, end = set.count != 0 ? set.at[set.count - 1].last : 0;
	uint64_t count = span_of(set);
	if (count < AHEAD_LEAST || store_uid_ends(c, box, end + (end != UINT32_MAX), &first, &last) != 0) return;
	first = MAX_OF(first, set.at[0].first);
	last = MIN_OF(last, end);
	if (first == 0 || last < first || last - first < AHEAD_LEAST) return;
	count = MIN_OF(count, last - first + UINT64_C(1));
	const int64_t low[] = { box.account, box.id, first }, high[] = { box.account, box.id, last };
	db_ahead(c, "message", LEN(low), low, high, count / ROWS_A_PAGE + PAGES_MORE);
	if ((want & WANT_DIGEST) == 0) return;
	first = MAX_OF(first, summary_cache_to(c, BLOB_DIGEST, box) + 1); /* packs are read in one go */
	if (last < first || last - first < AHEAD_LEAST) return;
	int64_t from = blob_of(c, box, first), to = blob_of(c, box, last);
	if (from != 0 && to >= from) db_ahead(c, "digest", 0, &from, &to, count / DIGESTS_A_PAGE + PAGES_MORE);
}
