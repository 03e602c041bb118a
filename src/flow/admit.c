/* SPDX-License-Identifier: Apache-2.0 */
/* Order of the checks and wording of the refusals follow Postfix: operators, fail2ban filters and other people's bounce
 * parsers know them. Nothing is promised to the client before core has answered that the message is on disk. */
#include "flow/admit.h"
#include "base/encode.h"
#include "base/fail.h"
#include "flow/id.h"
#include "flow/intake.h"
#include "mime/date.h"

enum { NAME_WAIT_MS = 5000 };

struct admit {
	const struct admit_params *params;
	struct addr peer;
	uint64_t session;
	char ip[ADDR_TEXT_ROOM];
	struct arena mem;          /* the session's */
	struct slice client;       /* "name[address]" */
	struct slice name;         /* "unknown" without a confirmed one */
	bool inside;               /* in mynetworks */
	bool unlimited;            /* rates do not apply */
	bool local;                /* a user of this machine: uid */
	bool gateway;              /* sendmail -G: the header is somebody else's */
	uid_t uid;
	const struct smtp_server *server;
	/* the transaction */
	char id[QUEUE_ID_ROOM];
	bool open, announced;      /* announced: the queue id stands in the log */
	struct arena tx;
	struct slice sender, envid;
	uint32_t ret;
	bool utf8;
	struct accept_recipient *recipients;
	size_t count, room;
	int64_t arrived_us;
	struct intake intake;
};

/* The client's name: its PTR, if that name leads back to the address (as Postfix's reject_unknown_client_hostname wants
 * it). */
static struct slice confirmed_name(struct admit *a) {
	if (addr_is_loopback(&a->peer)) return S("localhost");
	struct slice *names;
	size_t count;
	int64_t deadline = deadline_in(NAME_WAIT_MS);
	if (dns_ptr(a->params->dns, &a->peer, deadline, &a->mem, &names, &count, NULL) != DNS_OK) return S("unknown");
	unsigned family = addr_family(&a->peer) == AF_INET ? DNS_IPV4 : DNS_IPV6;
	for (size_t i = 0; i < MIN_OF(count, (size_t)4); i++) {
		struct addr *addresses;
		size_t n;
		if (dns_addresses(a->params->dns, names[i], family, deadline, &a->mem, &addresses, &n, NULL) != DNS_OK)
			continue;
		for (size_t k = 0; k < n; k++)
			if (addr_same_host(&addresses[k], &a->peer)) return arena_slice(&a->mem, names[i]);
	}
	return S("unknown");
}

struct admit *admit_new(const struct admit_params *params, const struct addr *peer, uint64_t session) {
	struct admit *a = mem_get(sizeof *a);
	*a = (struct admit){ .params = params, .peer = *peer, .session = session, .intake.spool = -1 };
	addr_text(peer, a->ip);
	a->name = confirmed_name(a);
	a->client = arena_fmt(&a->mem, "%.*s[%s]", SLICE_ARG(a->name), a->ip);
	a->inside = networks_match_sockaddr(params->networks, &peer->any);
	a->unlimited = networks_match_sockaddr(params->rate_exceptions, &peer->any);
	return a;
}

struct admit *admit_new_local(const struct admit_params *params, uid_t uid, uint64_t session) {
	struct admit *a = mem_get(sizeof *a);
	*a = (struct admit){ .params = params, .session = session, .intake.spool = -1, .uid = uid };
	must(addr_parse(S("127.0.0.1"), &a->peer));
	addr_text(&a->peer, a->ip);
	a->name = S("localhost");
	a->client = S("localhost[127.0.0.1]");
	a->local = a->inside = a->unlimited = true;
	return a;
}

void admit_attach(struct admit *a, const struct smtp_server *server) {
	a->server = server;
}

static const struct smtp_session *session_of(const struct admit *a) {
	return smtp_server_session(a->server);
}

static bool may_relay(const struct admit *a) {
	return a->inside || session_of(a)->login.len != 0;
}

void admit_free(struct admit **ap) {
	struct admit *a = *ap;
	if (a == NULL) return;
	*ap = NULL;
	intake_done(&a->intake);
	arena_done(&a->tx);
	arena_done(&a->mem);
	free(a);
}

