/* SPDX-License-Identifier: Apache-2.0 */
#include "store/check.h"
#include "store/inside.h"

/* What the mailboxes' rows say, and what is counted. A mailbox's uidnext and highest modseq may be ahead. */
#define COUNTED \
	"SELECT m.account_id, m.id, m.name, m.messages, m.unseen, m.deleted, m.bytes, m.uidnext, m.highestmodseq, " \
	"COALESCE(c.messages, 0)," \
	" COALESCE(c.unseen, 0), COALESCE(c.deleted, 0), COALESCE(c.bytes, 0), COALESCE(c.uid, 0), " \
	"COALESCE(c.modseq, 0) FROM mailbox AS m" \
	" LEFT JOIN (SELECT account_id, mailbox_id, COUNT(*) AS messages, SUM(1 - (flags & 1)) AS unseen, SUM((flags " \
	"& 8) / 8) AS deleted," \
	" SUM(size) AS bytes, MAX(uid) AS uid, MAX(modseq) AS modseq FROM message GROUP BY account_id, mailbox_id) " \
	"AS c" \
	" ON c.account_id = m.account_id AND c.mailbox_id = m.id WHERE m.name IS NOT NULL"

static const char *const fields[] = { "messages", "unseen", "deleted", "bytes", "next uid", "change number" };
enum { EXACT = 4, FIELDS = 6, SAID = 3, THERE = 9 };

static int64_t right_value(struct db_stmt *s, int i) {
	int64_t there = db_int(s, THERE + i) + (i == EXACT ? 1 : 0);
	return i < EXACT ? there : MAX_OF(there, db_int(s, SAID + i));
}

static int mailbox_set(struct db_conn *tx, struct db_stmt *row) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx,
		"UPDATE mailbox SET messages = ?, unseen = ?, deleted = ?, bytes = ?, uidnext = ?, highestmodseq = ?"
		" WHERE account_id = ? AND id = ?");
	for (int i = 0; i < FIELDS; i++) db_bind_int(s, right_value(row, i));
	bind_box(s, (struct box){ db_int(row, 0), db_int(row, 1) });
	return db_run(s);
}

struct counting { const struct check *k; struct check_count *out; bool mend; };

static int mailboxes(struct db_conn *c, void *arg) {
	const struct counting *t = arg;
	AUTO_STMT struct db_stmt *s = db_sql(c, COUNTED);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		bool wrong = false;
		if (!t->mend) t->out->checked++;
		for (int i = 0; i < FIELDS; i++) {
			int64_t said = db_int(s, SAID + i), right = right_value(s, i);
			if (said == right) continue;
			wrong = true;
			if (!t->mend)
				check_tell(t->k, "mailbox %lld of account %lld, %.*s: %s is %lld, not %lld",
					   (long long)db_int(s, 1), (long long)db_int(s, 0), SLICE_ARG(db_text(s, 2)),
					   fields[i], (long long)right, (long long)said);
		}
		if (wrong && t->mend) r = mailbox_set(c, s);
		if (r < 0) return r;
		if (wrong) t->mend ? t->out->mended++ : t->out->wrong++;
	}
	return r;
}

static int accounts(struct db_conn *c, void *arg) {
	const struct counting *t = arg;
	AUTO_STMT struct db_stmt *s = db_sql(
		c,
		"SELECT a.account_id, a.messages, a.bytes, a.modseq, COALESCE(SUM(m.messages), 0), "
		"COALESCE(SUM(m.bytes), 0), COALESCE(MAX(m.highestmodseq), 0)"
		" FROM account_state AS a LEFT JOIN mailbox AS m ON m.account_id = a.account_id AND m.name IS NOT NULL"
		" GROUP BY a.account_id, a.messages, a.bytes, a.modseq");
	AUTO_STMT struct db_stmt *u =
		db_sql(c, "UPDATE account_state SET messages = ?, bytes = ?, modseq = ? WHERE account_id = ?");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		if (!t->mend) t->out->checked++;
		if (db_int(s, 1) == db_int(s, 4) && db_int(s, 2) == db_int(s, 5) && db_int(s, 3) >= db_int(s, 6))
			continue;
		if (!t->mend && db_int(s, 3) < db_int(s, 6))
			check_tell(t->k, "account %lld: change number is %lld, not %lld", (long long)db_int(s, 0),
				   (long long)db_int(s, 6), (long long)db_int(s, 3));
		if (!t->mend && db_int(s, 1) == db_int(s, 4) && db_int(s, 2) == db_int(s, 5)) {
			t->out->wrong++;
			continue;
		}
		if (!t->mend) {
			t->out->wrong++;
			check_tell(t->k, "account %lld: %lld messages of %lld bytes, not %lld of %lld",
				   (long long)db_int(s, 0), (long long)db_int(s, 4), (long long)db_int(s, 5),
				   (long long)db_int(s, 1), (long long)db_int(s, 2));
			continue;
		}
		db_bind_int(u, db_int(s, 4));
		db_bind_int(u, db_int(s, 5));
		db_bind_int(u, MAX_OF(db_int(s, 3), db_int(s, 6)));
		db_bind_int(u, db_int(s, 0));
		r = db_run(u);
		if (r < 0) return r;
		t->out->mended++;
	}
	return r;
}

