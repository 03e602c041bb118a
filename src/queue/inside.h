/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this room share. */
#include "queue/queue.h"
#include "base/map.h"
#include "db/blob.h"

#include <pthread.h>

struct queue {
	struct db *db;
	pthread_mutex_t lock;
	struct queue_params params;
	struct map claims; /* "id/number" of recipients that are out → any pointer */
	struct map hops;   /* hop → struct hop_out: those with jobs out */
	struct buf cursor; /* the hop that was served last: the next round starts behind it */
	bool held_back;    /* somebody who is due waits for his hop's jobs to end */
};
struct hop_out {
	size_t jobs;
	bool full;         /* as the last look found it, and none of its jobs has ended since */
	/* What is due before from_us is out, so that a look need not pass by it; looked at again from the start once in
	 * a while (others may change rows), and when a job ends without its result being recorded. */
	int64_t from_us, until_ms;
};

/* queue_message.held is a set of these. */
enum { STATE_HELD = 1, STATE_EXPIRED = 2 };

/* message.c */
#define QUEUE_MESSAGE_COLUMNS "id, sender, blob_id, size, arrived_us, envid, ret, message_id, extra, held"
#define QUEUE_RECIPIENT_COLUMNS \
	"number, address, orcpt, original, hop, notify, target, due_us, tries, warned, status, text"
struct queue_message message_row(struct db_stmt *s, struct arena *mem);
struct queue_recipient recipient_row(struct db_stmt *s, struct arena *mem);
int message_get(struct db_conn *c, struct arena *mem, struct slice id,
                struct queue_message *out);                    /* without recipients; QUEUE_UNKNOWN */
/* When no recipient is left; *removed becomes true then, and may be NULL. */
int message_drop_if_done(struct db_conn *tx, struct slice id, bool *removed);
/* Binds id and number; runs; QUEUE_UNKNOWN when no row changed. */
int recipient_change(struct db_conn *tx, const char *sql, struct slice id, int number);
