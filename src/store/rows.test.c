/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "db/blob.h"
#include "store/rows.h"

#include <pthread.h>

enum { MANY = 1200, TURNS = 60 };

static struct db *db;

struct mails { struct blob_draft *draft; struct append a; int count; };

static int append(struct db_conn *tx, void *arg) {
	struct mails *m = arg;
	struct appended done;
	int r = blob_insert(tx, m->draft, S(""), &m->a.blob_id);
	for (int i = 0; i < m->count && r == 0; i++) r = store_append(tx, &m->a, &done);
	return r;
}

static void put(struct box box, uint32_t uid, int count) {
	struct slice body = S("Subject: x\r\n\r\ny\r\n");
	struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	assert_done(blob_prepare(db, &source, &draft));
	struct mails m = { draft, { .box = box, .size = body.len, .uid = uid }, count };
	assert_done(db_write(db, append, &m));
}

static int make(struct db_conn *tx, void *arg) {
	struct box *boxes = arg;
	int r = store_account_create(tx, 1);
	if (r == 0) r = store_create(tx, 1, S("a"), 0, &boxes[0]);
	return r == 0 ? store_create(tx, 1, S("b"), 0, &boxes[1]) : r;
}

static void begin(const char *dir, struct box *boxes) {
	db = testing_db(dir, NULL);
	assert_done(db_write(db, make, boxes));
	put(boxes[0], 0, MANY);
	put(boxes[1], 0, MANY);
}

struct seen { struct message at[MANY * 2]; size_t count; struct arena mem; };

static int see(void *ctx, const struct message *m) {
	struct seen *s = ctx;
	assert_true(s->count < LEN(s->at));
	s->at[s->count] = *m;
	s->at[s->count++].keywords = m->keywords.len != 0 ? arena_slice(&s->mem, m->keywords) : SLICE_NONE;
	return 0;
}

/* What it says has to be what a walk says. */
static bool check(struct rows *r, struct box box, struct uid_set set, bool may_make) {
	struct seen *both = mem_array(2, sizeof *both), *here = &both[0], *there = &both[1];
	AUTO_READ struct db_conn *c = db_read(db);
	struct rows_list *l = rows_of(r, c, box, set, may_make);
	bool got = l != NULL;
	if (got) {
		assert_done(rows_each(l, c, set, 0, see, here));
		assert_done(store_each(c, box, set, WANT_BRIEF | WANT_BLOB, see, there));
		assert_int_equal(here->count, there->count);
	}
	for (size_t i = 0; i < there->count; i++) {
		const struct message *a = &here->at[i], *b = &there->at[i];
		assert_int_equal(a->uid, b->uid);
		assert_int_equal(a->flags, b->flags);
		assert_int_equal(a->size, b->size);
		assert_int_equal(a->blob_id, b->blob_id);
		assert_int_equal(a->received_us, b->received_us);
		assert_int_equal(a->modseq, b->modseq);
		assert_true(slice_eq(a->keywords, b->keywords));
	}
	rows_release(r, &l);
	arena_done(&here->mem);
	arena_done(&there->mem);
	free(both);
	return got;
}

struct change { struct box box; struct uid_range range; struct flag_change flags; };

static int expunge(struct db_conn *tx, void *arg) {
	struct change *e = arg;
	return store_expunge(tx, e->box, (struct uid_set){ &e->range, 1 }, false, NULL, NULL);
}

static int flag(struct db_conn *tx, void *arg) {
	struct change *e = arg;
	return store_flags(tx, e->box, (struct uid_set){ &e->range, 1 }, &e->flags, NULL, NULL, NULL, NULL);
}

static int begin_anew(struct db_conn *tx, void *arg) {
	return store_import_begin(tx, *(struct box *)arg, 4711, 3);
}

static void what_happens_is_followed(void **state UNUSED) {
	static const char *const words[] = { "", "$Work", "$Work later", "x" };
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct box boxes[2];
	struct rows *r = rows_new(MIB(1));
	unsigned dice = 4711;
	begin(dir, boxes);
	assert_false(check(r, boxes[0], UID_ALL, false));
	assert_true(check(r, boxes[0], UID_ALL, true));
	assert_true(check(r, boxes[0], UID_ALL, false));
	put(boxes[0], MANY + 20, 1);
	put(boxes[0], MANY + 15, 1); /* an import may come below the last */
	assert_false(check(r, boxes[0], UID_ALL, false));
	assert_true(check(r, boxes[0], UID_ALL, true));
	for (int i = 0; i < TURNS; i++) {
		dice = dice * 1103515245 + 12345;
		uint32_t first = dice / 65536 % MANY + 1, what = dice / 1024 % 4;
		struct change e = { boxes[0], { first, first + (dice >> 20) % 40 }, { .how = FLAGS_ADD } };
		e.flags.flags = dice >> 24 & FLAG_ALL;
		e.flags.how = (enum flag_how)(dice / 4096 % 3);
		e.flags.keywords = slice_of(words[dice / 256 % LEN(words)]);
		if (what == 0) e.range.last = first + 2;
		assert_done(db_write(db, what == 0 ? expunge : flag, &e));
		if (what == 1) put(boxes[0], 0, 3);
		if (i % 3 != 0) assert_true(check(r, boxes[0], UID_ALL, true));
	}
	const struct uid_range some[] = { { 2, 4 }, { 7, 7 }, { 16, 4000000000 } };
	assert_true(check(r, boxes[0], (struct uid_set){ some, LEN(some) }, true));
	assert_true(check(r, boxes[1], UID_ALL, true));
	rows_free(&r);
	db_close(&db);
}

