/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/fail.h"
#include "db/blob.h"
#include "db/testing.h"
#include "report/inbox.h"
#include "report/outbox.h"

static struct db *db;
static char *dir;

static int open_db(void **state) {
	(void)state;
	dir = testing_dir();
	db = testing_db(dir, NULL);
	return 0;
}

static int close_db(void **state) {
	(void)state;
	db_close(&db);
	testing_dir_remove(&dir);
	return 0;
}

/* Evidence of one message. */
static struct evidence_dkim signature = { .result = TRUST_PASS, .domain = S("news.example"), .selector = S("s1") };
static struct evidence_record evidence_of(const char *client) {
	return (struct evidence_record){
		.checked = true,
		.client = slice_of(client),
		.spf = { .result = TRUST_SOFTFAIL, .domain = S("bounce.example"), .identity = S("mailfrom") },
		.dkim = &signature,
		.dkim_count = 1,
		.dmarc = { .result = TRUST_FAIL,
			   .p = DMARC_POLICY_REJECT,
			   .disposition = DMARC_POLICY_REJECT,
			   .percent = 100,
			   .from = S("shop.example"),
			   .domain = S("example"),
			   .rua = S("mailto:r@example"),
			   .fo = S("1") },
	};
}

struct add { struct evidence_record e; int64_t now_us; int times; };
static int add(struct db_conn *tx, void *arg) {
	struct add *a = arg;
	int r = 0;
	for (int i = 0; i < a->times && r == 0; i++) r = outbox_add(tx, &a->e, a->now_us);
	return r;
}

static int delete_due(struct db_conn *tx, void *arg) {
	return outbox_delete(tx, arg);
}

#define DAY 20000
#define NOON ((DAY * 86400LL + 43200) * 1000000)

static void alike_is_one_row(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct add a = { evidence_of("198.51.100.7"), NOON, 1000 }, b = { evidence_of("2001:db8::1"), NOON, 1 };
	struct add private_one = { evidence_of("10.1.2.3"), NOON, 1 }, unchecked = a;
	struct outbox_due due;
	struct report_dmarc report;
	unchecked.e.checked = false;
	b.e.dmarc.override = S("mailing_list");
	assert_int_equal(db_write(db, add, &a), 0);
	assert_int_equal(db_write(db, add, &b), 0);
	assert_int_equal(db_write(db, add, &private_one), 0);
	assert_int_equal(db_write(db, add, &unchecked), 0);
	struct db_conn *c = db_read(db);
	assert_int_equal(outbox_next(c, DAY, NEVER, S(""), &mem, &due), OUTBOX_EMPTY); /* the day is not over */
	assert_int_equal(outbox_next(c, DAY + 1, NEVER, S("other"), &mem, &due), OUTBOX_EMPTY);
	assert_int_equal(outbox_next(c, DAY + 1, NEVER, S(""), &mem, &due), 0);
	assert_int_equal(outbox_report(c, &due, &mem, &report), 0);
	db_release(&c);
	assert_true(slice_eq(due.domain, S("example")) && slice_eq(due.policy.rua, S("mailto:r@example")) &&
		    due.lost == 0);
	assert_int_equal(report.records_count, 2);
	const struct report_record *r = &report.records[report.records[0].count == 1000 ? 0 : 1];
	assert_int_equal(r->count, 1000);
	assert_true(slice_eq(r->source, S("198.51.100.7")) && slice_eq(r->header_from, S("shop.example")));
	assert_true(slice_eq(r->disposition, S("reject")) && slice_eq(r->dkim, S("fail")) && r->dkims_count == 1);
	assert_true(slice_eq(r->spfs[0].result, S("softfail")) && report.begin_s == DAY * 86400LL &&
		    report.end_s == DAY * 86400LL + 86399);
	assert_int_equal(db_write(db, delete_due, &due), 0);
	c = db_read(db);
	assert_int_equal(outbox_next(c, DAY + 1, NEVER, S(""), &mem, &due), OUTBOX_EMPTY);
	db_release(&c);
}

