/* SPDX-License-Identifier: Apache-2.0 */
/* Every verb, against a database in a folder of its own and a vault that can be told to fail. */
#include "admin/admin.h"
#include "admin/inside.h"
#include "base/clock.h"
#include "base/fail.h"
#include "db/blob.h"
#include "queue/history.h"
#include "queue/queue.h"
#include "user/secret.h"

#include <ftw.h>
#include <sysexits.h>

#include "base/test.h"

struct world {
	char dir[64];
	struct db *db;
	struct admin admin;
	struct buf out, err;
	/* the vault */
	char account[200], password[200];
	bool is_hash, broken;
	int deleted, woken;
};

static int fake_set(void *ctx, struct slice account, struct slice password, bool is_hash) {
	struct world *w = ctx;
	if (w->broken) return fail("vault is away");
	if (is_hash && !slice_starts(password, S("{"))) return SECRET_BAD_HASH;
	snprintf(w->account, sizeof w->account, "%.*s", SLICE_ARG(account));
	snprintf(w->password, sizeof w->password, "%.*s", SLICE_ARG(password));
	w->is_hash = is_hash;
	return 0;
}

static int fake_delete(void *ctx, struct slice account) {
	struct world *w = ctx;
	(void)account;
	w->deleted++;
	return w->broken ? fail("vault is away") : 0;
}

static void fake_wake(void *ctx) {
	((struct world *)ctx)->woken++;
}

static const struct admin_ops ops = { .secret_set = fake_set,
				      .secret_delete = fake_delete,
				      .queue_changed = fake_wake };

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static int setup(void **state) {
	struct world *w = mem_get(sizeof *w);
	memcpy(w->dir, "/tmp/hato-admin-XXXXXX", 23);
	if (mkdtemp(w->dir) == NULL || db_open(w->dir, NULL, &w->db) < 0) return -1;
	w->admin = (struct admin){ w->db, &ops, w };
	w->out = BUF(MIB(8));
	w->err = BUF(MIB(1));
	*state = w;
	return 0;
}

static int teardown(void **state) {
	struct world *w = *state;
	db_close(&w->db);
	nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	buf_done(&w->out);
	buf_done(&w->err);
	free(w);
	return 0;
}

/* The words of a command line, separated by blanks. */
static int run_with(struct world *w, const char *input, const char *line) {
	struct slice words[64], rest = slice_of(line);
	size_t n = 0;
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) words[n++] = word;
	buf_clear(&w->out);
	buf_clear(&w->err);
	return admin_run(&w->admin, &(struct admin_request){ .args = words, .count = n, .input = slice_of(input) },
			 &w->out, &w->err);
}

static int run(struct world *w, const char *line) {
	return run_with(w, "", line);
}

static bool has(struct buf *b, const char *text) {
	bool found = strstr(buf_text(b), text) != NULL;
	if (!found) print_message("no \"%s\" in:\n%s\n", text, buf_text(b));
	return found;
}

static void add_ann(struct world *w) {
	assert_int_equal(run_with(w, "secret\n", "account add Ann@Example.Test --password-stdin"), EX_OK);
}

static void usage(void **state) {
	struct world *w = *state;
	static const struct { const char *line; int code; const char *err;
	} cases[] = {
		{ "", EX_USAGE, "no such command" },
		{ "nonsense", EX_USAGE, "hato: nonsense: no such command" },
		{ "account", EX_USAGE, "what about it? (add, del," },
		{ "account fly", EX_USAGE, "account fly: no such command (add," },
		{ "account add", EX_USAGE, "hato account add: something is missing (usage: " },
		{ "account list a b", EX_USAGE, "too many words" },
		{ "account list --yes", EX_USAGE, "--yes: no such option" },
		{ "account list -x", EX_USAGE, "no such option" },
		{ "account list --json=5", EX_USAGE, "takes no value" },
		{ "why --limit", EX_USAGE, "--limit needs a value" },
		{ "why --limit 0 x", EX_USAGE, "--limit needs a number" },
		{ "account add x@y.test", EX_USAGE, "with which password?" },
		{ "account list --width=x", EX_USAGE, "--width" },
		{ "account add x@y.test --password-stdin --hash {PLAIN}x", EX_USAGE, "not both" },
		{ "alias add a@b.test", EX_USAGE, "something is missing" },
		{ "account del x\x1b[31m", EX_NOUSER, "x?[31m: no such account" },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		assert_int_equal(run(w, cases[i].line), cases[i].code);
		assert_true(has(&w->err, cases[i].err));
		assert_int_equal(w->out.len, 0);
	}
	assert_int_equal(run(w, "account add --help"), EX_OK);
	assert_true(has(&w->out, "account add NAME"));
	struct slice two[] = { S("queue"), S("flush") };
	assert_string_equal(admin_find(two, 2)->verb, "flush");
	assert_null(admin_find(two, 1));
}

