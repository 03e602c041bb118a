/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/own_mail.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/id.h"
#include "smtp/client.h"
#include "smtp/dsn.h"

static void summary_of(struct slice message, struct buf *packed) {
	struct summary_scan *scan = summary_scan_new();
	struct summary summary;
	summary_scan_feed(scan, message);
	summary_scan_finish(scan, &summary);
	summary_pack(packed, &summary);
	summary_scan_free(&scan);
}

int own_mail_prepare(struct db *db, const struct deliver_params *params, const struct own_mail *mail,
		     struct delivery **out) {
	struct delivery *d = delivery_new();
	struct arena *mem = delivery_memory(d);
	AUTO_BUF struct buf packed = BUF(MIB(1));
	AUTO_BUF struct buf whole = BUF(mail->message.len + mail->sender.len + KIB(1));
	buf_addf(&whole, "Return-Path: <%.*s>\r\n", SLICE_ARG(mail->sender));
	size_t return_path = whole.len;
	buf_add(&whole, mail->message);
	struct slice *body = arena_get(mem, sizeof *body);
	struct accept_recipient *to = arena_get(mem, sizeof *to);
	*body = arena_slice(mem, buf_slice(&whole));
	summary_of(*body, &packed);
	*to = (struct accept_recipient){ .address = arena_slice(mem, mail->to), .notify = SMTP_NOTIFY_NEVER };
	struct post post = {
		.queue_id = arena_slice(mem, slice_of(mail->id)),
		.sender = arena_slice(mem, mail->sender),
		.arrived_us = wall_us(),
		.recipients = to,
		.count = 1,
		.message_id = arena_fmt(mem, "<%s@%.*s>", mail->id, SLICE_ARG(params->route->host)),
		.client = arena_slice(mem, mail->client),
		.body = { .parts = body, .part_count = 1, .fd = -1 },
		.return_path = return_path,
		.flags = ACCEPT_NO_BCC | ACCEPT_SIGN | mail->flags,
		.submitted = mail->submitted,
		.summary = arena_slice(mem, buf_slice(&packed)),
	};
	int r = delivery_prepare(d, db, params, &post);
	if (r == 0) *out = d;
	else delivery_done(&d);
	return r;
}

static int enter(struct db_conn *tx, void *arg) {
	return delivery_enter(tx, arg);
}

static int send_notice(struct db *db, const struct deliver_params *params, const struct notice *n, bool *queued) {
	const struct notice_params *p = &params->trouble;
	AUTO_BUF struct buf message = BUF(8 * NOTICE_TALK_MAX);
	struct delivery *d = NULL;
	char id[QUEUE_ID_ROOM];
	queue_id_make(id);
	notice_compose(&message, p, n, slice_of(id));
	struct own_mail mail = {
		.id = id, .sender = p->from, .to = p->to, .message = buf_slice(&message), .client = S("smtp")
	};
	int r = own_mail_prepare(db, params, &mail, &d);
	if (r == DELIVER_NO_RECIPIENT)
		return fail("<%.*s> does not exist (set error_notice_recipient)", SLICE_ARG(p->to));
	if (r == 0) r = db_write(db, enter, d);
	if (r == 0) delivery_report(d);
	*queued = r == 0 && delivery_queued(d);
	delivery_done(&d);
	return r > 0 ? fail("<%.*s>: cannot be delivered now", SLICE_ARG(p->to)) : r;
}

bool own_mail_tell_postmaster(struct db *db, const struct deliver_params *params, const struct relay_answer *a) {
	const struct notice_params *p = &params->trouble;
	bool queued = false;
	struct notice n = { .client = true, .lmtp = a->lmtp, .peer = a->trouble_with, .talk = a->talk, .cut = a->cut };
	if ((a->troubles & SMTP_TROUBLE_PROTOCOL) != 0) n.troubles |= NOTICE_PROTOCOL;
	if ((a->troubles & SMTP_TROUBLE_DATA) != 0) n.troubles |= NOTICE_DATA;
	if ((n.troubles & p->classes) == 0 || p->memory == NULL) return false;
	if (!notice_memory_may(p->memory, p->hourly, &n.left_out))
		say(L_WARN, "smtp", "postmaster notify: more than %u within an hour (error_notice_hourly_limit)",
		    p->hourly);
	else if (send_notice(db, params, &n, &queued) < 0) say(L_WARN, "smtp", "postmaster notify: %s", fail_text());
	return queued;
}
