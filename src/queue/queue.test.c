/* SPDX-License-Identifier: Apache-2.0 */
#include "db/testing.h"
#include "base/clock.h"
#include "db/blob.h"
#include "queue/queue.h"

static const struct queue_params params = {
	.minimal_backoff = 300,
	.maximal_backoff = 4000,
	.lifetime = 432000,
	.bounce_lifetime = 3600,
	.delay_warning = 7200,
};
static const struct queue_limits wide = { .jobs = 100, .recipients = 100, .jobs_per_hop = 100 };
enum { START = 1000000 };
#define T(seconds) ((int64_t)(START + (seconds)) * 1000000)

struct world {
	char *dir;
	struct db *db;
	struct queue *q;
	struct queue_job *jobs[100];
	int count;
	int64_t next_us;
};

static int set_up(void **state) {
	struct world *w = mem_get(sizeof *w);
	w->dir = testing_dir();
	w->db = testing_db(w->dir, NULL);
	w->q = queue_open(w->db, &params);
	*state = w;
	return 0;
}

static void jobs_done(struct world *w) {
	for (int i = 0; i < w->count; i++) queue_job_done(w->q, &w->jobs[i]);
	w->count = 0;
}

static int tear_down(void **state) {
	struct world *w = *state;
	jobs_done(w);
	queue_close(&w->q);
	db_close(&w->db);
	testing_dir_remove(&w->dir);
	free(w);
	return 0;
}

/* One write of a test: which function, on which message. */
struct act {
	struct world *w;
	enum what { PUT, DEFER, SETTLE, WARNED, HOLD, RELEASE, DELETE, FLUSH, ROUTE, ADD } what;
	const char *id, *sender, *hops, *hop; /* hops: "a b b": one recipient each */
	int number, answer;
	bool held;
	uint32_t notify;
	int64_t now_us;
	struct blob_draft *draft;
};

static size_t recipients_of(const struct act *a, struct queue_recipient *list) {
	struct slice rest = slice_of(a->hops);
	size_t n = 0;
	for (struct slice hop; (hop = slice_word(&rest, " ")).len != 0; n++)
		list[n] = (struct queue_recipient){ .address = S("r@example.net"),
						    .orcpt = S("rfc822;r@example.net"),
						    .hop = hop,
						    .notify = a->notify };
	return n;
}

static int put(struct db_conn *tx, struct act *a) {
	struct queue_recipient list[20];
	struct queue_message m = {
		.id = slice_of(a->id),
		.sender = slice_of(a->sender),
		.size = 5,
		.arrived_us = a->now_us,
		.envid = S("envid"),
		.ret = RET_HDRS,
		.message_id = S("<id@x>"),
		.extra = S("e\0x"),
		.held = a->held,
		.recipients = list,
		.recipient_count = recipients_of(a, list),
	};
	int r = blob_insert(tx, a->draft, S(""), &m.blob_id);
	return r < 0 ? r : queue_put(tx, &m);
}

static int act_run(struct db_conn *tx, void *arg) {
	struct act *a = arg;
	struct queue_recipient list[20];
	struct slice id = slice_of(a->id);
	int r = -1;
	switch (a->what) {
	case PUT: r = put(tx, a); break;
	case ADD: r = queue_add(tx, id, list, recipients_of(a, list)); break;
	case DEFER: r = queue_deferred(a->w->q, tx, id, a->number, a->now_us, S("4.4.1"), S("no answer")); break;
	case SETTLE: r = queue_settled(tx, id, a->number, NULL); break;
	case WARNED: r = queue_warned(tx, id, a->number); break;
	case HOLD: r = queue_hold(tx, id); break;
	case RELEASE: r = queue_release(tx, id, a->now_us); break;
	case DELETE: r = queue_delete(tx, id); break;
	case FLUSH: r = queue_flush(tx, id, slice_of(a->hop), a->now_us); break;
	case ROUTE: r = queue_route(tx, id, a->number, slice_of(a->hop)); break;
	}
	a->answer = r;
	return r == QUEUE_WARN ? 0 : r;
}

