/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a message, from DATA to the answer at its end: header checks as it comes in, then the milters, then core.
 * Nothing is promised to the client before core has answered that the message is on disk. */
#include "base/fail.h"
#include "flow/admit_private.h"
#include "flow/verp.h"
#include "mime/date.h"

#define REQUIRE_TLS_FIELD "Require-TLS-ESMTP"

static void add_received_date(struct admit *a, struct buf *out) {
	buf_add(out, a->local ? S("; ") : S(";\r\n\t"));
	date_add(out, date_local(a->arrived_us / 1000000));
	buf_add(out, S("\r\n"));
}

/* smtpd_tls_received_header, in Postfix's lines. */
static void add_received_tls(struct admit *a, struct buf *out) {
	struct tls_info info;
	tls_info(admit_session(a)->tls, &info);
	buf_addf(out, "\t(using %s with cipher %s (%d/%d bits)", info.protocol, info.cipher, info.bits_used,
		 info.bits_all);
	if (info.key_exchange[0] != '\0') buf_addf(out, "\r\n\t key-exchange %s", info.key_exchange);
	if (info.server_signature[0] != '\0') buf_addf(out, " server-signature %s", info.server_signature);
	if (info.server_digest[0] != '\0') buf_addf(out, " server-digest %s", info.server_digest);
	if (info.client_signature[0] != '\0')
		buf_addf(out, "\r\n\t client-signature %s client-digest %s", info.client_signature, info.client_digest);
	buf_addf(out, ")\r\n\t(%s)\r\n", !info.peer_has_cert ? "No client certificate requested" :
		 info.trusted ? "Client certificate verified" : "Client certificate not verified");
}

static void add_received(struct admit *a, struct buf *out) {
	if (a->local) {
		buf_addf(out, "Received: by %s (%s, from userid %u)\r\n\tid %s", a->params->host, a->params->mail_name,
			 (unsigned)a->uid, a->id);
		add_received_date(a, out);
		return;
	}
	if (a->params->hide_session) {
		buf_addf(out, "Received: by %s (%s)\r\n\tid %s", a->params->host, a->params->mail_name, a->id);
		add_received_date(a, out);
		return;
	}
	const struct smtp_session *s = admit_session(a);
	struct slice helo = s->helo.len != 0 ? s->helo : S("unknown");
	bool literal6 = addr_family(&a->peer) == AF_INET6;
	buf_addf(out, "Received: from %.*s (%.*s [%s%s])\r\n", SLICE_ARG(helo), SLICE_ARG(a->name),
		 literal6 ? "IPv6:" : "", a->ip);
	if (s->tls != NULL && a->params->show_tls) add_received_tls(a, out);
	if (s->login.len != 0 && a->params->show_login)
		buf_addf(out, "\t(Authenticated sender: %.*s)\r\n", SLICE_ARG(s->login));
	buf_addf(out, "\tby %s (%s) with %s id %s", a->params->host, a->params->mail_name, smtp_session_with(s), a->id);
	if (a->count == 1) buf_addf(out, "\r\n\tfor <%.*s>", SLICE_ARG(a->recipients[0].address));
	add_received_date(a, out);
}

static void add_return_path(struct admit *a, struct buf *out) {
	buf_addf(out, "Return-Path: <%.*s>\r\n", SLICE_ARG(a->sender));
}

/* local_header_rewrite_clients. */
static bool header_is_ours(struct admit *a) {
	const struct header_clients *h = &a->params->header_clients;
	const struct smtp_session *s = admit_session(a);
	struct lookup_hit hit;
	if (a->local) return !a->gateway;
	if ((h->networks && a->inside) || (h->logged_in && s->login.len != 0)) return true;
	for (size_t i = 0; h->interfaces && i < h->own_count; i++)
		if (addr_same_host(&h->own[i], &a->peer)) return true;
	if (h->certified && s->tls != NULL) {
		struct tls_info info;
		tls_info(s->tls, &info);
		if (info.peer_has_cert && info.trusted) return true;
	}
	return h->maps.count != 0 && lookup_key(&h->maps, slice_of(a->ip), &a->tx, &hit) == TABLE_FOUND;
}

