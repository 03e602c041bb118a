/* SPDX-License-Identifier: Apache-2.0 */
#include "store/inside.h"

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

/* Walking. Each column costs as much as the step to the next row, and each table twice that: there is a statement for
 * every combination that is used, whose columns stand in the order of read_row. */
#define LEAN "uid, flags, keywords, size"
#define BRIEF LEAN ", modseq, received_us"
#define WHOLE BRIEF ", email_id, saved_us"
#define BLOB ", message.blob_id"
#define SUMMARY ", summary.data"
#define DIGEST ", digest.data"
#define BODY ", blob_data.data"
#define WITH_SUMMARY " LEFT JOIN summary ON summary.blob_id = message.blob_id"
#define WITH_DIGEST " LEFT JOIN digest ON digest.blob_id = message.blob_id"
#define WITH_BODY " LEFT JOIN blob_data ON blob_data.id = message.blob_id"
#define WALK(columns, joins) \
	"SELECT " columns " FROM message" joins \
	" WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid"
#define LEVELS(columns, joins) { WALK(WHOLE BLOB columns, joins), WALK(BRIEF BLOB columns, joins), \
		WALK(LEAN BLOB columns, joins) }

static const char *sql_for(unsigned want) {
	static const char *const all[][3] = {
		[0] = { WALK(WHOLE BLOB, ""), WALK(BRIEF, ""), WALK(LEAN, "") },
		[WANT_SUMMARY] = LEVELS(SUMMARY, WITH_SUMMARY),
		[WANT_DIGEST] = LEVELS(DIGEST, WITH_DIGEST),
		[WANT_SUMMARY | WANT_DIGEST] = LEVELS(SUMMARY DIGEST, WITH_SUMMARY WITH_DIGEST),
		[WANT_BODY] = LEVELS(BODY, WITH_BODY),
		[WANT_BODY | WANT_SUMMARY] = LEVELS(SUMMARY BODY, WITH_SUMMARY WITH_BODY),
		[WANT_BODY | WANT_DIGEST] = LEVELS(DIGEST BODY, WITH_DIGEST WITH_BODY),
		[WANT_BODY | WANT_SUMMARY | WANT_DIGEST] =
			LEVELS(SUMMARY DIGEST BODY, WITH_SUMMARY WITH_DIGEST WITH_BODY),
	};
	return all[want & (WANT_SUMMARY | WANT_DIGEST | WANT_BODY)]
		  [(want & WANT_LEAN) != 0 ? 2 : (want & WANT_BRIEF) != 0 ? 1 : 0];
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
	m->blob_id = db_int(s, at++);
	if ((want & WANT_SUMMARY) != 0) m->summary = db_bytes(s, at++);
	if ((want & WANT_DIGEST) != 0) m->digest = db_bytes(s, at++);
	if ((want & WANT_BODY) != 0) m->body = db_bytes(s, at);
}

int store_each(struct db_conn *c, struct box box, struct uid_set set, unsigned want,
               int (*each)(void *ctx, const struct message *m), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(c, sql_for(want));
	struct message m = { .uid = 0 };
	int r = 0;
	for (size_t i = 0; i < set.count; i++) {
		db_again(s);
		bind_range(s, box, set.at[i]);
		while ((r = db_step(s)) == DB_ROW) {
			read_row(s, want, &m);
			r = each(ctx, &m);
			if (r != 0) return r;
		}
		if (r < 0) return r;
	}
	return 0;
}

int store_bodies(struct db_conn *c, struct box box, struct uid_set set,
		 int (*each)(void *ctx, uint32_t uid, int64_t blob_id), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT uid, blob_id FROM message WHERE account_id = ? AND mailbox_id "
						"= ? AND uid BETWEEN ? AND ? ORDER BY uid");
	int r = 0;
	for (size_t i = 0; i < set.count && r == 0; i++) {
		db_again(s);
		bind_range(s, box, set.at[i]);
		while ((r = db_step(s)) == DB_ROW)
			if ((r = each(ctx, (uint32_t)db_int(s, 0), db_int(s, 1))) != 0) break;
	}
	return r;
}
