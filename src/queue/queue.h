/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* The queue: what must still go out, where, when. One row per message and one per recipient; a recipient's row goes
 * when it is settled, the message's with its last recipient (and its reference to the blob). Times are µs since 1970.
 *
 * The scheduler calls queue_due, hands each job to a worker, and records every recipient of it with queue_deferred or
 * queue_settled in a transaction, then lets the job go with queue_job_done. Jobs that are out are claimed in memory:
 * after a crash everything is due again as recorded. */
struct queue;
enum queue_answer {
	QUEUE_UNKNOWN = 1, /* no such message or recipient (any more) */
	QUEUE_EXISTS,      /* the queue id is taken */
	QUEUE_EXPIRED,     /* queue_deferred: too old to try again; nothing changed, the caller settles (bounces) it */
	QUEUE_WARN,        /* queue_deferred: recorded, and a delay warning is due for this recipient: queue_warned */
	QUEUE_NO_BLOB,
};
struct queue_params { /* seconds */
	int64_t minimal_backoff, maximal_backoff; /* 300, 4000: the wait is the message's age between these */
	int64_t lifetime, bounce_lifetime;        /* 432000 both; the second for the null sender; 0: one try */
	int64_t delay_warning;                    /* 0: none */
};
/* params are copied; queue_set_params after a reload. */
struct queue *queue_open(struct db *db, const struct queue_params *params);
void queue_set_params(struct queue *q, const struct queue_params *params);
void queue_close(struct queue **q); /* no job may be out */

enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 }; /* RFC 3461; 0: not said */
enum { RET_NONE, RET_FULL, RET_HDRS };

struct queue_recipient {
	int number;                  /* within the message, from 0; set by queue_put */
	struct slice address;
	struct slice orcpt;          /* RFC 3461 "type;xtext", empty: none */
	struct slice original;       /* as first received, for X-Original-To and reports; empty: the address */
	struct slice hop;            /* what it is grouped by, chosen by the caller: "transport:nexthop" */
	uint32_t notify;             /* NOTIFY_… */
	struct slice
		target; /* opaque bytes of the caller (flow): a command or file instead of the address; empty: none */
	/* state */
	int64_t due_us;              /* NEVER while the message is on hold */
	uint32_t tries;
	bool warned;
	struct slice status, text;   /* of the last try: "4.4.1", "connect to …" */
};
struct queue_message {
	struct slice id;             /* queue id */
	struct slice sender;         /* empty: null sender */
	int64_t blob_id;
	uint64_t size;
	int64_t arrived_us;
	struct slice envid;          /* empty: none */
	uint32_t ret;                /* RET_… */
	struct slice message_id;     /* for history and lists */
	struct slice extra;          /* opaque bytes of the caller (flow) */
	bool held;
	bool expired;                /* by the operator: not tried once more after the next try */
	struct queue_recipient *recipients;
	size_t recipient_count;
};
/* Enters a message, due at once (or held). Takes a reference to the blob. QUEUE_EXISTS, QUEUE_NO_BLOB. */
int queue_put(struct db_conn *tx, const struct queue_message *m);
/* The same as queue_put for further recipients of a queued message (an alias that grew). QUEUE_UNKNOWN. */
int queue_add(struct db_conn *tx, struct slice id, struct queue_recipient *recipients, size_t count);

/* A job: one message and those of its recipients that are due for one hop. Owns its text. */
struct queue_job {
	struct queue_message message; /* recipients: the claimed ones only */
	struct slice hop;
	struct arena mem;
	void *ctx;                    /* the caller's */
	bool recorded;                /* set by the caller: nothing of it is due as it was */
};
struct queue_limits {
	size_t jobs;            /* most jobs returned by this call */
	size_t recipients;      /* most recipients of a job */
	size_t jobs_per_hop;    /* most jobs out to one hop at a time, those of earlier calls included */
	/* the same for a certain hop (slow start; 0: none now), asked once before each job; NULL: jobs_per_hop for all
	 */
	size_t (*per_hop)(void *ctx, struct slice hop);
	void *ctx;
};
/* Up to limits->jobs new jobs, hops taking turns; *next_us becomes the time when the next recipient falls due: NEVER
 * when there is none, now_us when limits->jobs was reached and more may be due. Recipients that are out, or whose hop
 * has its full number of jobs, do not count: look again when a job is done. Returns the number of jobs or <0. */
int queue_due(struct queue *q, int64_t now_us, const struct queue_limits *limits, struct queue_job **jobs,
              int64_t *next_us);
/* A job for a message that is about to be entered with queue_put, and all its recipients, who go to one hop: nobody
 * else is handed it then. NULL when it is to take its turn: more than one hop, too many recipients, the hop has its
 * full number of jobs, or somebody waits. Texts are copied; blob_id is set by the caller after the commit. When nothing
 * was committed: queue_job_done with `recorded`. */
struct queue_job *queue_claim(struct queue *q, const struct queue_message *m, const struct queue_limits *limits);
/* Somebody was committed who is due from due_us on, which may be before others that are out already: the next look
 * shall find him. Who is not told of is found within a second. */
void queue_entered(struct queue *q, int64_t due_us);
/* The same for recipients of one hop. False: they wait for one of its jobs to end, and queue_job_done will tell. */
bool queue_entered_hop(struct queue *q, int64_t due_us, struct slice hop);
/* True: somebody had to wait for a job to end when queue_due was called last. */
bool queue_job_done(struct queue *q, struct queue_job **job);

/* What became of a recipient. Delivered, bounced, expired, redirected: settled. */
int queue_deferred(struct queue *q, struct db_conn *tx, struct slice id, int number, int64_t now_us,
                   struct slice status, struct slice text);         /* QUEUE_UNKNOWN, QUEUE_EXPIRED, QUEUE_WARN */
/* *removed: becomes true when the message has left with him, its last recipient; may be NULL. QUEUE_UNKNOWN. */
int queue_settled(struct db_conn *tx, struct slice id, int number, bool *removed);
int queue_warned(struct db_conn *tx, struct slice id, int number);  /* the warning was queued; QUEUE_UNKNOWN */

/* The operator's hand. */
int queue_hold(struct db_conn *tx, struct slice id);                     /* QUEUE_UNKNOWN */
int queue_release(struct db_conn *tx, struct slice id, int64_t now_us);  /* QUEUE_UNKNOWN */
int queue_delete(struct db_conn *tx, struct slice id);                   /* QUEUE_UNKNOWN */
int queue_expire(struct db_conn *tx, struct slice id);                   /* queue_message.expired; QUEUE_UNKNOWN */
/* Due now; id or hop empty: any. What was put off (its last text is QUEUE_PUT_OFF) loses status and text, so that it
 * can be told from what merely fell due. QUEUE_UNKNOWN. */
#define QUEUE_PUT_OFF "deferred transport"
int queue_flush(struct db_conn *tx, struct slice id, struct slice hop, int64_t now_us);
#define QUEUE_AGAIN "requeue:" /* the hop of those that are taken up again from the start (flow/hop.h) */
int queue_route(struct db_conn *tx, struct slice id, int number, struct slice hop); /* another hop; QUEUE_UNKNOWN */
int queue_show(struct db_conn *c, struct arena *mem, struct slice id, struct queue_message *out); /* QUEUE_UNKNOWN */
/* In order of arrival; recipients included. Stops when each returns other than 0 and returns that. */
int queue_each(struct db_conn *c, int (*each)(void *ctx, const struct queue_message *m), void *ctx);
struct queue_counts { uint64_t messages, recipients, held, bytes; int64_t oldest_us; };
int queue_count(struct db_conn *c, struct queue_counts *out);
