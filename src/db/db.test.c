/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"

#include <sys/stat.h>

static const char first_sql[] = "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT);";
static const char *const steps[] = {
	"ALTER TABLE thing ADD COLUMN size INTEGER NOT NULL DEFAULT 7",
	"CREATE TABLE other (id INTEGER PRIMARY KEY); INSERT INTO other (id) VALUES (42)",
};
static const char *const bad_steps[] = {
	"ALTER TABLE thing ADD COLUMN half INTEGER; ALTER TABLE nothing ADD COLUMN x INTEGER"
};
static const struct db_schema schema_1 = { .sql = first_sql };
static const struct db_schema schema_3 = { .sql = first_sql, .steps = steps, .step_count = LEN(steps) };
static const struct db_schema schema_bad = { .sql = first_sql, .steps = bad_steps, .step_count = LEN(bad_steps) };

static int64_t ask(struct db *db, const char *sql) {
	AUTO_READ struct db_conn *c = db_read(db);
	assert_non_null(c);
	AUTO_STMT struct db_stmt *s = db_sql(c, sql);
	int r = db_step(s);
	if (r < 0) failed("%s", fail_text());
	return r == DB_ROW ? db_int(s, 0) : -1;
}

static char one[] = "one", two[] = "two";

static int put_thing(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO thing (name) VALUES (?)");
	db_bind_text(s, slice_of(arg));
	return db_run(s);
}

static void test_files_are_private(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	AUTO_TESTING_DIR char *inner = mem_get(100);
	snprintf(inner, 100, "%s/new", dir);
	struct db *db = testing_db(inner, NULL);
	static const char *const names[] = { "hato.db", "hato.db-wal", "hato.db-shm" };
	for (size_t i = 0; i < LEN(names); i++) {
		char path[200];
		struct stat st;
		snprintf(path, sizeof path, "%s/%s", inner, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	db_close(&db);
	assert_null(db);
}

static void test_migration(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema_1 });
	assert_done(db_write(db, put_thing, one));
	db_close(&db);
	assert_true(db_open(dir, &(struct db_params){ .schema = &schema_bad }, &db) < 0); /* fails as a whole */
	assert_null(db);
	db = testing_db(dir, &(struct db_params){ .schema = &schema_3 });
	assert_int_equal(ask(db, "SELECT size FROM thing"), 7);
	assert_int_equal(ask(db, "SELECT id FROM other"), 42);
	assert_int_equal(ask(db, "SELECT COUNT(*) FROM schema_version"), 3);
	db_close(&db);
	db = testing_db(dir, &(struct db_params){ .schema = &schema_3 });
	assert_int_equal(ask(db, "SELECT COUNT(*) FROM other"), 1);
	db_close(&db);
	assert_true(db_open(dir, &(struct db_params){ .schema = &schema_1 }, &db) < 0);
	assert_non_null(strstr(fail_text(), "newer hato"));
}

static void test_statements(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema_1 });
	assert_done(db_write(db, put_thing, one));
	assert_done(db_write(db, put_thing, two));
	struct db_conn *c = db_read(db);
	static const char all[] = "SELECT id, name FROM thing WHERE id >= ? ORDER BY id";
	AUTO_STMT struct db_stmt *s = db_sql(c, all);
	db_bind_int(s, 1);
	assert_int_equal(db_step(s), DB_ROW);
	struct db_stmt *inner = db_sql(c, all); /* the same text while it runs */
	assert_ptr_not_equal(inner, s);
	db_bind_int(inner, 2);
	assert_int_equal(db_step(inner), DB_ROW);
	assert_true(slice_eq(db_text(inner, 1), S("two")));
	assert_int_equal(db_step(inner), DB_DONE);
	db_done(&inner);
	assert_true(slice_eq(db_text(s, 1), S("one")));
	assert_int_equal(db_step(s), DB_ROW);
	db_again(s);
	db_bind_int(s, 3);
	assert_int_equal(db_step(s), DB_DONE);
	AUTO_STMT struct db_stmt *bad = db_sql(c, "SELECT nonsense FROM nowhere WHERE x = ?");
	db_bind_int(bad, 1);
	assert_true(db_step(bad) < 0);
	AUTO_STMT struct db_stmt *many = db_sql(c, "SELECT 1 WHERE 1 = ?");
	db_bind_int(many, 1);
	db_bind_int(many, 2);
	assert_true(db_step(many) < 0);
	AUTO_STMT struct db_stmt *write = db_sql(c, "DELETE FROM thing");
	assert_true(db_run(write) < 0); /* readers cannot write */
	AUTO_STMT struct db_stmt *null = db_sql(c, "SELECT ?, ?, 5");
	db_bind_null(null);
	db_bind_text(null, S(""));
	assert_int_equal(db_step(null), DB_ROW);
	assert_null(db_text(null, 0).at);
	assert_non_null(db_text(null, 1).at);
	assert_true(db_is_null(null, 0) && !db_is_null(null, 1));
	db_done(&null), db_done(&write), db_done(&many), db_done(&bad), db_done(&s);
	db_release(&c);
	db_close(&db);
}

static void test_snapshot(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema_1 });
	struct db_conn *c = db_read(db);
	static const char count[] = "SELECT COUNT(*) FROM thing";
	struct db_stmt *s = db_sql(c, count);
	assert_int_equal(db_step(s), DB_ROW);
	db_done(&s);
	assert_done(db_write(db, put_thing, one));
	s = db_sql(c, count);
	assert_int_equal(db_step(s), DB_ROW);
	assert_int_equal(db_int(s, 0), 0);
	db_done(&s);
	db_release(&c);
	assert_int_equal(ask(db, count), 1);
	db_close(&db);
}

static void test_ids_rise(void **state UNUSED) {
	int64_t last = 0;
	for (int i = 0; i < 10000; i++) {
		int64_t id = db_new_id();
		assert_true(id > last);
		last = id;
	}
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_are_private), cmocka_unit_test(test_migration),
		cmocka_unit_test(test_statements),        cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_ids_rise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