static void accounts(void **state) {
	struct world *w = *state;
	assert_int_equal(run(w, "account list"), EX_OK);
	assert_true(has(&w->err, "no accounts yet"));
	add_ann(w);
	assert_string_equal(buf_text(&w->out), "ann@example.test added\n");
	assert_string_equal(w->account, "ann@example.test");
	assert_string_equal(w->password, "secret");
	assert_int_equal(run_with(w, "other\n", "account add ann@EXAMPLE.test --password-stdin"), EX_DATAERR);
	assert_true(has(&w->err, "hato account add: ann@example.test: the account exists (hato account password"));
	assert_string_equal(w->password, "secret"); /* untouched */
	assert_int_equal(run(w, "-q account list"), EX_USAGE);
	assert_int_equal(run(w, "account add bob@example.test --hash {PLAIN}x -q"), EX_OK);
	assert_true(w->is_hash && w->out.len == 0);
	assert_int_equal(run(w, "account list"), EX_OK);
	assert_true(has(&w->out, "ADDRESS           MESSAGES  SIZE  CREATED") && has(&w->out, "\nbob@example.test"));
	assert_int_equal(run(w, "account list elsewhere.test --json"), EX_OK);
	assert_string_equal(buf_text(&w->out), "[]\n");
	assert_int_equal(run(w, "account list example.test --json"), EX_OK);
	assert_true(has(&w->out, "{\"address\":\"ann@example.test\",\"messages\":0,\"bytes\":0,\"created\":\"20") &&
		    has(&w->out, "\"disabled\":false"));
	assert_int_equal(run(w, "account disable ann@example.test"), EX_OK);
	assert_int_equal(run(w, "account quota ann@example.test 1.5G 1000"), EX_OK);
	assert_true(has(&w->out, "may keep 1.5G, 1000 messages"));
	assert_int_equal(run(w, "account show ann@example.test"), EX_OK);
	assert_true(has(&w->out, "ann@example.test (disabled)") && has(&w->out, "0 of 1000") &&
		    has(&w->out, "0 of 1.5G") && has(&w->out, "\nINBOX"));
	assert_int_equal(run(w, "account enable ann@example.test"), EX_OK);
	assert_int_equal(run(w, "account show ann@example.test --json"), EX_OK);
	assert_true(has(&w->out, "\"disabled\":false") &&
		    has(&w->out, "\"mailboxes\":[{\"name\":\"Archive\",\"messages\":0") &&
		    has(&w->out, "\"aliases\":[]}"));
	assert_int_equal(run_with(w, "new\r\n", "account password ann@example.test --password-stdin"), EX_OK);
	assert_string_equal(w->password, "new");
	assert_int_equal(run(w, "account del ann@example.test"), EX_OK);
	assert_int_equal(w->deleted, 1);
	assert_int_equal(run(w, "account list example.test"), EX_OK);
	assert_null(strstr(buf_text(&w->out), "ann@"));
	add_ann(w); /* a name can be used again */
}

static void account_errors(void **state) {
	struct world *w = *state;
	static const struct { const char *input, *line; int code;
	} cases[] = {
		{ "x\n", "account add ann --password-stdin", EX_DATAERR },
		{ "x\n", "account add @example.test --password-stdin", EX_DATAERR },
		{ "x\n", "account add a,b@example.test --password-stdin", EX_DATAERR },
		{ "x\n", "account add a@-bad-.test --password-stdin", EX_DATAERR },
		{ "x\n", "account add a@[192.0.2.1] --password-stdin", EX_DATAERR },
		{ "\n", "account add a@example.test --password-stdin", EX_DATAERR },
		{ "", "account add a@example.test --password-stdin", EX_DATAERR },
		{ "", "account add a@example.test --hash rubbish", EX_DATAERR },
		{ "x\n", "account password no@example.test --password-stdin", EX_NOUSER },
		{ "", "account disable no@example.test", EX_NOUSER },
		{ "", "account quota no@example.test 5M", EX_NOUSER },
		{ "", "account quota no@example.test five", EX_DATAERR },
		{ "", "account quota no@example.test 5M -- -1", EX_DATAERR },
		{ "", "account show nobody", EX_NOUSER },
		{ "", "account del no@example.test", EX_NOUSER },
	};
	for (size_t i = 0; i < LEN(cases); i++) {
		if (run_with(w, cases[i].input, cases[i].line) != cases[i].code)
			print_message("%s: %s\n", cases[i].line, buf_text(&w->err));
		assert_int_equal(run_with(w, cases[i].input, cases[i].line), cases[i].code);
		assert_true(w->err.len > 0 && w->out.len == 0);
	}
	assert_int_equal(run(w, "account list --json"), EX_OK);
	assert_string_equal(buf_text(&w->out), "[]\n"); /* nothing half was left */
	w->broken = true;
	assert_int_equal(run_with(w, "x\n", "account add a@example.test --password-stdin"), EX_TEMPFAIL);
	assert_true(has(&w->err, "the password cannot be set: vault is away"));
	assert_int_equal(run(w, "account list --json"), EX_OK);
	assert_string_equal(buf_text(&w->out), "[]\n");
}

