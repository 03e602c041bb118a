/* SPDX-License-Identifier: Apache-2.0 */
/* What core does for a message, without edge, links and log: CPU and rate of deliver_accept.
 *   deliverbench DIR SESSIONS RECIPIENTS BYTES MESSAGES
 * Under callgrind, with one session, the counts of instructions are the same on a busy machine. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/deliver.h"
#include "flow/send.h"
#include "flow/id.h"
#include "mime/summary.h"
#include "store/store.h"
#include "user/user.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum { ACCOUNTS = 100, RECIPIENTS_MAX = 50 };

static struct db *db;
static struct domain_pattern ours = { .name = { "mail.bench.test", 15 } };
static struct domains destinations = { .at = &ours, .count = 1 };
static const struct transport transports[] = {
	{ .name = { "smtp", 4 }, .kind = TRANSPORT_RELAY, .tag = "smtp", .recipient_limit = 50 },
	{ .name = { "local", 5 }, .kind = TRANSPORT_LOCAL, .tag = "local" },
};
static struct route_params route = { .resolve = { .delimiters = { "+", 1 } },
				     .rewrite = { .origin = { "mail.bench.test", 15 },
						  .destinations = { .list = &destinations } },
				     .hops = { .transports = { transports, LEN(transports) },
					       .local = { "local:mail.bench.test", 21 },
					       .relay = { "relay", 5 },
					       .other = { "smtp", 4 } },
				     .host = { "mail.bench.test", 15 } };
static struct flow_settings settings = { .deliver = { .route = &route, .origin = { "mail.bench.test", 15 }, .bounce_size = 50000 } };
static uint64_t sessions, recipients, bytes, messages;
static _Atomic uint64_t given;

static void check(int r, const char *what) {
	if (r != 0) die_now("%s: %d %s", what, r, fail_text());
}

static int accounts_make(struct db_conn *tx, void *arg UNUSED) {
	for (int i = 0; i < ACCOUNTS; i++) {
		char name[40];
		int64_t id;
		snprintf(name, sizeof name, "user%d@bench.test", i);
		int r = user_account_add(tx, slice_of(name), &id);
		if (r == 0) r = store_account_create(tx, id);
		if (r != 0) return r;
	}
	return 0;
}

static void text_make(struct buf *out) {
	static const char *const words[] = { "the", "mail", "carries", "letters", "between", "houses", "and", "pigeons",
					     "know", "where", "everybody", "lives", "without", "asking", "twice", "ok" };
	uint32_t x = 12345;
	buf_addf(out, "Received: from load (load [127.0.0.1]) by mail.bench.test; Mon, 23 Nov 2026 06:00:00 +0000\r\n"
		      "From: Sender <sender@bench.test>\r\nTo: user1@bench.test\r\nSubject: a measured message\r\n"
		      "Date: Mon, 23 Nov 2026 06:00:00 +0000\r\nMessage-ID: <1.2@bench.test>\r\n\r\n");
	for (size_t column = 0; out->len < bytes;) {
		x = x * 1103515245 + 12345;
		const char *word = words[x >> 16 & 15];
		column += strlen(word) + 1;
		buf_addf(out, column > 70 ? "%s\r\n" : "%s ", word);
		if (column > 70) column = 0;
	}
	buf_addf(out, "\r\n");
}

static void *session(void *arg) {
	struct slice body = *(struct slice *)arg;
	AUTO_BUF struct buf packed = BUF(MIB(1));
	struct summary summary;
	struct summary_scan *scan = summary_scan_new();
	summary_scan_feed(scan, body);
	summary_scan_finish(scan, &summary);
	summary_pack(&packed, &summary);
	summary_scan_free(&scan);
	for (uint64_t n; (n = atomic_fetch_add(&given, 1)) < messages;) {
		AUTO_ARENA struct arena mem = { 0 };
		struct accept_recipient to[RECIPIENTS_MAX] = { 0 };
		for (size_t i = 0; i < recipients; i++)
			to[i].address = arena_fmt(&mem, "user%d@bench.test", (int)((n * recipients + i) % ACCOUNTS));
		char id[QUEUE_ID_ROOM];
		queue_id_make(id);
		struct accept_ask ask = { .queue_id = slice_of(id),
					  .sender = S("sender@bench.test"),
					  .message_id = S("<1.2@bench.test>"),
					  .arrived_us = wall_us(),
					  .recipients = to,
					  .recipients_count = recipients,
					  .head = S("Return-Path: <sender@bench.test>\r\n"),
					  .body = body,
					  .return_path = 34,
					  .summary = buf_slice(&packed),
					  .client = S("localhost[127.0.0.1]") };
		struct accept_answer answer;
		struct deliver_into into = { .db = db, .settings = &settings };
		deliver_accept(&into, &ask, -1, &mem, &answer);
		if (answer.verdict != ACCEPT_STORED) die_now("not stored: %s", fail_text());
	}
	return NULL;
}

static double cpu_ms(void) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

int main(int argc, char **argv) {
	if (argc != 6 || !slice_number(slice_of(argv[2]), 1000, &sessions) ||
	    !slice_number(slice_of(argv[3]), RECIPIENTS_MAX, &recipients) ||
	    !slice_number(slice_of(argv[4]), MIB(16), &bytes) || !slice_number(slice_of(argv[5]), 100000000, &messages))
		die_now("deliverbench DIR SESSIONS RECIPIENTS BYTES MESSAGES");
	log_open(&(struct log_target){ .fd = open("/dev/null", O_WRONLY), .name = "bench", .host = "h" });
	check(db_open(argv[1], NULL, &db), "open");
	check(db_write(db, accounts_make, NULL), "accounts");
	AUTO_BUF struct buf text = BUF(MIB(17));
	text_make(&text);
	struct slice body = buf_slice(&text);
	AUTO_FREE pthread_t *threads = mem_array(sessions, sizeof *threads);
	double cpu = cpu_ms();
	int64_t start = clock_us();
	for (size_t i = 0; i < sessions; i++) pthread_create(&threads[i], NULL, session, &body);
	for (size_t i = 0; i < sessions; i++) pthread_join(threads[i], NULL);
	double took = (double)(clock_us() - start) / 1e6, used = cpu_ms() - cpu;
	printf("%llu sessions, %llu bytes, %llu rcpt: %.0f/s, %.4f CPU ms a message\n", (unsigned long long)sessions,
	       (unsigned long long)bytes, (unsigned long long)recipients, (double)messages / took,
	       used / (double)messages);
	db_close(&db);
	return 0;
}
