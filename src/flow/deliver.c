/* SPDX-License-Identifier: Apache-2.0 */
/* One durable write for each message, however many recipients it has: there is no queue between the door and a mailbox
 * of ours. */
#include "base/fail.h"
#include "base/log.h"
#include "flow/deliver_private.h"
#include "flow/reporting.h"
#include "flow/send.h"
#include "queue/history.h"
#include "report/outbox.h"

struct delivery *delivery_new(void) {
	struct delivery *d = mem_get(sizeof *d);
	d->routes.mem = &d->mem;
	return d;
}

struct arena *delivery_memory(struct delivery *d) {
	return &d->mem;
}

struct delivery **delivery_list_end(struct delivery *d) {
	struct delivery **end = &d->list;
	while (*end != NULL) end = &(*end)->list;
	return end;
}

void delivery_done(struct delivery **dp) {
	struct delivery *d = *dp;
	if (d == NULL) return;
	*dp = NULL;
	delivery_done(&d->bounce);
	delivery_done(&d->receipt);
	delivery_done(&d->list);
	blob_draft_done(&d->draft);
	arena_done(&d->mem);
	free(d);
}

struct slice delivery_id(const struct delivery *d) {
	return d->post.queue_id;
}

void delivery_join(struct delivery *d, struct delivery *more) {
	*delivery_list_end(d) = more;
}

/* What goes along with it: is there something for the scheduler? */
static bool others_queued(const struct delivery *d) {
	return (d->bounce != NULL && delivery_queued(d->bounce)) ||
	       (d->receipt != NULL && delivery_queued(d->receipt)) || (d->list != NULL && delivery_queued(d->list));
}

bool delivery_queued(const struct delivery *d) {
	return d->out != 0 || others_queued(d);
}

struct route_end delivery_refusal(const struct delivery *d) {
	return d->routes.at[0];
}

static int enter_one(struct db_conn *tx, void *arg) {
	struct delivery *d = arg;
	int r = delivery_enter(tx, d);
	return r == 0 && d->report_send && d->post.evidence != NULL
		       ? outbox_add(tx, d->post.evidence, d->post.arrived_us)
		       : r;
}

static void accept_answer_of(int r, bool full_reject, struct delivery *d, const struct accept_ask *ask,
			     struct arena *mem, struct accept_answer *answer) {
	struct slice broken = S("Error: queue file write error");
	switch (r) {
	case 0: *answer = (struct accept_answer){ .verdict = ACCEPT_STORED }; break;
	case DELIVER_NO_RECIPIENT: {
		struct route_end end = delivery_refusal(d);
		*answer = (struct accept_answer){ ACCEPT_REFUSED, arena_slice(mem, end.status),
						  arena_slice(mem, end.text) };
		break;
	}
	case DELIVER_OVER_QUOTA:
		*answer = full_reject ? (struct accept_answer){ ACCEPT_REFUSED, S("5.2.2"), S("Mailbox is full") }
				      : (struct accept_answer){ ACCEPT_LATER, S("4.2.2"), S("Mailbox is full") };
		break;
	case DELIVER_ENDLESS:
		say(L_WARN, "cleanup", "%.*s: %s", SLICE_ARG(ask->queue_id), fail_text());
		*answer = (struct accept_answer){ ACCEPT_LATER, S("4.6.0"), S("Alias expansion error") };
		break;
	case DELIVER_LATER:
		say(L_WARN, "cleanup", "%.*s: %s", SLICE_ARG(ask->queue_id), fail_text());
		*answer = (struct accept_answer){ ACCEPT_LATER, S("4.3.0"), broken };
		break;
	default: {
		bool full = db_cause() == DB_CAUSE_FULL;
		say(L_ERROR, "cleanup", "%.*s: not accepted: %s", SLICE_ARG(ask->queue_id), fail_text());
		*answer = (struct accept_answer){ full ? ACCEPT_DISK_FULL : ACCEPT_LATER, S("4.3.0"), broken };
	}
	}
}

