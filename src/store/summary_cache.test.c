/* SPDX-License-Identifier: Apache-2.0 */
#include "store/summary_cache.h"
#include "db/blob.h"
#include "db/testing.h"
#include "store/change.h"

#include <fcntl.h>

enum { MANY = 1200, ACCOUNT = 7 };

struct world { char *dir; struct db *db; struct change_hub *hub; struct summary_cache *cache; struct box box; };

static int account(struct db_conn *tx, void *arg) {
	struct world *w = arg;
	int r = store_account_create(tx, ACCOUNT);
	return r == 0 ? store_inbox(tx, ACCOUNT, &w->box) : r;
}

static void summary_of(char text[static 600], unsigned n) {
	snprintf(text, 600, "summary of message %u: %0*u", n, 200 + (int)(n % 300), n);
}

struct adding { struct world *w; unsigned n; struct blob_draft *draft; };

static int add(struct db_conn *tx, void *arg) {
	struct adding *a = arg;
	struct append one = { .box = a->w->box, .size = 4 };
	struct appended done;
	char text[600];
	summary_of(text, a->n);
	int r = blob_insert(tx, a->draft, arena_slice(db_memory(tx), slice_of(text)), &one.blob_id);
	if (r == 0 && a->n % 7 != 0) r = blob_digest(tx, one.blob_id, arena_fmt(db_memory(tx), "digest %u", a->n));
	return r == 0 ? store_append(tx, &one, &done) : r;
}

static void append(struct world *w, unsigned from, unsigned to) {
	for (unsigned n = from; n <= to; n++) {
		struct slice part = S("body");
		struct blob_source source = { &part, 1, -1, 0, 0 };
		struct adding a = { .w = w, .n = n };
		assert_done(blob_prepare(w->db, &source, &a.draft));
		assert_done(db_write(w->db, add, &a));
		blob_draft_done(&a.draft);
	}
}

static void work(struct world *w) {
	int r;
	summary_cache_tidy(w->cache);
	while ((r = summary_cache_work(w->cache)) == 1) {}
	assert_done(r);
}

static struct summary_cache_state state_of(struct world *w) {
	struct summary_cache_state s;
	assert_done(summary_cache_state(w->cache, &s));
	return s;
}

static int check(void *ctx, const struct message *m) {
	char text[600];
	summary_of(text, m->uid);
	if (!slice_eq(m->summary, slice_of(text))) failed("uid %u: %.*s", m->uid, SLICE_ARG(m->summary));
	snprintf(text, sizeof text, "digest %u", m->uid);
	if (!slice_eq(m->digest, m->uid % 7 != 0 ? slice_of(text) : SLICE_NONE))
		failed("uid %u: %.*s", m->uid, SLICE_ARG(m->digest));
	++*(size_t *)ctx;
	return 0;
}

static size_t check_all(struct world *w, uint32_t first, uint32_t last) {
	size_t seen = 0;
	const struct uid_range range = { first, last };
	struct db_conn *c = db_read(w->db);
	assert_done(store_each(c, w->box, (struct uid_set){ &range, 1 }, WANT_SUMMARY | WANT_DIGEST, check, &seen));
	db_release(&c);
	return seen;
}

/* How many of them come out of the packs. */
static size_t packed_of(struct world *w, enum blob_kept kind, int64_t *blob_of_first) {
	size_t found = 0;
	struct db_conn *c = db_read(w->db);
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT uid, blob_id FROM message WHERE account_id = ? AND mailbox_id = ? ORDER BY uid");
	struct summary_walk *walk = summary_walk(c, kind, w->box);
	db_bind_int(s, w->box.account);
	db_bind_int(s, w->box.id);
	while (walk != NULL && db_step(s) == DB_ROW) {
		if (blob_of_first != NULL && *blob_of_first == 0) *blob_of_first = db_int(s, 1);
		found += summary_walk_to(walk, (uint32_t)db_int(s, 0), db_int(s, 1)).at != NULL;
	}
	summary_walk_end(&walk);
	db_done(&s);
	db_release(&c);
	return found;
}

static size_t packed(struct world *w, int64_t *blob_of_first) {
	return packed_of(w, BLOB_SUMMARY, blob_of_first);
}

