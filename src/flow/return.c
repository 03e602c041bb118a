/* SPDX-License-Identifier: Apache-2.0 */
/* The words come from bounce(5) templates; the delivery-status part is for machines; the other server's own answer is
 * quoted in full, since nobody can act on "could not be delivered". */
#include "flow/verp.h"
#include "flow/return.h"
#include "smtp/dsn.h"
#include "flow/own_mail.h"
#include "base/log.h"
#include "flow/id.h"
#include "mime/compose.h"
#include "mime/header.h"

enum { RETURN_ROOM = 16 << 20 };

static const char *const actions[] = { "failed", "delayed", "relayed", "delivered", "deliverable" };

bool return_wanted(uint32_t notify, enum return_kind kind) {
	static const uint32_t bits[] = { NOTIFY_FAILURE, NOTIFY_DELAY, NOTIFY_SUCCESS, NOTIFY_SUCCESS, ~0u };
	return notify == 0 ? kind < RETURN_RELAYED : (notify & bits[kind]) != 0;
}

static const struct return_words *words_of(const struct deliver_params *params, enum return_kind kind) {
	if (kind == RETURN_VERIFIED) return &params->verified;
	return kind == RETURN_FAILURE ? &params->failed : kind == RETURN_DELAY ? &params->delayed : &params->succeeded;
}

static struct mailbox split_address(struct slice address, struct slice origin) {
	size_t at = slice_find_last(address, '@');
	return (struct mailbox){ slice_head(address, at), at < address.len ? slice_skip(address, at + 1) : origin };
}

static void words(struct buf *text, const struct deliver_params *params, const struct returned *what) {
	buf_add(text, words_of(params, what->kind)->text);
	buf_add(text, S("\n"));
	for (size_t i = 0; i < what->count; i++) {
		const struct returned_recipient *r = &what->recipients[i];
		buf_addf(text, "<%.*s>", SLICE_ARG(r->address));
		if (r->original.len != 0 && !slice_same(r->original, r->address))
			buf_addf(text, " (expanded from <%.*s>)", SLICE_ARG(r->original));
		buf_addf(text, ": %.*s\n\n", SLICE_ARG(r->text));
	}
}

static void status_of_recipient(struct buf *out, const struct returned *what, const struct returned_recipient *r) {
	AUTO_BUF struct buf v = BUF(KIB(16));
	compose_group(out);
	struct slice original = r->original.len != 0 ? r->original : r->address;
	buf_addf(&v, "rfc822; %.*s", SLICE_ARG(r->address));
	compose_field(out, "Final-Recipient", buf_slice(&v));
	buf_clear(&v);
	if (r->orcpt.len != 0) { /* the type, and the address decoded (RFC 3461 §6.3) */
		struct slice address = r->orcpt, type = slice_cut(&address, ';');
		buf_addf(&v, "%.*s;", SLICE_ARG(type));
		xtext_decode_add(&v, address);
	}
	if (r->orcpt.len == 0) buf_addf(&v, "rfc822;%.*s", SLICE_ARG(original));
	compose_field(out, "Original-Recipient", buf_slice(&v));
	compose_field(out, "Action", r->undeliverable ? S("undeliverable") : slice_of(actions[what->kind]));
	compose_field(out, "Status", r->status);
	if (r->host.len != 0) {
		buf_clear(&v);
		buf_addf(&v, "dns; %.*s", SLICE_ARG(r->host));
		compose_field(out, "Remote-MTA", buf_slice(&v));
	}
	buf_clear(&v);
	if (r->diagnostic.len != 0) buf_addf(&v, "smtp; %.*s", SLICE_ARG(r->diagnostic));
	else buf_addf(&v, "X-hato; %.*s", SLICE_ARG(r->text));
	compose_field(out, "Diagnostic-Code", buf_slice(&v));
	if (what->kind == RETURN_DELAY) {
		buf_clear(&v);
		date_add(&v, date_local(what->retry_until_us / 1000000));
		compose_field(out, "Will-Retry-Until", buf_slice(&v));
	}
}

