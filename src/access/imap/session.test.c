/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions against a real store in a temporary folder; the dialogues are in tests/data/imap. */
#include "access/imap/session.h"
#include "access/imap/play.h"
#include "base/log.h"
#include "db/db.h"
#include "net/descriptor.h"
#include "store/change.h"
#include "store/store.h"
#include "user/user.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>

struct house {
	char dir[64];
	struct db *db;
	struct change_hub *hub;
	struct pool *pool;
	struct imap_context context;
	int64_t account;
	unsigned tags;
	int edges[PLAY_CLIENTS]; /* of handed sessions: what their edge would hold */
	size_t edge_count;
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
	for (size_t i = 0; i < h->edge_count; i++) close(h->edges[i]);
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

/* As for a client without TLS: it is his own socket that the session is held over. */
static int connect_handed(struct play *p) {
	struct house *h = p->ctx;
	int fds[2], pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	const struct imap_grant grant = { .account = h->account,
					  .login = S("user@example.test"),
					  .tag = S("login"),
					  .remote = S("192.0.2.1"),
					  .session = 4711,
					  .handed = true };
	imap_session_start(h->pool, &h->context, pair[1], &grant);
	assert_int_equal(descriptor_send(pair[0], 0, fds[1], deadline_in(SECONDS(5))), 0);
	close(fds[1]);
	h->edges[h->edge_count++] = pair[0];
	return fds[0];
}

static void play_file(const char *folder, const char *name, bool dripped, int (*connect)(struct play *p)) {
	struct house h = { .db = NULL };
	struct play p = { .dripped = dripped, .connect = connect, .ctx = &h };
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
		play_file(folder, names[i]->d_name, false, connect_one);
		play_file(folder, names[i]->d_name, true, connect_one);
		play_file(folder, names[i]->d_name, false, connect_handed);
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

/* What edge hears over the pair: the mark with which the client comes back, or the end. */
static void edge_hears(struct house *h, bool mark) {
	char byte;
	int fd;
	struct pollfd wait = { .fd = h->edges[0], .events = POLLIN };
	assert_int_equal(poll(&wait, 1, 5000), 1);
	assert_int_equal(descriptor_receive(h->edges[0], &byte, 1, &fd), mark ? 1 : 0);
	assert_true(mark == (fd >= 0));
	auto_fd(&fd);
}

/* A client whose socket was handed over: taken back at UNAUTHENTICATE, still open; told when his edge goes. */
static void test_handed(void **state) {
	static const struct {
		const char *says, *hears;
		bool edge_goes, mark;
	} ends[] = {
		{ "a NOOP\r\nb UNAUTHENTICATE\r\n", "b OK ...", false, true },
		{ "a NOOP\r\nb LOGOUT\r\n", "b OK ...", false, false },
		{ "a NOOP\r\n", "* BYE Connection closed.", true, false },
		{ "a IDLE\r\n", "* BYE Connection closed.", true, false },
	};
	(void)state;
	for (size_t i = 0; i < LEN(ends); i++) {
		struct house h = { .db = NULL };
		struct play p = { .connect = connect_handed, .ctx = &h, .file = "handed" };
		struct slice line;
		house_open(&h);
		p.fds[0] = connect_handed(&p);
		p.in[0] = BUF(MIB(1));
		play_expect(&p, 1, 0, ':', S("login OK [CAPABILITY ...] Logged in"));
		play_send(&p, 0, slice_of(ends[i].says));
		play_expect(&p, 2, 0, ':', ends[i].says[2] == 'I' ? S("+ ...") : S("a OK ..."));
		if (ends[i].edge_goes) shutdown(h.edges[0], SHUT_WR);
		play_expect(&p, 3, 0, '*', slice_of(ends[i].hears));
		edge_hears(&h, ends[i].mark);
		if (ends[i].mark) edge_hears(&h, false); /* the session is over; whether the socket is, edge knows */
		assert_int_equal(play_line(&p, 0, &line), 0);
		close(p.fds[0]);
		buf_done(&p.in[0]);
		house_close(&h);
	}
}

/* An edge that dies before it has handed its client over, or says something else than it should. */
static void test_never_handed(void **state) {
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct house h = { .db = NULL };
		int pair[2];
		char byte;
		house_open(&h);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		const struct imap_grant grant = { .account = h.account, .tag = S("login"), .handed = true };
		imap_session_start(h.pool, &h.context, pair[1], &grant);
		if (i == 0) shutdown(pair[0], SHUT_WR);
		else assert_int_equal(send(pair[0], "a NOOP\r\n", 8, 0), 8);
		struct pollfd wait = { .fd = pair[0], .events = POLLIN };
		assert_int_equal(poll(&wait, 1, 5000), 1);
		assert_true(recv(pair[0], &byte, 1, 0) <= 0);
		close(pair[0]);
		house_close(&h);
	}
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
					    cmocka_unit_test(test_handed), cmocka_unit_test(test_never_handed),
					    cmocka_unit_test(test_progress), cmocka_unit_test(test_another_process) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
