/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/verp.h"
#include "flow/settle.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/requeue.h"
#include "flow/return.h"
#include "queue/history.h"
#include "smtp/deliver.h"

/* What is to be done about a recipient after the first transaction. */
enum verdict { SETTLED, WAITS, RETURN_IT, EXPIRED, WARN, CONFIRM, ELSEWHERE, CONFIRM_FINAL, AS_IT_WAS };
static const char *const statuses[] = { "sent", "deferred", "bounced", "bounced",
					"deferred", "sent", "sent", "sent" };

struct settling {
	struct db *db;
	struct queue *queue;
	const struct flow_settings *settings;
	const struct queue_job *job;
	struct relay_outcome *outcomes; /* ours to change */
	enum verdict *verdicts;
	int64_t started_us, now_us;
	struct arena mem;
	struct slice original;    /* the start of the message, without Return-Path */
	bool original_whole;
	bool redirected;          /* something else is due now */
	bool removed;             /* the message has left the queue */
	/* a notice under way */
	enum verdict about[2];    /* recipients with one of these verdicts */
	struct delivery *notice;
};

static int remember(struct db_conn *tx, const struct settling *s, size_t i, enum history_kind kind) {
	const struct queue_message *m = &s->job->message;
	const struct relay_outcome *o = &s->outcomes[i];
	return history_add(tx, &(struct history_row){ .time_us = s->now_us,
						      .queue_id = m->id,
						      .kind = kind,
						      .sender = m->sender,
						      .recipient = m->recipients[i].address,
						      .peer = o->relay,
						      .status = o->status,
						      .text = o->text,
						      .message_id = m->message_id });
}

/* A delay notice that went out is taken back by another one, where the settings say so. */
static bool delay_cleared(const struct settling *s, const struct queue_recipient *to) {
	return s->settings->send.confirm_delay_cleared && to->warned;
}

static bool confirms(const struct settling *s, const struct queue_recipient *to, const struct relay_outcome *o) {
	return delay_cleared(s, to) || ((to->notify & NOTIFY_SUCCESS) != 0 && !o->dsn);
}

static int record_one(struct db_conn *tx, struct settling *s, size_t i) {
	const struct queue_message *m = &s->job->message;
	const struct queue_recipient *to = &m->recipients[i];
	const struct relay_outcome *o = &s->outcomes[i];
	int r;
	switch (o->fate) {
	case RELAY_REDIRECTED: s->verdicts[i] = ELSEWHERE; return 0;
	case RELAY_UNTRIED: s->verdicts[i] = AS_IT_WAS; return 0;
	case SMTP_NEVER: s->verdicts[i] = RETURN_IT; return 0;
	case SMTP_DELIVERED:
		s->verdicts[i] = !confirms(s, to, o) ? SETTLED : o->final ? CONFIRM_FINAL : CONFIRM;
		r = queue_settled(tx, m->id, to->number, &s->removed);
		return r == 0 ? remember(tx, s, i, HISTORY_SENT) : r < 0 ? r : 0;
	default: break;
	}
	r = queue_deferred(s->queue, tx, m->id, to->number, s->now_us, o->status, o->text);
	s->verdicts[i] = r == QUEUE_EXPIRED ? EXPIRED : r == QUEUE_WARN ? WARN : WAITS;
	if (r < 0) return r;
	return r == QUEUE_EXPIRED || r == QUEUE_UNKNOWN ? 0 : remember(tx, s, i, HISTORY_DEFERRED);
}

/* The first transaction: what went well, and what is tried again. May be run twice: what it leaves is set anew. */
static int record(struct db_conn *tx, void *arg) {
	struct settling *s = arg;
	s->removed = false;
	for (size_t i = 0; i < s->job->message.recipient_count; i++) {
		int r = record_one(tx, s, i);
		if (r < 0) return r;
	}
	return 0;
}

static bool concerned(const struct settling *s, size_t i) {
	return s->verdicts[i] == s->about[0] || s->verdicts[i] == s->about[1];
}

