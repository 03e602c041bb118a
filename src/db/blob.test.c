/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "base/encode.h"
#include "db/blob.h"

#include <fcntl.h>
#include <sys/mman.h>

struct put {
	struct blob_draft *draft;
	int64_t id;
	int refs, answer;
	const char *summary;
};

static int put(struct db_conn *tx, void *arg) {
	struct put *p = arg;
	int r = blob_insert(tx, p->draft, slice_of(p->summary), &p->id);
	for (int i = 0; i < p->refs && r == 0; i++) r = blob_ref(tx, p->id);
	return r == 0 ? p->answer : r;
}

static int drop(struct db_conn *tx, void *arg) {
	return blob_unref(tx, *(int64_t *)arg);
}

static int add_ref(struct db_conn *tx, void *arg) {
	return blob_ref(tx, *(int64_t *)arg);
}

static int64_t store(struct db *db, struct slice body, int refs) {
	struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	assert_done(blob_prepare(db, &source, &draft));
	assert_int_equal(blob_draft_size(draft), body.len);
	struct put p = { .draft = draft, .refs = refs, .summary = "sum" };
	assert_done(db_write(db, put, &p));
	return p.id;
}

static char *random_text(size_t len, bool packs) {
	char *at = mem_get(len + 1);
	if (!packs) random_fill(at, len);
	else for (size_t i = 0; i < len; i++) at[i] = "The quick brown fox\n"[(i * 7 + i / 100) % 20];
	return at;
}

static int files_below(const char *dir) {
	char command[200];
	snprintf(command, sizeof command, "find %s/blobs -type f 2>/dev/null | wc -l", dir);
	FILE *f = popen(command, "r");
	int n = -1;
	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

static int gather(void *ctx, struct slice piece) {
	return buf_add(ctx, piece) ? 0 : 5;
}

static void check_content(struct db *db, int64_t id, struct slice want) {
	struct db_conn *c = db_read(db);
	AUTO_BLOB struct blob *b = NULL;
	assert_done(blob_open(c, id, &b));
	db_release(&c);
	assert_int_equal(blob_size(b), want.len);
	AUTO_BUF struct buf all = BUF(want.len);
	assert_done(blob_each(b, gather, &all));
	assert_true(slice_eq(buf_slice(&all), want));
	AUTO_FREE char *some = mem_get(700000);
	for (int i = 0; i < 50; i++) {
		uint64_t at = random_below(want.len + 10);
		size_t len = (size_t)random_below(i < 40 ? 1000 : 700000);
		struct slice part = slice_head(slice_skip(want, (size_t)at), len);
		assert_int_equal(blob_read(b, at, some, len), part.len);
		assert_true(slice_eq(slice_from(some, part.len), part));
	}
	AUTO_FD int fd = blob_fd(b);
	assert_true(fd >= 0);
	AUTO_FREE char *plain = mem_get(want.len + 2);
	size_t got = 0;
	for (ssize_t n; (n = read(fd, plain + got, want.len + 1 - got)) > 0;) got += (size_t)n;
	assert_true(slice_eq(slice_from(plain, got), want));
}

static void test_sizes(void **state UNUSED) {
	static const struct { size_t len; bool packs; int files;
	} cases[] = {
		{ 0, true, 0 },        { 1, true, 0 },       { 300, true, 0 },     { 4000, false, 0 },
		{ 30000, false, 0 },   { 131072, false, 0 }, { 100000, true, 0 },  { 131072, true, 0 },
		{ 131073, true, 1 },   { 262144, false, 1 }, { 262145, false, 1 }, { 1000000, true, 1 },
		{ 3000000, false, 1 },
	};
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_FREE char *text = random_text(cases[i].len, cases[i].packs);
		int64_t id = store(db, slice_from(text, cases[i].len), 1);
		if (files_below(dir) != cases[i].files) failed("case %zu: %d files", i, files_below(dir));
		check_content(db, id, slice_from(text, cases[i].len));
		assert_done(db_write(db, drop, &id));
		assert_int_equal(files_below(dir), 0);
	}
	db_close(&db);
}

