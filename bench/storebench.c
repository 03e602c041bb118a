/* SPDX-License-Identifier: Apache-2.0 */
/* How many deliveries a second the store makes durable, and what large mailboxes cost:
 *   storebench DIR [SECONDS]
 * One delivery is what core does for one message: body of 4 KiB, summary, message row, counters, one history row. */
#include "base/clock.h"
#include "base/encode.h"
#include "base/fail.h"
#include "db/blob.h"
#include "queue/history.h"
#include "store/change.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

enum { ACCOUNTS = 50, BODY = 4096, SUMMARY = 500, LARGE = 100000 };

static struct db *db;
static struct box inboxes[ACCOUNTS];
static _Atomic bool stop;
static char body[BODY * 8];

static void check(int r, const char *what) {
	if (r != 0) die_now("%s: %d %s", what, r, fail_text());
}

static int accounts_make(struct db_conn *tx, void *arg UNUSED) {
	for (int64_t i = 0; i < ACCOUNTS; i++) {
		AUTO_ARENA struct arena mem = {0};
		struct mailbox m;
		int r = store_account_create(tx, i + 1);
		if (r != 0 && r != STORE_EXISTS) return r;
		r = store_find(tx, &mem, i + 1, S("INBOX"), &m);
		if (r != 0) return r;
		inboxes[i] = m.box;
	}
	return 0;
}

struct worker {
	pthread_t thread;
	size_t number, recipients;
	uint64_t done;
	int64_t slowest_us;
	struct blob_draft *draft;
	char queue_id[24];
};

static int deliver(struct db_conn *tx, void *arg) {
	struct worker *w = arg;
	int64_t blob;
	int r = blob_insert(tx, w->draft, slice_from(body + w->number, SUMMARY), &blob);
	for (size_t i = 0; i < w->recipients && r == 0; i++) {
		struct appended done;
		struct append a = { .box = inboxes[(w->number + i) % ACCOUNTS], .blob_id = blob, .size = BODY };
		r = store_append(tx, &a, &done);
		struct history_row row = {
			.queue_id = slice_of(w->queue_id),
			.kind = HISTORY_DELIVERED,
			.sender = S("sender@example.com"),
			.recipient = S("someone@example.net"),
			.peer = S("mail.example.com[192.0.2.1]"),
			.status = S("2.0.0"),
			.text = S("saved to INBOX"),
			.message_id = S("<4711.0815@example.com>"),
		};
		if (r == 0) r = history_add(tx, &row);
	}
	return r;
}

static void *work(void *arg) {
	struct worker *w = arg;
	while (!atomic_load(&stop)) {
		struct slice part = slice_from(body + random_below(BODY * 7), BODY);
		struct blob_source source = { .parts = &part, .part_count = 1, .fd = -1 };
		AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
		int64_t start = clock_us();
		check(blob_prepare(db, &source, &draft), "blob");
		w->draft = draft;
		snprintf(w->queue_id, sizeof w->queue_id, "%llx", (unsigned long long)db_new_id());
		check(db_write(db, deliver, w), "deliver");
		w->slowest_us = MAX_OF(w->slowest_us, clock_us() - start);
		w->done++;
	}
	return NULL;
}

static double cpu_s(void) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void deliveries(size_t callers, size_t recipients, unsigned seconds) {
	struct worker *w = mem_array(callers, sizeof *w);
	uint64_t total = 0;
	int64_t slowest = 0, start = clock_us();
	double cpu = cpu_s();
	atomic_store(&stop, false);
	for (size_t i = 0; i < callers; i++) {
		w[i].number = i;
		w[i].recipients = recipients;
		check(pthread_create(&w[i].thread, NULL, work, &w[i]), "thread");
	}
	sleep(seconds);
	atomic_store(&stop, true);
	for (size_t i = 0; i < callers; i++) {
		pthread_join(w[i].thread, NULL);
		total += w[i].done;
		slowest = MAX_OF(slowest, w[i].slowest_us);
	}
	double took = (double)(clock_us() - start) / 1e6;
	printf("%3zu callers, %2zu recipients: %8.0f messages/s, %.3f CPU ms each, slowest %.1f ms\n", callers, recipients,
	       (double)total / took, (cpu_s() - cpu) * 1000 / (double)total, (double)slowest / 1000);
	fflush(stdout);
	free(w);
}

static int64_t clock_start;
static void lap(const char *what, uint64_t count) {
	printf("%-52s %9.2f ms  (%llu)\n", what, (double)(clock_us() - clock_start) / 1000, (unsigned long long)count);
	fflush(stdout);
	clock_start = clock_us();
}

static struct box large;

static int fill(struct db_conn *tx, void *arg) {
	struct blob_draft **drafts = arg;
	for (size_t i = 0; i < 1000; i++) {
		int64_t blob;
		struct appended done;
		int r = blob_insert(tx, drafts[i], slice_from(body, SUMMARY), &blob);
		struct append a = { .box = large, .blob_id = blob, .size = BODY };
		if (r == 0) r = store_append(tx, &a, &done);
		if (r != 0) return r;
	}
	return 0;
}