static void status_part(struct buf *out, const struct deliver_params *params, const struct returned *what) {
	AUTO_BUF struct buf v = BUF(KIB(4));
	compose_status_part(out);
	buf_addf(&v, "dns; %.*s", SLICE_ARG(params->route->host));
	compose_field(out, "Reporting-MTA", buf_slice(&v));
	AUTO_BUF struct buf envid = BUF(KIB(4));
	xtext_decode_add(&envid, what->envid);
	if (envid.len != 0) compose_field(out, "Original-Envelope-Id", buf_slice(&envid));
	compose_field(out, "X-hato-Queue-ID", what->queue_id);
	buf_clear(&v);
	struct slice sender = what->named.len != 0 ? what->named : what->sender;
	if (sender.len != 0) buf_addf(&v, "rfc822; %.*s", SLICE_ARG(sender));
	else buf_addf(&v, "rfc822; MAILER-DAEMON@%.*s", SLICE_ARG(params->route->host));
	compose_field(out, "X-hato-Sender", buf_slice(&v));
	buf_clear(&v);
	date_add(&v, date_local(what->arrived_us / 1000000));
	compose_field(out, "Arrival-Date", buf_slice(&v));
	for (size_t i = 0; i < what->count; i++) status_of_recipient(out, what, &what->recipients[i]);
}

static struct slice header_of(struct slice message) {
	size_t end = slice_search(message, S("\r\n\r\n"));
	return end < message.len ? slice_head(message, end + 2) : message;
}

/* enable_threaded_bounces: mail programs show the notice with the message. */
static void thread_fields(struct buf *out, struct slice message) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf value = BUF(KIB(1));
	struct field f;
	struct slice id;
	if (!header_find(message, S("Message-ID"), &f)) return;
	struct slice rest = header_unfold(f.value, &mem);
	if (!msgid_next(&rest, &id)) return;
	buf_addf(&value, "<%.*s>", SLICE_ARG(id));
	if (value.full) return;
	compose_field(out, "In-Reply-To", buf_slice(&value));
	compose_field(out, "References", buf_slice(&value));
}

void return_compose(struct buf *out, const struct deliver_params *params, const struct returned *what,
		    struct slice id) {
	AUTO_BUF struct buf text = BUF(MIB(1));
	const struct return_words *w = words_of(params, what->kind);
	AUTO_BUF struct buf message_id = BUF(KIB(1));
	buf_addf(&message_id, "<%.*s@%.*s>", SLICE_ARG(id), SLICE_ARG(params->route->host));
	compose_date_field(out, date_local(wall_s()));
	compose_mailbox_field(out, "From", w->from_name, split_address(w->from, params->origin));
	compose_text_field(out, "Subject", what->to.len != 0 ? w->copy_subject : w->subject);
	compose_mailbox_field(out, "To", SLICE_NONE,
			      split_address(what->to.len != 0 ? what->to : what->sender, SLICE_NONE));
	compose_field(out, "Message-ID", buf_slice(&message_id));
	if (params->threaded_bounces) thread_fields(out, what->message);
	compose_field(out, "Auto-Submitted", what->to.len != 0 ? S("auto-generated") : S("auto-replied"));
	compose_field(out, "MIME-Version", S("1.0"));
	struct multipart parts = multipart_begin(out, "multipart/report; report-type=delivery-status");
	multipart_part(out, &parts);
	buf_add(out, S("Content-Description: Notification\r\n"));
	words(&text, params, what);
	compose_text(out, "plain", buf_slice(&text), true);
	multipart_part(out, &parts);
	buf_add(out, S("Content-Description: Delivery report\r\n"));
	status_part(out, params, what);
	multipart_part(out, &parts);
	bool beside = what->to.len != 0 && what->sender.len != 0; /* the sender has his own: this copy is short */
	bool whole = what->whole && what->kind == RETURN_FAILURE && what->ret != RET_HDRS && !beside;
	bool good = what->kind > RETURN_DELAY; /* nothing is undelivered then */
	buf_addf(out, "Content-Description: %sMessage%s\r\n", good ? "" : "Undelivered ", whole ? "" : " Headers");
	if (whole) compose_message_part(out, what->message);
	else compose_headers_part(out, header_of(what->message));
	multipart_end(out, &parts);
}

