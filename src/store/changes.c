/* SPDX-License-Identifier: Apache-2.0 */
/* What changed is found by parts of 128 uids, each with the modseq of its last change; the rows in it say themselves
 * which of them it was. An index of the rows by modseq cost a STORE of a whole mailbox three times what the rows do;
 * the parts need none: a mailbox of 100,000 messages has 800, which are looked through in a tenth of a millisecond. */
#include "store/inside.h"

enum { PART = 128 };

static int note_part(struct db_conn *tx, struct box box, uint32_t part, uint64_t modseq) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO changed_part (account_id, mailbox_id, part, modseq) VALUES (?, ?, ?, ?)"
			   " ON CONFLICT (account_id, mailbox_id, part) DO UPDATE SET modseq = excluded.modseq");
	bind_box(s, box);
	db_bind_int(s, part);
	db_bind_int(s, (int64_t)modseq);
	return db_run(s);
}

/* Few rows in a wide range: looks for them. */
static int note_found(struct db_conn *tx, struct box box, struct uid_range range, uint64_t modseq) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "SELECT DISTINCT uid / 128 FROM message WHERE account_id = ? AND mailbox_id = ?"
			   " AND uid BETWEEN ? AND ? AND modseq = ?");
	_Static_assert(PART == 128, "as above");
	bind_range(s, box, range);
	db_bind_int(s, (int64_t)modseq);
	int r;
	while ((r = db_step(s)) == DB_ROW)
		if ((r = note_part(tx, box, (uint32_t)db_int(s, 0), modseq)) != 0) return r;
	return r;
}

int changed_note(struct db_conn *tx, struct box box, struct uid_range range, uint64_t modseq, uint64_t rows) {
	uint32_t part = range.first / PART, last = range.last / PART;
	int r = 0;
	if (rows == 0) return 0;
	if (last - part >= rows) return note_found(tx, box, range, modseq);
	for (; part <= last && r == 0; part++) r = note_part(tx, box, part, modseq);
	return r;
}

int changed_forget(struct db_conn *tx, struct box box, struct uid_range range) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx,
		"DELETE FROM changed_part WHERE account_id = ? AND mailbox_id = ? AND part BETWEEN ? AND ?"
		" AND NOT EXISTS (SELECT 1 FROM message WHERE message.account_id = changed_part.account_id"
		" AND message.mailbox_id = changed_part.mailbox_id AND uid BETWEEN part * 128 AND part * 128 + 127)");
	bind_range(s, box, (struct uid_range){ range.first / PART, range.last / PART });
	return db_run(s);
}

/* What came after since stands at the end: uid and the modseq of arrival rise together, and no modseq ever falls. So
 * the last row from the end with an older one has no newcomers before it. *from: the first uid behind it. */
static int newcomers(struct db_conn *c, struct box box, int64_t since, int64_t *from) {
	*from = 0;
	if (since == 0) return 0;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT uid, modseq FROM message WHERE account_id = ? AND mailbox_id = ? ORDER BY uid DESC");
	bind_box(s, box);
	int r;
	while ((r = db_step(s)) == DB_ROW && db_int(s, 1) > since) {
	}
	if (r == DB_ROW) *from = db_int(s, 0) + 1;
	return r < 0 ? r : 0;
}

static int each_changed(struct db_conn *c, struct box box, uint64_t since_modseq,
                        int (*changed)(void *ctx, const struct message *m), void *ctx) {
	int64_t since = (int64_t)MIN_OF(since_modseq, (uint64_t)INT64_MAX), from;
	int r = newcomers(c, box, since, &from);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT " MESSAGE_COLUMNS
			  " FROM message WHERE account_id = ? AND mailbox_id = ? AND uid >= ? UNION ALL"
			  " SELECT uid, m.modseq, flags, keywords, received_us, size, blob_id, email_id, saved_us"
			  " FROM changed_part AS p CROSS JOIN message AS m" /* in this order: SQLite would walk all m */
			  " WHERE p.account_id = ? AND p.mailbox_id = ? AND p.modseq > ?"
			  " AND m.account_id = p.account_id AND m.mailbox_id = p.mailbox_id"
			  " AND m.uid BETWEEN p.part * 128 AND p.part * 128 + 127"
			  " AND m.modseq > ? AND m.uid < ? ORDER BY 2, 1");
	bind_box(s, box);
	db_bind_int(s, from);
	bind_box(s, box);
	db_bind_int(s, since);
	db_bind_int(s, since);
	db_bind_int(s, from);
	while ((r = db_step(s)) == DB_ROW) {
		struct message m = message_of(s);
		r = changed(ctx, &m);
		if (r != 0) return r;
	}
	return r;
}

static int each_vanished(struct db_conn *c, struct box box, uint64_t since,
                         int (*vanished)(void *ctx, uint32_t first, uint32_t last), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT first_uid, last_uid FROM expunged WHERE account_id = ? AND mailbox_id = ? AND modseq > ?"
		   " ORDER BY modseq, first_uid");
	bind_box(s, box);
	db_bind_int(s, (int64_t)MIN_OF(since, (uint64_t)INT64_MAX));
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = vanished(ctx, (uint32_t)db_int(s, 0), (uint32_t)db_int(s, 1));
		if (r != 0) return r;
	}
	return r;
}

int store_changes(struct db_conn *c, struct box box, uint64_t since, int (*changed)(void *ctx, const struct message *m),
                  int (*vanished)(void *ctx, uint32_t first, uint32_t last), void *ctx) {
	int r = mailbox_exists(c, box);
	if (r == 0 && vanished != NULL) r = each_vanished(c, box, since, vanished, ctx);
	if (r == 0 && changed != NULL) r = each_changed(c, box, since, changed, ctx);
	return r;
}