static int act(struct world *w, struct act a) {
	struct slice body = S("body\n");
	struct blob_source source = { .parts = &body, .part_count = 1, .fd = -1 };
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	assert_done(blob_prepare(w->db, &source, &draft));
	a.draft = draft;
	a.w = w;
	if (a.sender == NULL) a.sender = "s@example.com";
	if (db_write(w->db, act_run, &a) < 0) failed("%s", fail_text());
	return a.answer;
}
#define ACT(...) act(w, (struct act){ __VA_ARGS__ })

static const char *due(struct world *w, int64_t now_us, struct queue_limits limits) {
	static struct buf out = { .limit = 10000 };
	buf_clear(&out);
	int had = w->count, n = queue_due(w->q, now_us, &limits, w->jobs + w->count, &w->next_us);
	if (n < 0) failed("%s", fail_text());
	w->count += n;
	for (int i = had; i < w->count; i++) {
		const struct queue_message *m = &w->jobs[i]->message;
		buf_addf(&out, "%.*s>%.*s:", SLICE_ARG(m->id), SLICE_ARG(w->jobs[i]->hop));
		for (size_t j = 0; j < m->recipient_count; j++) buf_addf(&out, "%d", m->recipients[j].number);
		buf_byte(&out, ' ');
	}
	return buf_text(&out);
}

static int64_t ask(struct world *w, const char *sql) {
	AUTO_READ struct db_conn *c = db_read(w->db);
	AUTO_STMT struct db_stmt *s = db_sql(c, sql);
	return db_step(s) == DB_ROW ? db_int(s, 0) : -1;
}

static void test_life(void **state) {
	struct world *w = *state;
	assert_string_equal(due(w, T(0), wide), "");
	assert_true(w->next_us == NEVER);
	assert_int_equal(ACT(.what = PUT, .id = "Q1", .hops = "a b a", .now_us = T(0)), 0);
	assert_int_equal(ACT(.what = PUT, .id = "Q1", .hops = "a", .now_us = T(0)), QUEUE_EXISTS);
	assert_int_equal(ask(w, "SELECT COUNT(*) FROM blob"), 1);
	assert_string_equal(due(w, T(0) - 1, wide), "");
	assert_int_equal(w->next_us, T(0));
	assert_string_equal(due(w, T(0), wide), "Q1>a:02 Q1>b:1 ");
	const struct queue_message *m = &w->jobs[0]->message;
	assert_true(slice_eq(m->sender, S("s@example.com")) && slice_eq(m->envid, S("envid"))
	            && slice_eq(m->extra, S("e\0x")));
	assert_true(slice_eq(m->recipients[0].orcpt, S("rfc822;r@example.net")) && m->recipients[0].original.len == 0
	            && m->ret == RET_HDRS);
	assert_string_equal(due(w, T(0), wide), ""); /* claimed */
	assert_int_equal(ACT(.what = SETTLE, .id = "Q1", .number = 0), 0);
	assert_int_equal(ACT(.what = SETTLE, .id = "Q1", .number = 0), QUEUE_UNKNOWN);
	assert_int_equal(ACT(.what = DEFER, .id = "Q1", .number = 2, .now_us = T(1)), 0);
	assert_int_equal(ACT(.what = DEFER, .id = "Q1", .number = 0, .now_us = T(1)), QUEUE_UNKNOWN);
	assert_int_equal(ACT(.what = SETTLE, .id = "Q1", .number = 1), 0);
	jobs_done(w);
	assert_string_equal(due(w, T(10), wide), "");
	assert_int_equal(w->next_us, T(301));
	assert_string_equal(due(w, T(301), wide), "Q1>a:2 ");
	assert_int_equal(w->jobs[0]->message.recipients[0].tries, 1);
	assert_true(slice_eq(w->jobs[0]->message.recipients[0].text, S("no answer")));
	assert_int_equal(ACT(.what = SETTLE, .id = "Q1", .number = 2), 0);
	assert_int_equal(ask(w, "SELECT (SELECT COUNT(*) FROM queue_message) + (SELECT COUNT(*) FROM blob) + (SELECT "
				"COUNT(*) FROM blob_data)"),
			 0);
}