static int count_rows(void *ctx, const struct message *m UNUSED) {
	++*(uint64_t *)ctx;
	return 0;
}

static int seen_all(struct db_conn *tx, void *arg) {
	struct flag_change change = { .how = FLAGS_ADD, .flags = FLAG_SEEN | FLAG_DELETED };
	return store_flags(tx, large, UID_ALL, &change, count_rows, NULL, arg, NULL);
}

static int keyword_all(struct db_conn *tx, void *arg) {
	struct flag_change change = { .how = FLAGS_ADD, .keywords = S("$NotJunk") };
	return store_flags(tx, large, UID_ALL, &change, count_rows, NULL, arg, NULL);
}

static int keyword_again(struct db_conn *tx, void *arg) {
	struct flag_change change = { .how = FLAGS_ADD, .keywords = S("$Forwarded") };
	return store_flags(tx, large, UID_ALL, &change, count_rows, NULL, arg, NULL);
}

static int copy_all(struct db_conn *tx, void *arg) {
	struct copied done;
	struct box to;
	int r = store_create(tx, large.account, S("copy"), 0, &to);
	if (r == 0) r = store_copy(tx, large, UID_ALL, to, NULL, NULL, &done);
	if (r == 0) *(uint64_t *)arg = done.count;
	return r;
}

static int expunge_all(struct db_conn *tx, void *arg UNUSED) {
	return store_expunge(tx, large, UID_ALL, true, NULL, NULL);
}

static int delete_copy(struct db_conn *tx, void *arg UNUSED) {
	return store_delete(tx, large.account, S("copy"));
}

static void large_mailbox(void) {
	static struct blob_draft *drafts[1000];
	struct slice part = slice_from(body, 1000);
	struct blob_source source = { .parts = &part, .part_count = 1, .fd = -1 };
	large = inboxes[0];
	large.id = 6; /* Archive */
	clock_start = clock_us();
	for (size_t i = 0; i < LARGE / 1000; i++) {
		for (size_t j = 0; j < 1000; j++) check(blob_prepare(db, &source, &drafts[j]), "blob");
		check(db_write(db, fill, drafts), "fill");
		for (size_t j = 0; j < 1000; j++) blob_draft_done(&drafts[j]);
	}
	lap("append, 1000 a transaction", LARGE);
	AUTO_BUF struct buf uids = BUF(MIB(8));
	uint64_t count = 0;
	struct db_conn *c = db_read(db);
	AUTO_ARENA struct arena mem = {0};
	struct mailbox m;
	for (int i = 0; i < 1000; i++) check(store_mailbox(c, &mem, large, &m), "select");
	lap("counters of the mailbox, 1000 times", 1000);
	check(store_uids(c, large, 1, &uids), "uids");
	lap("all uids", uids.len / 4);
	check(store_each(c, large, UID_ALL, 0, count_rows, &count), "each");
	lap("all rows", count);
	count = 0;
	check(store_each(c, large, UID_ALL, WANT_SUMMARY, count_rows, &count), "each");
	lap("all rows with summaries", count);
	db_release(&c);
	clock_start = clock_us();
	static int (*const writes[])(struct db_conn *, void *) = { seen_all, keyword_all, keyword_again,
		                                                       copy_all, expunge_all, delete_copy };
	static const char *const names[] = { "flags of all", "first keyword of all", "second keyword of all (row by row)",
		                                 "copy all",     "expunge all",          "delete the copy" };
	for (size_t i = 0; i < LEN(writes); i++) {
		count = 0;
		check(db_write(db, writes[i], &count), names[i]);
		lap(names[i], count);
	}
	check(store_sweep(db), "sweep");
	lap("sweep the deleted copy (frees the bodies)", LARGE);
}

int main(int argc, char **argv) {
	if (argc < 2) die_now("storebench DIR [SECONDS]");
	uint64_t seconds = 5;
	if (argc > 2) slice_number(slice_of(argv[2]), 3600, &seconds);
	for (size_t i = 0; i < sizeof body; i++) body[i] = "etaoin shrdlu\nxyzpq0123456789ETAOINSHRDLU"[random_below(40)];
	check(db_open(argv[1], NULL, &db), "open");
	struct change_hub *hub = change_hub_open(db);
	check(db_write(db, accounts_make, NULL), "accounts");
	static const size_t callers[] = { 1, 10, 50, 100 };
	for (size_t i = 0; i < LEN(callers); i++) deliveries(callers[i], 1, (unsigned)seconds);
	deliveries(50, 10, (unsigned)seconds);
	large_mailbox();
	change_hub_close(&hub);
	db_close(&db);
	return 0;
}
