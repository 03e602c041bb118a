/* SPDX-License-Identifier: Apache-2.0 */
/* The body is stored once more rather than shared: its first line may differ (Return-Path, Delivered-To), and mail that
 * takes this way is rare. */
#include "flow/requeue.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/envelope.h"
#include "flow/id.h"
#include "mime/summary.h"

struct requeueing {
	struct db *db;
	const struct flow_settings *settings;
	const struct queue_job *job;
	size_t from, count;        /* which of its recipients are replaced */
	struct delivery *next;
	struct arena *mem;         /* next's */
	struct post post;
	struct blob *body;
	int fd;
};

static int read_summary(struct requeueing *q, struct db_conn *c) {
	AUTO_BUF struct buf packed = BUF(MIB(8));
	int r = blob_summary(c, q->job->message.blob_id, &packed);
	if (r != 0) return r < 0 ? r : fail("its summary is gone (hato verify)");
	q->post.summary = arena_slice(q->mem, buf_slice(&packed));
	return 0;
}

/* The post as it came in, but for its recipients. */
static int open_post(struct requeueing *q) {
	const struct queue_message *m = &q->job->message;
	struct unwire in = UNWIRE(m->extra, q->mem);
	struct queue_extra extra = { 0 };
	queue_extra_unpack(&in, &extra);
	if (in.bad) return fail("broken queue entry");
	AUTO_READ struct db_conn *c = db_read(q->db);
	if (c == NULL) return -1;
	int r = blob_open(c, m->blob_id, &q->body);
	if (r != 0) return r < 0 ? r : fail("its body is gone (hato verify)");
	q->fd = blob_fd(q->body);
	if (q->fd < 0) return -1;
	char *line = arena_get(q->mem, (size_t)extra.return_path + 1);
	if (extra.return_path > KIB(64) ||
	    pread(q->fd, line, (size_t)extra.return_path, 0) != (ssize_t)extra.return_path)
		return fail("its body cannot be read");
	struct slice *parts = arena_get(q->mem, sizeof *parts);
	char id[QUEUE_ID_ROOM];
	queue_id_make(id);
	parts[0] = slice_from(line, (size_t)extra.return_path);
	q->post = (struct post){
		.queue_id = arena_slice(q->mem, slice_of(id)),
		.sender = m->sender,
		.envid = m->envid,
		.message_id = m->message_id,
		.client = S("requeue"),
		.ret = m->ret,
		.arrived_us = m->arrived_us,
		.body = { .parts = parts, .part_count = 1, .fd = q->fd, .fd_from = extra.return_path,
			  .fd_size = m->size - MIN_OF(extra.return_path, m->size) },
		.return_path = extra.return_path,
		.eight_bit = extra.eight_bit,
		.utf8 = extra.utf8,
		.flags = (extra.flags & ~(uint32_t)ACCEPT_HOLD) | ACCEPT_NO_BCC,
		.submitted = true,
		.from = extra.from,
	};
	return read_summary(q, c);
}

static int enter(struct db_conn *tx, void *arg) {
	struct requeueing *q = arg;
	int r = 0;
	for (size_t i = q->from; i < q->from + q->count && r >= 0; i++)
		r = queue_settled(tx, q->job->message.id, q->job->message.recipients[i].number, NULL);
	if (r == QUEUE_UNKNOWN) return r; /* deleted meanwhile */
	return r == 0 ? delivery_enter(tx, q->next) : r;
}

static void close_post(struct requeueing *q) {
	auto_fd(&q->fd);
	blob_close(&q->body);
	delivery_done(&q->next);
}

static int replace(struct requeueing *q, struct accept_recipient *to, const struct post_target *targets, size_t count) {
	q->post.recipients = to;
	q->post.targets = targets;
	q->post.count = count;
	int r = count != 0 ? delivery_prepare(q->next, q->db, &q->settings->deliver, &q->post) : 0;
	if (r == 0) r = db_write(q->db, enter, q);
	if (r == 0) {
		AUTO_FREE char *id = slice_text(q->job->message.id);
		note(L_INFO, "qmgr", 0, id, NULL, F("requeued", q->post.queue_id));
		delivery_report(q->next);
	}
	if (r == QUEUE_UNKNOWN) return 0;
	return r > 0 ? fail("%s", r == DELIVER_OVER_QUOTA ? "mailbox is full" : fail_text()) : r;
}