static uint32_t last_packed(struct world *w) {
	AUTO_READ struct db_conn *c = db_read(w->db);
	return summary_cache_to(c, BLOB_SUMMARY, w->box);
}

static struct world world(void) {
	struct world w = { .dir = testing_dir() };
	w.db = testing_db(w.dir, NULL);
	w.hub = change_hub_open(w.db);
	w.cache = summary_cache_open(w.db, 5);
	assert_done(db_write(w.db, account, &w));
	return w;
}

static void world_end(struct world *w) {
	summary_cache_close(&w->cache);
	change_hub_close(&w->hub);
	db_close(&w->db);
	testing_dir_remove(&w->dir);
}

static void reopen(struct world *w, int64_t origin) {
	summary_cache_close(&w->cache);
	w->cache = summary_cache_open(w->db, origin);
}

static int expunge(struct db_conn *tx, void *arg) {
	const struct world *w = arg;
	static const struct uid_range those[] = { { 5, 5 }, { 300, 420 }, { 1190, 1200 } };
	return store_expunge(tx, w->box, (struct uid_set){ those, LEN(those) }, false, NULL, NULL);
}

static void test_a_life(void **state UNUSED) {
	struct world w = world();
	append(&w, 1, 400);
	work(&w);
	assert_int_equal(state_of(&w).packs, 0); /* a small mailbox; no file */
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/summaries.db", w.dir);
	assert_int_equal(access(path, F_OK), -1);
	append(&w, 401, MANY);
	work(&w);
	assert_true(state_of(&w).summaries >= MANY - 100 && state_of(&w).packs > 3);
	assert_true(state_of(&w).bytes < MANY * 100);
	assert_true(packed(&w, NULL) == state_of(&w).summaries);
	assert_int_equal(check_all(&w, 1, UINT32_MAX), MANY);
	assert_int_equal(check_all(&w, 700, 730), 31);
	assert_int_equal(check_all(&w, 700, 790), 91);
	size_t digests = packed_of(&w, BLOB_DIGEST, NULL);
	assert_in_range(digests, (MANY - 100) * 6 / 7, MANY * 6 / 7 + 1); /* the others have none */
	append(&w, MANY + 1, MANY + 50); /* too few for a pack of their own */
	work(&w);
	assert_int_equal(check_all(&w, 1, UINT32_MAX), MANY + 50);
	uint32_t to = last_packed(&w);
	size_t packed_of_those = 1 + 121 + (to >= 1190 ? MIN_OF(to, (uint32_t)1200) - 1189 : 0);
	assert_true(to >= MANY - 100);
	assert_done(db_write(w.db, expunge, &w));
	assert_int_equal(check_all(&w, 1, UINT32_MAX), MANY + 50 - 133);
	uint64_t before = state_of(&w).summaries;
	work(&w); /* what is gone is gone from there, too */
	assert_int_equal(before - state_of(&w).summaries, packed_of_those);
	assert_int_equal(check_all(&w, 1, UINT32_MAX), MANY + 50 - 133);
	assert_true(packed(&w, NULL) == state_of(&w).summaries);
	reopen(&w, 5);
	assert_true(packed(&w, NULL) == state_of(&w).summaries && state_of(&w).packs != 0);
	reopen(&w, 6); /* of another database */
	assert_int_equal(state_of(&w).packs, 0);
	assert_int_equal(check_all(&w, 1, UINT32_MAX), MANY + 50 - 133);
	world_end(&w);
}

/* A copy of another body is none of this one, whatever its uid. */
static void test_other_bodies(void **state UNUSED) {
	struct world w = world();
	append(&w, 1, MANY);
	work(&w);
	int64_t first = 0;
	assert_true(packed(&w, &first) > 0);
	struct db_conn *c = db_read(w.db);
	struct summary_walk *walk = summary_walk(c, BLOB_SUMMARY, w.box);
	assert_non_null(summary_walk_to(walk, 1, first).at);
	assert_null(summary_walk_to(walk, 1, first + 1).at);
	assert_null(summary_walk_to(walk, 2, first).at);
	assert_null(summary_walk_to(walk, UINT32_MAX, first).at);
	assert_non_null(summary_walk_to(walk, 1, first).at); /* back again */
	summary_walk_end(&walk);
	walk = summary_walk(c, BLOB_SUMMARY, (struct box){ ACCOUNT, 99 });
	assert_null(summary_walk_to(walk, 1, first).at);
	summary_walk_end(&walk);
	db_release(&c);
	world_end(&w);
}

