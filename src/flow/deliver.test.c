/* SPDX-License-Identifier: Apache-2.0 */
/* From accept to rows, against a real database: who gets it, what is queued, what is returned, and what happens to a
 * job. */
#include "flow/settle.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/id.h"
#include "flow/return.h"
#include "queue/history.h"
#include "smtp/client.h"
#include "store/store.h"

#include <fcntl.h>

#include "base/test.h"

static struct db *db;
static struct queue *queue;
static struct arena mem;
static struct domain_pattern ours = { .name = { "mail.example.test", 17 } };
static struct domains destinations = { .at = &ours, .count = 1 };
static const struct transport transports[] = {
	{ .name = { "smtp", 4 }, .kind = TRANSPORT_RELAY, .tag = "smtp", .recipient_limit = 50 },
	{ .name = { "error", 5 }, .kind = TRANSPORT_ERROR, .tag = "error" },
	{ .name = { "local", 5 }, .kind = TRANSPORT_LOCAL, .tag = "local" },
};
static struct route_params route;
static struct flow_settings settings;

static int add_users(struct db_conn *tx, void *arg) {
	(void)arg;
	static const char *const names[] = { "ann@example.test", "bob@example.test", "carl@example.test" };
	for (size_t i = 0; i < LEN(names); i++) {
		int64_t id;
		int r = user_account_add(tx, slice_of(names[i]), &id);
		if (r == 0) r = store_account_create(tx, id);
		if (r != 0) return r;
	}
	static const char *const aliases[][2] = {
		{ "team@example.test", "ann@example.test" },  { "team@example.test", "bob@example.test" },
		{ "team@example.test", "far@other.test" },    { "loop@example.test", "pool@example.test" },
		{ "pool@example.test", "loop@example.test" }, { "dead@example.test", "nobody@example.test" },
		{ "carl@example.test", "carl@example.test" }, { "carl@example.test", "copy@other.test" },
	};
	for (size_t i = 0; i < LEN(aliases); i++) {
		int r = user_alias_add(tx, slice_of(aliases[i][0]), slice_of(aliases[i][1]));
		if (r != 0) return r;
	}
	return 0;
}

static int set_up(void **state) {
	(void)state;
	char dir[] = "/tmp/hato-flow-XXXXXX";
	struct queue_params q = {
		.minimal_backoff = 300, .maximal_backoff = 4000, .lifetime = 432000, .bounce_lifetime = 432000
	};
	log_open(&(struct log_target){ .fd = open("/dev/null", O_WRONLY), .name = "test", .host = "h" });
	assert_non_null(mkdtemp(dir));
	assert_int_equal(db_open(dir, NULL, &db), 0);
	queue = queue_open(db, &q);
	route = (struct route_params){ .resolve = { .delimiters = S("+") },
				       .rewrite = { .origin = S("mail.example.test"),
						    .destinations = { .list = &destinations } },
				       .hops = { .transports = { transports, LEN(transports) },
						 .local = S("local:mail.example.test"),
						 .relay = S("relay"),
						 .other = S("smtp") },
				       .host = S("mail.example.test") };
	settings.deliver =
		(struct deliver_params){ .route = &route,
					 .origin = S("mail.example.test"),
					 .bounce_size = 50000,
					 .failed = { S("Mail Delivery System"), S("MAILER-DAEMON"),
						     S("Undelivered Mail Returned to Sender"), S("Sorry.\n") } };
	settings.send = (struct send_params){ .lifetime_s = 432000 };
	return db_write(db, add_users, NULL);
}

static int tear_down(void **state) {
	(void)state;
	queue_close(&queue);
	db_close(&db);
	arena_done(&mem);
	return 0;
}

static uint64_t inbox_count(const char *address) {
	AUTO_READ struct db_conn *c = db_read(db);
	struct account a;
	struct mailbox m;
	assert_int_equal(user_account_find(c, &mem, slice_of(address), &a), 0);
	assert_int_equal(store_find(c, &mem, a.id, S("INBOX"), &m), 0);
	return m.exists;
}

static struct slice last_text(const char *address) {
	AUTO_READ struct db_conn *c = db_read(db);
	struct account a;
	assert_int_equal(user_account_find(c, &mem, slice_of(address), &a), 0);
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT blob_id FROM message WHERE account_id = ? ORDER BY uid DESC");
	db_bind_int(s, a.id);
	assert_int_equal(db_step(s), DB_ROW);
	struct blob *b;
	assert_int_equal(blob_open(c, db_int(s, 0), &b), 0);
	size_t size = (size_t)blob_size(b);
	char *at = arena_get(&mem, size);
	assert_int_equal(blob_read(b, 0, at, size), (ssize_t)size);
	blob_close(&b);
	return slice_from(at, size);
}

