/* SPDX-License-Identifier: Apache-2.0 */
/* The queue as postqueue -p and -j print it: scripts cut these columns and read these keys (showq(8), postqueue(1)). */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "base/clock.h"
#include "queue/queue.h"

#include <sysexits.h>

struct report {
	struct buf *out;
	bool json;
	int64_t now_us;
	uint64_t messages, bytes;
};

const char *postfix_queue_of(const struct queue_message *m, int64_t now_us) {
	if (m->held) return "hold";
	bool due = false, tried = false;
	for (size_t i = 0; i < m->recipient_count; i++) {
		due = due || m->recipients[i].due_us <= now_us;
		tried = tried || m->recipients[i].tries != 0;
	}
	return due ? "active" : tried ? "deferred" : "incoming";
}

static struct slice sender_of(const struct queue_message *m) {
	return m->sender.len != 0 ? m->sender : S("MAILER-DAEMON");
}

/* "Sun Nov 22 15:05:13", as asctime(3), where this machine is. */
static void put_time(struct buf *out, int64_t us) {
	time_t t = (time_t)(us / 1000000);
	struct tm parts;
	char text[40];
	localtime_r(&t, &parts);
	if (strftime(text, sizeof text, "%a %b %e %H:%M:%S", &parts) != 0) buf_addf(out, "%19.19s", text);
}

/* The reason ends at column 78; it is told once for the recipients that share it. */
static void put_reason(struct buf *out, struct slice text) {
	AUTO_BUF struct buf clean = BUF(KIB(64));
	text_clean(&clean, text);
	buf_addf(out, "%*s(%s)\n", clean.len < 76 ? (int)(76 - clean.len) : 0, "", buf_text(&clean));
}

static void put_message(struct report *r, const struct queue_message *m) {
	struct buf *out = r->out;
	const char *queue = postfix_queue_of(m, r->now_us);
	AUTO_BUF struct buf id = BUF(64);
	buf_addf(&id, "%.*s%s%s", SLICE_ARG(m->id), queue[0] == 'h' ? "!" : queue[0] == 'a' ? "*" : "",
		 m->expired ? "#" : "");
	if (r->messages == 0)
		buf_add(out, S("----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"));
	else buf_byte(out, '\n');
	buf_addf(out, "%-17s %8llu ", buf_text(&id), (unsigned long long)m->size);
	put_time(out, m->arrived_us);
	buf_byte(out, ' ');
	text_clean(out, sender_of(m));
	buf_byte(out, '\n');
	struct slice reason = S("");
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct queue_recipient *to = &m->recipients[i];
		if (to->text.len != 0 && !slice_eq(to->text, reason)) put_reason(out, to->text);
		reason = to->text;
		buf_addf(out, "%-17s %8s %-19s ", "", "", "");
		text_clean(out, to->address);
		buf_byte(out, '\n');
	}
}

static void put_text(struct buf *out, const char *key, struct slice text) {
	buf_addf(out, "\"%s\": ", key);
	json_text(&(struct json){ .out = out, .depth = 2 }, NULL, text.at != NULL ? text : S(""));
}

static void put_json(struct report *r, const struct queue_message *m) {
	struct buf *out = r->out;
	buf_byte(out, '{');
	put_text(out, "queue_name", slice_of(postfix_queue_of(m, r->now_us)));
	buf_add(out, S(", "));
	put_text(out, "queue_id", m->id);
	buf_addf(out, ", \"arrival_time\": %lld, \"message_size\": %llu, \"forced_expire\": %s, ",
		 (long long)(m->arrived_us / 1000000), (unsigned long long)m->size, m->expired ? "true" : "false");
	put_text(out, "sender", sender_of(m));
	buf_add(out, S(", \"recipients\": ["));
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct queue_recipient *to = &m->recipients[i];
		buf_add(out, i != 0 ? S(", {") : S("{"));
		put_text(out, "orig_address", to->original);
		buf_add(out, S(", "));
		put_text(out, "address", to->address);
		if (to->text.len != 0) {
			buf_add(out, S(", "));
			put_text(out, "delay_reason", to->text);
		}
		buf_byte(out, '}');
	}
	buf_add(out, S("]}\n"));
}

static int report_one(void *ctx, const struct queue_message *m) {
	struct report *r = ctx;
	if (r->json) put_json(r, m);
	else put_message(r, m);
	r->messages++;
	r->bytes += m->size;
	return r->out->full;
}

int verb_queue_mailq(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	struct report r = { .out = c->out, .json = c->json, .now_us = wall_us() };
	if (conn == NULL || queue_each(conn, report_one, &r) < 0) return broken(c);
	if (r.json) return EX_OK;
	if (r.messages == 0) buf_add(c->out, S("Mail queue is empty\n"));
	else
		buf_addf(c->out, "\n-- %llu Kbytes in %llu Request%s.\n", (unsigned long long)(r.bytes / 1024),
			 (unsigned long long)r.messages, r.messages == 1 ? "" : "s");
	return EX_OK;
}