static void test_times(void **state) {
	struct world *w = *state;
	static const struct {
		int64_t age, wait;
	} cases[] = { { 0, 300 }, { 299, 300 }, { 1000, 1000 }, { 3999, 3999 }, { 90000, 4000 } };
	assert_int_equal(ACT(.what = PUT, .id = "Q1", .hops = "a", .now_us = T(0), .notify = NOTIFY_NEVER), 0);
	for (size_t i = 0; i < LEN(cases); i++) {
		assert_int_equal(ACT(.what = DEFER, .id = "Q1", .now_us = T(cases[i].age)), 0);
		assert_int_equal(ask(w, "SELECT due_us FROM queue_recipient"), T(cases[i].age + cases[i].wait));
	}
	assert_int_equal(ACT(.what = DEFER, .id = "Q1", .now_us = T(432000)), QUEUE_EXPIRED);
	assert_int_equal(ask(w, "SELECT tries FROM queue_recipient"), LEN(cases));
	assert_int_equal(ACT(.what = PUT, .id = "Q2", .sender = "", .hops = "a", .now_us = T(0)), 0);
	assert_int_equal(ACT(.what = DEFER, .id = "Q2", .now_us = T(3599)), 0);
	assert_int_equal(ACT(.what = DEFER, .id = "Q2", .now_us = T(3600)),
	                 QUEUE_EXPIRED); /* a bounce has a shorter life */
	assert_int_equal(ACT(.what = PUT, .id = "Q3", .hops = "a", .now_us = T(0)), 0);
	assert_int_equal(ACT(.what = DEFER, .id = "Q3", .now_us = T(7199)), 0);
	assert_int_equal(ACT(.what = DEFER, .id = "Q3", .now_us = T(7200)), QUEUE_WARN);
	assert_int_equal(ask(w, "SELECT due_us FROM queue_recipient WHERE queue_id = 'Q3'"), T(7200 + 4000));
	assert_int_equal(ACT(.what = WARNED, .id = "Q3"), 0);
	assert_int_equal(ACT(.what = DEFER, .id = "Q3", .now_us = T(9000)), 0);
}

static void test_operator(void **state) {
	struct world *w = *state;
	assert_int_equal(ACT(.what = PUT, .id = "Q1", .hops = "a b", .now_us = T(0)), 0);
	assert_int_equal(ACT(.what = PUT, .id = "Q2", .hops = "a", .now_us = T(1), .held = true), 0);
	assert_int_equal(ACT(.what = HOLD, .id = "Q1"), 0);
	assert_string_equal(due(w, T(100), wide), "");
	assert_true(w->next_us == NEVER);
	assert_int_equal(ACT(.what = FLUSH, .now_us = T(100)), QUEUE_UNKNOWN); /* flushing releases nothing */
	assert_int_equal(ACT(.what = DEFER, .id = "Q1", .number = 1, .now_us = T(100)),
	                 0); /* a result that comes while it is held */
	assert_string_equal(due(w, T(9000), wide), "");
	assert_int_equal(ACT(.what = RELEASE, .id = "Q1", .now_us = T(100)), 0);
	assert_int_equal(ACT(.what = ADD, .id = "Q2", .hops = "c"), 0);
	assert_string_equal(due(w, T(100), wide), "Q1>a:0 Q1>b:1 ");
	jobs_done(w);
	assert_int_equal(ACT(.what = DEFER, .id = "Q1", .number = 0, .now_us = T(100)), 0);
	assert_int_equal(ACT(.what = DEFER, .id = "Q1", .number = 1, .now_us = T(100)), 0);
	assert_int_equal(ACT(.what = FLUSH, .id = "Q1", .hop = "b", .now_us = T(101)), 0);
	assert_int_equal(ACT(.what = ROUTE, .id = "Q1", .number = 1, .hop = "z"), 0);
	assert_string_equal(due(w, T(101), wide), "Q1>z:1 ");
	jobs_done(w);
	assert_int_equal(ACT(.what = FLUSH, .now_us = T(102)), 0);
	assert_string_equal(due(w, T(102), wide), "Q1>a:0 Q1>z:1 ");
	assert_int_equal(ACT(.what = DELETE, .id = "Q1"), 0);
	assert_int_equal(ACT(.what = DELETE, .id = "Q1"), QUEUE_UNKNOWN);
	assert_int_equal(ACT(.what = DEFER, .id = "Q1", .now_us = T(103)), QUEUE_UNKNOWN);
	static const enum what nothing[] = { HOLD, RELEASE, FLUSH, ROUTE, WARNED, ADD };
	for (size_t i = 0; i < LEN(nothing); i++)
		assert_int_equal(ACT(.what = nothing[i], .id = "none", .hops = "a", .hop = "h"), QUEUE_UNKNOWN);
	struct queue_counts counts;
	struct db_conn *c = db_read(w->db);
	assert_done(queue_count(c, &counts));
	assert_int_equal(counts.messages, 1);
	assert_int_equal(counts.held, 1);
	assert_int_equal(counts.recipients, 2);
	assert_int_equal(counts.oldest_us, T(1));
	AUTO_ARENA struct arena mem = {0};
	struct queue_message m;
	assert_done(queue_show(c, &mem, S("Q2"), &m));
	assert_int_equal(m.recipient_count, 2);
	assert_true(m.held && m.recipients[1].number == 1 && m.recipients[1].due_us == NEVER);
	assert_int_equal(queue_show(c, &mem, S("Q1"), &m), QUEUE_UNKNOWN);
	db_release(&c);
}