/* The header has come: asked by intake. */
static int take_header(void *ctx, struct slice text, struct buf *out) {
	struct admit *a = ctx;
	struct header_facts facts = {
		.ours = header_is_ours(a),
		.complete = !a->gateway &&
			    (admit_may_relay(a) || header_is_ours(a)), /* RFC 6409 §8: ours must be complete */
		.queue_id = a->id,
		.arrived_us = a->arrived_us,
		.sender = a->sender,
	};
	AUTO_BUF struct buf stripped = BUF(0);
	text = admit_proof_strip(a, text, &stripped);
	if (header_take(a->params->header, &facts, text, out) == HEADER_DONE) return 0;
	say(L_WARN, "cleanup", "%s: %s", a->id, fail_text());
	return EAGAIN;
}

/* cleanup's lines: "ID: milter-reject: END-OF-MESSAGE from h[1.2.3.4]: 5.7.1 text; from=<a@b> to=<c@d> proto=ESMTP
 * helo=<h>" */
void admit_note_content(struct admit *a, const char *what, const char *where, struct slice text) {
	AUTO_BUF struct buf line = BUF(KIB(8));
	const struct smtp_session *s = admit_session(a);
	buf_addf(&line, "%s: %s from %.*s: %.*s; from=<%.*s>", what, where, SLICE_ARG(a->client),
		 SLICE_ARG(slice_head(text, slice_find(text, '\n'))), SLICE_ARG(a->sender));
	if (a->count != 0) buf_addf(&line, " to=<%.*s>", SLICE_ARG(a->recipients[0].address));
	if (!a->local) buf_addf(&line, " proto=%s", s->proto);
	if (!a->local && s->helo.len != 0) buf_addf(&line, " helo=<%.*s>", SLICE_ARG(s->helo));
	log_line(L_INFO, "cleanup", 0, a->id, buf_text(&line), NULL, 0);
	a->content_noted = true;
}

struct smtp_reply admit_data_begin(void *owner, struct arena *mem) {
	struct admit *a = owner;
	struct smtp_reply refused = admit_restrict_data(a, mem);
	if (refused.code != 0) return refused;
	if (a->milting != NULL) {
		struct smtp_reply r = milting_data(a->milting, mem);
		a->by_milter = r.code != 0;
		if (r.code != 0) return r;
	}
	a->intake_params = (struct intake_params){
		.spool_dir = a->params->spool_dir,
		.memory_limit = a->params->memory_limit,
		.header_limit = ADMIT_HEADER_MAX,
		.header = a->params->proxy == NULL ? take_header : NULL,
		.ctx = a,
		.note_end = a->params->note_header_end,
		.scan_late = a->milting != NULL,
	};
	intake_begin(&a->intake, &a->intake_params);
	if (a->params->proxy == NULL) admit_checks_begin(a);
	AUTO_BUF struct buf head = BUF(ADMIT_HEADER_MAX); /* access tables may prepend much */
	add_return_path(a, &head);
	for (size_t i = 0; i < a->access.state.effects.prepend_count; i++)
		buf_addf(&head, "%.*s\r\n", SLICE_ARG(a->access.state.effects.prepend[i]));
	add_received(a, &head);
	if (a->require_tls && a->params->note_require_tls) buf_addf(&head, REQUIRE_TLS_FIELD ": yes\r\n");
	if (head.full) {
		intake_done(&a->intake);
		return smtp_reply(451, "4.3.0", S("Error: queue file write error"));
	}
	intake_head(&a->intake, buf_slice(&head));
	return smtp_reply(354, NULL, S("End data with <CR><LF>.<CR><LF>"));
}

void admit_data_bytes(void *owner, struct slice bytes) {
	struct admit *a = owner;
	admit_proof_bytes(a, bytes);
	if (a->checks != NULL) checks_feed(a->checks, bytes);
	else intake_bytes(&a->intake, bytes);
}

/* The sender is another one now: so is the first line of what is stored. */
static void new_return_path(struct admit *a) {
	struct intake *in = &a->intake;
	struct slice old = buf_slice(&in->head);
	size_t line = slice_find(old, '\n') + 1;
	struct buf head = BUF(in->head.limit);
	add_return_path(a, &head);
	in->trace = in->trace - line + head.len;
	buf_add(&head, slice_skip(old, line));
	buf_done(&in->head);
	in->head = head;
	intake_changed(in);
}

