/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "base/clock.h"
#include "base/encode.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const struct db_schema schema = {
	.sql = "CREATE TABLE item (thread INTEGER, number INTEGER, data BLOB, PRIMARY KEY (thread, number)) WITHOUT "
	       "ROWID;",
};

static int64_t ask(struct db *db, const char *sql) {
	AUTO_READ struct db_conn *c = db_read(db);
	assert_non_null(c);
	AUTO_STMT struct db_stmt *s = db_sql(c, sql);
	return db_step(s) == DB_ROW ? db_int(s, 0) : -1;
}

enum { THREADS = 16, WRITES = 60, REFUSED = 7 };

struct item {
	struct db *db;
	int64_t thread, number;
	enum fate { GOOD, TAKES_BACK, FAILS, SQL_FAILS } fate;
	size_t size;
	unsigned failing; /* one of so many */
	bool repeatable;
	_Atomic int hooks, kept, failures;
};

static void hook(void *arg) {
	atomic_fetch_add((_Atomic int *)arg, 1);
}

static int put(struct db_conn *tx, void *arg) {
	struct item *i = arg;
	static const char data[100000];
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO item (thread, number, data) VALUES (?, ?, ?)");
	db_bind_int(s, i->thread);
	db_bind_int(s, i->number);
	db_bind_bytes(s, slice_from(data, i->size));
	int r = db_run(s);
	if (r < 0) return r;
	db_after_commit(tx, hook, &i->hooks);
	if (i->fate == TAKES_BACK) return REFUSED;
	if (i->fate == FAILS) return fail("mine %lld", (long long)i->thread);
	if (i->fate == GOOD) return 0;
	db_bind_int(s, i->thread);
	db_bind_int(s, i->number);
	return db_run(s); /* the same key again */
}

static void *writer(void *arg) {
	struct item *i = arg;
	for (i->number = 0; i->number < WRITES; i->number++) {
		i->fate = (enum fate)(random_below(i->failing) != 0 ? GOOD : 1 + random_below(3));
		int before = atomic_load(&i->hooks);
		int r = (i->repeatable ? db_write_repeatable : db_write)(i->db, put, i);
		char mine[32];
		snprintf(mine, sizeof mine, "mine %lld", (long long)i->thread);
		bool right = i->fate == GOOD ? r == 0 : i->fate == TAKES_BACK ? r == REFUSED : r < 0;
		if (i->fate == FAILS && strcmp(fail_text(), mine) != 0) right = false; /* my own words, whoever led */
		if (i->fate == SQL_FAILS && strstr(fail_text(), "UNIQUE") == NULL) right = false;
		if (atomic_load(&i->hooks) - before != (r == 0)) right = false; /* called before db_write returned */
		if (!right) atomic_fetch_add(&i->failures, 1);
		if (r == 0) i->kept++;
	}
	return NULL;
}

static void many_threads(unsigned failing, bool (*repeatable)(int thread)) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema, .checkpoint_pages = 50 });
	static struct item items[THREADS];
	pthread_t threads[THREADS];
	int kept = 0;
	for (int i = 0; i < THREADS; i++) {
		items[i] = (struct item){
			.db = db, .thread = i, .size = 3000, .failing = failing, .repeatable = repeatable(i)
		};
		assert_int_equal(pthread_create(&threads[i], NULL, writer, &items[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(items[i].failures, 0);
		kept += items[i].kept;
	}
	assert_int_equal(ask(db, "SELECT COUNT(*) FROM item"), kept);
	db_close(&db);
}

static bool none(int thread UNUSED) { return false; }
static bool all(int thread UNUSED) { return true; }
static bool most(int thread) { return thread % 4 != 0; }

static void test_many_threads(void **state UNUSED) {
	many_threads(2, none);
}

static void test_repeatable(void **state UNUSED) {
	many_threads(2, all);
	many_threads(300, all); /* seldom enough that savepoints are left out again */
	many_threads(300, most);
}

static void test_disk_full(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema, .page_limit = 60 });
	struct item i = { .size = 20000 };
	int r = 0;
	while (r == 0) {
		r = db_write(db, put, &i);
		i.number++;
	}
	assert_true(r < 0);
	assert_int_equal(db_cause(), DB_CAUSE_FULL);
	assert_non_null(strstr(fail_text(), "disk full"));
	int64_t stored = ask(db, "SELECT COUNT(*) FROM item");
	assert_int_equal(stored, i.number - 1);
	assert_int_equal(i.hooks, stored);
	i.size = 10;
	i.number = 1000;
	assert_done(db_write(db, put, &i)); /* what fits still goes in */
	db_close(&db);
}

/* The file may not grow: the log cannot be written, COMMIT itself fails. In a child, because limits cannot be raised
 * again. */
static void commit_fails(const char *dir) {
	signal(SIGXFSZ, SIG_IGN);
	struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema });
	struct item i = { .size = 1000 };
	if (db_write(db, put, &i) != 0) _exit(2);
	struct rlimit small = { 100000, 100000 };
	setrlimit(RLIMIT_FSIZE, &small);
	i.number = 1;
	i.size = 100000;
	int r = db_write(db, put, &i);
	if (r >= 0 || db_cause() != DB_CAUSE_FULL || i.hooks != 1) _exit(3);
	if (ask(db, "SELECT COUNT(*) FROM item") != 1) _exit(4);
	i.size = 10;
	if (db_write(db, put, &i) != 0) _exit(5);
	_exit(0);
}

