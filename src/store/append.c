/* SPDX-License-Identifier: Apache-2.0 */
/* The path of every delivery: one look, three small changes. Whatever may be answered with a name is found out before
 * anything is changed, because the caller may go on with the other recipients. What was looked at cannot change before
 * the end of the transaction, so nothing is read back (RETURNING costs SQLite a table of its own each time). */
#include "store/inside.h"
#include "store/quota.h"
#include "base/clock.h"

struct place { /* where the message goes, before it is there */
	struct box box;
	uint64_t modseq;
	int64_t bytes, messages, uidnext, uidvalidity;
	bool pooled; /* in a quota_pool, which has room for: */
	int64_t pool_bytes, pool_messages;
};

#define PLACE_SQL(which) \
	"SELECT m.id, a.modseq, a.bytes, a.messages, m.uidnext, m.uidvalidity, a.pool IS NOT NULL" \
	" FROM account_state AS a, mailbox AS m WHERE a.account_id = ? AND m.account_id = ? AND " which

static int place_by(struct db_conn *tx, const char *sql, struct box box, struct place *out) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, sql);
	db_bind_int(s, box.account);
	bind_box(s, box);
	int r = db_step(s);
	if (r == DB_ROW)
		*out = (struct place){ .box = { box.account, db_int(s, 0) },
			                   .modseq = (uint64_t)db_int(s, 1),
			                   .bytes = db_int(s, 2),
			                   .messages = db_int(s, 3),
			                   .uidnext = db_int(s, 4),
			                   .uidvalidity = db_int(s, 5),
			                   .pooled = db_int(s, 6) != 0 };
	return r;
}

static int pool_read(struct db_conn *tx, struct place *p) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "SELECT CASE q.limit_bytes WHEN 0 THEN 9223372036854775807 ELSE q.limit_bytes - q.bytes END,"
		    " CASE q.limit_messages WHEN 0 THEN 9223372036854775807"
		    " ELSE q.limit_messages - q.messages END"
		    " FROM account_state AS a, quota_pool AS q WHERE a.account_id = ? AND q.name = a.pool");
	db_bind_int(s, p->box.account);
	int r = db_step(s);
	p->pooled = r == DB_ROW;
	if (p->pooled) {
		p->pool_bytes = db_int(s, 0);
		p->pool_messages = db_int(s, 1);
	}
	return MIN_OF(r, 0);
}

static int place_read(struct db_conn *tx, struct box box, struct place *out) {
	static const char by_id[] = PLACE_SQL("m.id = ? AND m.name IS NOT NULL"),
			  first[] = PLACE_SQL("m.id = 1 AND m.name = 'INBOX' AND ? = 0"),
			  by_name[] = PLACE_SQL("m.name = 'INBOX' AND ? = 0");
	int r = place_by(tx, box.id == 0 ? first : by_id, box, out);
	if (r == DB_DONE && box.id == 0) r = place_by(tx, by_name, box, out); /* it was renamed */
	if (r != DB_DONE) return r == DB_ROW && out->pooled ? pool_read(tx, out) : MIN_OF(r, 0);
	struct store_usage usage;
	r = store_usage(tx, box.account, &usage);
	return r != 0 ? r : STORE_NO_MAILBOX;
}

static bool over(uint64_t quota, uint64_t grace, int64_t have, uint64_t more) {
	return quota != 0 && ((uint64_t)have > quota || more > quota - (uint64_t)have + grace);
}

static int place_judge(const struct place *p, const struct append *a) {
	if (p->uidnext >= UINT32_MAX - 1) return STORE_LIMIT;
	bool full = over(a->quota_bytes, a->quota_grace, p->bytes, a->size) ||
		    over(a->quota_messages, 0, p->messages, 1) ||
		    (p->pooled && (p->pool_bytes < (int64_t)a->size || p->pool_messages < 1));
	return full ? STORE_OVER_QUOTA : 0;
}