static void end_transaction(struct admit *a) {
	intake_done(&a->intake);
	arena_reset(&a->tx);
	a->open = a->announced = false;
	a->recipients = NULL;
	a->count = a->room = 0;
}

static struct smtp_reply op_connect(void *owner, struct arena *mem) {
	struct admit *a = owner;
	if (a->local) /* what sendmail wants to know beforehand */
		return smtp_reply_fmt(mem, 220, NULL, "%s %llu", a->params->origin, (unsigned long long)a->params->size_limit);
	struct slice line = arena_fmt(mem, "connect from %.*s", SLICE_ARG(a->client));
	log_line(L_INFO, a->params->service, a->session, NULL, line.at, NULL, 0);
	return smtp_reply(220, NULL, slice_of(a->params->banner));
}

static struct smtp_reply op_helo(void *owner, struct slice name, bool esmtp, unsigned *offer, struct arena *mem) {
	struct admit *a = owner;
	(void)esmtp, (void)offer, (void)mem;
	a->gateway = a->local && slice_same(name, S("gateway"));
	return smtp_reply(250, NULL, S(""));
}

enum login_verdict login_check(struct link *core, struct link *vault, struct slice user, struct slice password,
			       struct arena *mem, struct account_answer *account) {
	int r = ask_account(core, &(struct account_ask){ .login = user }, mem, account);
	/* vault is asked in any case, so that an unknown name takes as long as a wrong password; it knows accounts by
	 * their stored names, which users may write in other ways */
	struct password_ask ask = { .login = r == ASK_OK && account->granted ? account->name : user, .password = password };
	struct password_answer verdict = { 0 };
	if (r == ASK_OK) r = ask_password(vault, &ask, mem, &verdict);
	if (r < 0) say(L_ERROR, "auth", "%s", fail_text());
	if (r != ASK_OK) return LOGIN_LATER;
	return account->granted && verdict.right ? LOGIN_GRANTED : LOGIN_REFUSED;
}

/* Counts one more of a kind; true and a 450 when it is too many. */
static bool too_often(struct admit *a, enum rate_kind kind, const char *what, struct arena *mem,
		      struct smtp_reply *reply) {
	if (a->unlimited || rates_count(a->params->rates, a->params->rate_params, &a->peer, kind)) return false;
	*reply = smtp_reply_fmt(mem, 450, "4.7.1", "Error: too many %s from %s", what, a->ip);
	return true;
}

static struct smtp_reply op_auth(void *owner, const struct smtp_login *ask, struct slice *login, struct arena *mem) {
	struct admit *a = owner;
	struct account_answer account;
	struct smtp_reply limited;
	if (too_often(a, RATE_AUTH, "AUTH commands", mem, &limited)) return limited;
	switch (login_check(a->params->core, a->params->vault, ask->user, ask->password, mem, &account)) {
	case LOGIN_GRANTED:
		*login = account.name;
		return smtp_reply(235, "2.7.0", S("Authentication successful"));
	case LOGIN_REFUSED:
		return smtp_reply(535, "5.7.8", S("Error: authentication failed: wrong user name or password"));
	default: return smtp_reply(454, "4.7.0", S("Temporary authentication failure: try again in a moment"));
	}
}

static struct slice whole_address(struct admit *a, struct mailbox m, struct arena *mem) {
	if (m.domain.len == 0 && m.local.len != 0) m.domain = slice_of(a->params->origin);
	return mailbox_text(mem, m);
}

static struct smtp_reply op_mail(void *owner, const struct smtp_mail *mail, struct arena *mem) {
	struct admit *a = owner;
	struct smtp_reply limited;
	if (too_often(a, RATE_MESSAGE, "messages", mem, &limited)) return limited;
	if (a->local && !submitters_allow(a->params->submitters, a->uid))
		return smtp_reply_fmt(mem, 550, "5.7.1", "user id %u is not allowed to submit mail", (unsigned)a->uid);
	end_transaction(a);
	a->open = true;
	queue_id_make(a->id);
	a->arrived_us = wall_us();
	a->sender = whole_address(a, mail->from, &a->tx);
	a->envid = mail->envid.at != NULL ? arena_slice(&a->tx, mail->envid) : SLICE_NONE;
	a->ret = (uint32_t)mail->ret;
	a->utf8 = mail->utf8;
	return smtp_reply(250, "2.1.0", S("Ok"));
}