static void test_commit_fails(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	pid_t child = fork();
	if (child == 0) commit_fails(dir);
	int status = 0;
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema });
	assert_int_equal(ask(db, "SELECT COUNT(*) FROM item"), 2);
	db_close(&db);
}

/* Acknowledges each write over a pipe until it is killed. */
struct acker {
	struct item item;
	int fd;
};

static void *ack(void *arg) {
	struct acker *a = arg;
	for (;; a->item.number++) {
		if (db_write(a->item.db, put, &a->item) != 0) _exit(9);
		int64_t word = a->item.thread * 1000000 + a->item.number;
		if (write(a->fd, &word, sizeof word) != sizeof word) _exit(8);
	}
	return NULL;
}

static void write_until_killed(const char *dir, int fd, int64_t round) {
	struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema, .checkpoint_pages = 40 });
	static struct acker ackers[4];
	pthread_t thread;
	for (int64_t i = 0; i < 4; i++) {
		ackers[i] = (struct acker){ .item = { .db = db, .thread = round * 10 + i, .size = 2000 }, .fd = fd };
		pthread_create(&thread, NULL, ack, &ackers[i]);
	}
	for (;;) pause();
}

static int64_t read_acks(int fd, int64_t *seen) {
	int64_t word, count = 0;
	while (read(fd, &word, sizeof word) == sizeof word && count < 100000) seen[count++] = word;
	return count;
}

static void test_killed(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	static int64_t seen[100000];
	for (int64_t round = 0; round < 4; round++) {
		int fds[2];
		assert_int_equal(pipe(fds), 0);
		pid_t child = fork();
		if (child == 0) write_until_killed(dir, fds[1], round);
		close(fds[1]);
		struct pollfd first = { .fd = fds[0], .events = POLLIN };
		assert_int_equal(poll(&first, 1, 60000), 1); /* it writes now, however slow the machine */
		usleep((useconds_t)random_below(150000));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		int64_t count = read_acks(fds[0], seen);
		close(fds[0]);
		assert_true(count > 0);
		struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema });
		struct db_conn *c = db_read(db);
		for (int64_t i = 0; i < count; i++) {
			AUTO_STMT struct db_stmt *s =
				db_sql(c, "SELECT LENGTH(data) FROM item WHERE thread = ? AND number = ?");
			db_bind_int(s, seen[i] / 1000000);
			db_bind_int(s, seen[i] % 1000000);
			assert_int_equal(db_step(s), DB_ROW);
			assert_int_equal(db_int(s, 0), 2000);
		}
		AUTO_STMT struct db_stmt *s = db_sql(c, "PRAGMA integrity_check");
		assert_int_equal(db_step(s), DB_ROW);
		assert_true(slice_eq(db_text(s, 0), S("ok")));
		db_done(&s);
		db_release(&c);
		db_close(&db);
	}
}

/* Writers that never pause, and readers: the log must start over now and then. */
static void *pour(void *arg) {
	struct item *i = arg;
	for (i->number = 0; i->number < 1500; i->number++)
		if (db_write(i->db, put, i) != 0) i->failures++;
	return NULL;
}

static void test_log_stays_bounded(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	struct db *db = testing_db(dir, &(struct db_params){ .schema = &schema, .checkpoint_pages = 100 });
	static struct item items[4];
	pthread_t threads[4];
	for (int i = 0; i < 4; i++) {
		items[i] = (struct item){ .db = db, .thread = i, .size = 4000 };
		pthread_create(&threads[i], NULL, pour, &items[i]);
	}
	for (int i = 0; i < 50; i++) ask(db, "SELECT COUNT(*) FROM item");
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(items[i].failures, 0);
	}
	assert_int_equal(ask(db, "SELECT COUNT(*) FROM item"), 6000);
	char path[100];
	struct stat st;
	snprintf(path, sizeof path, "%s/hato.db-wal", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < (off_t)MIB(12)); /* 6000 writes of 4 KB make 50 MB of log */
	db_close(&db);
}

/* Another process writes at the same time, as the command hato does. */
static void test_two_processes(void **state UNUSED) {
	AUTO_TESTING_DIR char *dir = testing_dir();
	const struct db_params params = { .schema = &schema };
	struct db *db = testing_db(dir, &params);
	db_close(&db);
	pid_t child = fork();
	struct item i = { .db = testing_db(dir, &params), .thread = child == 0, .size = 100 };
	for (; i.number < 200; i.number++)
		if (db_write(i.db, put, &i) != 0) i.failures++;
	if (child == 0) _exit(i.failures == 0 ? 0 : 1);
	int status = 0;
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	assert_int_equal(i.failures, 0);
	assert_int_equal(ask(i.db, "SELECT COUNT(*) FROM item"), 400);
	db_close(&i.db);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_threads),      cmocka_unit_test(test_disk_full),
		cmocka_unit_test(test_commit_fails),      cmocka_unit_test(test_killed),
		cmocka_unit_test(test_log_stays_bounded), cmocka_unit_test(test_two_processes),
		cmocka_unit_test(test_repeatable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
