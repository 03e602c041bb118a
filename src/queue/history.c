/* SPDX-License-Identifier: Apache-2.0 */
/* Ids rise with time, so the table is its own index by time and needs none that is written in random places. */
#include "queue/history.h"
#include "base/clock.h"

#define HISTORY_COLUMNS "time_us, queue_id, kind, sender, recipient, peer, status, text, message_id, count"
enum { HISTORY_TEXT_MAX = 1000, PURGE_SLICE = 2000, FIND_LIMIT = 1000 };

static const char *const kind_names[] = {
	[HISTORY_ACCEPTED] = "accepted",
	[HISTORY_DELIVERED] = "delivered",
	[HISTORY_SENT] = "sent",
	[HISTORY_DEFERRED] = "deferred",
	[HISTORY_BOUNCED] = "bounced",
	[HISTORY_REJECTED] = "rejected",
	[HISTORY_EXPIRED] = "expired",
	[HISTORY_HELD] = "held",
	[HISTORY_RELEASED] = "released",
	[HISTORY_DELETED] = "deleted",
	[HISTORY_REDIRECTED] = "redirected",
	[HISTORY_DISCARDED] = "discarded",
	[HISTORY_QUARANTINED] = "quarantined",
};

const char *history_kind_name(enum history_kind kind) {
	return (size_t)kind < LEN(kind_names) && kind_names[kind] != NULL ? kind_names[kind] : "unknown";
}

static void bind_optional(struct db_stmt *s, struct slice text) {
	db_bind_text(s, text.len != 0 ? slice_head(text, HISTORY_TEXT_MAX) : SLICE_NONE);
}

int history_add(struct db_conn *tx, const struct history_row *row) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO history (id, " HISTORY_COLUMNS ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	db_bind_int(s, db_new_id());
	db_bind_int(s, row->time_us != 0 ? row->time_us : wall_us());
	bind_optional(s, row->queue_id);
	db_bind_int(s, row->kind);
	db_bind_text(s, row->sender.at != NULL ? slice_head(row->sender, HISTORY_TEXT_MAX)
	                                       : S("")); /* empty: the null sender */
	bind_optional(s, row->recipient);
	bind_optional(s, row->peer);
	bind_optional(s, row->status);
	bind_optional(s, row->text);
	bind_optional(s, row->message_id);
	db_bind_int(s, (int64_t)MAX_OF(row->count, UINT64_C(1)));
	return db_run(s);
}

int history_add_all(struct db_conn *tx, const struct history_row *row, const struct slice *recipients, size_t count) {
	struct history_row one = *row;
	AUTO_BUF struct buf list = BUF(HISTORY_TEXT_MAX);
	int r = 0;
	for (size_t i = 0; i < count && r == 0; buf_clear(&list)) {
		buf_add(&list, slice_head(recipients[i++], HISTORY_TEXT_MAX));
		while (i < count && recipients[i].len + 1 <= HISTORY_TEXT_MAX - list.len) {
			buf_byte(&list, '\n');
			buf_add(&list, recipients[i++]);
		}
		one.recipient = buf_slice(&list);
		r = history_add(tx, &one);
	}
	return r;
}

static struct history_row row_of(struct db_stmt *s) {
	return (struct history_row){
		.time_us = db_int(s, 0),
		.queue_id = db_text(s, 1),
		.kind = (enum history_kind)db_int(s, 2),
		.sender = db_text(s, 3),
		.recipient = db_text(s, 4),
		.peer = db_text(s, 5),
		.status = db_text(s, 6),
		.text = db_text(s, 7),
		.message_id = db_text(s, 8),
		.count = (uint64_t)db_int(s, 9),
	};
}

/* A recipient among several: LIKE may find too much (its wildcards are not escaped), so that it is looked at again. */
#define ADDRESS_SQL "(? = '' OR lower(sender) = ? OR lower(recipient) LIKE ?)"
static const char by_queue_sql[] =
	"SELECT " HISTORY_COLUMNS " FROM history WHERE queue_id = ? AND time_us >= ? AND time_us <= ?"
	" AND " ADDRESS_SQL " AND (? = '' OR message_id = ?) ORDER BY id";
static const char by_time_sql[] =
	"SELECT " HISTORY_COLUMNS " FROM history WHERE ? = '' AND time_us >= ? AND time_us <= ?"
	" AND " ADDRESS_SQL " AND (? = '' OR message_id = ?) ORDER BY id DESC";

struct finding {
	struct slice address;
	size_t left;
	int (*each)(void *ctx, const struct history_row *row);
	void *ctx;
};

/* The row once for each recipient who is asked for. */
static int tell(struct finding *f, struct history_row row) {
	bool all = f->address.len == 0 || slice_same(row.sender, f->address);
	struct slice rest = row.recipient;
	int r = 0;
	do {
		row.recipient = rest.at != NULL ? slice_cut(&rest, '\n') : rest;
		if (!all && !slice_same(row.recipient, f->address)) continue;
		if (f->left == 0) return 0;
		f->left--;
		r = f->each(f->ctx, &row);
	} while (r == 0 && rest.at != NULL);
	return r;
}

int history_find(struct db_conn *c, const struct history_query *query,
                 int (*each)(void *ctx, const struct history_row *row), void *ctx) {
	AUTO_ARENA struct arena mem = {0};
	struct slice address = arena_lower(&mem, query->address), message_id = arena_slice(&mem, query->message_id);
	struct finding f = { address, query->limit != 0 ? query->limit : FIND_LIMIT, each, ctx };
	AUTO_STMT struct db_stmt *s = db_sql(c, query->queue_id.len != 0 ? by_queue_sql : by_time_sql);
	db_bind_text(s, query->queue_id.len != 0 ? query->queue_id : S(""));
	db_bind_int(s, query->since_us);
	db_bind_int(s, query->until_us != 0 ? query->until_us : INT64_MAX);
	for (int i = 0; i < 2; i++) db_bind_text(s, address);
	db_bind_text(s, arena_fmt(&mem, "%%%.*s%%", SLICE_ARG(address)));
	for (int i = 0; i < 2; i++) db_bind_text(s, message_id);
	int r = DB_DONE;
	while (f.left != 0 && (r = db_step(s)) == DB_ROW) {
		r = tell(&f, row_of(s));
		if (r != 0) return r;
	}
	return r;
}

struct purging {
	int64_t before_us;
	int64_t deleted;
};

/* Rows are in the order of their ids but for the clock's jumps: the oldest ids are looked at first, and deleting
 * stops at a slice without old rows. */
static int purge_some(struct db_conn *tx, void *arg) {
	struct purging *p = arg;
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "DELETE FROM history WHERE time_us < ? AND id IN (SELECT id FROM history ORDER BY id LIMIT ?)");
	db_bind_int(s, p->before_us);
	db_bind_int(s, PURGE_SLICE);
	int r = db_run(s);
	p->deleted = db_changed(tx);
	return r;
}

int history_purge(struct db *db, int64_t before_us, uint64_t *count) {
	struct purging p = { .before_us = before_us };
	uint64_t total = 0;
	int r;
	do {
		r = db_write(db, purge_some, &p);
		if (r == 0) total += (uint64_t)p.deleted;
	} while (r == 0 && p.deleted > 0);
	if (r == 0 && count != NULL) *count = total;
	return r;
}