/* Straight from the column: whatever lies in a row, but what looks packed and is not. */
static void test_straight_from_the_row(void **state UNUSED) {
	static const struct { const char *begin; size_t len; bool packs; int result; } cases[] = {
		{ "", 300, true, 0 },
		{ "", 4000, false, 0 },
		{ "", 100000, true, 0 },
		{ "\x04\x22\x4d\x18", 4000, false, BLOB_ELSEWHERE },
		{ "\x28\xb5\x2f\xfd", 4000, false, BLOB_ELSEWHERE },
		{ "\x04\x22\x4d\x18", 4000, true, 0 },
		{ "", 131073, true, BLOB_ELSEWHERE },
	};
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	for (size_t i = 0; i < LEN(cases); i++) {
		AUTO_FREE char *text = random_text(cases[i].len, cases[i].packs);
		memcpy(text, cases[i].begin, strlen(cases[i].begin));
		struct slice want = slice_from(text, cases[i].len), stored;
		int64_t id = store(db, want, 1);
		AUTO_BUF struct buf out = BUF(MIB(1));
		struct db_conn *c = db_read(db);
		struct blob_walk *w = blob_walk(c, BLOB_STORED);
		assert_done(blob_walk_to(w, id, &stored));
		assert_int_equal(blob_unpack(c, stored, cases[i].len, &out), cases[i].result);
		if (!slice_eq(buf_slice(&out), cases[i].result == 0 ? want : SLICE_NONE)) failed("case %zu", i);
		assert_int_not_equal(blob_unpack(c, stored, cases[i].len + 1, &out), 0);
		blob_walk_end(&w);
		db_release(&c);
		check_content(db, id, want);
	}
	db_close(&db);
}

static void test_parts_and_descriptor(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	static const size_t lens[] = { 0, 100, 300000 };
	for (size_t i = 0; i < LEN(lens); i++) {
		AUTO_FREE char *text = random_text(lens[i] + 5, true);
		AUTO_FD int fd = memfd_create("in", 0);
		assert_int_equal(write(fd, text, lens[i] + 5), lens[i] + 5);
		struct slice parts[] = { S("Received: a\r\n"), S(""), S("Received: b\r\n") };
		struct blob_source source = {
			.parts = parts, .part_count = 3, .fd = fd, .fd_from = 5, .fd_size = lens[i]
		};
		AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
		assert_done(blob_prepare(db, &source, &draft));
		struct put p = { .draft = draft, .refs = 1 };
		assert_done(db_write(db, put, &p));
		AUTO_BUF struct buf want = BUF(MIB(1));
		buf_add(&want, S("Received: a\r\nReceived: b\r\n"));
		buf_add(&want, slice_from(text + 5, lens[i]));
		check_content(db, p.id, buf_slice(&want));
		source.fd_size += 1;
		AUTO_BLOB_DRAFT struct blob_draft *bad = NULL;
		assert_true(blob_prepare(db, &source, &bad) < 0); /* shorter than promised */
		assert_null(bad);
	}
	assert_int_equal(files_below(dir), 1);
	db_close(&db);
}