static int remember_discarded(struct db_conn *tx, void *arg) {
	const struct accept_ask *ask = arg;
	int r = 0;
	for (size_t i = 0; i < ask->recipients_count && r == 0; i++)
		r = history_add(tx, &(struct history_row){ .time_us = ask->arrived_us,
							   .queue_id = ask->queue_id,
							   .kind = HISTORY_DISCARDED,
							   .sender = ask->sender,
							   .recipient = ask->recipients[i].address,
							   .peer = ask->client,
							   .status = S("2.0.0"),
							   .message_id = ask->message_id });
	return r;
}

/* As it is stored, if all of it is in memory. */
static struct slice stored_body(const struct delivery *d, const struct accept_ask *ask, struct arena *mem) {
	size_t size = ask->head.len + ask->body.len;
	if (ask->spooled != 0 || size != d->queued.size || size > SEND_FRESH_MAX) return SLICE_NONE;
	char *at = arena_get(mem, size);
	memcpy(at, ask->head.at, ask->head.len);
	if (ask->body.len != 0) memcpy(at + ask->head.len, ask->body.at, ask->body.len);
	return slice_from(at, size);
}

static struct slice only_hop(const struct queue_message *m) {
	for (size_t i = 1; i < m->recipient_count; i++)
		if (!slice_eq(m->recipients[i].hop, m->recipients[0].hop)) return SLICE_NONE;
	return m->recipient_count != 0 ? m->recipients[0].hop : SLICE_NONE;
}

/* Enters it, logs it and sends it off. */
static int take_in(const struct deliver_into *into, struct delivery *d, const struct accept_ask *ask,
		   struct arena *mem) {
	struct shipment *claimed =
		into->sender != NULL && d->out != 0 ? sender_claim(into->sender, into->settings, &d->queued) : NULL;
	int r = db_write_repeatable(into->db, enter_one, d);
	if (r != 0) {
		if (claimed != NULL) sender_unclaim(claimed);
		return r;
	}
	delivery_report(d);
	if (claimed != NULL) sender_go(claimed, d->queued.blob_id, stored_body(d, ask, mem));
	if (into->sender != NULL && (claimed != NULL ? others_queued(d) : delivery_queued(d)))
		sender_entered(into->sender, d->post.arrived_us, others_queued(d) ? SLICE_NONE : only_hop(&d->queued));
	return 0;
}

void deliver_accept(const struct deliver_into *into, const struct accept_ask *ask, int body_fd, struct arena *mem,
		    struct accept_answer *answer) {
	const struct deliver_params *params = &into->settings->deliver;
	const struct slice parts[] = { ask->head, ask->body };
	struct post post = {
		.queue_id = ask->queue_id,
		.sender = ask->sender,
		.envid = ask->envid,
		.message_id = ask->message_id,
		.client = ask->client,
		.ret = ask->ret,
		.arrived_us = ask->arrived_us,
		.recipients = ask->recipients,
		.count = ask->recipients_count,
		.body = { .parts = parts, .part_count = 2, .fd = body_fd, .fd_size = ask->spooled },
		.return_path = ask->return_path,
		.summary = ask->summary,
		.eight_bit = ask->eight_bit,
		.utf8 = ask->utf8,
		.flags = ask->flags,
		.filter = ask->filter,
		.redirect = ask->redirect,
		.from = ask->from,
		.submitted = ask->submitted,
		.evidence = &ask->evidence,
		.refusal_status = ask->refusal_status,
		.refusal = ask->refusal,
	};
	struct delivery *d = delivery_new();
	bool discard = (ask->flags & ACCEPT_DISCARD) != 0;
	int r = ask->head.len < ask->return_path || ask->recipients_count == 0 ? fail("broken question") : 0;
	if (r == 0) r = discard ? 0 : delivery_prepare(d, into->db, params, &post);
	if (r == 0 && discard) r = db_write(into->db, remember_discarded, (void *)(uintptr_t)ask);
	else if (r == 0) r = take_in(into, d, ask, mem);
	if (r == 0 && d->has_report) reporter_wake(d->reporter);
	if (r == 0) reporting_failed(params->reporter, &ask->evidence, params->report_failures);
	if (r == 0)
		dmarc_history_add(&params->history, ask->queue_id, ask->sender, ask->recipients, ask->recipients_count,
				  &ask->evidence);
	accept_answer_of(r, params->full_reject, d, ask, mem, answer);
	delivery_done(&d);
}
