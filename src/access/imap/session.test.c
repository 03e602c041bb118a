/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions against a real store in a temporary folder; the dialogues are in tests/data/imap. */
#include "access/imap/session.h"
#include "access/imap/play.h"
#include "base/log.h"
#include "db/db.h"
#include "store/change.h"
#include "store/store.h"
#include "user/user.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>

struct house {
	char dir[64];
	struct db *db;
	struct change_hub *hub;
	struct pool *pool;
	struct imap_context context;
	int64_t account;
	unsigned tags;
};

static int make_account(struct db_conn *tx, void *arg) {
	struct house *h = arg;
	int r = user_account_add(tx, S("user@example.test"), &h->account);
	return r != 0 ? r : store_account_create(tx, h->account);
}

static void house_open(struct house *h) {
	snprintf(h->dir, sizeof(h->dir), "/tmp/hato-imap-XXXXXX");
	assert_non_null(mkdtemp(h->dir));
	if (db_open(h->dir, NULL, &h->db) < 0) fail_msg("%s", fail_text());
	h->hub = change_hub_open(h->db);
	if (db_write(h->db, make_account, h) != 0) fail_msg("account: %s", fail_text());
	h->pool = pool_new(&(struct pool_params){ .min_workers = 2, .max_workers = 8 });
	h->context = (struct imap_context){ .db = h->db, .hub = h->hub, .params = { .spool_dir = h->dir } };
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static void house_close(struct house *h) {
	assert_int_equal(pool_stop(h->pool, deadline_in(SECONDS(10))), 0);
	pool_free(&h->pool);
	change_hub_close(&h->hub);
	db_close(&h->db);
	nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int connect_one(struct play *p) {
	struct house *h = p->ctx;
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	const struct imap_grant grant = { h->account, S("user@example.test"), S("login"), S("192.0.2.1"), 4711, true };
	imap_session_start(h->pool, &h->context, fds[1], &grant);
	return fds[0];
}

static void play_file(const char *folder, const char *name, bool dripped) {
	struct house h = { .db = NULL };
	struct play p = { .dripped = dripped, .connect = connect_one, .ctx = &h };
	house_open(&h);
	play(&p, folder, name);
	house_close(&h);
}

static int is_session_script(const struct dirent *d) {
	return slice_starts(slice_of(d->d_name), S("session-"));
}

static void test_scripts(void **state) {
	struct dirent **names;
	char folder[512];
	(void)state;
	PLAY_FOLDER(folder);
	int n = scandir(folder, &names, is_session_script, alphasort);
	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		play_file(folder, names[i]->d_name, false);
		play_file(folder, names[i]->d_name, true);
		free(names[i]);
	}
	free(names);
}

/* A large APPEND goes through the spool file, comes back whole, and a session that is told to stop says so. */
static void test_large(void **state) {
	enum { SIZE = 3 * 1024 * 1024 };
	struct house h = { .db = NULL };
	struct play p = { .connect = connect_one, .ctx = &h, .file = "large" };
	AUTO_BUF struct buf text = BUF(SIZE + 1000);
	struct slice line;
	(void)state;
	house_open(&h);
	int fd = p.fds[0] = connect_one(&p);
	p.in[0] = BUF(SIZE * 2);
	buf_addf(&text, "a APPEND INBOX {%d+}\r\n", SIZE);
	size_t end = text.len + SIZE;
	buf_add(&text, S("Subject: large\r\n\r\n"));
	while (text.len < end) buf_addf(&text, "%-70zu\r\n", text.len);
	text.len = end;
	buf_add(&text, S("\r\nb SELECT INBOX\r\nc FETCH 1 BODY.PEEK[]\r\n"));
	play_send(&p, 0, buf_slice(&text));
	play_expect(&p, 1, 0, '*', S("a OK [APPENDUID ... 1] Append completed."));
	play_expect(&p, 2, 0, '*', S("* 1 FETCH (BODY[] {3145728}"));
	size_t got = 0;
	while (got < SIZE && play_line(&p, 0, &line) == 1) {
		got += line.len + 2;
		buf_eat(&p.in[0], line.len + 2);
	}
	play_expect(&p, 3, 0, '*', S("c OK ..."));
	struct pool *pool = h.pool;
	assert_int_equal(pool_stop(pool, deadline_in(SECONDS(10))), 0);
	play_expect(&p, 4, 0, ':', S("* BYE Server shutting down."));
	close(fd);
	buf_done(&p.in[0]);
	house_close(&h);
}

/* A search in many parts and a MOVE of many messages tell how far they are (RFC 9585), and their answers stay whole. */
static void test_progress(void **state) {
	enum { MESSAGES = 450 };
	struct house h = { .db = NULL };
	struct play p = { .connect = connect_one, .ctx = &h, .file = "progress" };
	AUTO_BUF struct buf text = BUF(MIB(1));
	(void)state;
	house_open(&h);
	h.context.params.progress_interval = 1;
	int fd = p.fds[0] = connect_one(&p);
	p.in[0] = BUF(MIB(1));
	buf_add(&text, S("a APPEND INBOX"));
	for (int i = 0; i < MESSAGES; i++) buf_add(&text, S(" {13+}\r\n\r\nsome words\n"));
	buf_add(&text, S("\r\nb SELECT INBOX\r\n"));
	/* 450 times 64 messages: a search that takes many milliseconds, a MOVE in two slices */
	for (int i = 0; i < 6; i++) buf_add(&text, S("d COPY 1:* INBOX\r\n"));
	buf_add(&text, S("c SEARCH BODY nothing\r\n"));
	play_send(&p, 0, buf_slice(&text));
	play_expect(&p, 1, 0, '*', S("b OK ..."));
	play_expect(&p, 2, 0, '*', S("* OK [INPROGRESS (\"c\" ...)] Still at it."));
	play_expect(&p, 3, 0, '*', S("* SEARCH"));
	play_expect(&p, 4, 0, ':', S("c OK Search completed."));
	buf_clear(&text);
	buf_add(&text, S("e MOVE 1:* Archive\r\nf STATUS Archive (MESSAGES)\r\n"));
	play_send(&p, 0, buf_slice(&text));
	play_expect(&p, 5, 0, '*', S("* OK [INPROGRESS (\"e\" 20000 28800)] Still at it."));
	play_expect(&p, 6, 0, ':', S("* OK [COPYUID ... 1:28800 1:28800] Moved UIDs."));
	play_expect(&p, 7, 0, ':', S("* 1 EXPUNGE"));
	play_expect(&p, 8, 0, '*', S("e OK ..."));
	play_expect(&p, 9, 0, ':', S("* STATUS Archive (MESSAGES 28800)"));
	close(fd);
	buf_done(&p.in[0]);
	house_close(&h);
}

static int flag_all(struct db_conn *tx, void *arg) {
	const struct flag_change change = { .how = FLAGS_ADD, .flags = *(uint32_t *)arg };
	struct box inbox;
	int r = store_inbox(tx, 1, &inbox);
	return r != 0 ? r : store_flags(tx, inbox, UID_ALL, &change, NULL, NULL, NULL, NULL);
}

static void flag(struct db *db, uint32_t flags) {
	if (db_write(db, flag_all, &flags) != 0) fail_msg("%s", fail_text());
}

/* What another process changes is announced to nobody in ours, and yet the next command tells it; also when we write
 * in between. */
static void test_another_process(void **state) {
	struct house h = { .db = NULL };
	struct play p = { .connect = connect_one, .ctx = &h, .file = "another process" };
	struct db *other = NULL;
	(void)state;
	house_open(&h);
	assert_int_equal(h.account, 1);
	int fd = p.fds[0] = connect_one(&p);
	p.in[0] = BUF(MIB(1));
	play_send(&p, 0, S("a APPEND INBOX {13+}\r\n\r\nsome words\n\r\nb SELECT INBOX\r\nc NOOP\r\nd NOOP\r\n"));
	play_expect(&p, 1, 0, '*', S("c OK ..."));
	play_expect(&p, 2, 0, ':', S("d OK ..."));
	if (db_open(h.dir, NULL, &other) < 0) fail_msg("%s", fail_text());
	flag(other, FLAG_FLAGGED);
	play_send(&p, 0, S("e NOOP\r\n"));
	play_expect(&p, 3, 0, ':', S("* 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))"));
	play_expect(&p, 4, 0, ':', S("e OK ..."));
	flag(other, FLAG_ANSWERED);
	play_send(&p, 0, S("f CREATE Ours\r\n"));
	play_expect(&p, 5, 0, ':', S("* 1 FETCH (UID 1 FLAGS (\\Answered \\Flagged \\Recent))"));
	play_expect(&p, 6, 0, ':', S("f OK ..."));
	flag(other, FLAG_DRAFT);
	flag(h.db, FLAG_SEEN);
	play_send(&p, 0, S("g NOOP\r\nh NOOP\r\n"));
	play_expect(&p, 7, 0, ':', S("* 1 FETCH (UID 1 FLAGS (\\Answered \\Flagged \\Seen \\Draft \\Recent))"));
	play_expect(&p, 8, 0, ':', S("g OK ..."));
	play_expect(&p, 9, 0, ':', S("h OK ..."));
	close(fd);
	buf_done(&p.in[0]);
	db_close(&other);
	house_close(&h);
}

int main(void) {
	log_open(&(struct log_target){ .fd = STDERR_FILENO, .least = L_ERROR, .name = "hato", .host = "test" });
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_scripts), cmocka_unit_test(test_large),
					    cmocka_unit_test(test_progress), cmocka_unit_test(test_another_process) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