/* The second: those who will not get it leave the queue, together with the notice about them. */
static int enter_notice(struct db_conn *tx, void *arg) {
	struct settling *s = arg;
	const struct queue_message *m = &s->job->message;
	int r = 0;
	for (size_t i = 0; i < m->recipient_count && r >= 0; i++) {
		if (!concerned(s, i)) continue;
		int number = m->recipients[i].number;
		if (s->verdicts[i] == WARN) r = queue_warned(tx, m->id, number);
		if (s->verdicts[i] == RETURN_IT || s->verdicts[i] == EXPIRED) {
			r = queue_settled(tx, m->id, number, &s->removed);
			if (r == 0)
				r = remember(tx, s, i, s->verdicts[i] == EXPIRED ? HISTORY_EXPIRED : HISTORY_BOUNCED);
		}
	}
	if (r >= 0 && s->notice != NULL) r = delivery_enter(tx, s->notice);
	return r == QUEUE_UNKNOWN && s->notice == NULL ? 0 : r;
}

static void read_original(struct settling *s) {
	const struct queue_message *m = &s->job->message;
	struct unwire in = UNWIRE(m->extra, &s->mem);
	struct queue_extra extra = { 0 };
	queue_extra_unpack(&in, &extra);
	AUTO_READ struct db_conn *c = db_read(s->db);
	AUTO_BLOB struct blob *b = NULL;
	if (c == NULL || blob_open(c, m->blob_id, &b) != 0)
		return; /* a notice without its original is better than none */
	size_t limit = MAX_OF(s->settings->deliver.bounce_size, (size_t)SCAN_HEADER_MAX);
	uint64_t size = blob_size(b) - MIN_OF(extra.return_path, blob_size(b));
	size_t want = (size_t)MIN_OF(size, (uint64_t)limit);
	char *at = arena_get(&s->mem, want + 1);
	ssize_t n = blob_read(b, extra.return_path, at, want);
	if (n < 0) return;
	s->original = slice_from(at, (size_t)n);
	s->original_whole = (uint64_t)n == size && size <= s->settings->deliver.bounce_size;
}

static int prepare_notice(struct settling *s, enum return_kind kind) {
	const struct queue_message *m = &s->job->message;
	struct returned_recipient *list = arena_array(&s->mem, m->recipient_count, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct queue_recipient *to = &m->recipients[i];
		const struct relay_outcome *o = &s->outcomes[i];
		bool success = kind == RETURN_RELAYED || kind == RETURN_DELIVERED;
		bool asked = return_wanted(to->notify, kind) || (success && delay_cleared(s, to));
		if (!concerned(s, i) || (success && !asked)) continue;
		struct slice text = o->text;
		if (success && o->relay.len != 0)
			text = arena_fmt(&s->mem, "delivery via %.*s: %.*s", SLICE_ARG(o->relay), SLICE_ARG(o->text));
		list[n++] = (struct returned_recipient){ .address = to->address,
							 .original = to->original,
							 .orcpt = to->orcpt,
							 .status = o->status,
							 .text = text,
							 .diagnostic = o->diagnostic,
							 .host = o->host,
							 .unasked = !asked };
	}
	if (n == 0) return 0;
	if (s->original.at == NULL) read_original(s);
	struct unwire in = UNWIRE(m->extra, &s->mem);
	struct queue_extra extra = { 0 };
	queue_extra_unpack(&in, &extra);
	bool required = (extra.flags & ACCEPT_REQUIRE_TLS) != 0,
	     redact = required && s->settings->deliver.redact_required_tls; /* RFC 8689 §5 */
	struct returned what = {
		.kind = kind,
		.queue_id = m->id,
		.sender = m->sender,
		.verp = s->settings->deliver.verp_bounces ? verp_delimiters(extra.flags, &s->mem) : SLICE_NONE,
		.envid = m->envid,
		.arrived_us = m->arrived_us,
		.ret = redact ? (uint32_t)SMTP_RET_HDRS : m->ret,
		.require_tls = required && !redact,
		.retry_until_us = m->arrived_us + s->settings->send.lifetime_s * 1000000,
		.message = s->original,
		.whole = s->original_whole,
		.recipients = list,
		.count = n,
	};
	return return_prepare(s->db, &s->settings->deliver, &what, &s->notice);
}

/* In Postfix's order: what the notice is called, then its own way. */
static void log_notice(const struct settling *s, enum return_kind kind) {
	static const char *const names[] = { [RETURN_FAILURE] = "sender non-delivery notification: ",
					     [RETURN_DELAY] = "sender delay notification: ",
					     [RETURN_DELIVERED] = "sender delivery status notification: ",
					     [RETURN_RELAYED] = "sender delivery status notification: " };
	AUTO_FREE char *id = slice_text(s->job->message.id);
	AUTO_BUF struct buf line = BUF(256);
	buf_addf(&line, "%s%.*s", names[kind], SLICE_ARG(delivery_id(s->notice)));
	log_gather();
	log_line(L_INFO, "bounce", 0, id, buf_text(&line), NULL, 0);
	log_release();
	delivery_report(s->notice);
}

