/* SPDX-License-Identifier: Apache-2.0 */
/* A shipment: its groups one after the other, and what became of each. */
#include "flow/send_private.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/own_mail.h"
#include "flow/requeue.h"
#include "flow/settle.h"
#include "flow/verp.h"
#include "smtp/client.h"

enum { RELAY_MS = 3600000, ENDING_MS = 30000, RECORD_MOST = 64 };

/* True: the scheduler is to be woken. */
static bool let_go(struct shipment *sh) {
	struct sender *s = sh->sender;
	bool look = sh->look;
	if (look) queue_entered(s->queue, INT64_MIN);
	look |= hop_ended(sh);
	sh->job->recorded = !sh->unrecorded;
	look |= queue_job_done(s->queue, &sh->job);
	generation_drop(&sh->settings->generation);
	arena_done(&sh->mem);
	return look;
}

void shipment_end(struct shipment *sh) {
	if (let_go(sh)) sender_wake(sh->sender);
	task_end(&sh->task); /* last: once the pool has no tasks, the queue may be closed */
	free(sh);
}

/* Nobody answered: all recipients wait. */
static void fail_all(struct shipment *sh, struct relay_answer *answer, const char *text) {
	*answer = (struct relay_answer){ .outcomes = arena_array(&sh->mem, sh->count, sizeof(struct relay_outcome)),
					 .outcomes_count = sh->count };
	for (size_t i = 0; i < sh->count; i++)
		answer->outcomes[i] = (struct relay_outcome){ .fate = SMTP_LATER,
							      .status = S("4.3.0"),
							      .text = arena_slice(&sh->mem, slice_of(text)),
							      .relay = S("none") };
}

/* Somebody answered, but would not talk: 421 instead of a greeting, say. */
static bool turned_away(const struct relay_outcome *o) {
	return o->fate == SMTP_LATER && o->uses == 0 && o->diagnostic.len != 0;
}

static bool reached_server(const struct relay_answer *a) {
	for (size_t i = 0; i < a->outcomes_count; i++)
		if (a->outcomes[i].fate != SMTP_LATER ||
		    (a->outcomes[i].host.len != 0 && !turned_away(&a->outcomes[i])))
			return true;
	return a->outcomes_count == 0;
}

/* What Delivered-To will say; recipients without are all alike. */
struct slice shipment_alias(const struct queue_recipient *r) {
	return r->target.len != 0 ? r->original : SLICE_NONE;
}

static bool is_verp(const struct queue_message *m) {
	AUTO_ARENA struct arena mem = { 0 };
	struct unwire in = UNWIRE(m->extra, &mem);
	struct queue_extra extra = { 0 };
	queue_extra_unpack(&in, &extra);
	return extra.flags >> ACCEPT_VERP != 0;
}

/* All of the group is delivered, and nobody is told. */
static bool is_over(const struct queue_job *group, const struct relay_answer *a) {
	for (size_t i = 0; i < a->outcomes_count; i++) {
		const struct queue_recipient *to = &group->message.recipients[i];
		if (a->outcomes[i].fate != SMTP_DELIVERED || to->warned || (to->notify & NOTIFY_SUCCESS) != 0)
			return false;
	}
	return true;
}

void shipment_next_group(struct shipment *sh) {
	const struct queue_message *m = &sh->job->message;
	size_t limit = is_verp(m)              ? 1
		       : sh->transport != NULL ? MAX_OF(sh->transport->recipient_limit, (size_t)1)
					       : SIZE_MAX;
	sh->from += sh->count;
	sh->count = 0;
	while (sh->from + sh->count < m->recipient_count && sh->count < limit &&
	       slice_eq(shipment_alias(&m->recipients[sh->from + sh->count]), shipment_alias(&m->recipients[sh->from])))
		sh->count++;
}

