/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"

#include <fcntl.h>

enum { ROWS = 40000 };

static const struct db_schema schema = {
	.sql = "CREATE TABLE pair (a INTEGER, b INTEGER, text TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;"
	       "CREATE TABLE plain (id INTEGER PRIMARY KEY, text TEXT);"
	       "CREATE TABLE word (w TEXT PRIMARY KEY) WITHOUT ROWID",
};
static const struct db_params params = { .schema = &schema };

static int fill(struct db_conn *tx, void *arg UNUSED) {
	int r = 0;
	for (int64_t i = 0; i < ROWS && r == 0; i++) {
		AUTO_STMT struct db_stmt *p = db_sql(tx, "INSERT INTO pair VALUES (?, ?, 'some twenty characters')");
		AUTO_STMT struct db_stmt *q = db_sql(tx, "INSERT INTO plain VALUES (?, 'some twenty characters')");
		AUTO_STMT struct db_stmt *w = db_sql(tx, "INSERT INTO word VALUES (CAST(? AS TEXT))");
		db_bind_int(p, i / 10000 - 1); /* also below zero, and one that takes no byte */
		db_bind_int(p, i % 10000 * 1000003);
		db_bind_int(q, (i - ROWS / 2) * 1000003);
		db_bind_int(w, i);
		r = db_run(p);
		if (r == 0) r = db_run(q);
		if (r == 0) r = db_run(w);
	}
	return r;
}

static struct db *filled(const char *dir) {
	struct db *db = testing_db(dir, &params);
	assert_done(db_write(db, fill, NULL));
	db_close(&db); /* out of the log, into the file */
	return testing_db(dir, &params);
}

static size_t pairs(struct db_conn *c, int64_t a, int64_t from, int64_t to, size_t most) {
	const int64_t low[] = { a, from }, high[] = { a, to };
	return db_ahead(c, "pair", 2, low, high, most);
}

static void test_as_many_as_there_are(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = filled(dir);
	struct db_conn *c = db_read(db);
	const int64_t all[] = { INT64_MIN, INT64_MAX };
	size_t quarter = pairs(c, 1, 0, INT64_MAX, 10000), whole = db_ahead(c, "plain", 0, &all[0], &all[1], 10000);
	assert_in_range(quarter, 10000 * 33 / 4096, 10000 * 48 / 4096);  /* bytes of a row */
	assert_in_range(whole, ROWS * 28 / 4096, ROWS * 44 / 4096);
	for (int64_t a = -1; a < 3; a++) {
		assert_in_range(pairs(c, a, 0, INT64_MAX, 10000), quarter - 12, quarter + 12);
		assert_in_range(pairs(c, a, 5000 * 1000003ll, 5010 * 1000003ll, 10000), 1, 4);
	}
	assert_true(pairs(c, 3, 0, INT64_MAX, 10000) <= 2); /* the edge */
	assert_int_equal(pairs(c, 1, 0, INT64_MAX, 7), 7);
	int64_t one = 77 * 1000003ll;
	assert_in_range(db_ahead(c, "plain", 0, &one, &one, 100), 1, 3);
	db_release(&c);
	db_close(&db);
}

static void test_nothing_to_ask_for(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &params);
	struct db_conn *c = db_read(db);
	assert_int_equal(db_ahead(c, "nowhere", 0, &(int64_t){ 0 }, &(int64_t){ 9 }, 100), 0);
	assert_int_equal(pairs(c, 0, 0, INT64_MAX, 100), 0); /* a leaf is the whole table */
	db_release(&c);
	db_close(&db);
	db = filled(dir);
	c = db_read(db);
	db_ahead(c, "word", 1, &(int64_t){ 0 }, &(int64_t){ 9 }, 100); /* its key is no integer */
	db_release(&c);
	db_close(&db);
}

/* Pages of anything, at any place: nothing but hints may come of it. */
static void test_damaged(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = filled(dir);
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/hato.db", dir);
	int fd = open(path, O_RDWR | O_CLOEXEC); /* stays open: closing it would end SQLite's locks */
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	uint32_t seed = 1;
	struct db_conn *c = db_read(db);
	assert_true(pairs(c, 1, 0, INT64_MAX, 1000) > 0);
	for (int i = 0; i < 400; i++) {
		unsigned char bytes[64];
		for (size_t k = 0; k < sizeof bytes; k++) {
			seed = seed * 1664525 + 1013904223;
			bytes[k] = (unsigned char)(seed >> 24);
		}
		off_t page = 1 + (off_t)(seed >> 8) % (st.st_size / 4096 - 1); /* not the schema */
		off_t in = (i & 1) != 0 ? 1 : (off_t)(seed >> 4) % 4000; /* most stay what they are */
		assert_int_equal(pwrite(fd, bytes, sizeof bytes, page * 4096 + in), sizeof bytes);
		pairs(c, 1, 0, INT64_MAX, 1000);
		db_ahead(c, "plain", 0, &(int64_t){ INT64_MIN }, &(int64_t){ INT64_MAX }, 1000);
	}
	db_release(&c);
	db_close(&db);
	close(fd);
}

int main(void) {
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_many_as_there_are), cmocka_unit_test(test_nothing_to_ask_for),
		cmocka_unit_test(test_damaged),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
