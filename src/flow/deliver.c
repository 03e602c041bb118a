/* SPDX-License-Identifier: Apache-2.0 */
/* One durable write for each message, however many recipients it has: there is no queue between the door and a mailbox
 * of ours. */
#include "flow/verp.h"
#include "flow/deliver.h"
#include "access/imap/name.h"
#include "mime/digest.h"
#include "mime/summary.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/envelope.h"
#include "flow/id.h"
#include "flow/return.h"
#include "net/file.h"
#include "flow/reporting.h"
#include "queue/history.h"
#include "report/inbox.h"
#include "report/outbox.h"
#include "smtp/deliver.h"
#include "smtp/dsn.h"
#include "store/acl.h"

#define QUEUE_EXTRA_FIELDS(F) \
	F(u64, return_path) F(bool_, eight_bit) F(bool_, utf8) F(u32, flags) F(part, from, relay_client)
WIRE_STRUCT(queue_extra, QUEUE_EXTRA_FIELDS)
#define QUEUE_TARGET_FIELDS(F) \
	F(u32, kind) F(text, target) F(text, rights) F(bool_, aliased) F(bool_, fixed) F(bool_, forwarded)
WIRE_STRUCT(queue_target, QUEUE_TARGET_FIELDS)

struct delivery {
	struct arena mem;
	struct post post;          /* what it points to is borrowed until the report */
	struct routes routes;
	struct blob_draft *draft;
	struct slice summary, digest; /* as they are stored */
	size_t here, out;          /* ends of each kind */
	struct queue_message queued;
	struct delivery *bounce;   /* about recipients that lead nowhere */
	struct delivery *receipt;  /* about mailboxes here, where the sender wanted to know */
	struct delivery *list;     /* the same message from another sender: owner-list (aliases(5)) */
	int64_t blob;
	unsigned delay_digits;     /* deliver_params */
	bool has_report;           /* somebody gets it who reads reports */
	struct reporter *reporter;
	bool report_send;
	uint32_t quota_grace;
	uint8_t quota_levels[2];
	bool autocreate, autosubscribe;
	struct slice public_account;
};

static void count_ends(struct delivery *d, size_t *nowhere) {
	for (size_t i = 0; i < d->routes.count; i++) {
		enum route_kind kind = d->routes.at[i].kind;
		d->here += kind == ROUTE_TO_ACCOUNT;
		d->out += kind == ROUTE_TO_HOP;
		*nowhere += kind == ROUTE_TO_NOWHERE;
	}
}

/* dovecot-lda: no aliases, no tables; envid names the mailbox. */
static int end_here(struct db_conn *c, struct delivery *d, size_t i) {
	const struct accept_recipient *to = &d->post.recipients[i];
	AUTO_BUF struct buf name = BUF(KIB(8)), mailbox = BUF(KIB(8));
	struct account account;
	int r = user_account_find(c, &d->mem, to->address, &account);
	if (r < 0) return r;
	if (r != 0 || account.disabled) {
		route_add_nowhere(&d->routes, to->address, r != 0 ? S("5.1.1") : S("5.2.1"),
				  r != 0 ? S("User unknown") : S("Mailbox disabled"), i);
		return 0;
	}
	xtext_decode_add(&name, d->post.envid);
	if (!imap_name_read(&mailbox, buf_slice(&name))) buf_clear(&mailbox);
	bool limited = (d->post.flags & ACCEPT_UNLIMITED) == 0;
	route_add_end(&d->routes, (struct route_end){ .kind = ROUTE_TO_ACCOUNT,
						      .address = account.address,
						      .original = to->original.len != 0 ? to->original : to->address,
						      .account = account.id,
						      .quota_bytes = limited ? account.quota_bytes : 0,
						      .quota_messages = limited ? account.quota_messages : 0,
						      .detail = arena_slice(&d->mem, buf_slice(&mailbox)),
						      .source = i });
	return 0;
}