static void aliases_and_domains(void **state) {
	struct world *w = *state;
	add_ann(w);
	assert_int_equal(run(w, "alias add sales@example.test ann@example.test X@far.test"), EX_OK);
	assert_int_equal(run(w, "alias add sales@example.test ann@example.test"), EX_DATAERR);
	assert_int_equal(run(w, "alias add @second.test @example.test"), EX_OK);
	assert_int_equal(run(w, "alias add bad ann@example.test"), EX_DATAERR);
	assert_int_equal(run(w, "alias add good@example.test ann@example.test nonsense"), EX_DATAERR);
	assert_true(has(&w->err, "nonsense: not a mail address"));
	assert_int_equal(run(w, "alias add ann@example.test x@far.test"), EX_OK);
	assert_true(has(&w->err, "gets no more mail"));
	assert_int_equal(run(w, "alias add ann@example.test ann@example.test"), EX_OK);
	assert_int_equal(w->err.len, 0);
	assert_int_equal(run(w, "alias list example.test"), EX_OK);
	assert_true(has(&w->out, "sales@example.test  X@far.test, ann@example.test\n"));
	assert_int_equal(run(w, "alias list --json"), EX_OK);
	assert_true(has(&w->out, "{\"address\":\"@second.test\",\"targets\":[\"@example.test\"]}"));
	assert_true(
		has(&w->out, "{\"address\":\"sales@example.test\",\"targets\":[\"X@far.test\",\"ann@example.test\"]}"));
	assert_int_equal(run(w, "alias del sales@example.test x@FAR.test"), EX_OK);
	assert_int_equal(run(w, "alias del sales@example.test x@far.test"), EX_NOUSER);
	assert_int_equal(run(w, "domain add third.test"), EX_OK);
	assert_int_equal(run(w, "domain add third.test"), EX_DATAERR);
	assert_int_equal(run(w, "domain add -x-"), EX_USAGE);
	assert_int_equal(run(w, "domain add no..dots"), EX_DATAERR);
	assert_int_equal(run(w, "domain list"), EX_OK);
	assert_true(has(&w->out, "example.test         1        2") && has(&w->out, "third.test           0        0"));
	assert_int_equal(run(w, "domain del example.test"), EX_DATAERR);
	assert_true(has(&w->err, "still has accounts or aliases"));
	assert_int_equal(run(w, "domain del third.test"), EX_OK);
	assert_int_equal(run(w, "domain del third.test"), EX_NOUSER);
	assert_int_equal(run(w, "account del ann@example.test"), EX_OK);
	assert_true(has(&w->err, "the alias sales@example.test still leads here"));
	assert_int_equal(run(w, "alias del sales@example.test"), EX_OK);
	assert_int_equal(run(w, "alias del sales@example.test"), EX_NOUSER);
}

/* A queue. */

struct letter {
	struct blob_draft *draft;
	struct queue *queue;
	const char *id;
	bool deferred;
};

