/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/generation.h"
#include "flow/probe_sender.h"
#include "flow/reporting.h"
#include "net/pool.h"
/* Sending: the queue's due recipients go to the relay process, job by job, and what it answers is recorded: delivered,
 * tried again later, or returned to the sender. A job under way is a parked task on a channel to relay: it holds no
 * thread.
 *
 * Each destination opens slowly: initial_destination_concurrency jobs at once, more after those that get through, up to
 * default_destination_concurrency_limit, fewer after one that did not reach a server (flow/window.h). A destination
 * where as many jobs in a row failed as its window was wide, times the failed_cohort_limit, rests: what is due for it
 * is put off with the reason of the last failure, untried (SCHEDULER_README). */
struct send_params {
	size_t process_limit;     /* default_process_limit: jobs under way in all */
	size_t recipient_limit;   /* default_destination_recipient_limit: of one job */
	size_t first_concurrency, concurrency_limit;
	struct feedback gain, loss; /* default_destination_concurrency_…_feedback */
	int64_t rest_us;          /* minimal_backoff_time: how long a destination rests where too many jobs failed */
	int64_t lifetime_s;       /* maximal_queue_lifetime, for the words of delay notices */
	bool confirm_delay_cleared; /* who was told of a delay is told of its end */
	bool soft_bounce;         /* nothing is returned: all is tried again */
	const struct srs_params *srs; /* senders of forwarded mail; NULL: they stay as they are */
	bool srs_always;
};
struct verify_params {            /* address_verify_… */
	const struct route_params *route; /* the ways of probes */
	bool keep;                /* results outlive a restart */
	struct probe_sender sender;
	int64_t positive_expire_us, positive_refresh_us, negative_expire_us, negative_refresh_us;
	bool negative_cache;
};
/* What core's part of flow needs; swapped by a reload. The generation is at the start, so that holding one is holding
 * the other. */
struct flow_settings {
	struct generation generation;
	struct reporting_params reporting;
	struct deliver_params deliver;
	struct send_params send;
	struct verify_params verify;
};

struct sender;
/* To the processes that carry mail away. */
struct send_links {
	struct link *relay, *agent; /* agent: for the transports local, virtual and pipe; NULL: there is none */
};
/* settings: a current of struct flow_settings. All outlive the pool. */
struct sender *sender_start(struct pool *pool, struct db *db, struct queue *queue, const struct send_links *links,
			    struct current *settings);
void sender_wake(struct sender *s); /* from any thread: something was released or flushed, or queued by a notice */
/* The same: a message was queued that is due from then on. hop: of all its recipients; empty: they have several. */
void sender_entered(struct sender *s, int64_t due_us, struct slice hop);
/* The short way of a message that is being taken in: claimed before it is committed, so that nobody else looks at it,
 * and sent off right after by the same thread, its body still in memory. sender_claim: NULL when it must take its turn
 * (sender_entered after the commit); else sender_go, after the commit, or sender_unclaim, when there was none. body: as
 * stored, needed until sender_go returns; empty: it is read from the store. */
enum { SEND_FRESH_MAX = 64 << 10 }; /* a body */
struct shipment;
struct shipment *sender_claim(struct sender *s, struct flow_settings *settings, const struct queue_message *m);
void sender_go(struct shipment *sh, int64_t blob_id, struct slice body);
void sender_unclaim(struct shipment *sh);
void sender_end_rests(struct sender *s); /* the operator wants to see every destination tried */
void sender_free(struct sender **s); /* after pool_stop */