/* A notice about the recipients with one of two verdicts, if there are any. */
static int notify(struct settling *s, enum return_kind kind, enum verdict one, enum verdict other) {
	s->about[0] = one;
	s->about[1] = other;
	bool any = false;
	for (size_t i = 0; i < s->job->message.recipient_count; i++) any = any || concerned(s, i);
	if (!any) return 0;
	int r = prepare_notice(s, kind);
	if (r == 0) r = db_write(s->db, enter_notice, s);
	if (r == 0 && s->notice != NULL) log_notice(s, kind);
	delivery_done(&s->notice);
	return r <= 0 ? r : fail("the notice could not be entered (%d)", r);
}

/* Who delivered, as Postfix's processes are called. */
static const char *tag_of(const struct settling *s) {
	struct slice name, next_hop;
	transport_split(s->job->hop, &name, &next_hop);
	const struct transport *t = transport_find(&s->settings->deliver.route->hops.transports, name);
	return t != NULL ? t->tag : "error";
}

static void log_outcome(const struct settling *s, size_t i, const char *id) {
	const struct queue_message *m = &s->job->message;
	const struct queue_recipient *to = &m->recipients[i];
	const struct relay_outcome *o = &s->outcomes[i];
	AUTO_BUF struct buf delay = BUF(32);
	AUTO_BUF struct buf delays = BUF(128);
	int64_t all = s->now_us - m->arrived_us, before = s->started_us - m->arrived_us;
	unsigned digits = s->settings->deliver.delay_digits;
	smtp_delay_add(&delay, all, digits);
	int64_t parts[] = { before, MAX_OF(all - before - o->setup_us - o->send_us, (int64_t)0), o->setup_us,
			    o->send_us };
	for (size_t k = 0; k < LEN(parts); k++) {
		if (k != 0) buf_byte(&delays, '/');
		smtp_delay_add(&delays, parts[k], digits);
	}
	struct log_field f[10];
	size_t n = 0;
	f[n++] = FA("to", to->address);
	if (to->original.len != 0 && !slice_same(to->original, to->address)) f[n++] = FA("orig_to", to->original);
	f[n++] = F("relay", o->relay.len != 0 ? o->relay : S("none"));
	if (o->uses > 1) f[n++] = FN("conn_use", o->uses);
	f[n++] = F("delay", buf_slice(&delay));
	f[n++] = F("delays", buf_slice(&delays));
	if (o->tls_status.len != 0) f[n++] = F("tls", o->tls_status);
	f[n++] = F("dsn", o->status);
	f[n++] = F("status", slice_of(statuses[s->verdicts[i]]));
	f[n++] = FPS(o->text);
	log_line(L_INFO, tag_of(s), 0, id, NULL, f, n);
}

/* What was redirected has left in a transaction of its own (requeue.h). */
static bool is_queued(const struct settling *s) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_READ struct db_conn *c = db_read(s->db);
	struct queue_message left;
	return c == NULL || queue_show(c, &mem, s->job->message.id, &left) != QUEUE_UNKNOWN;
}

/* mailbox_transport and its like: the line is that transport's alone. */
static bool passed_on(const struct relay_outcome *o) {
	return o->fate == RELAY_REDIRECTED && o->redirects_count == 1 && o->redirects[0].kind == REDIRECT_TRANSPORT;
}

static void report(const struct settling *s) {
	const struct queue_message *m = &s->job->message;
	AUTO_FREE char *id = slice_text(m->id);
	for (size_t i = 0; i < m->recipient_count; i++) {
		if (s->verdicts[i] == AS_IT_WAS) continue;
		if (!passed_on(&s->outcomes[i])) log_outcome(s, i, id);
		if (s->verdicts[i] == EXPIRED)
			note(L_INFO, "qmgr", 0, id, NULL, FA("from", m->sender),
			     F("status",
			       m->expired ? S("force-expired, returned to sender") : S("expired, returned to sender")));
	}
	if (s->removed || (s->redirected && !is_queued(s))) log_line(L_INFO, "qmgr", 0, id, "removed", NULL, 0);
}