static struct slice accept_from(const char *sender, const char *const *to, size_t n, uint32_t want) {
	char id[QUEUE_ID_ROOM];
	queue_id_make(id);
	struct accept_recipient list[8] = { 0 };
	for (size_t i = 0; i < n; i++) list[i].address = slice_of(to[i]);
	struct accept_ask ask = { .queue_id = arena_slice(&mem, slice_of(id)),
				  .sender = slice_of(sender),
				  .arrived_us = wall_us(),
				  .recipients = list,
				  .recipients_count = n,
				  .head = S("Return-Path: <x>\r\nReceived: y\r\n"),
				  .body = S("Subject: hi\r\n\r\nhello\r\n"),
				  .return_path = 18,
				  .summary = S("s"),
				  .client = S("c[1.2.3.4]") };
	struct accept_answer answer;
	deliver_accept(&(struct deliver_into){ .db = db, .settings = &settings }, &ask, -1, &mem, &answer);
	assert_int_equal(answer.verdict, want);
	return ask.queue_id;
}

static void to_accounts_here(void **state) {
	(void)state;
	uint64_t ann = inbox_count("ann@example.test"), bob = inbox_count("bob@example.test");
	const char *const to[] = { "ann@example.test", "Ann+tag@Example.test", "bob@example.test" };
	accept_from("x@else.test", to, 3, ACCEPT_STORED);
	assert_int_equal(inbox_count("ann@example.test"), ann + 1); /* twice named, once delivered */
	assert_int_equal(inbox_count("bob@example.test"), bob + 1);
	assert_true(
		slice_starts(last_text("ann@example.test"), S("Return-Path: <x>\r\nReceived: y\r\nSubject: hi\r\n")));
}

static void through_aliases(void **state) {
	(void)state;
	uint64_t ann = inbox_count("ann@example.test"), carl = inbox_count("carl@example.test");
	const char *const to[] = { "team@example.test", "carl@example.test" };
	struct slice id = accept_from("x@else.test", to, 2, ACCEPT_STORED);
	assert_int_equal(inbox_count("ann@example.test"), ann + 1);
	assert_int_equal(inbox_count("carl@example.test"), carl + 1);
	AUTO_READ struct db_conn *c = db_read(db);
	struct queue_message m;
	assert_int_equal(queue_show(c, &mem, id, &m), 0);
	assert_int_equal(m.recipient_count, 2);
	assert_true(slice_eq(m.recipients[0].address, S("far@other.test")));
	assert_true(slice_eq(m.recipients[0].original, S("team@example.test")));
	assert_true(slice_eq(m.recipients[0].hop, S("smtp:other.test")));
}

static void leads_nowhere(void **state) {
	(void)state;
	const char *const one[] = { "nobody@example.test" }, *const circle[] = { "loop@example.test" };
	accept_from("ann@example.test", one, 1, ACCEPT_REFUSED);
	accept_from("ann@example.test", circle, 1, ACCEPT_REFUSED);
	/* one good, one bad: the bad one comes back to the sender, in the same transaction */
	uint64_t ann = inbox_count("ann@example.test"), bob = inbox_count("bob@example.test");
	const char *const two[] = { "bob@example.test", "dead@example.test" };
	accept_from("ann@example.test", two, 2, ACCEPT_STORED);
	assert_int_equal(inbox_count("bob@example.test"), bob + 1);
	assert_int_equal(inbox_count("ann@example.test"), ann + 1);
	struct slice bounce = last_text("ann@example.test");
	static const char *const must_hold[] = { "Return-Path: <>",
						 "From: Mail Delivery System <MAILER-DAEMON@mail.example.test>",
						 "To: ann@example.test",
						 "Subject: Undelivered Mail Returned to Sender",
						 "Auto-Submitted: auto-replied",
						 "multipart/report; report-type=delivery-status",
						 "Final-Recipient: rfc822; nobody@example.test",
						 "Action: failed",
						 "Status: 5.1.1",
						 "Reporting-MTA: dns; mail.example.test",
						 "Subject: hi" };
	for (size_t i = 0; i < LEN(must_hold); i++) {
		bool there = slice_search(bounce, slice_of(must_hold[i])) < bounce.len;
		if (!there) print_error("no \"%s\" in:\n%.*s", must_hold[i], SLICE_ARG(bounce));
		assert_true(there);
	}
	/* the null sender gets no bounce */
	bob = inbox_count("bob@example.test");
	accept_from("", two, 2, ACCEPT_STORED);
	assert_int_equal(inbox_count("bob@example.test"), bob + 1);
	assert_int_equal(inbox_count("ann@example.test"), ann + 1);
}

