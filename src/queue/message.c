/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of the queue. */
#include "queue/inside.h"
#include "base/clock.h"

static struct slice null_if_empty(struct slice s) {
	return s.len != 0 ? s : SLICE_NONE;
}

static struct slice never_null(struct slice s) {
	return s.at != NULL ? s : S("");
}

static int id_taken(struct db_conn *c, struct slice id) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT 1 FROM queue_message WHERE id = ?");
	db_bind_text(s, id);
	return db_step(s);
}

static int message_insert(struct db_conn *tx, const struct queue_message *m) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO queue_message (" QUEUE_MESSAGE_COLUMNS ", next_number)"
	                                         " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
	db_bind_text(s, m->id);
	db_bind_text(s, never_null(m->sender));
	db_bind_int(s, m->blob_id);
	db_bind_int(s, (int64_t)m->size);
	db_bind_int(s, m->arrived_us);
	db_bind_text(s, null_if_empty(m->envid));
	db_bind_int(s, m->ret);
	db_bind_text(s, null_if_empty(m->message_id));
	db_bind_bytes(s, null_if_empty(m->extra));
	db_bind_int(s, m->held ? STATE_HELD : 0);
	db_bind_int(s, (int64_t)m->recipient_count);
	return db_run(s);
}

static int recipients_insert(struct db_conn *tx, struct slice id, struct queue_recipient *list, size_t count,
                             int first, int64_t due_us) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO queue_recipient (queue_id, " QUEUE_RECIPIENT_COLUMNS ")"
	                                         " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, NULL, NULL)");
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++) {
		list[i].number = first + (int)i;
		db_bind_text(s, id);
		db_bind_int(s, list[i].number);
		db_bind_text(s, never_null(list[i].address));
		db_bind_text(s, null_if_empty(list[i].orcpt));
		db_bind_text(s, null_if_empty(list[i].original));
		db_bind_text(s, never_null(list[i].hop));
		db_bind_int(s, list[i].notify);
		db_bind_bytes(s, null_if_empty(list[i].target));
		db_bind_int(s, due_us);
		r = db_run(s);
	}
	return r;
}

int queue_put(struct db_conn *tx, const struct queue_message *m) {
	must(m->recipient_count > 0 && m->recipient_count < INT_MAX);
	int r = id_taken(tx, m->id);
	if (r != 0) return r < 0 ? r : QUEUE_EXISTS;
	r = blob_ref(tx, m->blob_id);
	if (r != 0) return r < 0 ? r : QUEUE_NO_BLOB;
	r = message_insert(tx, m);
	return r < 0 ? r
		     : recipients_insert(tx, m->id, m->recipients, m->recipient_count, 0,
					 m->held ? NEVER : m->arrived_us);
}

int queue_add(struct db_conn *tx, struct slice id, struct queue_recipient *recipients, size_t count) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "UPDATE queue_message SET next_number = next_number + ? WHERE id = ? RETURNING next_number, held");
	must(count < INT_MAX);
	db_bind_int(s, (int64_t)count);
	db_bind_text(s, id);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : QUEUE_UNKNOWN;
	int first = (int)db_int(s, 0) - (int)count;
	bool held = (db_int(s, 1) & STATE_HELD) != 0;
	r = db_run(s);
	return r < 0 ? r : recipients_insert(tx, id, recipients, count, first, held ? NEVER : wall_us());
}

struct queue_message message_row(struct db_stmt *s, struct arena *mem) {
	return (struct queue_message){
		.id = arena_slice(mem, db_text(s, 0)),
		.sender = arena_slice(mem, db_text(s, 1)),
		.blob_id = db_int(s, 2),
		.size = (uint64_t)db_int(s, 3),
		.arrived_us = db_int(s, 4),
		.envid = arena_slice(mem, db_text(s, 5)),
		.ret = (uint32_t)db_int(s, 6),
		.message_id = arena_slice(mem, db_text(s, 7)),
		.extra = arena_slice(mem, db_bytes(s, 8)),
		.held = (db_int(s, 9) & STATE_HELD) != 0,
		.expired = (db_int(s, 9) & STATE_EXPIRED) != 0,
	};
}

