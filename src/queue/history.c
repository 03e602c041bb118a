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

static const char by_queue_sql[] =
	"SELECT " HISTORY_COLUMNS " FROM history WHERE queue_id = ? AND time_us >= ? AND time_us <= ?"
	" AND (? = '' OR lower(sender) = ? OR lower(recipient) = ?) AND (? = '' OR message_id = ?) ORDER BY id LIMIT ?";
static const char by_time_sql[] =
	"SELECT " HISTORY_COLUMNS " FROM history WHERE ? = '' AND time_us >= ? AND time_us <= ?"
	" AND (? = '' OR lower(sender) = ? OR lower(recipient) = ?) AND (? = '' OR message_id = ?) ORDER BY id DESC LIMIT ?";

int history_find(struct db_conn *c, const struct history_query *query,
                 int (*each)(void *ctx, const struct history_row *row), void *ctx) {
	AUTO_ARENA struct arena mem = {0};
	struct slice address = arena_lower(&mem, query->address), message_id = arena_slice(&mem, query->message_id);
	AUTO_STMT struct db_stmt *s = db_sql(c, query->queue_id.len != 0 ? by_queue_sql : by_time_sql);
	db_bind_text(s, query->queue_id.len != 0 ? query->queue_id : S(""));
	db_bind_int(s, query->since_us);
	db_bind_int(s, query->until_us != 0 ? query->until_us : INT64_MAX);
	for (int i = 0; i < 3; i++) db_bind_text(s, address);
	for (int i = 0; i < 2; i++) db_bind_text(s, message_id);
	db_bind_int(s, query->limit != 0 ? (int64_t)query->limit : FIND_LIMIT);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct history_row row = row_of(s);
		r = each(ctx, &row);
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
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "DELETE FROM history WHERE time_us < ? AND id IN (SELECT id FROM history ORDER BY id LIMIT ?)");
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