/* What a domain's accounts keep together, as their own counters say, which come first. */
static int pools(struct db_conn *c, void *arg) {
	const struct counting *t = arg;
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT p.name, p.messages, p.bytes, COALESCE(SUM(a.messages), 0), COALESCE(SUM(a.bytes), 0)"
		   " FROM quota_pool AS p LEFT JOIN account_state AS a ON a.pool = p.name"
		   " GROUP BY p.name, p.messages, p.bytes");
	AUTO_STMT struct db_stmt *u = db_sql(c, "UPDATE quota_pool SET messages = ?, bytes = ? WHERE name = ?");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		if (!t->mend) t->out->checked++;
		if (db_int(s, 1) == db_int(s, 3) && db_int(s, 2) == db_int(s, 4)) continue;
		if (!t->mend) {
			t->out->wrong++;
			check_tell(t->k, "limits of %.*s: %lld messages of %lld bytes, not %lld of %lld",
				   SLICE_ARG(db_text(s, 0)), (long long)db_int(s, 3), (long long)db_int(s, 4),
				   (long long)db_int(s, 1), (long long)db_int(s, 2));
			continue;
		}
		db_bind_int(u, db_int(s, 3));
		db_bind_int(u, db_int(s, 4));
		db_bind_text(u, db_text(s, 0));
		r = db_run(u);
		if (r < 0) return r;
		t->out->mended++;
	}
	return r;
}

static int check_counters(const struct check *k, struct check_count *out, int (*count)(struct db_conn *c, void *arg)) {
	struct db_conn *c = db_read(k->db);
	int r = c == NULL ? -1 : count(c, &(struct counting){ k, out, false });
	db_release(&c);
	return r == 0 && out->wrong != 0 && k->mend ? db_write(k->db, count, &(struct counting){ k, out, true }) : r;
}

/* Messages in no mailbox. */

static int give_mailbox(struct db_conn *tx, int64_t account, int64_t mailbox) {
	char name[40];
	snprintf(name, sizeof name, "Lost and found %lld", (long long)mailbox);
	AUTO_STMT struct db_stmt *u = db_sql(tx, "UPDATE account_state SET last_uidvalidity = last_uidvalidity + 1 "
						 "WHERE account_id = ?");
	db_bind_int(u, account);
	int r = db_run(u);
	AUTO_STMT struct db_stmt *s = db_sql(
		tx,
		"INSERT INTO mailbox (account_id, id, name, uidvalidity, uidnext, recent_from, highestmodseq, messages,"
		" unseen, deleted, bytes, special_use) SELECT account_id, ?, ?, last_uidvalidity, 1, 1, modseq, 0, 0, "
		"0,"
		" 0, 0 FROM account_state WHERE account_id = ?");
	db_bind_int(s, mailbox);
	db_bind_text(s, slice_of(name));
	db_bind_int(s, account);
	return r == 0 ? db_run(s) : r;
}

static int lost(struct db_conn *c, void *arg) {
	const struct counting *t = arg;
	AUTO_STMT struct db_stmt *s = db_sql(
		c,
		"SELECT g.account_id, g.mailbox_id, g.n, m.id FROM (SELECT account_id, mailbox_id, COUNT(*) AS n FROM"
		" message GROUP BY account_id, mailbox_id) AS g LEFT JOIN mailbox AS m ON m.account_id = g.account_id"
		" AND m.id = g.mailbox_id WHERE m.id IS NULL");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		if (t->mend) {
			if ((r = give_mailbox(c, db_int(s, 0), db_int(s, 1))) < 0) return r;
			t->out->mended++;
			continue;
		}
		t->out->checked++;
		t->out->wrong++;
		check_tell(t->k, "account %lld: %lld messages are in mailbox %lld, which does not exist",
			   (long long)db_int(s, 0), (long long)db_int(s, 2), (long long)db_int(s, 1));
	}
	return r;
}

int store_check_lost(const struct check *k, struct check_count *out) {
	return check_counters(k, out, lost);
}

int store_check_mailboxes(const struct check *k, struct check_count *out) {
	return check_counters(k, out, mailboxes);
}

int store_check_accounts(const struct check *k, struct check_count *out) {
	return check_counters(k, out, accounts);
}

int store_check_pools(const struct check *k, struct check_count *out) {
	return check_counters(k, out, pools);
}

int store_check_index(const struct check *k, struct search_index *x, struct check_count *out) {
	struct search_index_status s;
	if (x == NULL) return 0;
	int r = search_index_status(x, &s);
	if (r == 0) r = search_index_missing(x, &out->wrong);
	if (r < 0) return r;
	out->checked = s.index.documents;
	if (out->wrong == 0) return 0;
	check_tell(k, "search index: %llu bodies are missing in it", (unsigned long long)out->wrong);
	if (!k->mend) return 0;
	search_index_rebuild(x);
	out->mended = out->wrong;
	return 0;
}