static void test_fairness(void **state) {
	struct world *w = *state;
	for (int i = 0; i < 8; i++) {
		char id[10];
		snprintf(id, sizeof id, "D%d", i);
		assert_int_equal(ACT(.what = PUT, .id = id, .hops = "dead", .now_us = T(i)), 0);
	}
	assert_int_equal(ACT(.what = PUT, .id = "L1", .hops = "live", .now_us = T(50)), 0);
	struct queue_limits two = { .jobs = 100, .recipients = 100, .jobs_per_hop = 2 };
	assert_string_equal(due(w, T(100), two), "D0>dead:0 D1>dead:0 L1>live:0 ");
	assert_true(w->next_us == NEVER); /* the rest waits for a job to be done */
	queue_job_done(w->q, &w->jobs[0]);
	w->jobs[0] = w->jobs[2];
	w->count = 2;
	assert_string_equal(due(w, T(100), two), "D0>dead:0 "); /* nothing was recorded for it: due still */
	jobs_done(w);
	struct queue_limits one = { .jobs = 1, .recipients = 100, .jobs_per_hop = 2 };
	const char *first = due(w, T(100), one);
	char copy[50];
	snprintf(copy, sizeof copy, "%s", first);
	assert_int_equal(w->next_us, T(100));
	assert_string_not_equal(due(w, T(100), one), copy); /* hops take turns */
	jobs_done(w);
	assert_int_equal(ACT(.what = PUT, .id = "M1", .hops = "many many many many many", .now_us = T(60)), 0);
	struct queue_limits three = { .jobs = 100, .recipients = 3, .jobs_per_hop = 100 };
	assert_non_null(strstr(due(w, T(100), three), "M1>many:012 M1>many:34 "));
}

/* Only who waits for a job of his own hop to end is told of by that. */
static void test_entered(void **state) {
	struct world *w = *state;
	struct queue_limits one = wide;
	one.jobs_per_hop = 1;
	assert_int_equal(ACT(.what = PUT, .id = "Q1", .hops = "a", .now_us = T(0)), 0);
	assert_string_equal(due(w, T(0), one), "Q1>a:0 ");
	assert_int_equal(ACT(.what = PUT, .id = "Q2", .hops = "a", .now_us = T(0)), 0);
	assert_true(queue_entered_hop(w->q, T(0), S("a"))); /* nobody has looked whether there is room */
	assert_string_equal(due(w, T(0), one), "");
	assert_int_equal(ACT(.what = PUT, .id = "Q3", .hops = "a", .now_us = T(0)), 0);
	assert_false(queue_entered_hop(w->q, T(0), S("a")));
	assert_int_equal(ACT(.what = PUT, .id = "Q4", .hops = "b", .now_us = T(0)), 0);
	assert_true(queue_entered_hop(w->q, T(0), S("b")));
	w->jobs[0]->recorded = true;
	assert_int_equal(ACT(.what = SETTLE, .id = "Q1"), 0);
	assert_true(queue_job_done(w->q, &w->jobs[0]));
	w->count = 0;
	assert_true(queue_entered_hop(w->q, T(0), S("a"))); /* there may be room again */
	assert_string_equal(due(w, T(0), wide), "Q4>b:0 Q2>a:0 Q3>a:0 ");
	jobs_done(w);
	assert_true(queue_entered_hop(w->q, T(0), S("a")));
}

