/* SPDX-License-Identifier: Apache-2.0 */
/* Before the transaction: where each recipient leads, what is stored and queued for them, what their sender is told. */
#include "access/imap/name.h"
#include "flow/deliver_private.h"
#include "flow/envelope.h"
#include "flow/id.h"
#include "flow/reporting.h"
#include "flow/return.h"
#include "flow/verp.h"
#include "mime/digest.h"
#include "smtp/dsn.h"

#define QUEUE_EXTRA_FIELDS(F) \
	F(u64, return_path) F(bool_, eight_bit) F(bool_, utf8) F(u32, flags) F(part, from, relay_client)
WIRE_STRUCT(queue_extra, QUEUE_EXTRA_FIELDS)
#define QUEUE_TARGET_FIELDS(F) \
	F(u32, kind) F(text, target) F(text, rights) F(bool_, aliased) F(bool_, fixed) F(bool_, forwarded) \
	F(text, delivered) F(text, below) F(bool_, named)
WIRE_STRUCT(queue_target, QUEUE_TARGET_FIELDS)

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
								      .named = target->named,
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
		if (r != 0) return r < 0 ? r : r == ROUTE_ENDLESS ? DELIVER_ENDLESS : DELIVER_LATER;
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
	struct queue_target target = { e->target_kind, e->target, e->rights, e->marked,
				       e->fixed,       e->forwarded, e->delivered, e->below, e->named };
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
		bool good = kind == RETURN_DELIVERED, asked = return_wanted(from->notify, kind);
		if (e->kind != about || (good && !asked)) continue;
		list[n++] = (struct returned_recipient){ .address = e->address,
							 .original = e->original,
							 .orcpt = from->orcpt,
							 .status = good ? S("2.0.0") : e->status,
							 .text = good ? S("delivered to mailbox") : e->text,
							 .unasked = !asked };
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

/* What is wrapped is a message of our own, one for each alias. */
static int split_wrapped(struct delivery *d, struct db *db, const struct deliver_params *params) {
	for (size_t i = 0; i < d->routes.count;) {
		struct slice alias = d->routes.at[i].original;
		if (!d->routes.at[i].wrapped) {
			i++;
			continue;
		}
		struct delivery *w = *delivery_list_end(d) = split_off(d, is_wrapped, alias);
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
	struct delivery **next = delivery_list_end(d);
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
