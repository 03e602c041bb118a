/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* History: what happened to each message, one row an event, so that "where is my mail?" has an answer. Kept until
 * history_purge. Adding costs one row and one small index (queue id); finding by address or Message-ID walks
 * backwards through time and is meant for people, not for programs: a million rows take about half a second. */
enum history_kind {
	HISTORY_ACCEPTED = 1, HISTORY_DELIVERED, HISTORY_SENT, HISTORY_DEFERRED, HISTORY_BOUNCED, HISTORY_REJECTED,
	HISTORY_EXPIRED, HISTORY_HELD, HISTORY_RELEASED, HISTORY_DELETED, HISTORY_REDIRECTED, HISTORY_DISCARDED,
	HISTORY_QUARANTINED,
};
const char *history_kind_name(enum history_kind kind); /* "accepted" */

struct history_row {
	int64_t time_us;             /* 0: now */
	struct slice queue_id;
	enum history_kind kind;
	struct slice sender, recipient;
	struct slice peer;           /* "mx.example.com[192.0.2.1]:25" */
	struct slice status;         /* "2.0.0" */
	struct slice text;           /* the reply or reason, cut at 1000 bytes */
	struct slice message_id;
	uint64_t count;              /* how many alike; 0 is taken as 1 */
};
int history_add(struct db_conn *tx, const struct history_row *row);
/* The same event for several recipients: found as if each had been added, at the cost of one (row->recipient is not
 * looked at). */
int history_add_all(struct db_conn *tx, const struct history_row *row, const struct slice *recipients, size_t count);

/* Refusals cost an attacker nothing, so they must not cost us the disk: they are gathered in memory, those with the
 * same peer, sender, recipient and text as one row with a count, and written together every 10 seconds, at most 256
 * rows; what is more is one row that says how many. A crash loses the last seconds of them: nothing was promised.
 * Thread-safe. */
struct history_log;
struct history_log *history_log_open(struct db *db);
void history_log_close(struct history_log **log); /* writes what is left */
int history_refused(struct history_log *log, const struct history_row *row); /* may write: <0 */
int history_flush(struct history_log *log);                                  /* writes now, for a timer */

struct history_query {
	struct slice queue_id, address /* sender or recipient */, message_id; /* empty: any */
	int64_t since_us, until_us;  /* until 0: now */
	size_t limit;                /* 0: 1000 */
};
/* Oldest first for a queue id, else newest first. Stops when each returns other than 0 and returns that. */
int history_find(struct db_conn *c, const struct history_query *query,
                 int (*each)(void *ctx, const struct history_row *row), void *ctx);
/* Deletes rows older than before_us, in small transactions; *count (may be NULL) says how many. */
int history_purge(struct db *db, int64_t before_us, uint64_t *count);