/* What is told to the client, or 250. */
static struct smtp_reply judge_recipient(struct admit *a, struct slice address, struct slice domain,
					 struct arena *mem) {
	if (a->local) return smtp_reply(250, "2.1.5", S("Ok"));
	if (known_has(a->params->known, address)) return smtp_reply(250, "2.1.5", S("Ok"));
	uint64_t version = known_version(a->params->known);
	struct route_answer route;
	int r = ask_route(a->params->core, &(struct route_ask){ .address = address }, mem, &route);
	if (r < 0) say(L_ERROR, a->params->service, "%s: %s", a->id, fail_text());
	if (r != ASK_OK)
		return smtp_reply_fmt(mem, 451, "4.3.0", "<%.*s>: Temporary lookup failure", SLICE_ARG(address));
	switch (route.verdict) {
	case ROUTE_LOCAL: known_add(a->params->known, address, version); return smtp_reply(250, "2.1.5", S("Ok"));
	case ROUTE_UNKNOWN:
		return smtp_reply_fmt(mem, 550, "5.1.1",
				      "<%.*s>: Recipient address rejected: User unknown in virtual mailbox table",
				      SLICE_ARG(address));
	case ROUTE_DISABLED:
		return smtp_reply_fmt(mem, 550, "5.2.1", "<%.*s>: Recipient address rejected: Mailbox disabled",
				      SLICE_ARG(address));
	default: break;
	}
	if (may_relay(a) || domains_match(a->params->relay_domains, domain)) return smtp_reply(250, "2.1.5", S("Ok"));
	return smtp_reply_fmt(mem, 554, "5.7.1", "<%.*s>: Relay access denied", SLICE_ARG(address));
}

static void announce(struct admit *a) {
	if (a->announced) return;
	a->announced = true;
	const struct smtp_session *s = session_of(a);
	if (a->local) {
		AUTO_ARENA struct arena mem = { 0 };
		struct slice from = s->mail != NULL ? s->mail->text : a->sender;
		struct slice line = arena_fmt(&mem, "uid=%u from=<%.*s>", (unsigned)a->uid, SLICE_ARG(from));
		log_line(L_INFO, a->params->service, a->session, a->id, line.at, NULL, 0);
		return;
	}
	if (s->login.len == 0) note(L_INFO, a->params->service, a->session, a->id, NULL, F("client", a->client));
	else
		note(L_INFO, a->params->service, a->session, a->id, NULL, F("client", a->client),
		     F("sasl_method", s->mechanism), F("sasl_username", s->login));
}

static struct smtp_reply op_rcpt(void *owner, const struct smtp_rcpt *rcpt, struct arena *mem) {
	struct admit *a = owner;
	struct slice address = whole_address(a, rcpt->to, &a->tx);
	struct slice domain = rcpt->to.domain.len != 0 ? rcpt->to.domain : slice_of(a->params->origin);
	struct smtp_reply reply;
	if (!too_often(a, RATE_RECIPIENT, "recipients", mem, &reply)) reply = judge_recipient(a, address, domain, mem);
	if (!smtp_reply_ok(&reply)) return reply;
	if (a->count == a->room) {
		size_t room = MAX_OF(a->room * 2, (size_t)8);
		struct accept_recipient *more = arena_array(&a->tx, room, sizeof *more);
		if (a->count != 0) memcpy(more, a->recipients, a->count * sizeof *more);
		a->recipients = more;
		a->room = room;
	}
	a->recipients[a->count++] =
		(struct accept_recipient){ address, arena_slice(&a->tx, rcpt->orcpt), rcpt->notify };
	announce(a);
	return reply;
}

static void add_received_date(struct admit *a, struct buf *out) {
	buf_add(out, S(";\r\n\t"));
	date_add(out, date_local(a->arrived_us / 1000000));
	buf_add(out, S("\r\n"));
}