static int route_all(struct db *db, const struct deliver_params *params, struct delivery *d) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	for (size_t i = 0; i < d->post.count; i++) {
		const struct accept_recipient *to = &d->post.recipients[i];
		if (d->post.refusal.len != 0) {
			route_add_nowhere(&d->routes, to->address, d->post.refusal_status, d->post.refusal, i);
			continue;
		}
		if ((d->post.flags & ACCEPT_FINAL) != 0) {
			int r = end_here(c, d, i);
			if (r < 0) return r;
			continue;
		}
		const struct post_target *target = d->post.targets != NULL ? &d->post.targets[i] : NULL;
		if (target != NULL && target->hop.len != 0) {
			route_add_end(&d->routes, (struct route_end){ .kind = ROUTE_TO_HOP,
								      .address = to->address,
								      .original = to->original,
								      .hop = target->hop,
								      .target_kind = target->kind,
								      .target = target->target,
								      .rights = target->rights,
								      .fixed = true,
								      .source = i });
			continue;
		}
		struct route_from from = { .address = to->address,
					   .sender = d->post.sender,
					   .original = to->original,
					   .source = i,
					   .no_mappings = (d->post.flags & ACCEPT_NO_MAPPINGS) != 0,
					   .rewritten = true,
					   .redirected = d->post.redirected,
					   .filter = d->post.filter };
		int r = route_add(&d->routes, c, params->route, &from);
		if (r != 0) return r < 0 ? r : DELIVER_LATER;
	}
	return 0;
}

/* Forwarded mail is looked at before it goes: what may not go is refused when nobody else gets it. */
static int check_forwards(struct db *db, const struct deliver_params *params, struct delivery *d) {
	struct post *post = &d->post;
	struct forwarding f = { .params = &params->forward,
				.route = params->route,
				.sender = post->sender,
				.queue_id = post->queue_id,
				.mailbox = post->mailbox };
	if (post->sender.len == 0) return 0;
	if (post->evidence != NULL) post->flags |= forward_look(post->evidence, &d->mem, &f.why);
	if ((post->flags & ACCEPT_JUNK) != 0 && (post->flags & ACCEPT_FORWARD_BAD) == 0) {
		post->flags |= ACCEPT_FORWARD_BAD;
		f.why = S("it is spam");
	}
	if (post->evidence != NULL)
		f.sender_doubtful =
			post->evidence->spf.result == TRUST_FAIL || post->evidence->spf.result == TRUST_SOFTFAIL;
	f.flags = post->flags;
	if ((f.flags & (ACCEPT_FORWARD_BAD | ACCEPT_FORWARD_FAILS)) == 0) return 0;
	AUTO_READ struct db_conn *c = db_read(db);
	struct slice first = d->routes.count != 0 ? d->routes.at[0].address : SLICE_NONE;
	int gone = c != NULL ? forward_apply(&f, c, &d->routes) : -1;
	if (gone <= 0 || d->routes.count != 0) return MIN_OF(gone, 0);
	route_add_nowhere(&d->routes, first, S("5.7.1"), arena_fmt(&d->mem, "not forwarded: %.*s", SLICE_ARG(f.why)),
			  0);
	return DELIVER_NO_RECIPIENT;
}

static struct slice pack_target(const struct route_end *e, struct arena *mem) {
	AUTO_BUF struct buf packed = BUF(KIB(64));
	struct queue_target target = { e->target_kind, e->target, e->rights, e->marked, e->fixed, e->forwarded };
	if (e->target_kind == RELAY_ADDRESS && !e->marked && !e->fixed && !e->forwarded) return SLICE_NONE;
	queue_target_pack(&packed, &target);
	return arena_slice(mem, buf_slice(&packed));
}

/* The rows of the queue, for the ends that are elsewhere. */
static void plan_queue(struct delivery *d) {
	struct queue_recipient *list = arena_array(&d->mem, d->out, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; i < d->routes.count; i++) {
		const struct route_end *e = &d->routes.at[i];
		if (e->kind != ROUTE_TO_HOP) continue;
		const struct accept_recipient *from = &d->post.recipients[e->source];
		list[n++] = (struct queue_recipient){ .address = e->address,
						      .original = slice_same(e->address, e->original) ? SLICE_NONE
												      : e->original,
						      .orcpt = from->orcpt,
						      .hop = e->hop,
						      .notify = from->notify,
						      .target = pack_target(e, &d->mem) };
	}
	struct queue_extra extra = { .return_path = d->post.return_path,
				     .eight_bit = d->post.eight_bit,
				     .utf8 = d->post.utf8,
				     .flags = d->post.flags,
				     .from = d->post.from };
	AUTO_BUF struct buf packed = BUF(KIB(16));
	queue_extra_pack(&packed, &extra);
	d->queued = (struct queue_message){
		.id = d->post.queue_id,
		.sender = d->post.sender,
		.size = blob_draft_size(d->draft),
		.arrived_us = d->post.arrived_us,
		.envid = d->post.envid,
		.ret = d->post.ret,
		.message_id = d->post.message_id,
		.extra = arena_slice(&d->mem, buf_slice(&packed)),
		.held = (d->post.flags & ACCEPT_HOLD) != 0,
		.recipients = list,
		.recipient_count = n,
	};
}