/* Code 0: go on. */
static struct smtp_reply ask_milters(struct admit *a, struct arena *mem) {
	size_t return_path = slice_find(buf_slice(&a->intake.head), '\n') + 1;
	struct milting_message message = { .intake = &a->intake,
					   .return_path = return_path,
					   .sender = a->sender,
					   .envid = a->envid,
					   .ret = a->ret,
					   .recipients = a->recipients,
					   .count = a->count,
					   .mem = &a->tx };
	struct smtp_reply r = milting_message(a->milting, &message, mem);
	if (r.code != 0) {
		a->by_milter = true;
		return r;
	}
	if (a->content_reply.code != 0) { /* of milter_header_checks */
		a->content_noted = true;
		return a->content_reply;
	}
	a->sender = message.sender;
	a->envid = message.envid;
	a->ret = message.ret;
	a->recipients = message.recipients;
	a->count = message.count;
	if (message.new_sender) new_return_path(a);
	a->altered = message.changed;
	if (message.hold) admit_note_content(a, "milter-hold", "END-OF-MESSAGE", S("milter triggers HOLD action"));
	if (message.discard)
		admit_note_content(a, "milter-discard", "END-OF-MESSAGE", S("milter triggers DISCARD action"));
	if (message.hold) a->flags |= ACCEPT_HOLD;
	if (message.discard || a->count == 0) a->flags |= ACCEPT_DISCARD;
	return r;
}

static bool loops(const struct admit *a, const struct summary *summary, struct slice *where) {
	for (size_t i = 0; i < summary->delivered_to_count; i++)
		for (size_t k = 0; k < a->count; k++)
			if (slice_same(summary->delivered_to[i].text, a->recipients[k].address)) {
				*where = a->recipients[k].address;
				return true;
			}
	return false;
}

/* BCC of access tables: more recipients, who tell nobody of their fate. */
static void add_copies(struct admit *a) {
	const struct restrict_effects *e = &a->access.state.effects;
	if (e->bcc_count == 0) return;
	struct accept_recipient *all = arena_array(&a->tx, a->count + e->bcc_count, sizeof *all);
	memcpy(all, a->recipients, a->count * sizeof *all);
	for (size_t i = 0; i < e->bcc_count; i++)
		all[a->count + i] = (struct accept_recipient){ .address = e->bcc[i], .notify = SMTP_NOTIFY_NEVER };
	a->recipients = all;
	a->count += e->bcc_count;
}

/* Where it came from, as programs and other servers are told. */
static struct relay_client client_of(const struct admit *a) {
	const struct smtp_session *s = admit_session(a);
	if (a->local) return (struct relay_client){ 0 };
	if (a->access.forward.address.len != 0 || a->access.forward.name.len != 0)
		return a->access.forward; /* XFORWARD */
	return (struct relay_client){ .name = a->name,
				      .address = slice_of(a->ip),
				      .port = a->access.client.port,
				      .helo = s->helo,
				      .protocol = slice_of(s->proto),
				      .sasl_method = s->mechanism,
				      .sasl_username = s->login };
}

/* Asked for by the client, or by the one before a content filter (REQUIRETLS_README). */
static bool requires_tls(const struct admit *a) {
	struct field f;
	return a->require_tls ||
	       (a->params->note_require_tls && header_find(buf_slice(&a->intake.head), S(REQUIRE_TLS_FIELD), &f) &&
		slice_same(slice_trim(f.value), S("yes")));
}

static struct smtp_reply taken(const struct admit *a, const struct smtp_content *content, struct arena *mem) {
	if (!content->chunked) return smtp_reply_fmt(mem, 250, "2.0.0", "Ok: queued as %s", a->id);
	return smtp_reply_fmt(mem, 250, "2.0.0", "Ok: %llu bytes queued as %s", (unsigned long long)content->size,
			      a->id);
}

/* What core said, to whom it was handed over. */
static struct smtp_reply core_said(struct admit *a, const struct smtp_content *content, struct arena *mem) {
	struct accept_answer answer;
	int r = ask_accept_end(a->params->core, &a->asked, mem, &answer);
	if (r < 0) say(L_ERROR, a->params->service, "%s: %s", a->id, fail_text());
	if (r != ASK_OK) return smtp_reply(451, "4.3.0", S("Error: queue file write error"));
	switch (answer.verdict) {
	case ACCEPT_STORED: return taken(a, content, mem);
	case ACCEPT_DISK_FULL: return smtp_reply(452, "4.3.1", S("Insufficient system storage"));
	case ACCEPT_REFUSED: {
		bool policy = slice_eq(answer.status, S("5.7.1"));
		struct smtp_reply no = smtp_reply_fmt(mem, policy ? 550 : 554, arena_text(mem, answer.status), "%.*s",
						      SLICE_ARG(answer.text));
		if (policy) admit_proof_refused(a, &no, mem);
		return no;
	}
	default: break;
	}
	bool full = slice_eq(answer.status, S("4.2.2"));
	return smtp_reply_fmt(mem, full ? 452 : 451, arena_text(mem, answer.status), "%.*s",
			     SLICE_ARG(answer.text));
}