/* smtpd_tls_received_header, in Postfix's lines. */
static void add_received_tls(struct admit *a, struct buf *out) {
	struct tls_info info;
	tls_info(session_of(a)->tls, &info);
	buf_addf(out, "\t(using %s with cipher %s (%d/%d bits)", info.protocol, info.cipher, info.bits_used, info.bits_all);
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
		buf_addf(out, "Received: by %s (%s, from userid %u)\r\n\tid %s", a->params->host, a->params->mail_name, (unsigned)a->uid, a->id);
		add_received_date(a, out);
		return;
	}
	const struct smtp_session *s = session_of(a);
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

static struct smtp_reply op_data_begin(void *owner, struct arena *mem) {
	struct admit *a = owner;
	(void)mem;
	intake_begin(&a->intake, a->params->spool_dir, a->params->memory_limit);
	AUTO_BUF struct buf head = BUF(KIB(32));
	add_return_path(a, &head);
	add_received(a, &head);
	intake_head(&a->intake, buf_slice(&head));
	return smtp_reply(354, NULL, S("End data with <CR><LF>.<CR><LF>"));
}

static void op_data_bytes(void *owner, struct slice bytes) {
	struct admit *a = owner;
	intake_bytes(&a->intake, bytes);
}

/* A message of ours must be complete when it leaves (RFC 6409 §8): what the mail program left out is added. */
static int complete_header(struct admit *a, struct summary *summary) {
	const uint32_t all = SUMMARY_HAS_DATE | SUMMARY_HAS_MESSAGE_ID | SUMMARY_HAS_FROM;
	if (!may_relay(a) || a->gateway || (summary->flags & all) == all) return 0;
	AUTO_BUF struct buf head = BUF(KIB(64));
	buf_add(&head, buf_slice(&a->intake.head));
	if ((summary->flags & SUMMARY_HAS_MESSAGE_ID) == 0) {
		struct date now = { .utc = a->arrived_us / 1000000 };
		int year, month, day;
		days_split(now.utc / 86400, &year, &month, &day);
		int s = (int)(now.utc % 86400);
		buf_addf(&head, "Message-ID: <%04d%02d%02d%02d%02d%02d.%s@%s>\r\n", year, month, day, s / 3600,
			 s / 60 % 60, s % 60, a->id, a->params->host);
	}
	if ((summary->flags & SUMMARY_HAS_DATE) == 0) {
		buf_add(&head, S("Date: "));
		date_add(&head, date_local(a->arrived_us / 1000000));
		buf_add(&head, S("\r\n"));
	}
	if ((summary->flags & SUMMARY_HAS_FROM) == 0)
		buf_addf(&head, "From: %.*s\r\n", SLICE_ARG(a->sender.len != 0 ? a->sender : S("MAILER-DAEMON")));
	if (intake_again(&a->intake, buf_slice(&head)) < 0) return -1;
	intake_summary(&a->intake, summary);
	return 0;
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

/* refusal: NULL, or why it is to be returned to its sender instead. */
static struct smtp_reply hand_over(struct admit *a, const struct summary *summary, const struct smtp_content *content,
				   const struct smtp_reply *refusal, struct arena *mem) {
	AUTO_BUF struct buf packed = BUF(MIB(8));
	AUTO_BUF struct buf return_path = BUF(KIB(4));
	summary_pack(&packed, summary);
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
		.eight_bit = content->eight_bit,
		.utf8 = a->utf8,
		.submitted = a->local,
	};
	if (refusal != NULL) {
		ask.refusal_status = slice_of(refusal->status);
		ask.refusal = refusal->text;
	}
	struct accept_answer answer;
	int r = ask_accept(a->params->core, &ask, a->intake.spooled != 0 ? a->intake.spool : -1, mem, &answer);
	if (r < 0) say(L_ERROR, a->params->service, "%s: %s", a->id, fail_text());
	if (r != ASK_OK) return smtp_reply(451, "4.3.0", S("Error: queue file write error"));
	switch (answer.verdict) {
	case ACCEPT_STORED: return smtp_reply_fmt(mem, 250, "2.0.0", "Ok: queued as %s", a->id);
	case ACCEPT_DISK_FULL: return smtp_reply(452, "4.3.1", S("Insufficient system storage"));
	case ACCEPT_REFUSED:
		return smtp_reply_fmt(mem, 554, arena_text(mem, answer.status), "%.*s", SLICE_ARG(answer.text));
	default: return smtp_reply_fmt(mem, 451, "4.3.0", "%.*s", SLICE_ARG(answer.text));
	}
}

