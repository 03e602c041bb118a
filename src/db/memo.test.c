/* SPDX-License-Identifier: Apache-2.0 */
#include "db/memo.h"
#include "base/clock.h"
#include "db/testing.h"

struct memo {
	enum memo_kind kind;
	const char *key, *value;
	int64_t until_us;
};

static int put(struct db_conn *tx, void *arg) {
	const struct memo *m = arg;
	return memo_put(tx, m->kind, slice_of(m->key), slice_of(m->value), m->until_us);
}

static void write_down(struct db *db, enum memo_kind kind, const char *key, const char *value, int64_t life_s) {
	struct memo m = { kind, key, value, wall_us() + life_s * 1000000 };
	assert_int_equal(db_write(db, put, &m), 0);
}

static const char *look(struct db *db, enum memo_kind kind, const char *key, struct arena *mem) {
	AUTO_READ struct db_conn *c = db_read(db);
	struct slice value;
	assert_non_null(c);
	int r = memo_get(c, kind, slice_of(key), mem, &value, NULL);
	assert_true(r >= 0);
	return r == DB_ROW ? arena_text(mem, value) : NULL;
}

static void test_kept_until_their_end(void **state) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &(struct db_params){ 0 });
	AUTO_ARENA struct arena mem = { 0 };
	(void)state;
	write_down(db, MEMO_PROBE, "a@x.test", "good", 100);
	write_down(db, MEMO_SCREEN, "a@x.test", "another kind", 100);
	write_down(db, MEMO_PROBE, "b@x.test", "over", -1);
	assert_string_equal(look(db, MEMO_PROBE, "a@x.test", &mem), "good");
	assert_null(look(db, MEMO_PROBE, "b@x.test", &mem));
	write_down(db, MEMO_PROBE, "a@x.test", "bad", 100);
	assert_string_equal(look(db, MEMO_PROBE, "a@x.test", &mem), "bad");
	assert_string_equal(look(db, MEMO_SCREEN, "a@x.test", &mem), "another kind");
	assert_int_equal(memo_sweep(db), 0);
	assert_string_equal(look(db, MEMO_PROBE, "a@x.test", &mem), "bad");
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_kept_until_their_end) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
