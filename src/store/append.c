/* SPDX-License-Identifier: Apache-2.0 */
/* The path of every delivery: four small statements. Whatever may be answered with a name is found out before anything
 * is changed, because the caller may go on with the other recipients. */
#include "store/inside.h"
#include "base/clock.h"

static int64_t limit_of(uint64_t quota) {
	return quota == 0 || quota > INT64_MAX ? INT64_MAX : (int64_t)quota;
}

static int why_not(struct db_conn *tx, struct box box) {
	struct store_usage usage;
	AUTO_ARENA struct arena mem = {0};
	struct mailbox m;
	int r = store_usage(tx, box.account, &usage);
	if (r == 0) r = store_mailbox(tx, &mem, box, &m);
	return r != 0 ? r : m.uidnext >= UINT32_MAX - 1 ? STORE_LIMIT : STORE_OVER_QUOTA;
}

static int account_count(struct db_conn *tx, const struct append *a, uint64_t *modseq) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "UPDATE account_state SET modseq = modseq + 1, bytes = bytes + ?, messages = messages + 1"
			" WHERE account_id = ? AND bytes + ? <= ? AND messages + 1 <= ? AND EXISTS (SELECT 1 FROM mailbox"
			" WHERE account_id = ? AND id = ? AND name IS NOT NULL AND uidnext < 4294967294) RETURNING modseq");
	db_bind_int(s, (int64_t)a->size);
	db_bind_int(s, a->box.account);
	db_bind_int(s, (int64_t)a->size);
	db_bind_int(s, limit_of(a->quota_bytes));
	db_bind_int(s, limit_of(a->quota_messages));
	bind_box(s, a->box);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : why_not(tx, a->box);
	*modseq = (uint64_t)db_int(s, 0);
	return db_run(s);
}

static int mailbox_count(struct db_conn *tx, const struct append *a, struct appended *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE mailbox SET uidnext = uidnext + 1, highestmodseq = ?, messages = messages + 1,"
	               " unseen = unseen + ?, deleted = deleted + ?, bytes = bytes + ? WHERE account_id = ? AND id = ?"
	               " RETURNING uidnext - 1, uidvalidity");
	db_bind_int(s, (int64_t)out->modseq);
	db_bind_int(s, (a->flags & FLAG_SEEN) == 0);
	db_bind_int(s, (a->flags & FLAG_DELETED) != 0);
	db_bind_int(s, (int64_t)a->size);
	bind_box(s, a->box);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_MAILBOX;
	out->uid = (uint32_t)db_int(s, 0);
	out->uidvalidity = (uint32_t)db_int(s, 1);
	return db_run(s);
}

int store_append(struct db_conn *tx, const struct append *a, struct appended *out) {
	AUTO_ARENA struct arena mem = {0};
	struct slice keywords = SLICE_NONE;
	struct appended done = { .email_id = a->email_id != 0 ? a->email_id : db_new_id() };
	int r = a->keywords.len == 0 ? 0 : keywords_normal(&mem, a->keywords, &keywords);
	if (r == 0 && keywords.len != 0) r = mailbox_keywords_add(tx, a->box, keywords);
	if (r != 0) return r;
	r = blob_ref(tx, a->blob_id);
	if (r != 0) return r < 0 ? r : STORE_NO_BLOB;
	r = account_count(tx, a, &done.modseq);
	if (r > 0) {
		int undone = blob_unref(tx, a->blob_id);
		return undone < 0 ? undone : r;
	}
	if (r == 0) r = mailbox_count(tx, a, &done);
	if (r != 0) return r;
	struct message m = {
		.uid = done.uid,
		.flags = a->flags & FLAG_ALL,
		.modseq = done.modseq,
		.size = a->size,
		.blob_id = a->blob_id,
		.email_id = done.email_id,
		.received_us = a->received_us != 0 ? a->received_us : wall_us(),
		.keywords = keywords,
	};
	r = message_insert(tx, a->box, &m);
	if (r < 0) return r;
	announce(tx, a->box, done.modseq);
	*out = done;
	return 0;
}