/* Records what became of the group, and takes up the next. */
static void settle(struct shipment *sh, const struct relay_answer *answer) {
	struct sender *s = sh->sender;
	struct queue_job group = *sh->job;
	group.message.recipients += sh->from;
	group.message.recipient_count = sh->count;
	if (sh->reach != UNTRIED && reached_server(answer)) sh->reach = REACHED;
	bool recorded = settle_job(s->db, s->queue, sh->settings, &group, answer->outcomes, sh->started_us) >= 0;
	sh->unrecorded = sh->unrecorded || !recorded;
	sh->look = sh->look || !recorded || !is_over(&group, answer);
	if (!recorded)
		say(L_ERROR, "qmgr", "%.*s: cannot record what happened: %s (will be tried again)",
		    SLICE_ARG(sh->job->message.id), fail_text());
	shipment_next_group(sh);
}

static void give_up(struct shipment *sh, const char *text) {
	struct relay_answer answer;
	auto_fd(&sh->channel);
	fail_all(sh, &answer, text);
	settle(sh, &answer);
}

/* Relay ends: what it has not tried is due as before. */
static bool untried(const struct shipment *sh, const struct relay_answer *a) {
	size_t n = 0;
	for (size_t i = 0; i < a->outcomes_count; i++) n += a->outcomes[i].fate == RELAY_UNTRIED;
	if (n != 0) say(L_INFO, "qmgr", "%.*s: not tried, as the server ends", SLICE_ARG(sh->job->message.id));
	return n != 0;
}

/* Nobody there could be spoken to: that is what 4.4.x says (RFC 3463), or a refusal before there was any message, as
 * far as it is not this message's own trouble. */
static void look_at_site(struct shipment *sh, const struct relay_answer *a) {
	const struct relay_outcome *last = &a->outcomes[a->outcomes_count - 1];
	if (sh->reach == REACHED || sh->transport->kind != TRANSPORT_RELAY || reached_server(a) ||
	    !(slice_starts(last->status, S("4.4.")) || turned_away(last)))
		return;
	sh->reach = SITE_DOWN;
	sh->site_status = last->status;
	sh->site_text = last->text;
}

/* The last of the job, and nothing is to be done but to record it. */
static bool ends_well(const struct shipment *sh, const struct relay_answer *answer) {
	struct queue_job group = *sh->job;
	group.message.recipients += sh->from;
	return sh->from + sh->count == group.message.recipient_count && answer->troubles == 0 && !sh->ending &&
	       is_over(&group, answer);
}

/* True: it has gone to those who wait to be recorded. */
static bool receive(struct shipment *sh) {
	struct relay_answer answer;
	int r = ask_relay_receive(sh->channel, &sh->mem, &answer);
	if (r != ASK_OK || answer.outcomes_count != sh->count) {
		give_up(sh, r < 0 ? fail_text() : "delivery was interrupted");
		return false;
	}
	sh->ending = untried(sh, &answer);
	channel_keep(sh->sender, TAKE_FD(sh->channel), sh->job->hop);
	if (!sh->ending) look_at_site(sh, &answer);
	if (ends_well(sh, &answer)) {
		sh->answer = answer;
		return true;
	}
	settle(sh, &answer);
	sh->unrecorded = sh->unrecorded || sh->ending;
	const struct deliver_params *p = &sh->settings->deliver;
	bool own = slice_same(sh->job->message.sender,
			      p->trouble.from); /* a notice about how a notice went would not end */
	if (answer.troubles != 0 && !own && own_mail_tell_postmaster(sh->sender->db, p, &answer))
		sender_wake(sh->sender);
	return false;
}

/* Results that come while others are being recorded are recorded together after them: one wait for the disk, one
 * transaction, one write to the log. */

