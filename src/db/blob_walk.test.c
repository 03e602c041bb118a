/* SPDX-License-Identifier: Apache-2.0 */
#include "db/blob.h"
#include "db/testing.h"

enum { COUNT = 400 };

struct filling { int64_t ids[COUNT]; };

/* Every third has no digest; ids do not follow each other closely everywhere. */
static int fill(struct db_conn *tx, void *arg) {
	struct filling *f = arg;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO digest (blob_id, data) VALUES (?, ?)");
	int r = 0;
	for (int i = 0; i < COUNT && r == 0; i++) {
		char text[32];
		f->ids[i] = i < COUNT / 2 ? i + 10 : i * 50;
		if (i % 3 == 0) continue;
		snprintf(text, sizeof text, "digest %d", i);
		db_again(s);
		db_bind_int(s, f->ids[i]);
		db_bind_bytes(s, slice_of(text));
		r = db_run(s);
	}
	return r;
}

static void expect(struct blob_walk *w, const struct filling *f, int i) {
	char text[32] = "";
	struct slice got;
	assert_done(blob_walk_to(w, f->ids[i], &got));
	if (i % 3 != 0) snprintf(text, sizeof text, "digest %d", i);
	if (i % 3 == 0 ? got.at != NULL : !slice_eq(got, slice_of(text))) failed("%d: %.*s", i, SLICE_ARG(got));
}

static void any_order(void **state) {
	(void)state;
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	struct filling f;
	struct slice got;
	assert_done(db_write(db, fill, &f));
	struct db_conn *c = db_read(db);
	struct blob_walk *w = blob_walk(c, BLOB_DIGEST);
	for (int i = 0; i < COUNT; i++) expect(w, &f, i);           /* in order */
	for (int i = COUNT - 1; i >= 0; i--) expect(w, &f, i);      /* backwards */
	for (int i = 0; i < COUNT; i += 17) expect(w, &f, i);       /* with gaps: trust is used up */
	for (unsigned i = 0, at = 1; i < 3000; i++) {               /* anywhere, the same one twice */
		at = at * 1103515245 + 12345;
		expect(w, &f, (int)(at >> 16) % COUNT);
		expect(w, &f, (int)(at >> 16) % COUNT);
	}
	assert_done(blob_walk_to(w, 1, &got));
	assert_null(got.at);
	assert_done(blob_walk_to(w, INT64_MAX, &got));              /* behind the end, and back */
	assert_null(got.at);
	expect(w, &f, 1);
	blob_walk_end(&w);
	blob_walk_end(&w);
	w = blob_walk(c, BLOB_SUMMARY);                             /* nothing there at all */
	assert_done(blob_walk_to(w, 11, &got));
	assert_null(got.at);
	blob_walk_end(&w);
	db_release(&c);
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(any_order) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
