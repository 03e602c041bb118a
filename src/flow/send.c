/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler: what is due and allowed becomes shipments. */
#include "flow/send_private.h"
#include "base/fail.h"
#include "base/log.h"

enum { JOBS_AT_ONCE = 16, RETRY_MS = 10000 };

static int by_alias(const void *a, const void *b) {
	const struct queue_recipient *one = a, *other = b;
	int order = slice_order(shipment_alias(one), shipment_alias(other));
	return order != 0 ? order : one->number - other->number;
}

/* Nothing has to be written first: handing it to relay waits for nobody. */
static bool may_go_at_once(const struct shipment *sh) {
	const struct queue_message *m = &sh->job->message;
	if (sh->transport == NULL || sh->transport->kind != TRANSPORT_RELAY || sh->transport->deferred) return false;
	for (size_t i = 0; i < m->recipient_count; i++)
		if (m->recipients[i].tries != 0) return false; /* his way may be another one by now */
	return true;
}

static struct shipment *shipment_new(struct sender *s, struct queue_job *job, struct flow_settings *settings) {
	struct shipment *sh = mem_get(sizeof *sh);
	*sh = (struct shipment){
		.task.step = shipment_step, .sender = s, .job = job, .channel = -1, .started_us = wall_us()
	};
	sh->settings = settings;
	generation_hold(&settings->generation);
	struct slice name;
	transport_split(job->hop, &name, &sh->next_hop);
	sh->transport = transport_find(&settings->deliver.route->hops.transports, name);
	qsort(job->message.recipients, job->message.recipient_count, sizeof(struct queue_recipient), by_alias);
	shipment_next_group(sh);
	return sh;
}

static void start_shipment(struct sender *s, struct queue_job *job, struct flow_settings *settings) {
	struct shipment *sh = shipment_new(s, job, settings);
	if (!hop_started(s, job->hop, settings) && may_go_at_once(sh)) {
		pool_add_running(s->pool, &sh->task, -1, -1);
		shipment_go_on(sh);
	} else {
		pool_add(s->pool, &sh->task, -1, -1);
	}
}

/* Lets out what is due and allowed; returns when to look again. */
static int64_t schedule(struct sender *s, struct flow_settings *settings) {
	struct window_question question = { s, settings, 0, NEVER };
	for (;;) {
		question.round = ++s->rounds;
		pthread_mutex_lock(&s->lock);
		size_t room =
			settings->send.process_limit > s->under_way ? settings->send.process_limit - s->under_way : 0;
		s->starved = room == 0;
		pthread_mutex_unlock(&s->lock);
		if (room == 0) return NEVER; /* the next job that ends wakes us */
		struct queue_job *jobs[JOBS_AT_ONCE];
		struct queue_limits limits = { .jobs = MIN_OF(room, (size_t)JOBS_AT_ONCE),
					       .recipients = MAX_OF(settings->send.recipient_limit, (size_t)1),
					       .jobs_per_hop = SIZE_MAX / 2, /* the window of each hop knows */
					       .per_hop = hop_window,
					       .ctx = &question };
		int64_t now = wall_us(), next = NEVER;
		int n = queue_due(s->queue, now, &limits, jobs, &next);
		if (n < 0) {
			say(L_ERROR, "qmgr", "cannot read the queue: %s", fail_text());
			return deadline_in(RETRY_MS);
		}
		for (int i = 0; i < n; i++) start_shipment(s, jobs[i], settings);
		if ((size_t)n == limits.jobs) continue;
		int64_t resume =
			question.resume_us == NEVER ? NEVER : deadline_in((question.resume_us - clock_us()) / 1000 + 1);
		if (next == NEVER || next <= now)
			return resume; /* nothing waits, or only behind jobs under way and pauses */
		return MIN_OF(deadline_in((next - now) / 1000 + 1), resume);
	}
}

/* What was just taken in: it is in memory, and need not be looked for in the queue. */

struct shipment *sender_claim(struct sender *s, struct flow_settings *settings, const struct queue_message *m) {
	if (m->recipient_count == 0 || !hop_is_open(s, m->recipients[0].hop, settings)) return NULL;
	struct window_question question = { s, settings, 0, NEVER };
	struct queue_limits limits = { .recipients = MAX_OF(settings->send.recipient_limit, (size_t)1),
				       .jobs_per_hop = SIZE_MAX / 2,
				       .per_hop = hop_window,
				       .ctx = &question };
	struct queue_job *job = queue_claim(s->queue, m, &limits);
	if (job == NULL) return NULL;
	struct shipment *sh = shipment_new(s, job, settings);
	hop_started(s, job->hop, settings);
	return sh;
}

void sender_go(struct shipment *sh, int64_t blob_id, struct slice body) {
	sh->job->message.blob_id = blob_id;
	sh->started_us = wall_us();
	if (may_go_at_once(sh)) {
		sh->fresh = body;
		pool_add_running(sh->sender->pool, &sh->task, -1, -1);
		shipment_go_on(sh);
	} else {
		pool_add(sh->sender->pool, &sh->task, -1, -1);
	}
}

void sender_unclaim(struct shipment *sh) {
	pool_add_running(sh->sender->pool, &sh->task, -1, -1);
	sh->reach = UNTRIED;
	shipment_end(sh);
}

static void sender_step(struct task *t, enum wake why) {
	struct sender *s = OWNER_OF(t, struct sender, task);
	if (why == WAKE_STOP) {
		task_end(t);
		return;
	}
	struct flow_settings *settings = (struct flow_settings *)current_hold(s->settings);
	int64_t next = schedule(s, settings);
	generation_drop(&settings->generation);
	task_park(t, 0, 0, next);
}

struct sender *sender_start(struct pool *pool, struct db *db, struct queue *queue, const struct send_links *links,
			    struct current *settings) {
	struct sender *s = mem_get(sizeof *s);
	*s = (struct sender){ .task.step = sender_step,
			      .pool = pool,
			      .db = db,
			      .queue = queue,
			      .relay = links->relay,
			      .agent = links->agent,
			      .settings = settings };
	pthread_mutex_init(&s->lock, NULL);
	s->delivered_end = &s->delivered;
	pool_add(pool, &s->task, -1, -1);
	s->self = task_name(&s->task);
	return s;
}

void sender_wake(struct sender *s) {
	task_wake(s->pool, s->self);
}

void sender_entered(struct sender *s, int64_t due_us, struct slice hop) {
	if (hop.len == 0) queue_entered(s->queue, due_us);
	else if (!queue_entered_hop(s->queue, due_us, hop)) return;
	sender_wake(s);
}

void sender_free(struct sender **sp) {
	struct sender *s = *sp;
	if (s == NULL) return;
	*sp = NULL;
	for (size_t i = 0; i < s->idle_count; i++) {
		close(s->idle[i].fd);
		free(s->idle[i].hop);
	}
	map_done(&s->hops, hop_free);
	map_done(&s->paced, free);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
