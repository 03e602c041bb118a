/* SPDX-License-Identifier: Apache-2.0 */
/* After the transaction: the log lines of a message that was taken, as Postfix writes them. */
#include "base/log.h"
#include "flow/deliver_private.h"
#include "smtp/deliver.h"

static void log_recipient(const struct delivery *d, const char *id, const struct route_end *e, struct slice delay,
			  struct slice delays) {
	bool stored = e->kind == ROUTE_TO_ACCOUNT, junk = (d->post.flags & ACCEPT_JUNK) != 0;
	struct log_field fields[] = {
		FA("to", e->address),
		FA("orig_to", e->original),
		F("relay", stored ? S("virtual") : S("none")),
		F("delay", delay),
		F("delays", delays),
		F("dsn", stored ? S("2.0.0") : e->status),
		F("status", stored ? S("sent") : S("bounced")),
		FPS(!stored ? e->text : junk ? S("delivered to mailbox Junk") : S("delivered to mailbox")),
	};
	bool same = slice_same(e->address, e->original);
	if (same) memmove(&fields[1], &fields[2], sizeof fields - 2 * sizeof fields[0]);
	log_line(L_INFO, stored ? "virtual" : "error", 0, id, NULL, fields, LEN(fields) - (same ? 1 : 0));
}

static void report(struct delivery *d);

static void report_notice(const char *id, const char *what, struct delivery *notice) {
	if (notice == NULL) return;
	AUTO_BUF struct buf line = BUF(256);
	buf_addf(&line, "%s%.*s", what, SLICE_ARG(notice->post.queue_id));
	log_line(L_INFO, "bounce", 0, id, buf_text(&line), NULL, 0);
	report(notice);
}

static void report(struct delivery *d) {
	AUTO_FREE char *id = slice_text(d->post.queue_id);
	AUTO_BUF struct buf delay = BUF(32);
	AUTO_BUF struct buf delays = BUF(64);
	note(L_INFO, "cleanup", 0, id, NULL, F("message-id", slice_trim(d->post.message_id)));
	if ((d->post.flags & ACCEPT_HOLD) == 0) /* else once it is let go (admin/released.c) */
		note(L_INFO, "qmgr", 0, id, NULL, FA("from", d->post.sender),
		     FN("size", d->draft != NULL ? blob_draft_size(d->draft) : 0), FN("nrcpt", d->routes.count),
		     FP("queue active"));
	smtp_delay_add(&delay, wall_us() - d->post.arrived_us, d->delay_digits);
	buf_addf(&delays, "%s/0/0/0", buf_text(&delay)); /* there is no queue on the way to a mailbox */
	for (size_t i = 0; i < d->routes.count; i++)
		if (d->routes.at[i].kind != ROUTE_TO_HOP)
			log_recipient(d, id, &d->routes.at[i], buf_slice(&delay), buf_slice(&delays));
	report_notice(id, "sender non-delivery notification: ", d->bounce);
	report_notice(id, "sender delivery status notification: ", d->receipt);
	if (d->list != NULL) report(d->list);
	if (d->out == 0) log_line(L_INFO, "qmgr", 0, id, "removed", NULL, 0);
}

void delivery_report(struct delivery *d) {
	log_gather();
	report(d);
	log_release();
}
