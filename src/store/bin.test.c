/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "db/blob.h"
#include "store/bin.h"

static struct db *db;

static int64_t ask(const char *sql) {
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_STMT struct db_stmt *s = db_sql(c, sql);
	assert_int_equal(db_step(s), DB_ROW);
	return db_int(s, 0);
}

static int create_account(struct db_conn *tx, void *arg) {
	return store_account_create(tx, *(int64_t *)arg);
}

static int delete_account(struct db_conn *tx, void *arg) {
	return store_account_delete(tx, *(int64_t *)arg);
}

static int delete_mailbox(struct db_conn *tx, void *arg) {
	return store_delete(tx, 1, slice_of(arg));
}

static int make_mailbox(struct db_conn *tx, void *arg) {
	struct box box;
	return store_create(tx, 1, slice_of(arg), 0, &box);
}

static struct mailbox find(const char *name) {
	static struct arena mem;
	struct mailbox m = { 0 };
	AUTO_READ struct db_conn *c = db_read(db);
	assert_done(store_find(c, &mem, 1, slice_of(name), &m));
	return m;
}

struct mail { struct blob_draft *draft; struct append a; };

static int append(struct db_conn *tx, void *arg) {
	struct mail *m = arg;
	struct appended done;
	int r = blob_insert(tx, m->draft, S(""), &m->a.blob_id);
	return r == 0 ? store_append(tx, &m->a, &done) : r;
}

static void put(const char *mailbox, int count, uint32_t flags) {
	for (; count > 0; count--) {
		struct slice body = S("Subject: x\r\n\r\ny\r\n");
		struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
		AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
		assert_done(blob_prepare(db, &source, &draft));
		struct mail m = {
			draft, { .box = find(mailbox).box, .size = body.len, .flags = flags, .keywords = S("$Junk") }
		};
		assert_done(db_write(db, append, &m));
	}
}

struct expunge { struct box box; struct uid_set set; bool only_deleted; };

static int expunge(struct db_conn *tx, void *arg) {
	struct expunge *e = arg;
	return store_expunge(tx, e->box, e->set, e->only_deleted, NULL, NULL);
}

static void begin(const char *dir, int64_t keep_us) {
	int64_t one = 1;
	db = testing_db(dir, NULL);
	assert_done(db_write(db, create_account, &one));
	assert_done(store_bin_keep(db, keep_us));
}

static void comes_back(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	begin(dir, INT64_C(1000000) * 3600);
	put("INBOX", 3, FLAG_SEEN);
	put("INBOX", 2, FLAG_DELETED | FLAG_FLAGGED);
	assert_done(db_write(db, expunge, &(struct expunge){ find("INBOX").box, UID_ALL, true }));
	assert_int_equal(find("INBOX").exists, 3);
	assert_int_equal(ask("SELECT messages FROM account_state"), 3); /* no quota */
	assert_int_equal(ask("SELECT COUNT(*) FROM bin"), 2);
	assert_int_equal(ask("SELECT SUM(refs) FROM blob"), 5);
	struct bin_sum sum;
	struct uid_range five = { 5, 5 };
	assert_done(store_bin_restore(db, &(struct bin_wish){ .account = 1, .uids = { &five, 1 } }, &sum));
	assert_int_equal(sum.messages, 1);
	assert_done(store_bin_restore(db, &(struct bin_wish){ .account = 1, .mailbox = S("Trash") }, &sum));
	assert_int_equal(sum.messages, 0);
	assert_done(store_bin_restore(db, &(struct bin_wish){ .account = 1 }, &sum));
	assert_int_equal(sum.messages, 1);
	struct mailbox m = find("INBOX");
	assert_true(m.exists == 5 && m.uidnext == 8 && m.deleted == 0 && m.unseen == 2);
	assert_int_equal(ask("SELECT COUNT(*) FROM message WHERE flags = 4 AND keywords = '$Junk'"), 2);
	assert_int_equal(ask("SELECT COUNT(*) FROM bin"), 0);
	assert_int_equal(ask("SELECT bytes FROM account_state"), ask("SELECT SUM(size) FROM message"));
	assert_int_equal(store_bin_restore(db, &(struct bin_wish){ .account = 9 }, &sum), STORE_NO_ACCOUNT);
	db_close(&db);
}

static void deleted_mailboxes(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct bin_sum sum;
	begin(dir, INT64_C(1000000) * 3600);
	assert_done(db_write(db, make_mailbox, (void *)(uintptr_t)"Work/Old"));
	put("Work/Old", 1203, 0);
	assert_done(db_write(db, delete_mailbox, (void *)(uintptr_t)"Work/Old"));
	assert_done(store_sweep(db));
	assert_int_equal(ask("SELECT COUNT(*) FROM message"), 0);
	assert_int_equal(ask("SELECT COUNT(*) FROM bin"), 1203);
	assert_done(store_bin_restore(db, &(struct bin_wish){ .account = 1, .mailbox = S("Work/Old") }, &sum));
	assert_int_equal(sum.messages, 1203);
	struct mailbox m = find("Work/Old");
	assert_true(m.exists == 1203 && m.subscribed);
	assert_int_equal(ask("SELECT SUM(refs) FROM blob"), 1203);
	db_close(&db);
}

static void is_freed(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct bin_sum freed;
	int64_t one = 1;
	begin(dir, INT64_C(1000000) * 3600);
	put("INBOX", 1100, 0);
	assert_done(db_write(db, expunge, &(struct expunge){ find("INBOX").box, UID_ALL, false }));
	assert_done(store_bin_purge(db, &freed));
	assert_int_equal(freed.messages, 0);
	assert_done(store_bin_keep(db, 0));
	assert_done(store_bin_purge(db, &freed));
	assert_int_equal(freed.messages, 1100);
	assert_int_equal(ask("SELECT COUNT(*) FROM blob"), 0);
	put("INBOX", 2, 0);
	assert_done(db_write(db, expunge, &(struct expunge){ find("INBOX").box, UID_ALL, false })); /* no bin */
	assert_int_equal(ask("SELECT COUNT(*) FROM bin") + ask("SELECT COUNT(*) FROM blob"), 0);
	assert_done(store_bin_keep(db, INT64_C(1000000) * 3600));
	put("INBOX", 5, 0);
	put("Trash", 5, 0);
	assert_done(db_write(db, expunge, &(struct expunge){ find("INBOX").box, UID_ALL, false }));
	assert_done(db_write(db, delete_account, &one));
	assert_done(store_sweep(db));
	assert_done(store_bin_purge(db, &freed));
	assert_int_equal(freed.messages, 5);
	assert_int_equal(ask("SELECT COUNT(*) FROM bin") + ask("SELECT COUNT(*) FROM blob") +
				 ask("SELECT COUNT(*) FROM message"),
			 0);
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(comes_back), cmocka_unit_test(deleted_mailboxes),
					    cmocka_unit_test(is_freed) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