struct queue_recipient recipient_row(struct db_stmt *s, struct arena *mem) {
	return (struct queue_recipient){
		.number = (int)db_int(s, 0),
		.address = arena_slice(mem, db_text(s, 1)),
		.orcpt = arena_slice(mem, db_text(s, 2)),
		.original = arena_slice(mem, db_text(s, 3)),
		.hop = arena_slice(mem, db_text(s, 4)),
		.notify = (uint32_t)db_int(s, 5),
		.target = arena_slice(mem, db_bytes(s, 6)),
		.due_us = db_int(s, 7),
		.tries = (uint32_t)db_int(s, 8),
		.warned = db_int(s, 9) != 0,
		.status = arena_slice(mem, db_text(s, 10)),
		.text = arena_slice(mem, db_text(s, 11)),
	};
}

int message_get(struct db_conn *c, struct arena *mem, struct slice id, struct queue_message *out) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT " QUEUE_MESSAGE_COLUMNS " FROM queue_message WHERE id = ?");
	db_bind_text(s, id);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : QUEUE_UNKNOWN;
	*out = message_row(s, mem);
	return 0;
}

static int recipients_get(struct db_conn *c, struct arena *mem, struct queue_message *m) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT " QUEUE_RECIPIENT_COLUMNS " FROM queue_recipient WHERE queue_id = ? ORDER BY number");
	db_bind_text(s, m->id);
	int r;
	for (size_t room = 0; (r = db_step(s)) == DB_ROW;) {
		if (m->recipient_count == room) {
			room = room == 0 ? 4 : room * 2;
			struct queue_recipient *more = arena_array(mem, room, sizeof *more);
			if (m->recipient_count != 0) memcpy(more, m->recipients, m->recipient_count * sizeof *more);
			m->recipients = more;
		}
		m->recipients[m->recipient_count++] = recipient_row(s, mem);
	}
	return r;
}

int queue_show(struct db_conn *c, struct arena *mem, struct slice id, struct queue_message *out) {
	struct queue_message m;
	int r = message_get(c, mem, id, &m);
	if (r == 0) r = recipients_get(c, mem, &m);
	if (r == 0) *out = m;
	return r;
}

int queue_each(struct db_conn *c, int (*each)(void *ctx, const struct queue_message *m), void *ctx) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT " QUEUE_MESSAGE_COLUMNS " FROM queue_message ORDER BY arrived_us, id");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct queue_message m = message_row(s, &mem);
		r = recipients_get(c, &mem, &m);
		if (r == 0) r = each(ctx, &m);
		if (r != 0) return r;
		arena_reset(&mem);
	}
	return r;
}

int queue_count(struct db_conn *c, struct queue_counts *out) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT COUNT(*), SUM(held & 1), SUM(size), MIN(arrived_us), (SELECT COUNT(*) FROM queue_recipient)"
		   " FROM queue_message");
	int r = db_step(s);
	if (r < 0) return r;
	*out = (struct queue_counts){
		.messages = (uint64_t)db_int(s, 0),
		.held = (uint64_t)db_int(s, 1),
		.bytes = (uint64_t)db_int(s, 2),
		.oldest_us = db_int(s, 3),
		.recipients = (uint64_t)db_int(s, 4),
	};
	return 0;
}

int recipient_change(struct db_conn *tx, const char *sql, struct slice id, int number) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, sql);
	db_bind_text(s, id);
	db_bind_int(s, number);
	int r = db_run(s);
	return r < 0 ? r : db_changed(tx) == 0 ? QUEUE_UNKNOWN : 0;
}

int message_drop_if_done(struct db_conn *tx, struct slice id, bool *removed) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "DELETE FROM queue_message WHERE id = ? AND NOT EXISTS (SELECT 1 FROM queue_recipient"
	               " WHERE queue_id = ?) RETURNING blob_id");
	db_bind_text(s, id);
	db_bind_text(s, id);
	int r = db_step(s);
	if (r != DB_ROW) return r;
	int64_t blob = db_int(s, 0);
	r = db_run(s);
	if (r == 0) r = blob_unref(tx, blob);
	if (r >= 0 && removed != NULL) *removed = true;
	return r < 0 ? r : 0;
}
