/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals are gathered and written seldom: at most ROWS_MAX rows each FLUSH_MS, whatever strangers do. */
#include "queue/history.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/map.h"

#include <pthread.h>

enum { ROWS_MAX = 256, FLUSH_MS = 10000, KEPT_TEXT = 300 };

struct refused {
	struct refused *next;
	struct history_row row; /* text in the log's memory */
};

struct history_log {
	struct db *db;
	pthread_mutex_t lock;
	struct arena mem;
	struct map alike;
	struct refused *first, **end;
	size_t count;
	uint64_t more;          /* refusals beyond ROWS_MAX */
	int64_t more_from_us;
	int64_t flush_at;       /* ms */
};

struct history_log *history_log_open(struct db *db) {
	struct history_log *log = mem_get(sizeof *log);
	log->db = db;
	log->end = &log->first;
	log->flush_at = deadline_in(FLUSH_MS);
	pthread_mutex_init(&log->lock, NULL);
	return log;
}

static struct slice short_copy(struct arena *mem, struct slice s) {
	return s.len != 0 ? arena_slice(mem, slice_head(s, KEPT_TEXT)) : SLICE_NONE;
}

static void remember(struct history_log *log, const struct history_row *row) {
	AUTO_ARENA struct arena scratch = {0};
	struct slice key = arena_fmt(
		&scratch, "%d\n%.*s\n%.*s\n%.*s\n%.*s", (int)row->kind, SLICE_ARG(slice_head(row->peer, KEPT_TEXT)),
		SLICE_ARG(slice_head(row->sender, KEPT_TEXT)), SLICE_ARG(slice_head(row->recipient, KEPT_TEXT)),
		SLICE_ARG(slice_head(row->text, KEPT_TEXT)));
	uint64_t count = MAX_OF(row->count, UINT64_C(1));
	struct refused *r = map_get(&log->alike, key);
	if (r != NULL) {
		r->row.count += count;
		return;
	}
	if (log->count == ROWS_MAX) {
		if (log->more == 0) log->more_from_us = wall_us();
		log->more += count;
		return;
	}
	r = arena_get(&log->mem, sizeof *r);
	r->row = (struct history_row){
		.time_us = row->time_us != 0 ? row->time_us : wall_us(),
		.queue_id = short_copy(&log->mem, row->queue_id),
		.kind = row->kind,
		.sender = short_copy(&log->mem, row->sender),
		.recipient = short_copy(&log->mem, row->recipient),
		.peer = short_copy(&log->mem, row->peer),
		.status = short_copy(&log->mem, row->status),
		.text = short_copy(&log->mem, row->text),
		.message_id = short_copy(&log->mem, row->message_id),
		.count = count,
	};
	*log->end = r;
	log->end = &r->next;
	log->count++;
	map_put(&log->alike, key, r);
}

struct batch {
	struct arena mem;
	struct refused *first;
	uint64_t more;
	int64_t more_from_us;
};

static int batch_write(struct db_conn *tx, void *arg) {
	const struct batch *b = arg;
	int r = 0;
	for (const struct refused *one = b->first; one != NULL && r == 0; one = one->next)
		r = history_add(tx, &one->row);
	if (r == 0 && b->more != 0)
		r = history_add(tx, &(struct history_row){ .time_us = b->more_from_us,
		                                           .kind = HISTORY_REJECTED,
		                                           .count = b->more,
		                                           .text = S("too many refusals to list them one by one") });
	return r;
}

/* Called with the lock held; leaves an empty log. */
static struct batch batch_take(struct history_log *log) {
	struct batch b = { log->mem, log->first, log->more, log->more_from_us };
	log->mem = (struct arena){0};
	log->first = NULL;
	log->end = &log->first;
	log->count = 0;
	log->more = 0;
	log->flush_at = deadline_in(FLUSH_MS);
	map_done(&log->alike, NULL);
	return b;
}

static int batch_end(struct history_log *log, struct batch *b) {
	int r = b->first != NULL || b->more != 0 ? db_write(log->db, batch_write, b) : 0;
	arena_done(&b->mem);
	return r;
}

int history_refused(struct history_log *log, const struct history_row *row) {
	struct batch b = {0};
	pthread_mutex_lock(&log->lock);
	remember(log, row);
	if (clock_ms() >= log->flush_at) b = batch_take(log);
	pthread_mutex_unlock(&log->lock);
	return batch_end(log, &b);
}

int history_flush(struct history_log *log) {
	pthread_mutex_lock(&log->lock);
	struct batch b = batch_take(log);
	pthread_mutex_unlock(&log->lock);
	return batch_end(log, &b);
}

void history_log_close(struct history_log **logp) {
	struct history_log *log = TAKE(*logp);
	if (log == NULL) return;
	history_flush(log); /* the last seconds may be lost on a full disk: nothing was promised */
	map_done(&log->alike, NULL);
	arena_done(&log->mem);
	pthread_mutex_destroy(&log->lock);
	free(log);
}