static int account_count(struct db_conn *tx, const struct append *a) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE account_state SET modseq = modseq + 1, bytes = bytes + ?,"
	                                         " messages = messages + 1 WHERE account_id = ?");
	db_bind_int(s, (int64_t)a->size);
	db_bind_int(s, a->box.account);
	return db_run(s);
}

static int mailbox_count(struct db_conn *tx, const struct append *a, const struct place *p) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "UPDATE mailbox SET uidnext = ?, highestmodseq = ?, messages = messages + 1,"
		    " unseen = unseen + ?, deleted = deleted + ?, bytes = bytes + ? WHERE account_id = ? AND id = ?");
	db_bind_int(s, MAX_OF(p->uidnext, (int64_t)a->uid) + (a->uid == 0 || a->uid >= p->uidnext));
	db_bind_int(s, (int64_t)p->modseq + 1);
	db_bind_int(s, (a->flags & FLAG_SEEN) == 0);
	db_bind_int(s, (a->flags & FLAG_DELETED) != 0);
	db_bind_int(s, (int64_t)a->size);
	bind_box(s, p->box);
	return db_run(s);
}

static int quota_count(struct db_conn *tx, const struct append *a, const struct place *p) {
	struct quota q = { a->quota_bytes, a->quota_messages, { a->quota_levels[0], a->quota_levels[1] } };
	struct store_usage before = { (uint64_t)p->bytes, (uint64_t)p->messages, 0 };
	int r = p->pooled ? pool_count(tx, p->box.account, 1, (int64_t)a->size) : 0;
	return r == 0 ? quota_crossed(tx, p->box.account, &q, &before, a->size, 1) : r;
}

static int enter(struct db_conn *tx, const struct append *a, const struct place *p, struct slice keywords,
                 struct appended *out) {
	struct message m = {
		.uid = a->uid != 0 ? a->uid : (uint32_t)p->uidnext,
		.flags = a->flags & FLAG_ALL,
		.modseq = p->modseq + 1,
		.size = a->size,
		.blob_id = a->blob_id,
		.email_id = a->email_id != 0 ? a->email_id : db_new_id(),
		.saved_us = wall_us(),
		.keywords = keywords,
	};
	m.received_us = a->received_us != 0 ? a->received_us : m.saved_us;
	int r = account_count(tx, a);
	if (r == 0) r = mailbox_count(tx, a, p);
	if (r == 0) r = message_insert(tx, p->box, &m);
	if (r == 0) r = quota_count(tx, a, p);
	/* the rule that uids and modseqs of arrivals rise together does not hold for it */
	if (r == 0 && m.uid < p->uidnext)
		r = changed_note(tx, p->box, (struct uid_range){ m.uid, m.uid }, m.modseq, 1);
	if (r != 0) return r;
	announce(tx, p->box, m.modseq);
	*out = (struct appended){ m.uid, (uint32_t)p->uidvalidity, m.modseq, m.email_id };
	return 0;
}

int store_append(struct db_conn *tx, const struct append *a, struct appended *out) {
	AUTO_ARENA struct arena mem = {0};
	struct slice keywords = SLICE_NONE;
	struct place p = {0};
	int r = place_read(tx, a->box, &p);
	if (r == 0) r = place_judge(&p, a);
	if (r == 0 && a->uid != 0) r = import_is_free(tx, p.box, a->uid);
	if (r == 0 && a->keywords.len != 0) r = keywords_normal(&mem, a->keywords, &keywords);
	if (r != 0) return r;
	r = blob_ref(tx, a->blob_id);
	if (r != 0) return r < 0 ? r : STORE_NO_BLOB;
	if (keywords.len != 0) r = mailbox_keywords_add(tx, p.box, keywords);
	if (r > 0) {
		int undone = blob_unref(tx, a->blob_id);
		return undone < 0 ? undone : r;
	}
	return r == 0 ? enter(tx, a, &p, keywords, out) : r;
}
