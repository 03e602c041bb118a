/* SPDX-License-Identifier: Apache-2.0 */
/* A database says which version it has in the table schema_version, one row a step. Steps run in one transaction: a
 * crash in the middle leaves the old version whole. */
#include "db/inside.h"
#include "base/clock.h"

static const char mail_sql[] =
#include "db/schema.inc"
;

static const char *const mail_steps[] = {
	/* 1 to 2: what came and was not changed needs no entry in an index */
	"ALTER TABLE message ADD COLUMN changed INTEGER NOT NULL DEFAULT 0;"
	"UPDATE message SET changed = 1;"
	"DROP INDEX message_modseq;"
	"CREATE INDEX message_changed ON message (account_id, mailbox_id, modseq) WHERE changed = 1",
	/* 2 to 3: a hop names its transport; aliases(5) may name a command or a file */
	"ALTER TABLE queue_recipient ADD COLUMN target BLOB;"
	"UPDATE queue_recipient SET hop = 'smtp:' || hop",
	/* 3 to 4: what may be forgotten */
	"CREATE TABLE memo (kind INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, until_us INTEGER NOT NULL,"
	" PRIMARY KEY (kind, key)) WITHOUT ROWID;"
	"CREATE INDEX memo_until ON memo (until_us)",
	/* what is to be done with mail that an alias cannot well send on */
	"CREATE TABLE forward_choice (address TEXT NOT NULL PRIMARY KEY, choice INTEGER NOT NULL) WITHOUT ROWID",
	/* 5 to 6: reports in and out */
	"CREATE TABLE report_mail (id INTEGER PRIMARY KEY, blob_id INTEGER NOT NULL, received_us INTEGER NOT NULL, "
	"tries INTEGER NOT NULL);"
	"CREATE TABLE report (id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, domain TEXT NOT NULL, org TEXT NOT NULL, "
	"name TEXT NOT NULL,"
	" begin_us INTEGER NOT NULL, end_us INTEGER NOT NULL, received_us INTEGER NOT NULL, policy TEXT);"
	"CREATE UNIQUE INDEX report_name ON report (domain, kind, org, name, begin_us);"
	"CREATE INDEX report_end ON report (end_us);"
	"CREATE TABLE report_row (report_id INTEGER NOT NULL, number INTEGER NOT NULL, data BLOB NOT NULL,"
	" PRIMARY KEY (report_id, number)) WITHOUT ROWID;"
	"CREATE TABLE report_source (domain TEXT NOT NULL, source TEXT NOT NULL, first_us INTEGER NOT NULL, last_us "
	"INTEGER NOT NULL,"
	" host TEXT, PRIMARY KEY (domain, source)) WITHOUT ROWID;"
	"CREATE INDEX report_source_unnamed ON report_source (last_us) WHERE host IS NULL;"
	"CREATE TABLE feedback (day INTEGER NOT NULL, domain TEXT NOT NULL, policy BLOB NOT NULL, kinds INTEGER NOT "
	"NULL,"
	" lost INTEGER NOT NULL, due_us INTEGER NOT NULL, PRIMARY KEY (day, domain)) WITHOUT ROWID;"
	"CREATE TABLE feedback_row (day INTEGER NOT NULL, domain TEXT NOT NULL, key BLOB NOT NULL, count INTEGER NOT "
	"NULL,"
	" PRIMARY KEY (day, domain, key)) WITHOUT ROWID",
	/* 6 to 7: sharing, quotas, log-ins, POP3, imports, undelete, search, sorting, reports */
	"ALTER TABLE account_state ADD COLUMN pool TEXT;"
	"CREATE INDEX account_state_pool ON account_state (pool) WHERE pool IS NOT NULL;"
	"CREATE TABLE quota_pool (name TEXT PRIMARY KEY, limit_bytes INTEGER NOT NULL, limit_messages INTEGER NOT NULL,"
	" bytes INTEGER NOT NULL, messages INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE quota_warning (account_id INTEGER NOT NULL, level INTEGER NOT NULL, crossed_us INTEGER NOT NULL,"
	" told INTEGER NOT NULL, PRIMARY KEY (account_id, level)) WITHOUT ROWID;"
	"CREATE INDEX quota_warning_due ON quota_warning (crossed_us) WHERE told = 0;"
	"CREATE TABLE acl (account_id INTEGER NOT NULL, mailbox_id INTEGER NOT NULL, identifier TEXT NOT NULL,"
	" rights INTEGER NOT NULL, PRIMARY KEY (account_id, mailbox_id, identifier)) WITHOUT ROWID;"
	"CREATE INDEX acl_identifier ON acl (identifier);"
	"CREATE TABLE acl_group (name TEXT NOT NULL, member TEXT NOT NULL, PRIMARY KEY (name, member)) WITHOUT ROWID;"
	"CREATE INDEX acl_group_member ON acl_group (member);"
	"CREATE TABLE annotation (account_id INTEGER NOT NULL, mailbox_id INTEGER NOT NULL, entry TEXT NOT NULL,"
	" reader_id INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (account_id, mailbox_id, entry, reader_id)) "
	"WITHOUT ROWID;"
	"CREATE TABLE last_login (account_id INTEGER NOT NULL PRIMARY KEY, time_us INTEGER NOT NULL, protocol TEXT NOT "
	"NULL,"
	" remote TEXT NOT NULL);"
	"ALTER TABLE mailbox ADD COLUMN object_id INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE message ADD COLUMN saved_us INTEGER NOT NULL DEFAULT 0;"
	"CREATE TABLE pop3_uidl (account_id INTEGER NOT NULL, mailbox_id INTEGER NOT NULL, uid INTEGER NOT NULL, uidl "
	"TEXT NOT NULL,"
	" PRIMARY KEY (account_id, mailbox_id, uid)) WITHOUT ROWID;"
	"CREATE TABLE imported (account_id INTEGER NOT NULL, mailbox_id INTEGER NOT NULL, name TEXT NOT NULL,"
	" PRIMARY KEY (account_id, mailbox_id, name)) WITHOUT ROWID;"
	"ALTER TABLE mailbox ADD COLUMN old_name TEXT;"
	"CREATE TABLE bin (account_id INTEGER NOT NULL, expunged_us INTEGER NOT NULL, mailbox_id INTEGER NOT NULL, uid "
	"INTEGER NOT NULL,"
	" mailbox TEXT NOT NULL, flags INTEGER NOT NULL, keywords TEXT, received_us INTEGER NOT NULL, size INTEGER NOT "
	"NULL,"
	" blob_id INTEGER NOT NULL, email_id INTEGER NOT NULL, PRIMARY KEY (account_id, expunged_us, mailbox_id, uid)) "
	"WITHOUT ROWID;"
	"CREATE TABLE bin_keep (keep_us INTEGER NOT NULL);"
	"CREATE TABLE digest (blob_id INTEGER PRIMARY KEY, data BLOB NOT NULL);"
	"ALTER TABLE report_mail ADD COLUMN proof TEXT;"
	"ALTER TABLE report ADD COLUMN proved INTEGER NOT NULL DEFAULT 1;"
	"CREATE TABLE failure_waiting (id INTEGER PRIMARY KEY, data BLOB NOT NULL);"
	"CREATE TABLE changed_part (account_id INTEGER NOT NULL, mailbox_id INTEGER NOT NULL, part INTEGER NOT NULL,"
	" modseq INTEGER NOT NULL, PRIMARY KEY (account_id, mailbox_id, part)) WITHOUT ROWID;"
	"INSERT INTO changed_part (account_id, mailbox_id, part, modseq) SELECT account_id, mailbox_id, uid / 128,"
	" MAX(modseq) FROM message WHERE changed = 1 GROUP BY account_id, mailbox_id, uid / 128;"
	"DROP INDEX message_changed;"
	"ALTER TABLE message DROP COLUMN changed;"
	"CREATE TABLE blob_text (blob_id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
};

