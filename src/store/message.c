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

static struct message brief_of(struct db_stmt *s) {
	return (struct message){
		.uid = (uint32_t)db_int(s, 0),
		.modseq = (uint64_t)db_int(s, 1),
		.flags = (uint32_t)db_int(s, 2),
		.keywords = db_text(s, 3),
		.received_us = db_int(s, 4),
		.size = (uint64_t)db_int(s, 5),
	};
}

struct message message_of(struct db_stmt *s) {
	struct message m = brief_of(s);
	m.blob_id = db_int(s, 6);
	m.email_id = db_int(s, 7);
	m.saved_us = db_int(s, 8);
	return m;
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

static const char plain_sql[] =
	"SELECT " MESSAGE_COLUMNS
	" FROM message WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid";
static const char brief_sql[] =
	"SELECT uid, modseq, flags, keywords, received_us, size"
	" FROM message WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid";
static const char summary_sql[] = "SELECT uid, modseq, flags, keywords, received_us, size, message.blob_id, email_id, "
				  "saved_us, summary.data FROM message"
				  " LEFT JOIN summary ON summary.blob_id = message.blob_id"
				  " WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid";

static const char digest_sql[] = "SELECT uid, modseq, flags, keywords, received_us, size, message.blob_id, email_id, "
				 "saved_us, digest.data FROM message"
				 " LEFT JOIN digest ON digest.blob_id = message.blob_id"
				 " WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid";
static const char both_sql[] = "SELECT uid, modseq, flags, keywords, received_us, size, message.blob_id, email_id, "
			       "saved_us, summary.data, digest.data"
			       " FROM message LEFT JOIN summary ON summary.blob_id = message.blob_id"
			       " LEFT JOIN digest ON digest.blob_id = message.blob_id"
			       " WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid";

static const char *sql_for(unsigned want) {
	static const char *const all[] = { plain_sql, summary_sql, digest_sql, both_sql };
	return all[want & (WANT_SUMMARY | WANT_DIGEST)];
}

int store_each(struct db_conn *c, struct box box, struct uid_set set, unsigned want,
               int (*each)(void *ctx, const struct message *m), void *ctx) {
	bool brief = want == WANT_BRIEF;
	AUTO_STMT struct db_stmt *s = db_sql(c, brief ? brief_sql : sql_for(want));
	int r = 0;
	for (size_t i = 0; i < set.count; i++) {
		db_again(s);
		bind_range(s, box, set.at[i]);
		while ((r = db_step(s)) == DB_ROW) {
			struct message m = brief ? brief_of(s) : message_of(s);
			if ((want & WANT_SUMMARY) != 0) m.summary = db_bytes(s, 9);
			if ((want & WANT_DIGEST) != 0) m.digest = db_bytes(s, (want & WANT_SUMMARY) != 0 ? 10 : 9);
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
