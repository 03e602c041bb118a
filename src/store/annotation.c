/* SPDX-License-Identifier: Apache-2.0 */
#include "store/annotation.h"
#include "store/inside.h"

static int too_many(struct db_conn *tx, struct box box, struct slice entry, int64_t reader) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "SELECT COUNT(*) FROM annotation WHERE account_id = ? AND mailbox_id = ?"
			   " AND reader_id = ? AND entry <> ?");
	bind_box(s, box);
	db_bind_int(s, reader);
	db_bind_text(s, entry);
	int r = db_step(s);
	return r < 0 ? r : db_int(s, 0) >= ANNOTATIONS_MAX ? STORE_LIMIT : 0;
}

int annotation_changed(struct db_conn *tx, struct box box) {
	static const struct delta none = { 0 };
	uint64_t modseq = 0;
	int r = modseq_next(tx, box.account, &modseq);
	return r == 0 ? count_change(tx, box, &none, modseq) : r;
}

int store_annotate(struct db_conn *tx, struct box box, struct slice entry, int64_t reader, struct slice value) {
	bool away = value.at == NULL;
	int r = away ? 0 : too_many(tx, box, entry, reader);
	if (r == 0 && value.len > ANNOTATION_VALUE_MAX) r = STORE_LIMIT;
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s = db_sql(
		tx,
		away ? "DELETE FROM annotation WHERE account_id = ? AND mailbox_id = ? AND entry = ? AND reader_id = ?"
		     : "INSERT INTO annotation (account_id, mailbox_id, entry, reader_id, value) VALUES (?, ?, ?, ?, ?)"
		       " ON CONFLICT (account_id, mailbox_id, entry, reader_id) DO UPDATE SET value = excluded.value");
	bind_box(s, box);
	db_bind_text(s, entry);
	db_bind_int(s, reader);
	if (!away) db_bind_bytes(s, value);
	r = db_run(s);
	if (r != 0) return r;
	if (box.id != 0) return annotation_changed(tx, box);
	announce(tx, (struct box){ box.account, 0 }, 0);
	return 0;
}

int annotations_copy(struct db_conn *tx, struct box from, struct box to) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO annotation (account_id, mailbox_id, entry, reader_id, value)"
			   " SELECT account_id, ?, entry, reader_id, value FROM annotation"
			   " WHERE account_id = ? AND mailbox_id = ?");
	db_bind_int(s, to.id);
	bind_box(s, from);
	return db_run(s);
}

int store_annotations(struct db_conn *c, struct box box, struct slice entry, int64_t reader, int below,
		      int (*each)(void *ctx, struct slice entry, struct slice value), void *ctx) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT entry, value FROM annotation WHERE account_id = ? AND mailbox_id = ?"
			  " AND reader_id = ? AND entry >= ? ORDER BY entry");
	bind_box(s, box);
	db_bind_int(s, reader);
	db_bind_text(s, entry);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct slice name = db_text(s, 0), rest = slice_skip(name, entry.len);
		if (!slice_starts(name, entry) || (below == ANNOTATION_BELOW_NONE && rest.len != 0)) break;
		if (rest.len != 0 && rest.at[0] != '/') continue;
		if (below == ANNOTATION_BELOW_ONE && rest.len != 0 && slice_find_last(rest, '/') != 0) continue;
		struct slice value = db_bytes(s, 1); /* an empty one comes without an address */
		r = each(ctx, name, value.at != NULL ? value : S(""));
		if (r != 0) return r;
	}
	return r < 0 ? r : 0;
}

int store_annotated(struct db_conn *c, struct slice entry, int (*each)(void *ctx, struct box box, struct slice value),
		    void *ctx) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT account_id, mailbox_id, value FROM annotation WHERE entry = ? AND mailbox_id <> 0");
	db_bind_text(s, entry);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = each(ctx, (struct box){ db_int(s, 0), db_int(s, 1) }, db_bytes(s, 2));
		if (r != 0) return r;
	}
	return r;
}