/* Why a policy was not applied is said wherever it was not (RFC 9990 §3.1.1.9). */
static void undecided_says_why(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct add a = { evidence_of("198.51.100.9"), NOON, 1 };
	struct outbox_due due;
	struct report_dmarc report;
	a.e.dmarc.result = TRUST_TEMPERROR;
	a.e.dmarc.policy = DMARC_POLICY_REJECT;
	a.e.dmarc.disposition = DMARC_POLICY_NONE;
	assert_int_equal(db_write(db, add, &a), 0);
	struct db_conn *c = db_read(db);
	assert_int_equal(outbox_next(c, DAY + 1, NEVER, S(""), &mem, &due), 0);
	assert_int_equal(outbox_report(c, &due, &mem, &report), 0);
	db_release(&c);
	assert_int_equal(report.records_count, 1);
	const struct report_record *r = &report.records[0];
	assert_true(slice_eq(r->disposition, S("none")) && slice_eq(r->spf, S("fail")) && r->reasons_count == 1);
	assert_true(slice_eq(r->reasons[0].type, S("other")) && r->reasons[0].comment.len != 0);
	assert_int_equal(db_write(db, delete_due, &due), 0);
}

static int flood(struct db_conn *tx, void *arg) {
	(void)arg;
	int r = 0;
	for (unsigned i = 0; i < 10100 && r == 0; i++) {
		char from[40];
		struct evidence_record e = evidence_of("198.51.100.7");
		snprintf(from, sizeof from, "x%u.example", i);
		e.dmarc.from = slice_of(from);
		r = outbox_add(tx, &e, NOON);
	}
	return r;
}

static void rows_are_limited(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct outbox_due due;
	struct report_dmarc report;
	assert_int_equal(db_write(db, flood, NULL), 0);
	struct db_conn *c = db_read(db);
	assert_int_equal(outbox_next(c, DAY + 1, NEVER, S(""), &mem, &due), 0);
	assert_int_equal(outbox_report(c, &due, &mem, &report), 0);
	assert_int_equal(report.records_count, 10000);
	assert_int_equal(due.lost, 100);
	assert_int_equal(report.errors_count, 1);
	db_release(&c);
	assert_int_equal(outbox_purge(db, DAY + 1), 0);
}

struct storing { const struct report *r; int result; int64_t ahead; };
static int store(struct db_conn *tx, void *arg) {
	struct storing *s = arg;
	s->result = inbox_store(tx, s->r, &(struct inbox_mail){ .received_us = NOON, .proof = "*" }, s->ahead);
	return s->result < 0 ? s->result : 0;
}

static int count_rows(void *ctx, const struct inbox_report *r, struct slice data) {
	AUTO_ARENA struct arena mem = { 0 };
	struct unwire in = UNWIRE(data, &mem);
	struct report_record record;
	if (r->kind == REPORT_DMARC) report_record_unpack(&in, &record);
	assert_false(in.bad);
	++*(int *)ctx;
	return 0;
}

static void stored_once(void **state) {
	(void)state;
	AUTO_ARENA struct arena mem = { 0 };
	struct report_record records[2] = { { .source = S("192.0.2.1"), .count = 3 },
					    { .source = S("192.0.2.001x"), .count = 1 } };
	struct report r = { .kind = REPORT_DMARC,
			    .dmarc = { .org = S("Org"),
				       .id = S("1"),
				       .domain = S("example.org"),
				       .begin_s = 100,
				       .end_s = 200,
				       .p = S("none"),
				       .records = records,
				       .records_count = 2 } };
	struct report_tls_policy policies[2] = { { .domain = S("a.example"), .failures = 2 },
						 { .domain = S("b.example"), .successes = 5 } };
	struct report t = {
		.kind = REPORT_TLS,
		.tls = { .org = S("Org"), .id = S("2"), .end_s = 300, .policies = policies, .policies_count = 2 }
	};
	struct report a = { .kind = REPORT_ARF,
			    .arf = { .feedback_type = S("abuse"),
				     .source_ip = S("192.0.2.9"),
				     .mail_from = S("x@Example.org"),
				     .arrived_s = 250 } };
	const struct report *all[] = { &r, &t, &a };
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < LEN(all); i++) {
			struct storing s = { all[i], 0 };
			assert_int_equal(db_write(db, store, &s), 0);
			assert_int_equal(s.result, round == 0 ? 0 : INBOX_KNOWN);
		}
	int rows = 0, of_one = 0;
	struct db_conn *c = db_read(db);
	struct slice source;
	assert_int_equal(inbox_each(c, &(struct inbox_query){ 0 }, count_rows, &rows), 0);
	assert_int_equal(inbox_each(c, &(struct inbox_query){ .domain = S("example.org") }, count_rows, &of_one), 0);
	assert_int_equal(inbox_unnamed(c, &mem, &source), 0);
	db_release(&c);
	assert_int_equal(rows, 5);
	assert_int_equal(of_one, 3);
	assert_int_equal(inbox_purge(db, 1000000000), 0);
	rows = 0;
	c = db_read(db);
	assert_int_equal(inbox_each(c, &(struct inbox_query){ 0 }, count_rows, &rows), 0);
	db_release(&c);
	assert_int_equal(rows, 0);
}

