/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "db/blob.h"
#include "store/bodies.h"

static struct db *db;

struct mail { struct blob_draft *draft; struct append a; };

static int append(struct db_conn *tx, void *arg) {
	struct mail *m = arg;
	struct appended done;
	int r = blob_insert(tx, m->draft, S(""), &m->a.blob_id);
	return r == 0 ? store_append(tx, &m->a, &done) : r;
}

static void put(struct box box, uint32_t uid) {
	struct slice body = S("Subject: x\r\n\r\ny\r\n");
	struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	assert_done(blob_prepare(db, &source, &draft));
	struct mail m = { draft, { .box = box, .size = body.len, .uid = uid } };
	assert_done(db_write(db, append, &m));
}

static int make(struct db_conn *tx, void *arg) {
	struct box *boxes = arg;
	int r = store_account_create(tx, 1);
	if (r == 0) r = store_create(tx, 1, S("a"), 0, &boxes[0]);
	return r == 0 ? store_create(tx, 1, S("b"), 0, &boxes[1]) : r;
}

struct seen { uint32_t uids[64]; int64_t blobs[64]; size_t count; };

static int see(void *ctx, uint32_t uid, int64_t blob_id) {
	struct seen *s = ctx;
	s->uids[s->count] = uid;
	s->blobs[s->count++] = blob_id;
	return 0;
}

/* What it says has to be what a walk says, apart from those that are gone. */
static void check(struct bodies *b, struct box box, struct uid_set set, size_t more) {
	struct seen here = { .count = 0 }, there = { .count = 0 };
	AUTO_READ struct db_conn *c = db_read(db);
	assert_done(bodies_each(b, c, box, set, see, &here));
	assert_done(store_bodies(c, box, set, see, &there));
	assert_int_equal(here.count, there.count + more);
	for (size_t i = 0, j = 0; j < there.count; i++) {
		assert_true(i < here.count);
		if (here.uids[i] != there.uids[j]) continue;
		assert_int_equal(here.blobs[i], there.blobs[j++]);
	}
}

struct change { struct box box; struct uid_range range; };

static int expunge(struct db_conn *tx, void *arg) {
	struct change *e = arg;
	return store_expunge(tx, e->box, (struct uid_set){ &e->range, 1 }, false, NULL, NULL);
}

static int flag(struct db_conn *tx, void *arg) {
	struct change *e = arg;
	struct flag_change f = { .how = FLAGS_ADD, .flags = FLAG_FLAGGED };
	return store_flags(tx, e->box, (struct uid_set){ &e->range, 1 }, &f, NULL, NULL, NULL, NULL);
}

static int begin_anew(struct db_conn *tx, void *arg) {
	return store_import_begin(tx, *(struct box *)arg, 4711, 3);
}

static void what_happens_is_followed(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct box boxes[2];
	db = testing_db(dir, NULL);
	assert_done(db_write(db, make, boxes));
	struct bodies *b = bodies_new(MIB(1));
	check(b, boxes[0], UID_ALL, 0);
	for (int i = 0; i < 10; i++) put(boxes[0], 0);
	check(b, boxes[0], UID_ALL, 0);
	put(boxes[0], 20);
	put(boxes[0], 15); /* an import may come below the last */
	put(boxes[1], 0);
	check(b, boxes[0], UID_ALL, 0);
	check(b, boxes[1], UID_ALL, 0);
	struct change middle = { boxes[0], { 3, 5 } };
	assert_done(db_write(db, flag, &middle));
	check(b, boxes[0], UID_ALL, 0);
	assert_done(db_write(db, expunge, &middle));
	check(b, boxes[0], UID_ALL, 3);
	const struct uid_range some[] = { { 2, 4 }, { 7, 7 }, { 16, 4000000000 } };
	check(b, boxes[0], (struct uid_set){ some, LEN(some) }, 2);
	/* other messages under the old uids */
	struct change all = { boxes[0], { 1, UINT32_MAX } };
	assert_done(db_write(db, expunge, &all));
	assert_done(db_write(db, begin_anew, &boxes[0]));
	put(boxes[0], 0);
	put(boxes[0], 1);
	check(b, boxes[0], UID_ALL, 0);
	bodies_free(&b);
	db_close(&db);
}

static void little_room(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct box boxes[2];
	db = testing_db(dir, NULL);
	assert_done(db_write(db, make, boxes));
	for (int i = 0; i < 10; i++) put(boxes[i % 2], 0);
	for (size_t limit = 0; limit < 400; limit += 50) {
		struct bodies *b = bodies_new(limit);
		for (int i = 0; i < 5; i++) check(b, boxes[i % 2], UID_ALL, 0);
		bodies_free(&b);
	}
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_happens_is_followed),
		                            cmocka_unit_test(little_room) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
