/* SPDX-License-Identifier: Apache-2.0 */
/* In the transaction: what was planned becomes rows. */
#include "base/fail.h"
#include "flow/deliver_private.h"
#include "queue/history.h"
#include "report/inbox.h"
#include "store/acl.h"
#include "store/thread.h"

/* Whose mail it is, for those who read reports in it. What comes from our own users and networks needs no proof. */
static struct slice proof_of(struct delivery *d) {
	const struct evidence_record *e = d->post.evidence;
	AUTO_BUF struct buf out = BUF(KIB(4));
	if (e == NULL || !e->checked) return S("*");
	if (e->dmarc.result == TRUST_PASS) buf_addf(&out, "%.*s ", SLICE_ARG(e->dmarc.from));
	if (e->spf.result == TRUST_PASS) buf_addf(&out, "%.*s ", SLICE_ARG(e->spf.domain));
	for (size_t i = 0; i < e->dkim_count; i++)
		if (e->dkim[i].result == TRUST_PASS) buf_addf(&out, "%.*s ", SLICE_ARG(e->dkim[i].domain));
	return arena_lower(&d->mem, slice_trim(buf_slice(&out)));
}

/* The account's Junk mailbox, made where it is missing. */
static int junk_of(struct db_conn *tx, struct delivery *d, int64_t account, struct box *out) {
	struct mailbox found;
	int r = store_find_use(tx, &d->mem, account, USE_JUNK, &found);
	if (r == STORE_NO_MAILBOX) r = store_find(tx, &d->mem, account, S("Junk"), &found);
	if (r == 0) *out = found.box;
	return r == STORE_NO_MAILBOX ? store_create(tx, account, S("Junk"), USE_JUNK, out) : r;
}

static int may_post(struct db_conn *tx, const struct delivery *d, const struct route_end *e, struct box box,
		    bool *may) {
	uint32_t rights = 0;
	*may = d->public_account.len == 0 || !slice_same(e->address, d->public_account);
	int r = *may ? 0 : store_acl_rights(tx, box, d->post.from.sasl_username, &rights);
	*may |= (rights & ACL_POST) != 0;
	return r;
}

/* The mailbox a detail names, as the account's owner would find it; INBOX where there is none, or none for this sender.
 */
static int detail_of(struct db_conn *tx, struct delivery *d, const struct route_end *e, struct box *out) {
	struct mailbox found;
	bool may = false;
	int r = store_find(tx, &d->mem, e->account, e->detail, &found);
	bool public = d->public_account.len != 0 && slice_same(e->address, d->public_account);
	if (r == STORE_NO_MAILBOX && d->autocreate && !public) {
		r = store_create(tx, e->account, e->detail, 0, out);
		if (r == 0 && d->autosubscribe) r = store_subscribe(tx, e->account, e->detail, true);
		return r > 0 ? 0 : r; /* no name for a mailbox, or too many of them */
	}
	if (r == 0) r = may_post(tx, d, e, found.box, &may);
	if (r == 0 && may) *out = found.box;
	return r < 0 ? r : 0;
}

static int enter_here(struct db_conn *tx, struct delivery *d, const struct route_end *e) {
	struct append a = { .box = { .account = e->account },
			    .blob_id = d->blob,
			    .size = blob_draft_size(d->draft),
			    .received_us = d->post.arrived_us,
			    .quota_bytes = e->quota_bytes,
			    .quota_messages = e->quota_messages,
			    .quota_grace = e->quota_bytes / 100 * d->quota_grace,
			    .quota_levels = { d->quota_levels[0], d->quota_levels[1] } };
	struct appended done;
	int r = (d->post.flags & ACCEPT_JUNK) != 0 ? junk_of(tx, d, e->account, &a.box)
						   : e->detail.len != 0 ? detail_of(tx, d, e, &a.box) : 0;
	if (r == 0) r = store_append(tx, &a, &done);
	if (r == STORE_OVER_QUOTA) return DELIVER_OVER_QUOTA;
	if (r == STORE_NO_MAILBOX) return fail("%.*s: the account has no INBOX (hato verify)", SLICE_ARG(e->address));
	if (r > 0) return fail("%.*s: cannot store the message (%d)", SLICE_ARG(e->address), r);
	return r;
}

static struct history_row row_of(const struct delivery *d, enum history_kind kind) {
	return (struct history_row){ .time_us = d->post.arrived_us,
				     .queue_id = d->post.queue_id,
				     .kind = kind,
				     .sender = d->post.sender,
				     .peer = d->post.client,
				     .message_id = d->post.message_id,
				     .status = S("2.0.0") };
}

/* What is one recipient's own. */
static int remember(struct db_conn *tx, const struct delivery *d, const struct route_end *e) {
	struct history_row row = row_of(d, HISTORY_BOUNCED);
	if (e->kind == ROUTE_TO_NOWHERE) {
		row.recipient = e->address;
		row.status = e->status;
		row.text = e->text;
		int r = history_add(tx, &row);
		if (r != 0 || !e->aliased) return r;
	}
	row.kind = HISTORY_REDIRECTED; /* whoever asks for the alias shall find it */
	row.recipient = e->original;
	row.text = e->address;
	row.peer = SLICE_NONE;
	return history_add(tx, &row);
}

/* What all of a kind share. */
static int remember_all(struct db_conn *tx, struct delivery *d, enum route_kind kind) {
	struct slice *list = arena_array(&d->mem, d->routes.count, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; i < d->routes.count; i++)
		if (d->routes.at[i].kind == kind) list[n++] = d->routes.at[i].address;
	struct history_row row = row_of(d, kind == ROUTE_TO_ACCOUNT ? HISTORY_DELIVERED : HISTORY_ACCEPTED);
	AUTO_BUF struct buf found = BUF(KIB(16));
	if (d->post.evidence != NULL) evidence_tell(&found, d->post.evidence);
	row.text = buf_slice(&found);
	return history_add_all(tx, &row, list, n);
}

int delivery_enter(struct db_conn *tx, struct delivery *d) {
	int r = 0;
	if (d->draft != NULL) r = blob_insert(tx, d->draft, d->summary, &d->blob);
	if (r == 0 && d->draft != NULL && d->digest.len != 0) r = store_digest(tx, d->blob, d->digest);
	if (r == 0 && d->out != 0) {
		d->queued.blob_id = d->blob;
		r = queue_put(tx, &d->queued);
	}
	for (size_t i = 0; i < d->routes.count && r == 0; i++) {
		const struct route_end *e = &d->routes.at[i];
		if (e->kind == ROUTE_TO_ACCOUNT) r = enter_here(tx, d, e);
		if (r == 0 && (e->aliased || e->kind == ROUTE_TO_NOWHERE)) r = remember(tx, d, e);
	}
	if (r == 0) r = remember_all(tx, d, ROUTE_TO_ACCOUNT);
	if (r == 0) r = remember_all(tx, d, ROUTE_TO_HOP);
	if (r == 0 && d->has_report && d->draft != NULL) r = inbox_put(tx, d->blob, d->post.arrived_us, proof_of(d));
	if (r == 0 && d->bounce != NULL) r = delivery_enter(tx, d->bounce);
	if (r == 0 && d->receipt != NULL) r = delivery_enter(tx, d->receipt);
	if (r == 0 && d->list != NULL) r = delivery_enter(tx, d->list);
	if (r > 0 && r != DELIVER_OVER_QUOTA) r = fail("%.*s: cannot be entered (%d)", SLICE_ARG(d->post.queue_id), r);
	return r;
}