static int put_letter(struct db_conn *tx, void *arg) {
	struct letter *l = arg;
	struct queue_recipient to[] = {
		{ .address = S("x@far.test"), .original = S("list@here.test"), .hop = S("[relay.test]") },
		{ .address = S("y@near.test"), .hop = S("near.test") }
	};
	struct queue_message m = { .id = slice_of(l->id),
				   .sender = S("ann@example.test"),
				   .size = 100,
				   .arrived_us = wall_us() - 5 * INT64_C(60000000),
				   .message_id = S("<1@example.test>"),
				   .recipients = to,
				   .recipient_count = 2 };
	int r = blob_insert(tx, l->draft, S(""), &m.blob_id);
	if (r == 0) r = queue_put(tx, &m);
	if (r == 0)
		r = history_add(tx, &(struct history_row){ .queue_id = m.id,
							   .kind = HISTORY_ACCEPTED,
							   .sender = m.sender,
							   .recipient = to[0].address,
							   .peer = S("home[192.0.2.9]"),
							   .message_id = m.message_id });
	if (r != 0 || !l->deferred) return r;
	struct slice why = S("host mx.far.test[192.0.2.1] said: 450 4.7.1 \x1b[2JGreylisted, come back");
	r = queue_deferred(l->queue, tx, m.id, 0, wall_us(), S("4.7.1"), why);
	return r != 0 ? r
		      : history_add(tx, &(struct history_row){ .queue_id = m.id,
							       .kind = HISTORY_DEFERRED,
							       .sender = m.sender,
							       .recipient = to[0].address,
							       .peer = S("mx.far.test[192.0.2.1]:25"),
							       .status = S("4.7.1"),
							       .text = why,
							       .message_id = m.message_id });
}

static void put(struct world *w, const char *id, bool deferred) {
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	struct slice body = S("Subject: \x1b[31mhi\r\n\r\nhello\r\n");
	assert_int_equal(
		blob_prepare(w->db, &(struct blob_source){ .parts = &body, .part_count = 1, .fd = -1 }, &draft), 0);
	struct letter l = { draft, queue_open(w->db, &(struct queue_params){ 300, 4000, 432000, 432000, 0 }), id,
			    deferred };
	assert_int_equal(db_write(w->db, put_letter, &l), 0);
	queue_close(&l.queue);
}

static void queue(void **state) {
	struct world *w = *state;
	assert_int_equal(run(w, "queue list"), EX_OK);
	assert_string_equal(buf_text(&w->out), "the queue is empty\n");
	assert_int_equal(run(w, "queue list --json"), EX_OK);
	assert_string_equal(buf_text(&w->out), "[]\n");
	put(w, "AAAAAAAAAAz1", true);
	put(w, "BBBBBBBBBBz2", false);
	assert_int_equal(run(w, "queue list --width=60"), EX_OK);
	assert_true(has(&w->out, "AAAAAAAAAAz1        100    5m  ann@example.test\n    x@far.test (sent to "
				 "list@here.test): tried 1 time, again in "));
	assert_true(has(&w->out,
			"        host mx.far.test[192.0.2.1] said: 450 4.7.1\n        ?[2JGreylisted, come back\n"));
	assert_true(has(&w->out, "    y@near.test: not tried yet, now due\n") &&
		    has(&w->out, "2 messages for 4 recipients, 200\n"));
	assert_null(strchr(buf_text(&w->out), '\x1b'));
	assert_int_equal(run(w, "queue list --json"), EX_OK);
	assert_true(has(&w->out, "\"next_hop\":\"[relay.test]\",\"tries\":1,\"next_try\":\"20") &&
		    has(&w->out, "4.7.1 \\u001b[2JGreylisted"));
	assert_int_equal(run(w, "queue show BBBBBBBBBBz2"), EX_OK);
	assert_true(has(&w->out, "x@far.test") && has(&w->out, "\nSubject: ?[31mhi\n\nhello\n"));
	assert_int_equal(run(w, "queue show BBBBBBBBBBz2 --raw"), EX_OK);
	assert_string_equal(buf_text(&w->out), "Subject: \x1b[31mhi\r\n\r\nhello\r\n");
	assert_int_equal(run(w, "queue show nope"), EX_NOUSER);
	assert_int_equal(run(w, "queue flush far.test"), EX_OK);
	assert_int_equal(w->woken, 1);
	assert_int_equal(run(w, "queue list"), EX_OK);
	assert_true(has(&w->out, "tried 1 time, now due"));
	assert_int_equal(run(w, "queue flush AAAAAAAAAAz1 nowhere.test"), EX_NOUSER);
	assert_true(has(&w->err, "nowhere.test: nothing in the queue"));
	assert_int_equal(run(w, "queue hold AAAAAAAAAAz1 nope"), EX_NOUSER);
	assert_true(has(&w->out, "1 message on hold"));
	assert_int_equal(run(w, "queue hold ALL"), EX_OK);
	assert_string_equal(buf_text(&w->out), "1 message on hold\n");
	assert_int_equal(run(w, "queue flush"), EX_OK);
	assert_true(has(&w->out, "nothing waits"));
	assert_int_equal(run(w, "queue list"), EX_OK);
	assert_true(has(&w->out, "y@near.test: on hold"));
	assert_int_equal(run(w, "status"), EX_OK);
	assert_true(has(&w->out, "  queue     2 messages (200, the oldest waits for 5m, 2 on hold)"));
	assert_int_equal(run(w, "queue release ALL"), EX_OK);
	assert_true(has(&w->out, "2 messages released"));
	assert_int_equal(run(w, "queue flush"), EX_OK);
	assert_int_equal(run(w, "queue delete BBBBBBBBBBz2"), EX_OK);
	assert_int_equal(run(w, "queue delete BBBBBBBBBBz2"), EX_NOUSER);
	assert_int_equal(run(w, "queue delete ALL --yes"), EX_OK);
	assert_int_equal(run(w, "status --json"), EX_OK);
	assert_true(has(&w->out, "\"queue_messages\":0,") && has(&w->out, "\"queue_oldest\":null"));
	assert_int_equal(run(w, "why BBBBBBBBBBz2"), EX_OK);
	assert_true(has(&w->out, "put on hold for y@near.test") &&
		    has(&w->out, "deleted from the queue for y@near.test"));
}