static void test_references(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	AUTO_FREE char *text = random_text(200000, true);
	int64_t id = store(db, slice_from(text, 200000), 3);
	assert_done(db_write(db, drop, &id));
	assert_done(db_write(db, add_ref, &id));
	for (int i = 0; i < 2; i++) assert_done(db_write(db, drop, &id));
	assert_int_equal(files_below(dir), 1);
	struct db_conn *c = db_read(db);
	AUTO_BLOB struct blob *open = NULL;
	AUTO_BUF struct buf summary = BUF(100);
	assert_done(blob_open(c, id, &open));
	assert_done(blob_summary(c, id, &summary));
	assert_true(slice_eq(buf_slice(&summary), S("sum")));
	db_release(&c);
	assert_done(db_write(db, drop, &id));
	assert_int_equal(files_below(dir), 0);
	char last[10];
	assert_int_equal(blob_read(open, 199995, last, 10), 5); /* still readable to its end */
	assert_int_equal(db_write(db, drop, &id), BLOB_GONE);
	assert_int_equal(db_write(db, add_ref, &id), BLOB_GONE);
	c = db_read(db);
	struct blob *gone = NULL;
	assert_int_equal(blob_open(c, id, &gone), BLOB_GONE);
	assert_int_equal(blob_summary(c, id, &summary), BLOB_GONE);
	db_release(&c);
	id = store(db, slice_from(text, 200000), 0); /* nobody wanted it */
	assert_int_equal(files_below(dir), 0);
	c = db_read(db);
	assert_int_equal(blob_open(c, id, &gone), BLOB_GONE);
	db_release(&c);
	db_close(&db);
}

static void test_taken_back(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	AUTO_FREE char *text = random_text(200000, true);
	struct slice body = slice_from(text, 200000);
	struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
	struct blob_draft *draft = NULL;
	assert_done(blob_prepare(db, &source, &draft));
	struct put p = { .draft = draft, .refs = 1, .answer = 3 };
	assert_int_equal(db_write(db, put, &p), 3);
	p.answer = 0;
	assert_done(db_write(db, put, &p)); /* a second try with the same draft */
	blob_draft_done(&draft);
	check_content(db, p.id, body);
	assert_done(blob_prepare(db, &source, &draft));
	assert_int_equal(files_below(dir), 2);
	blob_draft_done(&draft);
	assert_int_equal(files_below(dir), 1);
	db_close(&db);
}

static void test_sweep(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	assert_int_equal(blob_sweep(db, 0), 0);
	AUTO_FREE char *text = random_text(200000, true);
	int64_t id = store(db, slice_from(text, 200000), 1);
	char path[200];
	snprintf(path, sizeof path, "%s/blobs/ab", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/blobs/ab/cd", dir);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/blobs/ab/cd/0123456789abcdef", dir);
	AUTO_FD int fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(blob_sweep(db, 3600), 0);
	assert_int_equal(blob_sweep(db, -10), 1);
	check_content(db, id, slice_from(text, 200000));
	db_close(&db);
}

static void damage(const char *dir, off_t at) {
	char command[300];
	snprintf(command, sizeof command,
	         "f=$(find %s/blobs -type f) && printf XXXX | dd of=$f bs=1 seek=%lld conv=notrunc 2>/dev/null", dir,
	         (long long)at);
	assert_int_equal(system(command), 0);
}

static void test_damage_is_seen(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, NULL);
	AUTO_FREE char *text = random_text(600000, false);
	int64_t id = store(db, slice_from(text, 600000), 1);
	damage(dir, 1000);
	struct db_conn *c = db_read(db);
	AUTO_BLOB struct blob *b = NULL;
	assert_done(blob_open(c, id, &b));
	char some[10];
	assert_true(blob_read(b, 0, some, 10) < 0);
	assert_int_equal(db_cause(), DB_CAUSE_BROKEN);
	assert_int_equal(blob_read(b, 599995, some, 10), 5); /* the last frame is whole */
	char command[300];
	snprintf(command, sizeof command, "truncate -s 100 $(find %s/blobs -type f)", dir);
	assert_int_equal(system(command), 0);
	struct blob *broken = NULL;
	assert_true(blob_open(c, id, &broken) < 0);
	db_release(&c);
	db_close(&db);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),      cmocka_unit_test(test_parts_and_descriptor),
		cmocka_unit_test(test_references), cmocka_unit_test(test_taken_back),
		cmocka_unit_test(test_sweep),      cmocka_unit_test(test_damage_is_seen),
		cmocka_unit_test(test_straight_from_the_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