static struct requeueing begin(struct db *db, const struct flow_settings *settings, const struct queue_job *job) {
	struct requeueing q = { .db = db, .settings = settings, .job = job, .fd = -1, .next = delivery_new() };
	q.mem = delivery_memory(q.next);
	return q;
}

int requeue_job(struct db *db, const struct flow_settings *settings, const struct queue_job *job) {
	struct requeueing q = begin(db, settings, job);
	const struct queue_message *m = &job->message;
	struct accept_recipient *to = arena_array(q.mem, m->recipient_count, sizeof *to);
	for (size_t i = 0; i < m->recipient_count; i++)
		to[i] = (struct accept_recipient){ .address = m->recipients[i].address,
						   .orcpt = m->recipients[i].orcpt,
						   .notify = m->recipients[i].notify,
						   .original = m->recipients[i].original };
	q.count = m->recipient_count;
	int r = open_post(&q);
	if (r == 0) r = replace(&q, to, NULL, m->recipient_count);
	close_post(&q);
	return r;
}

/* Where one redirect goes. hop: of the recipient it came from. */
static struct post_target target_of(const struct relay_redirect *one, struct slice hop, struct slice rights) {
	switch (one->kind) {
	case REDIRECT_MAILBOX: return (struct post_target){ .hop = hop, .kind = RELAY_MAILBOX };
	case REDIRECT_COMMAND:
		return (struct post_target){ .hop = hop, .kind = RELAY_COMMAND, .target = one->text, .rights = rights };
	case REDIRECT_FILE:
		return (struct post_target){ .hop = hop, .kind = RELAY_FILE, .target = one->text, .rights = rights };
	case REDIRECT_TRANSPORT: return (struct post_target){ .hop = one->text };
	default: return (struct post_target){ 0 };
	}
}

int requeue_redirected(struct db *db, const struct flow_settings *settings, const struct queue_job *job, size_t index,
		       const struct relay_outcome *outcome) {
	struct requeueing q = begin(db, settings, job);
	const struct queue_recipient *was = &job->message.recipients[index];
	size_t n = MIN_OF(outcome->redirects_count, (size_t)REDIRECTS_MAX);
	struct accept_recipient *to = arena_array(q.mem, n, sizeof *to);
	struct post_target *targets = arena_array(q.mem, n, sizeof *targets);
	struct unwire in = UNWIRE(was->target, q.mem);
	struct queue_target told = { 0 };
	if (was->target.len != 0) queue_target_unpack(&in, &told);
	for (size_t i = 0; i < n; i++) {
		const struct relay_redirect *one = &outcome->redirects[i];
		targets[i] = target_of(one, was->hop, outcome->rights);
		targets[i].named = outcome->prepend || told.named;
		to[i] = (struct accept_recipient){ .address = one->kind == REDIRECT_ADDRESS ? one->text : was->address,
						   .orcpt = was->orcpt,
						   .notify = was->notify,
						   .original = was->original.len != 0 ? was->original : was->address };
	}
	q.from = index;
	q.count = 1;
	int r = open_post(&q);
	q.post.redirected = true;
	struct route_end mailbox = { .kind = ROUTE_TO_HOP,
				     .address = was->address,
				     .hop = was->hop,
				     .target_kind = RELAY_MAILBOX,
				     .named = outcome->prepend || told.named,
				     .fixed = true };
	q.post.mailbox = &mailbox;
	struct slice delivered = told.delivered.len != 0 ? told.delivered : was->address;
	bool prepend = outcome->prepend && !told.named;
	if (r == 0 && prepend && told.below.len != 0) r = envelope_prepend(&q.post, told.below, q.mem);
	if (r == 0 && prepend) r = envelope_prepend(&q.post, delivered, q.mem);
	r = r == ENVELOPE_LOOPS ? REQUEUE_LOOPS : r < 0 ? r : replace(&q, to, targets, n);
	close_post(&q);
	return r;
}