/* The start of a spooled body: enough for its header. */
static void read_start(const struct blob_source *body, struct buf *out) {
	size_t want = (size_t)MIN_OF(body->fd_size, (uint64_t)SCAN_HEADER_MAX);
	char *at = buf_room(out, want);
	ssize_t n = at != NULL ? pread(body->fd, at, want, (off_t)body->fd_from) : -1;
	if (n > 0) out->len += (size_t)n;
}

/* The notice about all ends of one kind, if the sender wants it. */
static int plan_notice(struct db *db, const struct deliver_params *params, struct delivery *d, enum route_kind about,
		       enum return_kind kind, struct delivery **out) {
	struct returned_recipient *list = arena_array(&d->mem, d->routes.count, sizeof *list);
	size_t n = 0;
	for (size_t i = 0; i < d->routes.count; i++) {
		const struct route_end *e = &d->routes.at[i];
		const struct accept_recipient *from = &d->post.recipients[e->source];
		if (e->kind != about || !return_wanted(from->notify, kind)) continue;
		bool good = kind == RETURN_DELIVERED;
		list[n++] = (struct returned_recipient){ .address = e->address,
							 .original = e->original,
							 .orcpt = from->orcpt,
							 .status = good ? S("2.0.0") : e->status,
							 .text = good ? S("delivered to mailbox") : e->text };
	}
	if (n == 0) return 0;
	const struct blob_source *body = &d->post.body;
	struct returned what = {
		.kind = kind, .queue_id = d->post.queue_id, .sender = d->post.sender, .envid = d->post.envid,
		.verp = params->verp_bounces ? verp_delimiters(d->post.flags, &d->mem) : SLICE_NONE,
		.arrived_us = d->post.arrived_us, .ret = d->post.ret, .recipients = list, .count = n,
	};
	AUTO_BUF struct buf original = BUF(MIB(8));
	for (size_t i = 0; i < body->part_count; i++) buf_add(&original, body->parts[i]);
	if (body->fd >= 0) read_start(body, &original);
	what.message = slice_skip(buf_slice(&original), (size_t)d->post.return_path);
	what.whole = body->fd < 0 && original.len <= params->bounce_size;
	return return_prepare(db, params, &what, out);
}

struct delivery *delivery_new(void) {
	struct delivery *d = mem_get(sizeof *d);
	d->routes.mem = &d->mem;
	return d;
}

struct arena *delivery_memory(struct delivery *d) {
	return &d->mem;
}

/* What is on hold waits in the queue, whole: those who have a mailbox here, or nowhere to go, are taken up again when
 * it is let go. */
static void hold_all(struct delivery *d) {
	for (size_t i = 0; i < d->routes.count; i++) {
		struct route_end *e = &d->routes.at[i];
		if (e->kind == ROUTE_TO_HOP) continue;
		e->kind = ROUTE_TO_HOP;
		e->hop = S(TRANSPORT_REQUEUE_NAME ":");
	}
}

/* Nobody gets it; its sender is told what would have become of it. */
static int plan_verification(struct db *db, const struct deliver_params *params, struct delivery *d) {
	struct returned_recipient *list = arena_array(&d->mem, d->routes.count + 1, sizeof *list);
	size_t n = d->routes.count;
	for (size_t i = 0; i < n; i++) {
		const struct route_end *e = &d->routes.at[i];
		bool lost = e->kind == ROUTE_TO_NOWHERE;
		struct slice text = lost ? e->text : e->kind == ROUTE_TO_ACCOUNT ? S("delivers to mailbox") :
				    arena_fmt(&d->mem, "delivers to %.*s", SLICE_ARG(e->hop));
		list[i] = (struct returned_recipient){ .address = e->address,
						       .original = e->original,
						       .undeliverable = lost,
						       .status = lost ? e->status : S("2.0.0"),
						       .text = text };
	}
	struct returned what = { .kind = RETURN_VERIFIED,
				 .queue_id = d->post.queue_id,
				 .sender = d->post.sender,
				 .envid = d->post.envid,
				 .arrived_us = d->post.arrived_us,
				 .ret = RET_HDRS,
				 .recipients = list,
				 .count = n };
	for (size_t i = 0; i < d->post.body.part_count; i++) what.message = d->post.body.parts[i];
	d->routes.count = 0;
	return return_prepare(db, params, &what, &d->receipt);
}