static struct smtp_reply take_message(struct admit *a, const struct smtp_content *content, struct arena *mem) {
	if (a->intake.error == ENOSPC || a->intake.error == EDQUOT || a->intake.error == EFBIG)
		return smtp_reply(452, "4.3.1", S("Insufficient system storage"));
	struct summary summary;
	intake_summary(&a->intake, &summary);
	if (a->intake.error != 0 || complete_header(a, &summary) < 0)
		return smtp_reply(451, "4.3.0", S("Error: queue file write error"));
	if (summary.received_count > a->params->hop_limit) return smtp_reply(554, "5.4.6", S("Error: too many hops"));
	struct slice where;
	if (loops(a, &summary, &where))
		return smtp_reply_fmt(mem, 554, "5.4.6", "Error: mail forwarding loop for %.*s", SLICE_ARG(where));
	return hand_over(a, &summary, content, NULL, mem);
}

/* Whoever handed a message in with sendmail may be gone: a refusal goes to the sender as a bounce, as with Postfix. */
static struct smtp_reply return_to_sender(struct admit *a, const struct smtp_content *content,
					  const struct smtp_reply *refusal, struct arena *mem) {
	struct summary summary;
	AUTO_BUF struct buf line = BUF(KIB(4));
	buf_addf(&line, "reject: END-OF-MESSAGE from %.*s: %s %.*s; from=<%.*s>", SLICE_ARG(a->client), refusal->status,
		 SLICE_ARG(refusal->text), SLICE_ARG(a->sender));
	log_line(L_INFO, "cleanup", 0, a->id, buf_text(&line), NULL, 0);
	intake_summary(&a->intake, &summary);
	return hand_over(a, &summary, content, refusal, mem);
}

static void op_data_end(void *owner, const struct smtp_content *content, struct smtp_reply *replies, size_t count,
			struct arena *mem) {
	struct admit *a = owner;
	struct smtp_reply reply = take_message(a, content, mem);
	if (a->local && reply.code >= 500) reply = return_to_sender(a, content, &reply, mem);
	for (size_t i = 0; i < count; i++) replies[i] = reply; /* LMTP: all recipients share one commit */
	end_transaction(a);
}

static void op_reset(void *owner) {
	end_transaction(owner);
}

static struct tls_server *op_tls(void *owner) {
	const struct admit *a = owner;
	return a->params->tls;
}

static void remember_refusal(struct admit *a, const struct smtp_note *n) {
	AUTO_ARENA struct arena mem = { 0 };
	struct refused_ask ask = { .sender = a->open ? a->sender : SLICE_NONE, .recipient = n->to, .peer = a->client,
		                   .status = slice_of(n->reply->status), .text = n->reply->text };
	if (ask_refused(a->params->core, &ask, &mem) < 0) say(L_WARN, a->params->service, "%s", fail_text());
}

static void op_note(void *owner, const struct smtp_note *n) {
	struct admit *a = owner;
	if (a->local && n->event != SMTP_REJECT) return;
	if (n->event == SMTP_TLS_STARTED && !a->params->log_tls) return;
	if (n->event == SMTP_REJECT && smtp_reply_never(n->reply)) remember_refusal(a, n);
	AUTO_BUF struct buf line = BUF(KIB(8));
	smtp_note_add(&line, n, a->client);
	bool of_message = n->event == SMTP_REJECT || n->event == SMTP_LOST || n->event == SMTP_TIMEOUT ||
			  n->event == SMTP_TOO_MANY_ERRORS;
	log_line(smtp_note_level(n), a->params->service, a->session,
		 of_message ? (a->announced ? a->id : "NOQUEUE") : NULL, buf_text(&line), NULL, 0);
}

const struct smtp_server_ops admit_ops = {
	.connect = op_connect, .helo = op_helo, .auth = op_auth, .mail = op_mail, .rcpt = op_rcpt, .data_begin = op_data_begin,
	.data_bytes = op_data_bytes, .data_end = op_data_end, .reset = op_reset, .tls = op_tls, .note = op_note,
};