static void test_damaged(void **state UNUSED) {
	struct world w = world();
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/summaries.db", w.dir);
	append(&w, 1, MANY);
	for (int at = 0; at < 12; at++) {
		work(&w);
		summary_cache_close(&w.cache);
		int fd = open(path, O_RDWR | O_CLOEXEC);
		for (int i = 0; i < 40; i++) {
			off_t where = (off_t)(at < 2 ? at * 60 : 4096 * (1 + at)) + i * 97;
			assert_int_equal(pwrite(fd, "damage!", 7, where), 7);
		}
		close(fd);
		w.cache = summary_cache_open(w.db, 5);
		assert_int_equal(check_all(&w, 1, UINT32_MAX), MANY);
		(void)summary_cache_work(w.cache);
		assert_int_equal(check_all(&w, 1, UINT32_MAX), MANY);
		summary_cache_close(&w.cache);
		unlink(path);
		w.cache = summary_cache_open(w.db, 5);
	}
	world_end(&w);
}

static void ignore(void *ctx UNUSED, const char *text UNUSED) {}

static struct check_count verify(struct world *w, bool mend) {
	const struct check k = { .db = w->db, .mend = mend, .tell = ignore };
	struct check_count n = { 0 };
	assert_done(summary_cache_check(&k, &n));
	return n;
}

static int alter(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE summary SET data = 'another' WHERE blob_id = ?");
	db_bind_int(s, *(int64_t *)arg);
	return db_run(s);
}

static void test_verify(void **state UNUSED) {
	struct world w = world();
	append(&w, 1, MANY);
	assert_int_equal(verify(&w, false).checked, 0);
	work(&w);
	int64_t first = 0;
	uint64_t all = packed(&w, &first);
	assert_true(verify(&w, true).checked > all && verify(&w, true).wrong == 0);
	assert_done(db_write(w.db, expunge, &w)); /* what is gone may still be there */
	assert_int_equal(verify(&w, true).wrong, 0);
	assert_done(db_write(w.db, alter, &first)); /* as if the file were of another time */
	assert_int_equal(verify(&w, false).wrong, 1);
	assert_true(packed(&w, NULL) != 0);
	assert_int_equal(verify(&w, true).mended, 1);
	assert_int_equal(packed(&w, NULL), 0);
	reopen(&w, 5);
	work(&w);
	assert_int_equal(verify(&w, false).wrong, 0);
	assert_true(packed(&w, NULL) != 0);
	world_end(&w);
}

/* What an older program made, which knew no digests: it is thrown away. */
static void test_older_file(void **state UNUSED) {
	static const struct db_schema schema = {
		.sql = "CREATE TABLE pack (account_id INTEGER NOT NULL, mailbox_id INTEGER NOT NULL,"
		       " last_uid INTEGER NOT NULL, first_uid INTEGER NOT NULL, count INTEGER NOT NULL,"
		       " plain INTEGER NOT NULL, data BLOB NOT NULL,"
		       " PRIMARY KEY (account_id, mailbox_id, last_uid)) WITHOUT ROWID;"
		       "CREATE TABLE fact (origin INTEGER NOT NULL); INSERT INTO fact VALUES (5)",
	};
	struct world w = world();
	append(&w, 1, MANY);
	summary_cache_close(&w.cache);
	struct db *old = testing_db(w.dir, &(struct db_params){ .file = "summaries.db", .schema = &schema });
	db_close(&old);
	w.cache = summary_cache_open(w.db, 5);
	work(&w);
	assert_true(packed(&w, NULL) >= MANY - 100 && packed_of(&w, BLOB_DIGEST, NULL) != 0);
	assert_int_equal(check_all(&w, 1, UINT32_MAX), MANY);
	world_end(&w);
}

int main(void) {
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_life), cmocka_unit_test(test_other_bodies), cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_older_file),
		cmocka_unit_test(test_verify),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
