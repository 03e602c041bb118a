/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"

static const struct db_schema schema = { .sql = "CREATE TABLE row (id INTEGER PRIMARY KEY, text BLOB)" };
static const struct db_params params = { .schema = &schema, .checkpoint_pages = 64 };

struct mapping { uintptr_t from, to; size_t count; };

/* Where the database file is mapped, and how often. */
static struct mapping mapping(const char *dir) {
	char line[PATH_MAX + 200], path[PATH_MAX], *end;
	struct mapping m = { 0 };
	FILE *maps = fopen("/proc/self/maps", "re");
	if (maps == NULL) skip(); /* not Linux */
	snprintf(path, sizeof path, "%s/hato.db\n", dir);
	while (fgets(line, sizeof line, maps) != NULL) {
		const char *name = strchr(line, '/');
		if (name == NULL || strcmp(name, path) != 0) continue;
		m.from = (uintptr_t)strtoull(line, &end, 16);
		m.to = (uintptr_t)strtoull(end + 1, NULL, 16);
		m.count++;
	}
	fclose(maps);
	return m;
}

struct rows { int64_t from, to, len; };

static int add(struct db_conn *tx, void *arg) {
	const struct rows *rows = arg;
	AUTO_FREE char *text = mem_get((size_t)rows->len);
	int r = 0;
	for (int64_t i = rows->from; i < rows->to && r == 0; i++) {
		memset(text, (int)('a' + i % 26), (size_t)rows->len);
		AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT OR REPLACE INTO row VALUES (?, ?)");
		db_bind_int(s, i);
		db_bind_bytes(s, slice_from(text, (size_t)rows->len));
		r = db_run(s);
	}
	return r;
}

static void put(struct db *db, int64_t from, int64_t to, int64_t len) {
	assert_done(db_write(db, add, &(struct rows){ from, to, len }));
}

/* Each row is one letter, of the number of its id. */
static int64_t look(struct db *db, int64_t len) {
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT id, text FROM row ORDER BY id");
	int64_t count = 0;
	for (; db_step(s) == DB_ROW; count++) {
		struct slice text = db_bytes(s, 1);
		assert_int_equal(text.len, len);
		assert_int_equal(text.at[0], 'a' + db_int(s, 0) % 26);
		assert_int_equal(text.at[text.len - 1], text.at[0]);
	}
	return count;
}

static void test_it_stays(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &params);
	put(db, 0, 300, 3000);
	db_close(&db); /* out of the log, into the file */
	db = testing_db(dir, &params);
	assert_int_equal(look(db, 3000), 300);
	struct mapping at = mapping(dir);
	assert_int_equal(at.count, 1);
	for (int64_t i = 0; i < 200; i++) { /* changed rows and new ones, in the log and folded in */
		put(db, i, i + 1, 3000);
		put(db, 300 + i, 301 + i, 3000);
		assert_int_equal(look(db, 3000), 301 + i);
		struct mapping now = mapping(dir);
		assert_int_equal(now.count, 1);
		assert_true(now.from == at.from && now.to == at.to);
	}
	put(db, 0, 500, 2000);
	assert_int_equal(look(db, 2000), 500);
	db_close(&db);
	assert_int_equal(mapping(dir).count, 0);
}

/* What came behind the end that the file had when it was mapped. */
static void test_it_grows(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &params);
	put(db, 0, 10, 3000);
	assert_int_equal(look(db, 3000), 10);
	for (int64_t i = 10; i < 8010; i += 500) {
		put(db, i, i + 500, 3000);
		assert_int_equal(look(db, 3000), i + 500);
	}
	db_close(&db);
	db = testing_db(dir, &params);
	assert_int_equal(look(db, 3000), 8010);
	db_close(&db);
}

/* What lies behind the end of the mapping is read. */
static void test_it_outgrows(void **state UNUSED) {
	const struct db_params small = { .schema = &schema, .checkpoint_pages = 64, .mmap_mib = 1 };
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &small);
	for (int64_t i = 0; i < 1500; i += 100) {
		put(db, i, i + 100, 3000);
		assert_int_equal(look(db, 3000), i + 100);
	}
	db_close(&db);
	db = testing_db(dir, &small);
	assert_int_equal(look(db, 3000), 1500);
	put(db, 0, 1500, 2000);
	assert_int_equal(look(db, 2000), 1500);
	db_close(&db);
}

/* However many read at once, each its own snapshot. */
static void test_all_share_it(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &params);
	put(db, 0, 300, 3000);
	AUTO_READ struct db_conn *before = db_read(db);
	AUTO_STMT struct db_stmt *s = db_sql(before, "SELECT SUM(length(text)) FROM row");
	assert_int_equal(db_step(s), DB_ROW);
	put(db, 0, 600, 2000);
	assert_int_equal(look(db, 2000), 600);
	assert_int_equal(mapping(dir).count, 1);
	db_again(s);
	assert_int_equal(db_step(s), DB_ROW);
	assert_int_equal(db_int(s, 0), 300 * 3000);
	db_done(&s);
	db_release(&before);
	db_close(&db);
}

/* A connection to a file that was put in the place of ours sees what is in that one. */
static void test_replaced(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	AUTO_TESTING_DIR char *other = testing_dir();
	struct db *db = testing_db(other, &params);
	put(db, 0, 40, 3000);
	db_close(&db);
	db = testing_db(dir, &params);
	put(db, 0, 300, 2000);
	db_close(&db);
	db = testing_db(dir, &params);
	char from[PATH_MAX], to[PATH_MAX];
	snprintf(from, sizeof from, "%s/hato.db", other);
	snprintf(to, sizeof to, "%s/hato.db", dir);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(look(db, 3000), 40);
	db_close(&db);
}

int main(void) {
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_stays),
		cmocka_unit_test(test_it_grows),
		cmocka_unit_test(test_it_outgrows),
		cmocka_unit_test(test_all_share_it),
		cmocka_unit_test(test_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
