/* SPDX-License-Identifier: Apache-2.0 */
/* A warning goes the way of every mail, so that a person reads it where he reads his mail, wherever that is forwarded
 * to. If there is no room left even for it, it is let go: he will see why. */
#include "flow/warn.h"
#include "flow/id.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "store/quota.h"
#include "user/user.h"

enum { MAIL_ROOM = 256 * 1024 };

struct warning {
	struct quota_warning due;
	struct account account;
	struct store_usage usage;
	struct delivery *mail;
};

static int prepare(struct warning *w, struct db *db, const struct deliver_params *deliver,
		   const struct warn_params *params) {
	struct delivery *d = delivery_new();
	struct arena *mem = delivery_memory(d);
	char id[QUEUE_ID_ROOM];
	AUTO_BUF struct buf whole = BUF(MAIL_ROOM);
	AUTO_BUF struct buf packed = BUF(MIB(1));
	queue_id_make(id);
	struct slice return_path = S("Return-Path: <>\r\n"), message_id = SLICE_NONE;
	buf_add(&whole, return_path);
	const struct warn_facts facts = { w->account.address,     w->due.level,      w->usage.bytes,
					  w->account.quota_bytes, w->usage.messages, w->account.quota_messages,
					  deliver->route->host };
	warn_compose(&whole, params, &facts, mem, &message_id);
	struct slice *body = arena_get(mem, sizeof *body);
	struct accept_recipient *to = arena_get(mem, sizeof *to);
	*body = arena_slice(mem, buf_slice(&whole));
	struct summary_scan *scan = summary_scan_new();
	struct summary summary;
	summary_scan_feed(scan, *body);
	summary_scan_finish(scan, &summary);
	summary_pack(&packed, &summary);
	summary_scan_free(&scan);
	*to = (struct accept_recipient){ .address = arena_slice(mem, w->account.address) };
	struct post post = { .queue_id = arena_slice(mem, slice_of(id)),
			     .sender = S(""),
			     .arrived_us = wall_us(),
			     .recipients = to,
			     .count = 1,
			     .message_id = message_id,
			     .client = S("quota"),
			     .body = { .parts = body, .part_count = 1, .fd = -1 },
			     .return_path = return_path.len,
			     .flags = ACCEPT_NO_BCC,
			     .submitted = true,
			     .summary = arena_slice(mem, buf_slice(&packed)) };
	int r = delivery_prepare(d, db, deliver, &post);
	if (r == 0) w->mail = d;
	else delivery_done(&d);
	return r > 0 ? fail("%.*s: cannot be routed now", SLICE_ARG(w->account.address)) : r;
}

static int enter(struct db_conn *tx, void *arg) {
	struct warning *w = arg;
	int r = w->mail != NULL ? delivery_enter(tx, w->mail) : 0;
	return r == 0 ? store_quota_told(tx, &w->due) : r;
}

static int tell(struct warning *w, struct db *db, const struct deliver_params *deliver,
		const struct warn_params *params) {
	AUTO_ARENA struct arena mem = { 0 };
	struct db_conn *c AUTO_READ = db_read(db);
	if (c == NULL) return -1;
	int r = user_account_by_id(c, &mem, w->due.account, &w->account);
	if (r == 0) r = store_usage(c, w->due.account, &w->usage);
	db_release(&c);
	if (r < 0) return r;
	if (r == 0) r = prepare(w, db, deliver, params);
	if (r < 0) return r;
	r = db_write(db, enter, w);
	if (r == DELIVER_OVER_QUOTA) {
		delivery_done(&w->mail);
		r = db_write(db, enter, w);
	} else if (r == 0 && w->mail != NULL) {
		note(L_INFO, "quota", 0, NULL, "Warned: ", FA("user", w->account.address), FN("percent", w->due.level));
		delivery_report(w->mail);
	}
	delivery_done(&w->mail);
	return r;
}

struct due { struct quota_warning at[100]; size_t count; };

static int collect(void *ctx, const struct quota_warning *w) {
	struct due *due = ctx;
	if (due->count < LEN(due->at)) due->at[due->count++] = *w;
	return 0;
}

int warn_all(struct db *db, const struct deliver_params *deliver, const struct warn_params *params, size_t *sent) {
	struct due due = { .count = 0 };
	struct db_conn *c AUTO_READ = db_read(db);
	int r = c == NULL ? -1 : store_quota_warnings(c, collect, &due);
	db_release(&c);
	*sent = 0;
	for (size_t i = 0; i < due.count && r == 0; i++) {
		struct warning w = { .due = due.at[i] };
		r = tell(&w, db, deliver, params);
		*sent += r == 0;
	}
	return r;
}
