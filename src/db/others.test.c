/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"

static const struct db_schema schema = { .sql = "CREATE TABLE row (id INTEGER PRIMARY KEY)" };
static const struct db_params params = { .schema = &schema, .checkpoint_pages = 8 };

static int add(struct db_conn *tx, void *id) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO row VALUES (?)");
	db_bind_int(s, *(int64_t *)id);
	return db_run(s);
}

static int refuse(struct db_conn *tx, void *id) {
	int r = add(tx, id);
	return r != 0 ? r : 7;
}

static void put(struct db *db, int64_t id) {
	assert_done(db_write(db, add, &id));
}

struct seen { struct db *db; uint64_t there; };

static void look(void *arg) {
	struct seen *s = arg;
	s->there = db_others(s->db);
}

static int add_and_look(struct db_conn *tx, void *arg) {
	int64_t id = 5000;
	db_after_commit(tx, look, arg);
	return add(tx, &id);
}

static void test_ours_are_no_others(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &params);
	uint64_t was = db_others(db);
	assert_true(was != 0);
	for (int64_t i = 1; i < 200; i++) { /* the log begins anew several times */
		put(db, i);
		assert_int_equal(db_others(db), was);
	}
	int64_t id = 1000;
	assert_int_equal(db_write(db, refuse, &id), 7);
	assert_int_equal(db_others(db), was);
	db_close(&db);
}

/* In hooks not all have heard of the commit yet. */
static void test_unknown_in_between(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &params);
	struct seen s = { db, 1 };
	assert_done(db_write(db, add_and_look, &s));
	assert_int_equal(s.there, 0);
	assert_true(db_others(db) != 0);
	db_close(&db);
}

static void test_others(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &params), *other = testing_db(dir, &params);
	uint64_t was = db_others(db);
	put(db, 1);
	assert_int_equal(db_others(db), was);
	put(other, 2);
	assert_int_equal(db_others(db), 0);
	put(db, 3);
	assert_true(db_others(db) != 0 && db_others(db) != was);
	db_close(&other);
	db_close(&db);
}

int main(void) {
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ours_are_no_others),
		cmocka_unit_test(test_unknown_in_between),
		cmocka_unit_test(test_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