/* What people read is kept ready for them. It is made here and not taken from edge, which talks to strangers. */
static struct slice stored_summary(struct delivery *d) {
	struct unwire in = UNWIRE(d->post.summary, &d->mem);
	struct summary summary;
	struct summary_ready ready;
	if (d->here != 0) summary_unpack(&in, &summary);
	if (d->here != 0 && !in.bad) {
		AUTO_BUF struct buf digest = BUF(KIB(64)), packed = BUF(MIB(8));
		digest_of_summary(&digest, &summary);
		d->digest = arena_slice(&d->mem, buf_slice(&digest));
		summary_pack_ready(&packed, &summary);
		if (!packed.full) return arena_slice(&d->mem, buf_slice(&packed));
	}
	return summary_ready_get(d->post.summary, &ready) ? SLICE_NONE : d->post.summary;
}

static int prepare_routed(struct delivery *d, struct db *db, const struct deliver_params *params) {
	d->delay_digits = params->delay_digits;
	size_t nowhere = 0;
	int r = 0;
	count_ends(d, &nowhere);
	if (nowhere != 0) r = plan_notice(db, params, d, ROUTE_TO_NOWHERE, RETURN_FAILURE, &d->bounce);
	if (r == 0 && d->here != 0) r = plan_notice(db, params, d, ROUTE_TO_ACCOUNT, RETURN_DELIVERED, &d->receipt);
	if (r != 0) return r;
	if (d->here + d->out == 0) return 0;
	if ((r = blob_prepare(db, &d->post.body, &d->draft)) < 0) return r;
	d->summary = stored_summary(d);
	if (d->out != 0) plan_queue(d);
	return 0;
}

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

/* Is it for a report address, and delivered here? What our users send to those of others is not ours to read. */
static bool for_reports(const struct delivery *d, const struct deliver_params *params) {
	for (size_t i = 0; i < d->routes.count; i++) {
		const struct route_end *e = &d->routes.at[i];
		bool unix_mailbox = e->kind == ROUTE_TO_HOP &&
				    (slice_starts(e->hop, S("local:")) || slice_starts(e->hop, S("virtual:")));
		if (e->kind != ROUTE_TO_ACCOUNT && !unix_mailbox) continue;
		if (reporting_takes(params, d->post.recipients[e->source].address)) return true;
	}
	return false;
}

static bool has_owner(const struct route_end *e, struct slice owner) {
	return slice_eq(e->owner, owner);
}

static bool is_wrapped(const struct route_end *e, struct slice alias) {
	return e->wrapped && slice_eq(e->original, alias);
}

/* Takes the ends of one owner, or of one alias that wraps, out of d, into a delivery of their own. */
static struct delivery *split_off(struct delivery *d, bool (*belongs)(const struct route_end *, struct slice),
				  struct slice of) {
	struct delivery *list = delivery_new();
	char id[QUEUE_ID_ROOM];
	size_t kept = 0;
	list->routes.at = arena_array(&list->mem, d->routes.count, sizeof *list->routes.at);
	for (size_t i = 0; i < d->routes.count; i++) {
		struct route_end *e = &d->routes.at[i];
		if (belongs(e, of)) list->routes.at[list->routes.count++] = *e;
		else d->routes.at[kept++] = *e;
	}
	d->routes.count = kept;
	list->post = d->post;
	queue_id_make(id);
	list->post.queue_id = arena_slice(&list->mem, slice_of(id));
	return list;
}

static struct delivery **list_end(struct delivery *d) {
	struct delivery **end = &d->list;
	while (*end != NULL) end = &(*end)->list;
	return end;
}