const struct db_schema db_schema_mail = { .sql = mail_sql, .steps = mail_steps, .step_count = LEN(mail_steps) };

static int version_read(struct db_conn *c, int64_t *version) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT MAX(version) FROM schema_version");
	int r = db_step(s);
	if (r < 0) return r;
	*version = db_int(s, 0);
	return 0;
}

static int version_write(struct db_conn *c, int64_t version) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "INSERT INTO schema_version (version, applied_us) VALUES (?, ?)");
	db_bind_int(s, version);
	db_bind_int(s, wall_us());
	return db_run(s);
}

static int bring_up(struct db_conn *c, const struct db_schema *schema) {
	int64_t want = (int64_t)schema->step_count + 1, have = 0;
	int r = conn_exec(
		c,
		"CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_us INTEGER NOT NULL)");
	if (r == 0) r = version_read(c, &have);
	if (r < 0) return r;
	if (have > want)
		return cause_fail(DB_CAUSE_OTHER,
		                  "%s: made by a newer hato (its schema is version %lld, this program knows %lld): "
		                  "install that version again, or restore a backup",
		                  c->db->path, (long long)have, (long long)want);
	if (have == 0) {
		r = conn_exec(c, schema->sql);
		return r < 0 ? r : version_write(c, want);
	}
	for (; have < want; have++) {
		r = conn_exec(c, schema->steps[have - 1]);
		if (r == 0) r = version_write(c, have + 1);
		if (r < 0) return fail_add("schema step %lld", (long long)have);
	}
	return 0;
}

static int is_current(struct db_conn *c, const struct db_schema *schema) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'schema_version'");
	int r = db_step(s);
	int64_t have = 0;
	if (r == DB_ROW && db_int(s, 0) == 0) return 0;
	if (r >= 0) r = version_read(c, &have);
	return r < 0 ? r : have == (int64_t)schema->step_count + 1;
}

int schema_bring_up(struct db_conn *c, const struct db_schema *schema) {
	int r = is_current(c, schema);
	if (r != 0) return r < 0 ? r : 0;
	r = conn_exec(c, "BEGIN IMMEDIATE");
	if (r == 0) r = bring_up(c, schema);
	if (r == 0) r = conn_exec(c, "COMMIT");
	if (r < 0 && !sqlite3_get_autocommit(c->sqlite))
		sqlite3_exec(c->sqlite, "ROLLBACK", NULL, NULL, NULL); /* keeps the text of the failure */
	return r;
}