static void record_together(struct sender *s, struct shipment *const *list, size_t count) {
	struct settle_one jobs[RECORD_MOST] = { 0 };
	struct queue_job groups[RECORD_MOST];
	for (size_t i = 0; i < count; i++) {
		struct shipment *sh = list[i];
		groups[i] = *sh->job;
		groups[i].message.recipients += sh->from;
		groups[i].message.recipient_count = sh->count;
		jobs[i] = (struct settle_one){ sh->settings, &groups[i], sh->answer.outcomes, sh->started_us };
	}
	bool recorded = settle_delivered(s->db, s->queue, jobs, count) == 0, look = false;
	for (size_t i = 0; i < count; i++) {
		if (recorded) list[i]->reach = REACHED;
		else settle(list[i], &list[i]->answer);
		look |= let_go(list[i]);
	}
	if (look) sender_wake(s); /* once for all whose places are free now */
}

static size_t take_delivered(struct sender *s, struct shipment **list) {
	size_t n = 0;
	pthread_mutex_lock(&s->lock);
	for (; s->delivered != NULL && n < RECORD_MOST; s->delivered = s->delivered->next) list[n++] = s->delivered;
	if (s->delivered == NULL) s->delivered_end = &s->delivered;
	s->recording = n != 0;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Ends the shipment, now or soon, by another worker. */
static void record_delivered(struct shipment *sh) {
	struct sender *s = sh->sender;
	pthread_mutex_lock(&s->lock);
	bool first = !s->recording;
	s->recording = true;
	*s->delivered_end = sh;
	s->delivered_end = &sh->next;
	pthread_mutex_unlock(&s->lock);
	struct shipment *list[RECORD_MOST], *next[RECORD_MOST];
	for (size_t n = first ? take_delivered(s, list) : 0, more; n != 0; n = more) {
		record_together(s, list, n);
		more = take_delivered(s, next); /* before these end: with the last task the sender may be freed */
		for (size_t i = 0; i < n; i++) {
			task_end(&list[i]->task);
			free(list[i]);
		}
		memcpy(list, next, more * sizeof *list);
	}
}

/* One outcome for the whole group. */
static void settle_all(struct shipment *sh, uint32_t fate, struct slice usual, struct slice text) {
	struct slice status = hop_status(&text, usual, &sh->mem);
	struct relay_answer answer = { .outcomes = arena_array(&sh->mem, sh->count, sizeof(struct relay_outcome)),
				       .outcomes_count = sh->count };
	for (size_t i = 0; i < sh->count; i++)
		answer.outcomes[i] =
			(struct relay_outcome){ .fate = fate, .status = status, .text = text, .relay = S("none") };
	if (sh->reach != UNTRIED)
		sh->reach = REACHED; /* nothing is wrong with this destination: others need not wait for it */
	settle(sh, &answer);
}

static void take_up_again(struct shipment *sh) {
	struct queue_job group = *sh->job;
	group.message.recipients += sh->from;
	group.message.recipient_count = sh->count;
	sh->reach = REACHED;
	sh->look = true;
	if (requeue_job(sh->sender->db, sh->settings, &group) == 0) shipment_next_group(sh);
	else settle_all(sh, SMTP_LATER, S("4.3.0"), arena_slice(&sh->mem, slice_of(fail_text())));
}

/* Does an operator want mail for a transport in defer_transports to go now? He cleared what was said when it was put
 * off. */
static bool put_off(const struct shipment *sh) {
	const struct queue_recipient *first = &sh->job->message.recipients[sh->from];
	return sh->transport->deferred && (first->tries == 0 || first->status.len != 0);
}

/* What needs no other process. */
static bool settled_here(struct shipment *sh) {
	struct slice text = sh->next_hop, status = SLICE_NONE;
	if (sh->transport == NULL) return settle_all(sh, SMTP_LATER, S("4.3.0"), S("mail transport unavailable")), true;
	if (put_off(sh)) return settle_all(sh, SMTP_LATER, S("4.3.2"), S(QUEUE_PUT_OFF)), true;
	switch (sh->transport->kind) {
	case TRANSPORT_ERROR: settle_all(sh, SMTP_NEVER, S("5.0.0"), text); return true;
	case TRANSPORT_RETRY: settle_all(sh, SMTP_LATER, S("4.3.0"), text); return true;
	case TRANSPORT_DISCARD: settle_all(sh, SMTP_DELIVERED, S("2.0.0"), text); return true;
	case TRANSPORT_REQUEUE: take_up_again(sh); return true;
	default: break;
	}
	if (sh->reach == REACHED || hop_may_try(sh->sender, sh->job->hop, &sh->mem, &status, &text)) return false;
	sh->reach = UNTRIED;
	settle_all(sh, SMTP_LATER, status, text);
	return true;
}

/* Other hops for those who have been tried before, when the tables say so now. */
struct rerouting {
	struct shipment *shipment;
	struct slice *hops; /* one for each recipient of the job; empty: stays */
};

static int write_hops(struct db_conn *tx, void *arg) {
	const struct rerouting *r = arg;
	const struct queue_message *m = &r->shipment->job->message;
	int answer = 0;
	for (size_t i = 0; i < m->recipient_count && answer >= 0; i++)
		if (r->hops[i].len != 0) answer = queue_route(tx, m->id, m->recipients[i].number, r->hops[i]);
	return answer < 0 ? answer : 0;
}

static bool may_change(const struct queue_recipient *to, struct arena *mem) {
	struct unwire in = UNWIRE(to->target, mem);
	struct queue_target target = { 0 };
	if (to->tries == 0) return false;
	if (to->target.len != 0) queue_target_unpack(&in, &target);
	return target.kind == RELAY_ADDRESS && !target.fixed;
}

/* True: something changed, and this job must be put together again. */
static bool reroute(struct shipment *sh) {
	const struct queue_message *m = &sh->job->message;
	struct rerouting r = { sh, arena_array(&sh->mem, m->recipient_count, sizeof *r.hops) };
	bool any = false;
	if (sh->transport != NULL && sh->transport->kind == TRANSPORT_REQUEUE) return false;
	for (size_t i = 0; i < m->recipient_count; i++) {
		struct slice hop = SLICE_NONE;
		if (!may_change(&m->recipients[i], &sh->mem)) continue;
		if (route_again(sh->settings->deliver.route, m->recipients[i].address, m->sender, &sh->mem, &hop) != 0)
			continue;
		if (hop.len == 0 || slice_eq(hop, sh->job->hop)) continue;
		r.hops[i] = hop;
		any = true;
	}
	return any && db_write(sh->sender->db, write_hops, &r) == 0;
}

/* Sends the group and parks until its answer comes; groups that cannot be sent are recorded as such. */
void shipment_go_on(struct shipment *sh) {
	while (sh->count != 0) {
		if (settled_here(sh)) continue;
		if (ship(sh) == 0) {
			task_await(&sh->task, sh->channel, deadline_in(RELAY_MS));
			return;
		}
		give_up(sh, fail_text());
	}
	shipment_end(sh);
}

void shipment_step(struct task *t, enum wake why) {
	struct shipment *sh = OWNER_OF(t, struct shipment, task);
	if (why == WAKE_STOP || sh->ending) { /* recorded as it was: the next start tries again */
		auto_fd(&sh->channel);
		shipment_end(sh);
		return;
	}
	if (sh->channel < 0 && sh->from == 0 && reroute(sh)) {
		sh->reach = UNTRIED;
		sh->look = true;
		shipment_end(sh);
		return;
	}
	if (why == WAKE_IO && receive(sh)) {
		record_delivered(sh);
		return;
	}
	if (why == WAKE_DEADLINE) give_up(sh, "delivery took longer than an hour");
	if (sh->ending) task_park(&sh->task, 0, 0, deadline_in(ENDING_MS)); /* now it would be sent to nobody */
	else shipment_go_on(sh);
}