static void large_ones_are_written_ahead(void **state) {
	(void)state;
	struct report_record *records = mem_array(1201, sizeof *records);
	char texts[1201][16];
	for (unsigned i = 0; i < 1201; i++) {
		snprintf(texts[i], sizeof texts[i], "198.18.%u.%u", i / 256, i % 256);
		records[i] = (struct report_record){ .source = slice_of(texts[i]), .count = 1 };
	}
	struct report r = { .kind = REPORT_DMARC,
			    .dmarc = { .domain = S("big.example"),
				       .id = S("1"),
				       .end_s = 1000000000,
				       .records = records,
				       .records_count = 1201 } };
	struct storing s = { .r = &r };
	int rows = 0;
	assert_int_equal(inbox_store_ahead(db, &r, &s.ahead), 0);
	assert_true(s.ahead != 0);
	struct db_conn *c = db_read(db);
	assert_int_equal(inbox_each(c, &(struct inbox_query){ 0 }, count_rows, &rows), 0);
	db_release(&c);
	assert_int_equal(rows, 0); /* not seen yet */
	assert_int_equal(db_write(db, store, &s), 0);
	assert_int_equal(inbox_store_ahead(db, &r, &s.ahead), 0);
	assert_true(s.ahead == 0); /* known */
	assert_int_equal(inbox_purge(db, 0), 0);
	c = db_read(db);
	assert_int_equal(inbox_each(c, &(struct inbox_query){ 0 }, count_rows, &rows), 0);
	db_release(&c);
	assert_int_equal(rows, 1201);
	free(records);
}

static int put_mail(struct db_conn *tx, void *arg) {
	int64_t id;
	int r = blob_insert(tx, arg, S(""), &id);
	return r == 0 ? inbox_put(tx, id, NOON, S("*")) : r;
}

static void a_mail_is_not_tried_for_ever(void **state) {
	(void)state;
	AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
	struct slice text = S("Subject: x\r\n\r\n");
	struct inbox_mail m;
	assert_int_equal(blob_prepare(db, &(struct blob_source){ .parts = &text, .part_count = 1, .fd = -1 }, &draft),
			 0);
	assert_int_equal(db_write(db, put_mail, draft), 0);
	for (int i = 0; i < 3; i++) assert_int_equal(inbox_next(db, &m), 0);
	assert_int_equal(inbox_next(db, &m), INBOX_HOPELESS);
	assert_int_equal(inbox_next(db, &m), INBOX_EMPTY);
	AUTO_READ struct db_conn *c = db_read(db);
	struct blob *b;
	assert_int_equal(blob_open(c, m.blob_id, &b), BLOB_GONE);
}

int main(void) {
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alike_is_one_row), cmocka_unit_test(rows_are_limited), cmocka_unit_test(stored_once),
		cmocka_unit_test(undecided_says_why), cmocka_unit_test(rows_are_limited), cmocka_unit_test(stored_once),
		cmocka_unit_test(large_ones_are_written_ahead),
		cmocka_unit_test(a_mail_is_not_tried_for_ever),
	};
	return cmocka_run_group_tests(tests, open_db, close_db);
}
