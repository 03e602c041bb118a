/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "base/log.h"
#include "db/blob.h"
#include "store/check.h"
#include "store/quota.h"
#include "store/store.h"

#include <fcntl.h>

static struct db *db;
static int64_t last_blob;

static int create_account(struct db_conn *tx, void *arg) {
	(void)arg;
	int r = store_account_create(tx, 1);
	if (r == 0) r = store_pool_set(tx, S("a.test"), 1000000, 0);
	return r == 0 ? store_pool_join(tx, S("a.test"), 1) : r;
}

static int append(struct db_conn *tx, void *arg) {
	struct append a = { .box = { 1, 0 }, .size = 20, .flags = FLAG_DELETED };
	struct appended done;
	int r = blob_insert(tx, arg, S(""), &a.blob_id);
	last_blob = a.blob_id;
	return r == 0 ? store_append(tx, &a, &done) : r;
}

static void put(size_t size) {
	AUTO_BUF struct buf body = BUF(size + 20);
	while (body.len < size) buf_addf(&body, "%zx", body.len * 2654435761u);
	struct slice text = buf_slice(&body);
	struct blob_source source = { .parts = &text, .part_count = 1, .fd = -1 };
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	assert_done(blob_prepare(db, &source, &draft));
	assert_done(db_write(db, append, draft));
}

static int spoil(struct db_conn *tx, void *arg) {
	static const char *const sql[] = {
		"UPDATE mailbox SET messages = 99, unseen = 3, uidnext = 1 WHERE name = 'INBOX'",
		"UPDATE account_state SET bytes = 7, modseq = 1",
		"UPDATE quota_pool SET messages = 1000",
		"UPDATE blob SET refs = 5 WHERE id = (SELECT MIN(id) FROM blob)",
		"DELETE FROM message WHERE uid = 2",
	};
	int r = 0;
	(void)arg;
	for (size_t i = 0; i < LEN(sql) && r == 0; i++) {
		struct db_stmt *s = db_sql(tx, sql[i]);
		r = db_run(s);
		db_done(&s);
	}
	return r;
}

static void take_line(void *ctx, const char *text) {
	buf_addf(ctx, "%s\n", text);
}

struct verdict { struct check_count engine, bodies, references, mailboxes, accounts, pools; };

static struct verdict look(bool mend, struct buf *said) {
	struct verdict v = { 0 };
	const struct check k = { db, mend, take_line, said };
	assert_done(check_engine(&k, &v.engine));
	assert_done(check_bodies(&k, &v.bodies));
	assert_done(check_references(&k, &v.references));
	assert_done(store_check_mailboxes(&k, &v.mailboxes));
	assert_done(store_check_accounts(&k, &v.accounts));
	assert_done(store_check_pools(&k, &v.pools));
	return v;
}

static void what_is_wrong_is_found_and_mended(void **state) {
	(void)state;
	AUTO_TESTING_DIR char *dir = testing_dir();
	AUTO_BUF struct buf said = BUF(KIB(64));
	db = testing_db(dir, NULL);
	assert_done(db_write(db, create_account, NULL));
	for (int i = 0; i < 5; i++) put(20);
	struct verdict v = look(false, &said);
	assert_string_equal(buf_text(&said), "");
	assert_true(v.bodies.checked == 5 && v.references.checked == 5 && v.mailboxes.checked == 6 &&
		    v.accounts.checked == 1);
	assert_done(db_write(db, spoil, NULL));
	v = look(false, &said);
	assert_true(v.engine.wrong == 0 && v.bodies.wrong == 0 && v.references.wrong == 2 && v.mailboxes.wrong == 1 &&
		    v.accounts.wrong == 1 && v.pools.wrong == 1);
	buf_clear(&said);
	v = look(true, &said);
	assert_true(v.references.mended == 2 && v.mailboxes.mended == 1 && v.accounts.mended == 1 &&
		    v.pools.mended == 1);
	buf_clear(&said);
	v = look(false, &said);
	assert_string_equal(buf_text(&said), "");
	assert_int_equal(v.bodies.checked, 4);
	put(20); /* and the mailbox is of use again */
	db_close(&db);
}

static void damaged_bodies(void **state) {
	(void)state;
	AUTO_TESTING_DIR char *dir = testing_dir();
	AUTO_BUF struct buf said = BUF(KIB(64));
	char path[400];
	db = testing_db(dir, &(struct db_params){ .inline_limit = 100 });
	assert_done(db_write(db, create_account, NULL));
	put(900000);
	snprintf(path, sizeof path, "%s/blobs/%02x/%02x/%016llx", dir, (unsigned)(last_blob >> 11 & 0xff),
		 (unsigned)(last_blob >> 19 & 0xff), (unsigned long long)last_blob);
	AUTO_FD int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0 && pwrite(fd, "spoilt", 6, 1000) == 6);
	assert_int_equal(look(false, &said).bodies.wrong, 1);
	assert_true(slice_search(buf_slice(&said), S("damaged")) < said.len);
	unlink(path);
	buf_clear(&said);
	assert_int_equal(look(true, &said).bodies.wrong, 1);
	assert_true(slice_search(buf_slice(&said), S("gone")) < said.len);
	db_close(&db);
}

int main(void) {
	log_open(&(struct log_target){ .fd = STDERR_FILENO, .least = L_ERROR, .name = "hato", .host = "test" });
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_wrong_is_found_and_mended),
					    cmocka_unit_test(damaged_bodies) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