/* One notice. sender: the envelope's. */
static int prepare(struct db *db, const struct deliver_params *params, const struct returned *what, struct slice sender,
		   struct delivery **out) {
	char id[QUEUE_ID_ROOM];
	queue_id_make(id);
	AUTO_BUF struct buf message = BUF(RETURN_ROOM);
	return_compose(&message, params, what, slice_of(id));
	struct own_mail mail = { .id = id, .sender = sender, .to = what->to.len != 0 ? what->to : what->sender,
				 .message = buf_slice(&message), .client = S("bounce"),
				 .flags = what->require_tls ? (uint32_t)ACCEPT_REQUIRE_TLS : 0 };
	int r = own_mail_prepare(db, params, &mail, out);
	if (r == DELIVER_NO_RECIPIENT)
		say(L_WARN, "bounce", "%.*s: <%.*s> does not exist: the notice is dropped",
		    SLICE_ARG(what->queue_id), SLICE_ARG(mail.to));
	return r < 0 ? r : 0;
}

static bool wanted(const struct deliver_params *params, enum notice_class class) {
	return (params->notices & class) != 0;
}

/* Those whom the sender asked to be told of. */
static struct returned asked_for(const struct returned *what, struct arena *mem) {
	struct returned out = *what;
	struct returned_recipient *list = arena_array(mem, what->count, sizeof *list);
	out.count = 0;
	for (size_t i = 0; i < what->count; i++)
		if (!what->recipients[i].unasked) list[out.count++] = what->recipients[i];
	out.recipients = list;
	return out;
}

static int one_notice(struct db *db, const struct deliver_params *params, const struct returned *what,
			      struct delivery **out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct returned copy = *what, own = asked_for(what, &mem);
	struct delivery *more = NULL;
	bool nobody = what->sender.len == 0, failure = what->kind == RETURN_FAILURE;
	if (what->count == 0) return 0;
	if (params->double_bounce.len != 0 && slice_same(what->sender, params->double_bounce)) {
		say(L_WARN, "bounce", "%.*s: undeliverable postmaster notification discarded",
		    SLICE_ARG(what->queue_id));
		return 0;
	}
	int r = nobody || own.count == 0 ? 0 : prepare(db, params, &own, S(""), out);
	if (r != 0) return r;
	if (failure && nobody && wanted(params, NOTICE_DOUBLE_BOUNCE)) copy.to = params->double_bounce_notice;
	if (failure && !nobody && wanted(params, NOTICE_BOUNCE)) copy.to = params->bounce_notice;
	if (what->kind == RETURN_DELAY && wanted(params, NOTICE_DELAY)) copy.to = params->delay_notice;
	if (copy.to.len == 0) return 0;
	r = prepare(db, params, &copy, params->double_bounce, &more);
	if (r != 0 || more == NULL) return r;
	if (*out == NULL) *out = more;
	else delivery_join(*out, more);
	return 0;
}

/* VERP: each recipient has a sender of his own, and a notice. */
int return_prepare(struct db *db, const struct deliver_params *params, const struct returned *what,
		   struct delivery **out) {
	AUTO_ARENA struct arena mem = { 0 };
	if (what->verp.len == 0 || what->kind != RETURN_FAILURE || what->sender.len == 0)
		return one_notice(db, params, what, out);
	for (size_t i = 0; i < what->count; i++) {
		const struct returned_recipient *r = &what->recipients[i];
		struct returned one = *what;
		struct delivery *notice = NULL;
		one.recipients = r;
		one.count = 1;
		one.named = what->sender;
		one.sender =
			verp_sender(what->sender, what->verp, r->original.len != 0 ? r->original : r->address, &mem);
		int done = one_notice(db, params, &one, &notice);
		if (done != 0) return done;
		if (notice == NULL) continue;
		if (*out == NULL) *out = notice;
		else delivery_join(*out, notice);
	}
	return 0;
}