static void why(void **state) {
	struct world *w = *state;
	put(w, "AAAAAAAAAAz1", true);
	assert_int_equal(run(w, "why AAAAAAAAAAz1 --width=80"), EX_OK);
	assert_true(has(&w->out, "AAAAAAAAAAz1  from ann@example.test  <1@example.test>\n  20"));
	assert_true(has(&w->out, "  accepted (from home[192.0.2.9])\n") &&
		    has(&w->out, "not delivered yet to x@far.test (at mx.far.test[192.0.2.1]:25)\n"));
	assert_true(has(&w->out, "?[2JGreylisted") && has(&w->out, "Nothing to do:") &&
		    has(&w->out, "  now                  in the queue for x@far.test, next try in "));
	assert_null(strchr(buf_text(&w->out), '\x1b'));
	AUTO_FREE char *whole = slice_text(buf_slice(&w->out));
	static const char *const same[] = { "why ann@example.test --width=80", "why ANN@example.test --width=80",
					    "why <1@example.test> --width=80", "why 1@example.test --width=80" };
	for (size_t i = 0; i < LEN(same); i++) {
		assert_int_equal(run(w, same[i]), EX_OK);
		assert_string_equal(buf_text(&w->out), whole);
	}
	assert_int_equal(run(w, "why y@near.test"), EX_OK); /* nothing happened to it yet, beyond being queued */
	assert_true(has(&w->out, "in the queue for y@near.test, next try now"));
	assert_int_equal(run(w, "why list@here.test"), EX_OK);
	assert_true(has(&w->out, "in the queue for x@far.test"));
	assert_int_equal(run(w, "why x@far.test --json"), EX_OK);
	assert_true(has(&w->out, "\"event\":\"deferred\"") && has(&w->out, "\"status\":\"4.7.1\"") &&
		    has(&w->out, "\"hint\":\"The other server lets"));
	assert_int_equal(run(w, "why nope@nowhere.test"), EX_NOUSER);
	assert_int_equal(w->out.len, 0);
	struct history_log *log = history_log_open(w->db);
	for (int i = 0; i < 3; i++)
		assert_true(history_refused(log, &(struct history_row){ .kind = HISTORY_REJECTED,
									.sender = S("s@spam.test"),
									.recipient = S("no@example.test"),
									.peer = S("unknown[192.0.2.66]"),
									.status = S("5.1.1"),
									.text = S("User unknown") }) >= 0);
	history_log_close(&log);
	assert_int_equal(run(w, "why s@spam.test"), EX_OK);
	assert_true(has(&w->out, "refused at the door, for no@example.test, from <s@spam.test> (client "
				 "unknown[192.0.2.66]), 3 times\n"));
	assert_true(has(&w->out, "No account, alias or catch-all has that address"));
	put(w, "CCCCCCCCCCz1", false);
	assert_int_equal(run(w, "why ann@example.test --limit 1"), EX_OK);
	assert_true(has(&w->out, "CCCCCCCCCCz1"));
	assert_null(strstr(buf_text(&w->out), "AAAAAAAAAAz1"));
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(usage, setup, teardown),
		cmocka_unit_test_setup_teardown(accounts, setup, teardown),
		cmocka_unit_test_setup_teardown(account_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(aliases_and_domains, setup, teardown),
		cmocka_unit_test_setup_teardown(queue, setup, teardown),
		cmocka_unit_test_setup_teardown(why, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
