/* SPDX-License-Identifier: Apache-2.0 */
/* The search index on mail from standard input, each message as "LENGTH\n" and so many bytes:
 *   for f in $(find MAIL -type f); do stat -c %s $f; cat $f; done | build/src/queue/searchbench DIR 1 WORD…
 * Stores them into the account's INBOX (unless there is nothing to read), indexes them, and looks the words up. */
#include "base/clock.h"
#include "base/fail.h"
#include "db/blob.h"
#include "mime/fold.h"
#include "store/search_index.h"
#include "store/store.h"
#include "store/text.h"

#include <sys/resource.h>

enum { BATCH = 500, MOST = 64 * 1024 * 1024 };

struct batch {
	int64_t account;
	size_t count;
	struct one { struct blob_draft *draft; struct buf summary; uint64_t size; } all[BATCH];
};

static void check(int r, const char *what) {
	if (r < 0) die_now("%s: %s", what, fail_text());
}

static int append_all(struct db_conn *tx, void *arg) {
	struct batch *b = arg;
	int r = 0;
	for (size_t i = 0; i < b->count && r == 0; i++) {
		struct append a = { .box = { b->account, 0 }, .size = b->all[i].size };
		struct appended done;
		r = blob_insert(tx, b->all[i].draft, buf_slice(&b->all[i].summary), &a.blob_id);
		if (r == 0) r = store_append(tx, &a, &done);
	}
	return r;
}

static void flush(struct db *db, struct batch *b) {
	check(-(db_write(db, append_all, b) != 0), "append");
	for (size_t i = 0; i < b->count; i++) {
		blob_draft_done(&b->all[i].draft);
		buf_done(&b->all[i].summary);
	}
	b->count = 0;
}

static void prepare(struct db *db, struct batch *b, struct slice text) {
	struct one *one = &b->all[b->count++];
	struct blob_source source = { .parts = &text, .part_count = 1, .fd = -1 };
	struct summary_scan *scan = summary_scan_new();
	struct summary summary;
	one->summary = BUF(MIB(8));
	one->size = text.len;
	summary_scan_feed(scan, text);
	summary_scan_finish(scan, &summary);
	summary_pack(&one->summary, &summary);
	summary_scan_free(&scan);
	check(blob_prepare(db, &source, &one->draft), "body");
}

static size_t store_all(struct db *db, struct batch *b) {
	char *text = mem_get(MOST);
	size_t len, count = 0;
	while (scanf("%zu", &len) == 1 && getchar() == '\n' && len < MOST && fread(text, 1, len, stdin) == len) {
		prepare(db, b, slice_from(text, len));
		if (b->count == BATCH) flush(db, b);
		count++;
	}
	flush(db, b);
	free(text);
	return count;
}

static double cpu_s(void) {
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

struct narrowing { const struct text_found *found; size_t left; };

static int narrow(void *ctx, const struct message *m) {
	struct narrowing *n = ctx;
	n->left += !search_index_excludes(n->found, m->blob_id);
	return 0;
}

static void look_up(struct db *db, struct search_index *x, int64_t account, const char *word) {
	AUTO_ARENA struct arena mem = { 0 };
	struct text_found found;
	struct narrowing n = { .found = &found };
	struct box inbox = { account, 1 };
	int64_t before = wall_us();
	AUTO_BUF struct buf needle = BUF(KIB(4));
	text_fold(&needle, slice_of(word));
	int r = search_index_find(x, buf_slice(&needle), &mem, &found);
	int64_t between = wall_us();
	AUTO_READ struct db_conn *c = db_read(db);
	if (r == 0) check(store_each(c, inbox, UID_ALL, WANT_LEAN | WANT_BLOB, narrow, &n), "bodies");
	if (r != 0) printf("%-20s cannot be looked up\n", word);
	else printf("%-20s %zu candidates in %.2f ms, %zu messages in %.2f ms\n", word, found.count, (double)(between - before) / 1e3, n.left,
	            (double)(wall_us() - between) / 1e3);
}

static int create(struct db_conn *tx, void *account) {
	return store_account_create(tx, *(int64_t *)account);
}

int main(int argc, char **argv) {
	struct db *db = NULL;
	struct search_index *x = NULL;
	struct search_index_status s;
	static struct batch b;
	if (argc < 3) die_now("usage: searchbench DIR ACCOUNT WORD... < MAIL");
	check(db_open(argv[1], NULL, &db), "database");
	b.account = atoll(argv[2]);
	check(db_write(db, create, &b.account) < 0 ? -1 : 0, "account"); /* one that is there stays as it is */
	size_t count = store_all(db, &b);
	check(search_index_open(db, &x), "index");
	double cpu = cpu_s();
	int64_t wall = wall_us();
	int r;
	while ((r = search_index_work(x)) == 1) {}
	check(r, "index");
	cpu = cpu_s() - cpu;
	check(search_index_status(x, &s), "status");
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	if (count != 0 || s.index.documents != 0)
		printf("%zu messages, %.1f MB of text, indexed in %.1f s (CPU %.1f s: %.0f/s per core), index %.1f MB: %.0f %% of the text, memory %.0f MB\n", count,
		       (double)s.index.text_bytes / 1e6, (double)(wall_us() - wall) / 1e6, cpu, (double)count / cpu, (double)s.index.file_bytes / 1e6,
		       (double)s.index.file_bytes * 100 / (double)s.index.text_bytes, (double)u.ru_maxrss / 1024);
	for (int pass = 0; pass < 2; pass++)
		for (int i = 3; i < argc; i++) look_up(db, x, b.account, argv[i]);
	search_index_close(&x);
	db_close(&db);
	return 0;
}