/* refusal: NULL, or why it is to be returned to its sender instead. Code 0: core has it, and core_said comes next. */
static struct smtp_reply hand_over(struct admit *a, const struct summary *summary, const struct smtp_reply *refusal) {
	AUTO_BUF struct buf packed = BUF(MIB(8));
	AUTO_BUF struct buf return_path = BUF(KIB(4));
	summary_pack(&packed, summary);
	add_copies(a);
	add_return_path(a, &return_path);
	struct accept_ask ask = {
		.queue_id = slice_of(a->id),
		.sender = a->sender,
		.envid = a->envid,
		.ret = a->ret,
		.arrived_us = a->arrived_us,
		.recipients = a->recipients,
		.recipients_count = a->count,
		.head = buf_slice(&a->intake.head),
		.body = buf_slice(&a->intake.content),
		.spooled = a->intake.spooled,
		.return_path = return_path.len,
		.summary = buf_slice(&packed),
		.message_id = summary->envelopes[0].message_id,
		.client = a->client,
		.eight_bit = (summary->flags & (SUMMARY_8BIT_HEADER | SUMMARY_8BIT_BODY)) != 0,
		.utf8 = a->utf8,
		.flags = verp_flags(a->verp) | a->flags | a->params->accept_flags |
			 (a->access.state.effects.hold ? ACCEPT_HOLD : 0u) | (a->verify ? ACCEPT_VERIFY : 0u) |
			 (a->deliver ? ACCEPT_FINAL | ACCEPT_NO_MAPPINGS | ACCEPT_NO_BCC : 0u) |
			 (a->beyond_limits ? ACCEPT_UNLIMITED : 0u) | (requires_tls(a) ? ACCEPT_REQUIRE_TLS : 0u),
		.filter = a->filter.len != 0                        ? a->filter
			  : a->access.state.effects.filter.len != 0 ? a->access.state.effects.filter
								    : a->params->content_filter,
		.redirect = a->redirect.len != 0 ? a->redirect : a->access.state.effects.redirect,
		.submitted = a->local && !a->deliver,
		.from = client_of(a),
		.evidence = a->proof.verdict.record,
	};
	a->handed_over = true;
	if (refusal != NULL) {
		ask.refusal_status = slice_of(refusal->status);
		ask.refusal = refusal->text;
	}
	int r = ask_accept_begin(a->params->core, &ask, a->intake.spooled != 0 ? a->intake.spool : -1, &a->asked);
	if (r < 0) say(L_ERROR, a->params->service, "%s: %s", a->id, fail_text());
	return r == ASK_OK ? (struct smtp_reply){ 0 } : smtp_reply(451, "4.3.0", S("Error: queue file write error"));
}

/* Code 0: all of it has come and is kept. */
static struct smtp_reply intake_reply(const struct intake *in) {
	switch (in->error) {
	case 0: return (struct smtp_reply){ .code = 0 };
	case ENOSPC:
	case EDQUOT:
	case EFBIG: return smtp_reply(452, "4.3.1", S("Insufficient system storage"));
	case EMSGSIZE: return smtp_reply(552, "5.3.4", S("Error: message header too large"));
	case EAGAIN: return smtp_reply(451, "4.3.0", S("Error: queue file write error"));
	default: return smtp_reply(451, "4.3.0", S("Error: queue file write error"));
	}
}