/* What a delivery agent sent elsewhere leaves the queue first; when that cannot be, it is as if it had failed. */
static void redirect(struct settling *s, size_t i) {
	struct relay_outcome *o = &s->outcomes[i];
	int r = requeue_redirected(s->db, s->settings, s->job, i, o);
	if (r == 0) {
		s->redirected = true;
		o->status = S("2.0.0");
		o->text = S("forwarded");
	} else if (r == REQUEUE_LOOPS) {
		o->fate = SMTP_NEVER;
		o->status = S("5.4.6");
		o->text = arena_fmt(&s->mem, "mail forwarding loop for %.*s",
				    SLICE_ARG(s->job->message.recipients[i].address));
	} else {
		o->fate = SMTP_LATER;
		o->status = S("4.3.0");
		o->text = arena_slice(&s->mem, slice_of(fail_text()));
	}
}

/* soft_bounce: nothing is returned, all is tried again. */
static void soften(struct settling *s, struct relay_outcome *o) {
	o->fate = SMTP_LATER;
	if (o->status.len != 0) o->status = arena_fmt(&s->mem, "4%.*s", SLICE_ARG(slice_skip(o->status, 1)));
}

static void prepare_outcomes(struct settling *s, const struct relay_outcome *outcomes) {
	size_t n = s->job->message.recipient_count;
	s->verdicts = arena_array(&s->mem, n, sizeof *s->verdicts);
	s->outcomes = arena_array(&s->mem, n, sizeof *s->outcomes);
	for (size_t i = 0; i < n; i++) {
		s->outcomes[i] = outcomes[i];
		if (outcomes[i].fate == RELAY_REDIRECTED) redirect(s, i);
		if (s->outcomes[i].fate == SMTP_NEVER && s->settings->send.soft_bounce) soften(s, &s->outcomes[i]);
	}
}

/* A message leaves the store with its last recipient: who will be told of success needs its header before that. */
static void keep_original(struct settling *s) {
	for (size_t i = 0; i < s->job->message.recipient_count && s->original.at == NULL; i++)
		if (s->outcomes[i].fate == SMTP_DELIVERED &&
		    confirms(s, &s->job->message.recipients[i], &s->outcomes[i]))
			read_original(s);
}

int settle_job(struct db *db, struct queue *queue, const struct flow_settings *settings, const struct queue_job *job,
               const struct relay_outcome *outcomes, int64_t started_us) {
	struct settling s = { .db = db,
			      .queue = queue,
			      .settings = settings,
			      .job = job,
			      .started_us = started_us,
			      .now_us = wall_us() };
	prepare_outcomes(&s, outcomes);
	keep_original(&s);
	int r = db_write_repeatable(db, record, &s);
	if (r == 0) r = notify(&s, RETURN_FAILURE, RETURN_IT, EXPIRED);
	if (r == 0) r = notify(&s, RETURN_DELAY, WARN, WARN);
	if (r == 0) r = notify(&s, RETURN_RELAYED, CONFIRM, CONFIRM);
	if (r == 0) r = notify(&s, RETURN_DELIVERED, CONFIRM_FINAL, CONFIRM_FINAL);
	log_gather();
	if (r == 0) report(&s);
	log_release();
	arena_done(&s.mem);
	return r;
}

struct settling_all {
	struct settling *at;
	size_t count;
};

static int record_all(struct db_conn *tx, void *arg) {
	const struct settling_all *all = arg;
	int r = 0;
	for (size_t i = 0; i < all->count && r >= 0; i++) r = record(tx, &all->at[i]);
	return r;
}

int settle_delivered(struct db *db, struct queue *queue, const struct settle_one *list, size_t count) {
	AUTO_ARENA struct arena mem = { 0 };
	struct settling_all all = { arena_array(&mem, count, sizeof *all.at), count };
	for (size_t i = 0; i < count; i++) {
		struct settling *s = &all.at[i];
		*s = (struct settling){ .db = db,
					.queue = queue,
					.settings = list[i].settings,
					.job = list[i].job,
					.started_us = list[i].started_us,
					.now_us = wall_us() };
		prepare_outcomes(s, list[i].outcomes);
	}
	int r = db_write_repeatable(db, record_all, &all);
	log_gather();
	for (size_t i = 0; i < count && r == 0; i++) report(&all.at[i]);
	log_release();
	for (size_t i = 0; i < count; i++) arena_done(&all.at[i].mem);
	return r;
}