static struct queue_job *next_job(struct slice id) {
	struct queue_job *jobs[8];
	int64_t next;
	struct queue_limits limits = { .jobs = 8, .recipients = 50, .jobs_per_hop = 8 };
	int n = queue_due(queue, wall_us(), &limits, jobs, &next);
	struct queue_job *mine = NULL;
	for (int i = 0; i < n; i++) {
		if (slice_eq(jobs[i]->message.id, id)) mine = jobs[i];
		else queue_job_done(queue, &jobs[i]);
	}
	assert_non_null(mine);
	return mine;
}

static bool queued(struct slice id) {
	AUTO_READ struct db_conn *c = db_read(db);
	struct queue_message m;
	return queue_show(c, &mem, id, &m) == 0;
}

static void outcomes(void **state) {
	(void)state;
	const char *const to[] = { "a@far.test", "b@far.test", "c@far.test" };
	struct slice id = accept_from("ann@example.test", to, 3, ACCEPT_STORED);
	uint64_t ann = inbox_count("ann@example.test");
	struct queue_job *job = next_job(id);
	assert_int_equal(job->message.recipient_count, 3);
	struct relay_outcome o[3] = {
		{ .fate = SMTP_DELIVERED, .status = S("2.0.0"), .text = S("250 ok"), .relay = S("mx[1]:25") },
		{ .fate = SMTP_NEVER,
		  .status = S("5.1.1"),
		  .text = S("host mx said: 550 no such user"),
		  .diagnostic = S("550 5.1.1 no such user"),
		  .host = S("mx.far.test") },
		{ .fate = SMTP_LATER, .status = S("4.2.1"), .text = S("try again") },
	};
	assert_int_equal(settle_job(db, queue, &settings, job, o, wall_us()), 0);
	queue_job_done(queue, &job);
	assert_true(queued(id));
	assert_int_equal(inbox_count("ann@example.test"), ann + 1);
	struct slice bounce = last_text("ann@example.test");
	assert_true(slice_search(bounce, S("Diagnostic-Code: smtp; 550 5.1.1 no such user")) < bounce.len);
	assert_true(slice_search(bounce, S("Remote-MTA: dns; mx.far.test")) < bounce.len);
	assert_int_equal(slice_search(bounce, S("Return-Path: <x>")),
			 bounce.len); /* the original comes back without our own mark */
}

/* As versions before frozen_delivered_to wrote it into queues, which this one takes over. */
struct earlier_target {
	uint32_t kind;
	struct slice target, rights;
	bool aliased, fixed, forwarded;
};
#define EARLIER_FIELDS(F) \
	F(u32, kind) F(text, target) F(text, rights) F(bool_, aliased) F(bool_, fixed) F(bool_, forwarded)
WIRE_DECLARE(earlier_target)
WIRE_STRUCT(earlier_target, EARLIER_FIELDS)

static void targets_of_earlier_queues(void **state) {
	(void)state;
	AUTO_BUF struct buf packed = BUF(1000);
	const struct earlier_target was = { RELAY_COMMAND, S("cat"), S("ann"), true, false, true };
	earlier_target_pack(&packed, &was);
	struct queue_target now = { .delivered = S("left over"), .named = true };
	struct unwire in = UNWIRE(buf_slice(&packed), &mem);
	queue_target_unpack(&in, &now);
	assert_int_equal(now.kind, RELAY_COMMAND);
	assert_true(slice_eq(now.target, S("cat")) && slice_eq(now.rights, S("ann")));
	assert_true(now.aliased && !now.fixed && now.forwarded);
	assert_int_equal(now.delivered.len + now.below.len, 0);
	assert_false(now.named);
}

int main(void) {
	const struct CMUnitTest tests[] = { cmocka_unit_test(to_accounts_here), cmocka_unit_test(through_aliases),
					    cmocka_unit_test(leads_nowhere), cmocka_unit_test(outcomes),
					    cmocka_unit_test(targets_of_earlier_queues) };
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
