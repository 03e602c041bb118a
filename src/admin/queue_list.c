/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "base/clock.h"
#include "db/blob.h"
#include "queue/queue.h"
#include "user/user.h"

#include <sysexits.h>

enum { ID_WIDTH = 15, REASON_INDENT = 8, SHOW_MAX = 1 << 20 };

struct listing {
	struct admin_call *c;
	struct json json;
	int64_t now_us;
	uint64_t messages, recipients, bytes;
};

/* "tried 3 times, again in 12m" */
static void put_state(struct buf *out, const struct queue_message *m, const struct queue_recipient *r, int64_t now_us) {
	if (m->held || r->due_us == NEVER) {
		buf_add(out, S("on hold"));
		return;
	}
	if (r->tries == 0) buf_add(out, S("not tried yet"));
	else buf_addf(out, "tried %u time%s", r->tries, r->tries == 1 ? "" : "s");
	if (r->due_us <= now_us) {
		buf_add(out, S(", now due"));
		return;
	}
	buf_add(out, r->tries == 0 ? S(", due in ") : S(", again in "));
	text_span(out, r->due_us - now_us + 999999);
}

static void put_recipient(struct listing *l, const struct queue_message *m, const struct queue_recipient *r) {
	struct buf *out = l->c->out;
	buf_add(out, S("    "));
	text_clean(out, r->address);
	if (r->original.len != 0 && !slice_same(r->original, r->address)) {
		buf_add(out, S(" (sent to "));
		text_clean(out, r->original);
		buf_byte(out, ')');
	}
	buf_add(out, S(": "));
	put_state(out, m, r, l->now_us);
	buf_byte(out, '\n');
	if (r->text.len != 0) text_wrap(out, r->text, REASON_INDENT, l->c->width);
}

static void put_message(struct listing *l, const struct queue_message *m) {
	struct buf *out = l->c->out;
	AUTO_BUF struct buf size = BUF(32);
	AUTO_BUF struct buf age = BUF(32);
	text_size(&size, m->size);
	text_span(&age, l->now_us - m->arrived_us);
	if (l->messages == 0) buf_add(out, S("ID                 SIZE   AGE  SENDER AND RECIPIENTS\n"));
	text_clean(out, m->id);
	buf_addf(out, "%*s  %6s  %4s  ", (int)(ID_WIDTH - MIN_OF((size_t)ID_WIDTH, m->id.len)), "", buf_text(&size),
		 buf_text(&age));
	if (m->sender.len != 0) text_clean(out, m->sender);
	else buf_add(out, S("<> (a report of the mail system)"));
	buf_byte(out, '\n');
	for (size_t i = 0; i < m->recipient_count; i++) put_recipient(l, m, &m->recipients[i]);
}