static struct smtp_reply take_message(struct admit *a, const struct smtp_content *content, struct arena *mem) {
	struct summary summary;
	struct slice where;
	if (a->checks != NULL && !a->pause.again) checks_end(a->checks);
	if (!a->pause.again) intake_end(&a->intake);
	struct smtp_reply r = intake_reply(&a->intake);
	if (r.code == 0) r = admit_restrict_end(a, content->size, mem);
	if (r.code == 0 && a->params->proxy != NULL) return admit_proxy(a, mem);
	if (r.code == 0 && a->content_reply.code != 0) {
		a->content_noted = true;
		return a->content_reply;
	}
	if (r.code == 0) r = admit_proof_end(a, mem);
	if (r.code == 0 && a->milting != NULL && !a->pass) r = ask_milters(a, mem);
	if (r.code == 0) r = intake_reply(&a->intake);
	if (r.code == 0) r = admit_check_answer(a, mem);
	if (r.code != 0) return r;
	if (admit_is_to_be_signed(a)) a->flags |= ACCEPT_SIGN;
	if ((a->flags & (ACCEPT_SIGN | ACCEPT_DISCARD)) == ACCEPT_SIGN) admit_sign_here(a);
	if (intake_summary(&a->intake, &summary) < 0)
		return smtp_reply(451, "4.3.0", S("Error: queue file write error"));
	if (summary.received_count > a->params->hop_limit) return smtp_reply(554, "5.4.6", S("Error: too many hops"));
	if (loops(a, &summary, &where))
		return smtp_reply_fmt(mem, 554, "5.4.6", "Error: mail forwarding loop for %.*s", SLICE_ARG(where));
	bool nobody = a->count == 0; /* probes of ours only */
	if (nobody || (a->flags & ACCEPT_DISCARD) != 0 || a->access.state.effects.discard)
		return taken(a, content, mem);
	admit_proof_onward(a);
	r = hand_over(a, &summary, NULL);
	if (r.code != 0) return r;
	if (a->local) return core_said(a, content, mem);
	/* the disk may take its time: no worker waits for it */
	smtp_server_wait(a->server, a->asked.channel, deadline_left(a->asked.until));
	return smtp_reply(SMTP_PAUSE, NULL, S(""));
}

/* Whoever handed a message in with sendmail may be gone: a refusal goes to the sender as a bounce, as with Postfix. */
static struct smtp_reply return_to_sender(struct admit *a, const struct smtp_content *content,
					  const struct smtp_reply *refusal, struct arena *mem) {
	struct summary summary;
	AUTO_BUF struct buf line = BUF(KIB(4));
	buf_addf(&line, "reject: END-OF-MESSAGE from %.*s: %s %.*s; from=<%.*s>", SLICE_ARG(a->client), refusal->status,
		 SLICE_ARG(refusal->text), SLICE_ARG(a->sender));
	log_line(L_INFO, "cleanup", 0, a->id, buf_text(&line), NULL, 0);
	if (intake_summary(&a->intake, &summary) < 0)
		return smtp_reply(451, "4.3.0", S("Error: queue file write error"));
	if (admit_is_to_be_signed(a)) a->flags |= ACCEPT_SIGN;
	struct smtp_reply r = hand_over(a, &summary, refusal);
	return r.code != 0 ? r : core_said(a, content, mem);
}

/* LMTP: what cannot be taken for all of them is taken for each who can have it (RFC 2033 §4.2). */
static void one_by_one(struct admit *a, const struct smtp_content *content, struct smtp_reply *replies, size_t count,
		       struct arena *mem) {
	struct summary summary;
	struct accept_recipient *all = a->recipients;
	if (intake_summary(&a->intake, &summary) < 0) return;
	for (size_t i = 0; i < count; i++) {
		if (i != 0) queue_id_make(a->id);
		a->recipients = all + i;
		a->count = 1;
		replies[i] = hand_over(a, &summary, NULL);
		if (replies[i].code == 0) replies[i] = core_said(a, content, mem);
	}
}

void admit_data_end(void *owner, const struct smtp_content *content, struct smtp_reply *replies, size_t count,
			struct arena *mem) {
	struct admit *a = owner;
	bool answered = a->asked.channel >= 0;
	if (!answered) a->handed_over = false;
	struct smtp_reply reply = answered ? core_said(a, content, mem) : take_message(a, content, mem);
	replies[0] = reply;
	if (reply.code == SMTP_PAUSE) return; /* a list waits, or we for core */
	if (a->by_milter && reply.code >= 400)
		admit_note_content(a, "milter-reject", "END-OF-MESSAGE",
				   arena_fmt(mem, "%s %.*s", reply.status, SLICE_ARG(reply.text)));
	if (!(count > 1 && a->handed_over)) admit_proof_blocked(a, &reply);
	if (a->local && reply.code >= 500) reply = return_to_sender(a, content, &reply, mem);
	for (size_t i = 0; i < count; i++) replies[i] = reply; /* LMTP: all recipients share one commit */
	if (count > 1 && a->count == count && reply.code >= 400 && a->handed_over)
		one_by_one(a, content, replies, count, mem);
	admit_end_transaction(a);
}