/* What is wrapped is a message of our own, one for each alias. */
static int split_wrapped(struct delivery *d, struct db *db, const struct deliver_params *params) {
	for (size_t i = 0; i < d->routes.count;) {
		struct slice alias = d->routes.at[i].original;
		if (!d->routes.at[i].wrapped) {
			i++;
			continue;
		}
		struct delivery *w = *list_end(d) = split_off(d, is_wrapped, alias);
		for (size_t k = 0; k < w->routes.count; k++) {
			struct route_end *e = &w->routes.at[k];
			e->wrapped = e->forwarded = false;
			e->owner = SLICE_NONE;
		}
		int r = forward_wrap(&w->post, params->route, alias, &w->mem);
		if (r == 0) r = prepare_routed(w, db, params);
		if (r != 0) return r;
	}
	return 0;
}

static int split_owners(struct delivery *d, struct db *db, const struct deliver_params *params) {
	struct delivery **next = list_end(d);
	for (size_t i = 0; i < d->routes.count;) {
		struct slice owner = d->routes.at[i].owner;
		if (owner.len == 0) {
			i++;
			continue;
		}
		*next = split_off(d, has_owner, owner);
		int r = envelope_sender(&(*next)->post, owner, &(*next)->mem);
		if (r == 0) r = prepare_routed(*next, db, params);
		if (r != 0) return r;
		next = &(*next)->list;
	}
	return 0;
}

int delivery_prepare(struct delivery *d, struct db *db, const struct deliver_params *params, const struct post *post) {
	d->post = *post;
	int r = envelope_clean(&d->post, params, &d->mem);
	if (r == 0) r = route_all(db, params, d);
	if (r == 0) r = check_forwards(db, params, d);
	if (r != 0) return r;
	if ((d->post.flags & ACCEPT_VERIFY) != 0) return plan_verification(db, params, d);
	if ((d->post.flags & ACCEPT_HOLD) != 0) hold_all(d);
	if (d->routes.count == 1 && d->post.count == 1 && d->routes.at[0].kind == ROUTE_TO_NOWHERE &&
	    !d->post.submitted)
		return DELIVER_NO_RECIPIENT;
	d->has_report = for_reports(d, params);
	d->reporter = params->reporter;
	d->report_send = params->report_send;
	d->quota_grace = params->quota_grace;
	d->autocreate = params->autocreate;
	d->autosubscribe = params->autosubscribe;
	d->public_account = arena_slice(&d->mem, params->public_account);
	memcpy(d->quota_levels, params->quota_levels, sizeof d->quota_levels);
	if ((r = split_wrapped(d, db, params)) != 0 || (r = split_owners(d, db, params)) != 0) return r;
	return prepare_routed(d, db, params);
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
	*list_end(d) = more;
}

bool delivery_queued(const struct delivery *d) {
	return d->out != 0 || (d->bounce != NULL && delivery_queued(d->bounce)) ||
	       (d->receipt != NULL && delivery_queued(d->receipt)) || (d->list != NULL && delivery_queued(d->list));
}

struct route_end delivery_refusal(const struct delivery *d) {
	return d->routes.at[0];
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
	if (r == 0 && d->draft != NULL && d->digest.len != 0) r = blob_digest(tx, d->blob, d->digest);
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

bool deliver_accept(struct db *db, const struct deliver_params *params, const struct accept_ask *ask, int body_fd,
		    struct arena *mem, struct accept_answer *answer) {
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
	if (r == 0) r = discard ? 0 : delivery_prepare(d, db, params, &post);
	if (r == 0 && discard) r = db_write(db, remember_discarded, (void *)(uintptr_t)ask);
	else if (r == 0) r = db_write_repeatable(db, enter_one, d);
	bool queued = r == 0 && delivery_queued(d);
	if (r == 0 && d->has_report) reporter_wake(d->reporter);
	if (r == 0 && params->report_failures) reporting_failed(params->reporter, &ask->evidence);
	if (r == 0)
		dmarc_history_add(&params->history, ask->queue_id, ask->sender, ask->recipients, ask->recipients_count,
				  &ask->evidence);
	accept_answer_of(r, params->full_reject, d, ask, mem, answer);
	if (r == 0 && !discard) delivery_report(d);
	delivery_done(&d);
	return queued;
}