static void put_json(struct listing *l, const struct queue_message *m) {
	struct json *j = &l->json;
	json_open(j, NULL, '{');
	json_text(j, "id", m->id);
	json_number(j, "size", (int64_t)m->size);
	json_time(j, "arrived", m->arrived_us);
	json_text(j, "sender", m->sender);
	json_text(j, "message_id", m->message_id.len != 0 ? m->message_id : SLICE_NONE);
	json_bool(j, "held", m->held);
	json_open(j, "recipients", '[');
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct queue_recipient *r = &m->recipients[i];
		json_open(j, NULL, '{');
		json_text(j, "address", r->address);
		json_text(j, "original", r->original.len != 0 ? r->original : r->address);
		json_text(j, "next_hop", r->hop);
		json_number(j, "tries", r->tries);
		json_time(j, "next_try", r->due_us == NEVER ? 0 : r->due_us);
		json_text(j, "status", r->status.len != 0 ? r->status : SLICE_NONE);
		json_text(j, "reason", r->text.len != 0 ? r->text : SLICE_NONE);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

static int list_one(void *ctx, const struct queue_message *m) {
	struct listing *l = ctx;
	if (l->c->json) put_json(l, m);
	else put_message(l, m);
	l->messages++;
	l->recipients += m->recipient_count;
	l->bytes += m->size;
	return l->c->out->full;
}

int verb_queue_list(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct listing l = { .c = c, .json = { .out = c->out }, .now_us = wall_us() };
	if (c->json) json_open(&l.json, NULL, '[');
	if (queue_each(conn, list_one, &l) < 0) return broken(c);
	if (c->json) {
		json_close(&l.json, ']');
	} else if (l.messages == 0) {
		tell(c, "the queue is empty");
	} else {
		AUTO_BUF struct buf size = BUF(32);
		text_size(&size, l.bytes);
		tell(c, "%llu message%s for %llu recipient%s, %s", (unsigned long long)l.messages,
		     l.messages == 1 ? "" : "s", (unsigned long long)l.recipients, l.recipients == 1 ? "" : "s",
		     buf_text(&size));
	}
	return EX_OK;
}

/* One message, as postcat shows it: the envelope, then the text. */

static int put_piece(void *ctx, struct slice piece) {
	struct buf *out = ctx;
	return buf_add(out, piece) ? 0 : 1;
}

static int put_body(struct admin_call *c, struct db_conn *conn, const struct queue_message *m) {
	AUTO_BLOB struct blob *body = NULL;
	int r = blob_open(conn, m->blob_id, &body);
	if (r == BLOB_GONE)
		return refuse(c, EX_SOFTWARE, "%.*s: its text is not in the store (hato verify)", SLICE_ARG(m->id));
	if (r < 0) return broken(c);
	if (call_option(c, "raw", NULL)) return blob_each(body, put_piece, c->out) < 0 ? broken(c) : EX_OK;
	AUTO_BUF struct buf text = BUF(SHOW_MAX);
	char *at = buf_room(&text, (size_t)MIN_OF(blob_size(body), (uint64_t)SHOW_MAX));
	ssize_t n = at != NULL ? blob_read(body, 0, at, (size_t)MIN_OF(blob_size(body), (uint64_t)SHOW_MAX)) : 0;
	if (n < 0) return broken(c);
	buf_byte(c->out, '\n');
	text_clean_lines(c->out, slice_from(at, (size_t)n));
	if ((uint64_t)n < blob_size(body))
		remark(c, "%.*s: only the first megabyte is shown (--raw shows all)", SLICE_ARG(m->id));
	return EX_OK;
}

int verb_queue_show(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct queue_message m;
	int r = queue_show(conn, c->mem, c->args[0], &m);
	if (r < 0) return broken(c);
	if (r != 0)
		return refuse(c, EX_NOUSER,
			      "%.*s: not in the queue (hato queue list; hato why tells what became of it)",
			      SLICE_ARG(c->args[0]));
	struct listing l = { .c = c, .now_us = wall_us() };
	if (!call_option(c, "raw", NULL)) put_message(&l, &m);
	return put_body(c, conn, &m);
}

/* Counts, for `hato status`. */

static int count_account(void *ctx, const struct account *a) {
	(void)a;
	++*(uint64_t *)ctx;
	return 0;
}

static int count_domain(void *ctx, struct slice domain) {
	(void)domain;
	++*(uint64_t *)ctx;
	return 0;
}

static void put_counts(struct admin_call *c, uint64_t accounts, uint64_t domains, const struct queue_counts *q) {
	struct slice unseen = dkim_unseen(c);
	if (c->json) {
		struct json j = { .out = c->out };
		json_open(&j, NULL, '{');
		json_number(&j, "accounts", (int64_t)accounts);
		json_number(&j, "domains", (int64_t)domains);
		json_number(&j, "queue_messages", (int64_t)q->messages);
		json_number(&j, "queue_recipients", (int64_t)q->recipients);
		json_number(&j, "queue_held", (int64_t)q->held);
		json_number(&j, "queue_bytes", (int64_t)q->bytes);
		json_time(&j, "queue_oldest", q->oldest_us);
		json_text(&j, "dkim_unpublished", unseen);
		json_close(&j, '}');
		return;
	}
	AUTO_BUF struct buf more = BUF(200);
	if (q->messages != 0) {
		buf_add(&more, S(" ("));
		text_size(&more, q->bytes);
		buf_add(&more, S(", the oldest waits for "));
		text_span(&more, wall_us() - q->oldest_us);
		if (q->held != 0) buf_addf(&more, ", %llu on hold", (unsigned long long)q->held);
		buf_byte(&more, ')');
	}
	tell(c, "  accounts  %llu in %llu domain%s", (unsigned long long)accounts, (unsigned long long)domains,
	     domains == 1 ? "" : "s");
	tell(c, "  queue     %llu message%s%s", (unsigned long long)q->messages, q->messages == 1 ? "" : "s",
	     buf_text(&more));
	if (unseen.len != 0)
		tell(c, "  DKIM      not in DNS yet: the records of %.*s (hato dkim show DOMAIN)", SLICE_ARG(unseen));
}

int verb_status(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct queue_counts counts;
	uint64_t accounts = 0, domains = 0;
	if (queue_count(conn, &counts) < 0 || user_account_each(conn, S(""), count_account, &accounts) < 0 ||
	    user_domain_each(conn, count_domain, &domains) < 0)
		return broken(c);
	put_counts(c, accounts, domains, &counts);
	return EX_OK;
}