static void other_messages_under_the_old_uids(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct box boxes[2];
	struct rows *r = rows_new(MIB(1));
	begin(dir, boxes);
	assert_true(check(r, boxes[0], UID_ALL, true));
	struct change all = { boxes[0], { 1, UINT32_MAX }, { .how = FLAGS_ADD } };
	assert_done(db_write(db, expunge, &all));
	assert_done(db_write(db, begin_anew, &boxes[0]));
	put(boxes[0], 0, MANY - 1);
	put(boxes[0], 1, 1);
	assert_false(check(r, boxes[0], UID_ALL, false));
	assert_true(check(r, boxes[0], UID_ALL, true));
	rows_free(&r);
	db_close(&db);
}

/* An older snapshot than the list's is not told what came after it, and too small sets are not worth it. */
static void who_gets_none(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct box boxes[2];
	const struct uid_range few = { 1, 20 };
	struct rows *r = rows_new(MIB(1));
	uint32_t first, last;
	begin(dir, boxes);
	struct db_conn *old = db_read(db);
	assert_done(store_uid_ends(old, boxes[0], UINT32_MAX, &first, &last)); /* its snapshot begins */
	put(boxes[0], 0, 1);
	assert_true(check(r, boxes[0], UID_ALL, true));
	assert_null(rows_of(r, old, boxes[0], UID_ALL, true));
	db_release(&old);
	assert_true(check(r, boxes[0], UID_ALL, false)); /* the newer one is still there */
	assert_false(check(r, boxes[0], (struct uid_set){ &few, 1 }, true));
	assert_false(check(NULL, boxes[0], UID_ALL, true));
	rows_free(&r);
	db_close(&db);
}

/* Several read, each in a snapshot of its own, while it changes. */

struct reader { struct rows *rows; struct box box; _Atomic bool *over; pthread_t thread; size_t wrong; };

static int compare(void *ctx, const struct message *m) {
	struct seen *s = ctx;
	const struct message *want = &s->at[s->count++];
	return s->count <= LEN(s->at) && m->uid == want->uid && m->flags == want->flags ? 0 : STORE_LIMIT;
}

static void *read_on(void *arg) {
	struct reader *r = arg;
	while (!*r->over) {
		struct seen *s = mem_get(sizeof *s);
		struct db_conn *c = db_read(db);
		struct rows_list *l = rows_of(r->rows, c, r->box, UID_ALL, true);
		if (l != NULL) {
			r->wrong += store_each(c, r->box, UID_ALL, WANT_LEAN, see, s) != 0;
			s->count = 0;
			r->wrong += rows_each(l, c, UID_ALL, 0, compare, s) != 0;
		}
		rows_release(r->rows, &l);
		db_release(&c);
		arena_done(&s->mem);
		free(s);
	}
	return NULL;
}

static void many_at_once(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct box boxes[2];
	struct reader readers[3];
	_Atomic bool over = false;
	struct rows *r = rows_new(KIB(160)); /* room for one of both */
	begin(dir, boxes);
	for (size_t i = 0; i < LEN(readers); i++) {
		readers[i] = (struct reader){ .rows = r, .box = boxes[i % 2], .over = &over };
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}
	for (uint32_t i = 1; i <= TURNS; i++) {
		struct change e = { boxes[i % 2], { i * 7, i * 7 + 5 }, { .how = FLAGS_ADD, .flags = FLAG_SEEN } };
		assert_done(db_write(db, i % 5 == 0 ? expunge : flag, &e));
		if (i % 4 == 0) put(e.box, 0, 6);
	}
	over = true;
	for (size_t i = 0; i < LEN(readers); i++) {
		pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].wrong, 0);
	}
	rows_free(&r);
	db_close(&db);
}

static void little_room(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct box boxes[2];
	begin(dir, boxes);
	for (size_t limit = 0; limit < KIB(240); limit += KIB(30)) {
		struct rows *r = rows_new(limit);
		for (int i = 0; i < 5; i++) check(r, boxes[i % 2], UID_ALL, true);
		rows_free(&r);
	}
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_happens_is_followed), cmocka_unit_test(other_messages_under_the_old_uids),
		cmocka_unit_test(who_gets_none), cmocka_unit_test(little_room), cmocka_unit_test(many_at_once)
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
