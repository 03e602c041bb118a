/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "queue/history.h"

static const struct history_row rows[] = {
	{ .time_us = 100,
	  .queue_id = { "Q1", 2 },
	  .kind = HISTORY_ACCEPTED,
	  .sender = { "Ann@x.example", 13 },
	  .message_id = { "<1@x>", 5 } },
	{ .time_us = 200,
	  .queue_id = { "Q1", 2 },
	  .kind = HISTORY_DEFERRED,
	  .recipient = { "bob@y.example", 13 },
	  .status = { "4.4.1", 5 } },
	{ .time_us = 300,
	  .queue_id = { "Q2", 2 },
	  .kind = HISTORY_DELIVERED,
	  .recipient = { "ann@x.example", 13 },
	  .text = { "saved", 5 } },
	{ .time_us = 400,
	  .queue_id = { "Q1", 2 },
	  .kind = HISTORY_SENT,
	  .recipient = { "bob@y.example", 13 },
	  .peer = { "mx[192.0.2.1]:25", 16 } },
};

static int add_all(struct db_conn *tx, void *arg UNUSED) {
	int r = 0;
	for (size_t i = 0; i < LEN(rows) && r == 0; i++) r = history_add(tx, &rows[i]);
	return r;
}

static int join(void *ctx, const struct history_row *row) {
	buf_addf(ctx, "%d:%s", (int)row->time_us, history_kind_name(row->kind));
	return buf_addf(ctx, row->count > 1 ? "*%d " : " ", (int)row->count) ? 0 : 9;
}

static const char *ask(struct db *db, struct history_query query) {
	static struct buf out = { .limit = 100000 };
	buf_clear(&out);
	AUTO_READ struct db_conn *c = db_read(db);
	assert_done(history_find(c, &query, join, &out));
	return buf_text(&out);
}

static int add_for_many(struct db_conn *tx, void *arg) {
	const size_t *count = arg;
	AUTO_ARENA struct arena mem = {0};
	struct slice *list = arena_array(&mem, *count, sizeof *list);
	for (size_t i = 0; i < *count; i++) list[i] = arena_fmt(&mem, "User_%zu@many.example", i);
	struct history_row row = {
		.time_us = 500, .queue_id = S("Q3"), .kind = HISTORY_DELIVERED, .sender = S("s@x.example")
	};
	return history_add_all(tx, &row, list, *count);
}

static int join_recipient(void *ctx, const struct history_row *row) {
	buf_addf(ctx, "%.*s ", SLICE_ARG(row->recipient));
	return 0;
}

static void test_many_recipients(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	size_t count = 300;
	assert_done(db_write(db, add_for_many, &count));
	AUTO_READ struct db_conn *c = db_read(db);
	static const struct { struct slice address; const char *found; } cases[] = {
		{ S("user_7@many.example"), "User_7@many.example " },
		{ S("user_299@MANY.example"), "User_299@many.example " },
		{ S("user%7@many.example"), "" },
		{ S("ser_7@many.example"), "" },
		{ S("user_300@many.example"), "" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_BUF struct buf out = BUF(1000);
		assert_done(
			history_find(c, &(struct history_query){ .address = cases[i].address }, join_recipient, &out));
		assert_string_equal(buf_text(&out), cases[i].found);
	}
	struct history_query queries[] = { { .queue_id = S("Q3") }, { .address = S("S@x.example") }, { .limit = 250 } };
	size_t found[] = { 300, 300, 250 };
	for (size_t i = 0; i < LEN(queries); i++) {
		AUTO_BUF struct buf out = BUF(10000);
		assert_done(history_find(c, &queries[i], join_recipient, &out));
		size_t n = 0;
		for (size_t k = 0; k < out.len; k++) n += out.at[k] == ' ';
		assert_int_equal(n, found[i]);
	}
	db_release(&c);
	db_close(&db);
}

static void test_find_and_purge(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	assert_done(db_write(db, add_all, NULL));
	assert_string_equal(ask(db, (struct history_query){ .queue_id = S("Q1") }),
			    "100:accepted 200:deferred 400:sent ");
	assert_string_equal(ask(db, (struct history_query){ .address = S("ANN@x.example") }),
	                    "300:delivered 100:accepted ");
	assert_string_equal(ask(db, (struct history_query){ .message_id = S("<1@x>") }), "100:accepted ");
	assert_string_equal(ask(db, (struct history_query){ .since_us = 200, .until_us = 300 }),
	                    "300:delivered 200:deferred ");
	assert_string_equal(ask(db, (struct history_query){ .limit = 1 }), "400:sent ");
	assert_string_equal(ask(db, (struct history_query){ .queue_id = S("Q1"), .address = S("bob@y.example") }),
	                    "200:deferred 400:sent ");
	uint64_t count = 0;
	assert_done(history_purge(db, 300, &count));
	assert_int_equal(count, 2);
	assert_string_equal(ask(db, (struct history_query){ .limit = 0 }), "400:sent 300:delivered ");
	db_close(&db);
}

static void test_refusals_are_bounded(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	struct history_log *log = history_log_open(db);
	struct history_row row = {
		.time_us = 50, .kind = HISTORY_REJECTED, .peer = S("[192.0.2.9]"), .text = S("blocked")
	};
	for (int i = 0; i < 1000; i++) assert_done(history_refused(log, &row));
	assert_string_equal(ask(db, (struct history_query){ .limit = 0 }), ""); /* not yet written */
	assert_done(history_flush(log));
	assert_string_equal(ask(db, (struct history_query){ .limit = 0 }), "50:rejected*1000 ");
	for (int i = 0; i < 5000; i++) {
		char peer[30];
		row.peer = slice_from(peer, (size_t)snprintf(peer, sizeof peer, "[10.0.%d.%d]", i / 250, i % 250));
		assert_done(history_refused(log, &row));
	}
	history_log_close(&log);
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT COUNT(*), SUM(count) FROM history");
	assert_int_equal(db_step(s), DB_ROW);
	assert_int_equal(db_int(s, 0), 1 + 256 + 1);
	assert_int_equal(db_int(s, 1), 6000);
	db_done(&s);
	db_release(&c);
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_find_and_purge),
					    cmocka_unit_test(test_many_recipients),
					    cmocka_unit_test(test_refusals_are_bounded) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