static void test_restart(void **state) {
	struct world *w = *state;
	assert_int_equal(ACT(.what = PUT, .id = "Q1", .hops = "a b", .now_us = T(0)), 0);
	assert_string_equal(due(w, T(0), wide), "Q1>a:0 Q1>b:1 ");
	assert_int_equal(ACT(.what = DEFER, .id = "Q1", .number = 1, .now_us = T(0)), 0);
	jobs_done(w);
	queue_close(&w->q);
	db_close(&w->db);
	w->db = testing_db(w->dir, NULL);
	w->q = queue_open(w->db, &params);
	assert_string_equal(due(w, T(0), wide), "Q1>a:0 ");
	assert_int_equal(w->next_us, T(300));
}

static struct queue_job *claim(struct world *w, struct act a, struct queue_limits limits) {
	struct queue_recipient list[20];
	struct queue_message m = { .id = slice_of(a.id),
				   .sender = S("s@example.com"),
				   .arrived_us = a.now_us,
				   .envid = S("envid"),
				   .held = a.held,
				   .recipients = list,
				   .recipient_count = recipients_of(&a, list) };
	return queue_claim(w->q, &m, &limits);
}
#define CLAIM(limits, ...) claim(w, (struct act){ __VA_ARGS__, .now_us = T(0) }, limits)

/* A message that is taken up before it is in the queue. */
static void test_claim(void **state) {
	struct world *w = *state;
	struct queue_limits one = wide, narrow = wide;
	one.jobs_per_hop = 1;
	narrow.recipients = 1;
	assert_null(CLAIM(wide, .id = "Q1", .hops = "a b"));
	assert_null(CLAIM(wide, .id = "Q1", .hops = "a", .held = true));
	assert_null(CLAIM(narrow, .id = "Q1", .hops = "a a"));
	struct queue_job *job = CLAIM(one, .id = "Q1", .hops = "a a");
	assert_non_null(job);
	assert_true(slice_eq(job->hop, S("a")));
	assert_int_equal(job->message.recipient_count, 2);
	assert_int_equal(job->message.recipients[1].number, 1);
	assert_int_equal(job->message.recipients[1].due_us, T(0));
	assert_true(slice_eq(job->message.recipients[1].orcpt, S("rfc822;r@example.net")));
	assert_null(CLAIM(wide, .id = "Q1", .hops = "a"));
	ACT(.what = PUT, .id = "Q1", .hops = "a a", .now_us = T(0));
	assert_string_equal(due(w, T(0), one), ""); /* nobody else is handed it */
	assert_null(CLAIM(one, .id = "Q2", .hops = "a")); /* its hop has its full number */
	ACT(.what = PUT, .id = "Q2", .hops = "a", .now_us = T(0));
	assert_string_equal(due(w, T(0), one), "");
	assert_null(CLAIM(wide, .id = "Q3", .hops = "a")); /* Q2 waits, and was there before */
	assert_true(queue_job_done(w->q, &job)); /* what became of it was not recorded: it is due as before */
	assert_string_equal(due(w, T(0), wide), "Q1>a:01 Q2>a:0 ");
	jobs_done(w);
	job = CLAIM(wide, .id = "Q4", .hops = "b"); /* and then nothing was committed */
	assert_non_null(job);
	job->recorded = true;
	queue_job_done(w->q, &job);
	job = CLAIM(wide, .id = "Q4", .hops = "b");
	assert_non_null(job);
	queue_job_done(w->q, &job);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_times, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_operator, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_fairness, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_entered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_claim, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
