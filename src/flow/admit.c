/* SPDX-License-Identifier: Apache-2.0 */
/* Order of the checks and wording of the refusals follow Postfix: operators, fail2ban filters and other people's bounce
 * parsers know them. Nothing is promised to the client before core has answered that the message is on disk. */
#include "base/fail.h"
#include "flow/admit_private.h"
#include "flow/login.h"

struct admit *admit_new(const struct admit_params *params, const struct addr *peer, uint64_t session) {
	struct admit *a = mem_get(sizeof *a);
	*a = (struct admit){ .params = params, .peer = *peer, .session = session, .fd = -1, .intake.spool = -1,
			     .asked.channel = -1 };
	addr_text(peer, a->ip);
	admit_find_names(a);
	admit_forward_init(a);
	a->inside = networks_match_sockaddr(params->networks, &peer->any);
	admit_trace_init(a);
	a->unlimited = networks_match_sockaddr(params->rate_exceptions, &peer->any);
	return a;
}

struct admit *admit_new_local(const struct admit_params *params, uid_t uid, uint64_t session) {
	struct admit *a = mem_get(sizeof *a);
	*a = (struct admit){ .params = params, .session = session, .fd = -1, .intake.spool = -1, .uid = uid,
			     .asked.channel = -1 };
	must(addr_parse(S("127.0.0.1"), &a->peer));
	addr_text(&a->peer, a->ip);
	admit_set_names(a, S("localhost"), S("localhost"));
	a->local = a->inside = a->unlimited = true;
	return a;
}

void admit_daemon(struct admit *a, const struct addr *own) {
	a->daemon = *own;
}

void admit_socket(struct admit *a, int fd) {
	a->fd = fd;
}

void admit_attach(struct admit *a, struct smtp_server *server) {
	a->server = server;
}

const struct smtp_session *admit_session(const struct admit *a) {
	static const struct smtp_session none = { .proto = "SMTP" }; /* handed in by a user here, without a dialogue */
	return a->server != NULL ? smtp_server_session(a->server) : &none;
}

bool admit_may_relay(const struct admit *a) {
	return a->inside || admit_session(a)->login.len != 0;
}

void admit_free(struct admit **ap) {
	struct admit *a = *ap;
	if (a == NULL) return;
	*ap = NULL;
	admit_left(a);
	auto_fd(&a->asked.channel);
	milting_free(&a->milting);
	checks_free(&a->checks);
	admit_proof_reset(a);
	intake_done(&a->intake);
	buf_done(&a->talk.text);
	arena_done(&a->access.effects);
	arena_done(&a->access.forward_mem);
	arena_done(&a->tx);
	arena_done(&a->mem);
	free(a);
}

/* Who is named in the line about a refusal after RCPT: the only recipient. */
static struct slice only_recipient(const struct admit *a) {
	return a->count == 1 ? a->recipients[0].address : S("");
}

void admit_end_transaction(struct admit *a) {
	snprintf(a->ended.id, sizeof a->ended.id, "%s", a->announced ? a->id : "");
	snprintf(a->ended.to, sizeof a->ended.to, "%.*s", SLICE_ARG(only_recipient(a)));
	if (a->milting != NULL) milting_abort(a->milting);
	intake_done(&a->intake);
	auto_fd(&a->asked.channel);
	admit_proof_reset(a);
	arena_reset(&a->tx);
	checks_free(&a->checks);
	a->content_reply = (struct smtp_reply){ .code = 0 };
	a->filter = a->redirect = a->check = SLICE_NONE;
	a->pass = false;
	admit_restrict_reset(a);
	a->flags = 0;
	a->by_milter = false;
	a->open = a->announced = false;
	a->recipients = NULL;
	a->count = a->room = 0;
}

static struct smtp_reply greeting(const struct admit *a, struct smtp_reply said) {
	return said.code != 0 ? said : smtp_reply(220, NULL, slice_of(a->params->banner));
}

static struct smtp_reply op_connect(void *owner, struct arena *mem) {
	struct admit *a = owner;
	if (a->pause.again) return greeting(a, admit_restrict_connect(a, mem));
	admit_milter_open(a);
	struct smtp_reply said = admit_milter_connect(a, mem);
	if (a->local) /* what sendmail wants to know beforehand */
		return smtp_reply_fmt(mem, 220, NULL, "%s ESMTP %s (origin %s, size %llu%s)", a->params->host,
				      a->params->mail_name, a->params->origin,
				      (unsigned long long)a->params->size_limit, a->params->submit_wishes);
	struct slice line = arena_fmt(mem, "connect from %.*s", SLICE_ARG(a->client));
	log_line(L_INFO, a->params->service, a->session, NULL, line.at, NULL, 0);
	if (said.code == 0) said = admit_restrict_connect(a, mem);
	return greeting(a, said);
}

static struct smtp_reply op_helo(void *owner, struct slice name, bool esmtp, unsigned *offer, struct arena *mem) {
	struct admit *a = owner;
	a->beyond_limits = a->local && slice_same(name, S("deliver-unlimited"));
	a->deliver = a->beyond_limits || (a->local && slice_same(name, S("deliver")));
	a->gateway = a->deliver || (a->local && slice_same(name, S("gateway")));
	a->verify = a->local && slice_same(name, S("verify"));
	admit_discard_offers(a, offer);
	if (!admit_offers_login(a)) *offer &= ~(unsigned)OFFER_AUTH;
	struct smtp_reply said = admit_restrict_helo(a, name, esmtp, mem);
	if (said.code == 0) said = admit_milter_helo(a, name, mem);
	return said.code != 0 ? said : smtp_reply(250, NULL, S(""));
}

/* Counts one more of a kind; true and a 450 when it is too many. */
static bool too_often(struct admit *a, enum rate_kind kind, const char *what, struct arena *mem,
		      struct smtp_reply *reply) {
	if (a->unlimited || a->pause.again || rates_count(a->params->rates, a->params->rate_params, &a->peer, kind))
		return false;
	*reply = smtp_reply_fmt(mem, 450, "4.7.1", "Error: too %s from %s", what, a->ip);
	return true;
}

static enum sasl_verdict op_auth(void *owner, const struct sasl_ask *ask, struct arena *mem, struct sasl_found *found) {
	struct admit *a = owner;
	struct smtp_reply limited;
	if (ask->means != SASL_BY_PROOF && too_often(a, RATE_AUTH, "many AUTH commands", mem, &limited))
		return SASL_TOO_OFTEN;
	const struct login_way way = { .core = a->params->core,
				       .vault = a->params->vault,
				       .relay = a->params->relay,
				       .certificates = a->params->certificates,
				       .domain = a->params->login_domain,
				       .tls = admit_session(a)->tls };
	enum sasl_verdict verdict = login_prove(&way, ask, mem, found);
	if (verdict == SASL_YES && ask->means != SASL_BY_SALT) admit_came(a, found);
	return verdict;
}

static struct slice whole_address(struct admit *a, struct mailbox m, struct arena *mem) {
	if (m.domain.len == 0 && m.local.len != 0) m.domain = slice_of(a->params->origin);
	return mailbox_text(mem, m);
}

/* May this user of the machine write in that name (postconf(5), local_login_sender_maps)? 0, TABLE_LATER, or 1: no. */
static int writes_for(struct admit *a, struct slice sender, struct arena *mem) {
	struct lookup_hit hit;
	if (a->params->login_senders.count == 0) return 0;
	struct slice login = submitters_name(a->params->logins, a->uid, mem), local, domain = S(""), word;
	if (slice_eq(login, S("unknown"))) login = arena_fmt(mem, "uid:%u", (unsigned)a->uid);
	int r = lookup_key(&a->params->login_senders, login, mem, &hit);
	if (r != TABLE_FOUND) return r == TABLE_LATER ? TABLE_LATER : 1;
	rewrite_parts(sender, &local, &domain);
	struct slice delimiters = a->params->login_delimiters;
	size_t extension = 1;
	while (extension < local.len && slice_find(delimiters, local.at[extension]) == delimiters.len) extension++;
	struct slice user = slice_head(local, extension),
		     whole = domain.len != 0 ? arena_fmt(mem, "%.*s@%.*s", SLICE_ARG(user), SLICE_ARG(domain)) : user,
		     rest = hit.value;
	while ((word = slice_word(&rest, " \t,")).len != 0) {
		if (slice_eq(word, S("*"))) return 0;
		if (sender.len == 0 ? slice_eq(word, a->params->login_nobody) : slice_same(word, whole)) return 0;
		if (sender.len != 0 && word.at[0] == '@' && slice_same(slice_skip(word, 1), domain)) return 0;
	}
	return 1;
}

/* Who probes us with an address that we would only judge by probing him must not end in a circle (smtpd(8)). */
static bool is_probe(const struct admit *a, struct slice address) {
	return !a->local && probe_sender_is(&a->params->probe, address, wall_us() / 1000000);
}

static struct smtp_reply op_mail(void *owner, const struct smtp_mail *mail, struct arena *mem) {
	struct admit *a = owner;
	struct smtp_reply limited;
	if (admit_kicked(a))
		return smtp_reply_fmt(mem, 421, "4.3.2", "%s Your session was ended by the operator", a->params->host);
	if (too_often(a, RATE_MESSAGE, "much mail", mem, &limited)) return limited;
	if (a->local && !a->deliver && !submitters_allow(a->params->submitters, a->uid))
		return smtp_reply_fmt(mem, 550, "5.7.1", "user id %u is not allowed to submit mail", (unsigned)a->uid);
	int foreign = a->local && !a->deliver ? writes_for(a, mail->text, mem) : 0;
	if (foreign == TABLE_LATER) return smtp_reply(451, "4.3.0", S("local_login_sender_maps cannot be asked now"));
	if (foreign != 0)
		return smtp_reply_fmt(mem, 550, "5.7.1", "user id %u may not send as <%.*s> (local_login_sender_maps)",
				      (unsigned)a->uid, SLICE_ARG(mail->text));
	admit_end_transaction(a);
	a->open = true;
	a->refusal_told = false;
	queue_id_make(a->id);
	a->arrived_us = wall_us();
	a->sender = whole_address(a, mail->from, &a->tx);
	if (is_probe(a, a->sender)) a->sender = a->params->probe.base;
	a->envid = mail->envid.at != NULL ? arena_slice(&a->tx, mail->envid) : SLICE_NONE;
	a->verp = arena_slice(&a->tx, mail->verp);
	a->ret = (uint32_t)mail->ret;
	a->utf8 = mail->utf8;
	a->require_tls = mail->require_tls;
	struct smtp_reply said = admit_restrict_mail(a, mail, mem);
	if (said.code == 0 && !admit_has_room(a)) said = smtp_reply(452, "4.3.1", S("Insufficient system storage"));
	if (said.code == 0) admit_proof_mail(a);
	if (said.code == 0) said = admit_milter_mail(a, mail, mem);
	if (said.code != 0) a->open = false;
	return said.code != 0 ? said : smtp_reply(250, "2.1.0", S("Ok"));
}

static void announce(struct admit *a) {
	if (a->announced || (a->params->proxy != NULL && a->count > 1)) return;
	a->announced = a->params->proxy == NULL; /* else the id is another server's */
	const char *id = a->announced ? a->id : "NOQUEUE";
	const struct smtp_session *s = admit_session(a);
	if (a->local) {
		AUTO_ARENA struct arena mem = { 0 };
		struct slice from = s->mail != NULL ? s->mail->text : a->sender;
		struct slice line = arena_fmt(&mem, "uid=%u from=<%.*s>", (unsigned)a->uid, SLICE_ARG(from));
		log_line(L_INFO, a->params->service, a->session, a->id, line.at, NULL, 0);
		return;
	}
	if (s->login.len == 0) note(L_INFO, a->params->service, a->session, id, NULL, F("client", a->client));
	else
		note(L_INFO, a->params->service, a->session, id, NULL, F("client", a->client),
		     F("sasl_method", s->mechanism), F("sasl_username", s->login));
}

static struct smtp_reply op_rcpt(void *owner, const struct smtp_rcpt *rcpt, struct arena *mem) {
	struct admit *a = owner;
	struct slice address = whole_address(a, rcpt->to, &a->tx);
	struct smtp_reply reply = { 0 };
	bool probe = is_probe(a, address);
	if (a->deliver) reply = admit_final(a, address, mem);
	else if (!too_often(a, RATE_RECIPIENT, "many recipients", mem, &reply) && !probe)
		reply = admit_restrict_rcpt(a, rcpt->text, "RCPT", mem);
	if (reply.code == 0 && !a->deliver && !probe) reply = admit_room(a, rcpt->text, mem);
	if (reply.code == 0 && !probe) reply = admit_proof_rcpt(a, rcpt->text, mem);
	if (reply.code == SMTP_PAUSE) return reply;
	if (reply.code == 0) reply = smtp_reply(250, "2.1.5", S("Ok"));
	reply = admit_milter_rcpt(a, rcpt, reply, mem);
	if (!smtp_reply_ok(&reply)) return reply;
	if (probe || admit_check_takes(a, address)) {
		announce(a);
		return reply;
	}
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

static struct smtp_reply op_vrfy(void *owner, struct slice what, struct arena *mem) {
	struct admit *a = owner;
	struct mailbox box;
	struct slice rest;
	enum address_answer kind = address_parse_path(what, ADDRESS_LONG_LOCAL | ADDRESS_UTF8, mem, &box, &rest);
	if (kind == ADDRESS_BAD || kind == ADDRESS_EMPTY || slice_trim(rest).len != 0)
		return smtp_reply(501, "5.1.3", S("Bad recipient address syntax"));
	struct slice address = mailbox_text(mem, box);
	struct smtp_reply reply = admit_restrict_rcpt(a, address, "VRFY", mem);
	return reply.code != 0 ? reply : smtp_reply_fmt(mem, 252, "2.0.0", "%.*s", SLICE_ARG(what));
}

static void op_reset(void *owner) {
	admit_end_transaction(owner);
}

static struct tls_server *op_tls(void *owner) {
	const struct admit *a = owner;
	return a->params->tls;
}

static struct slice op_client(void *owner) {
	const struct admit *a = owner;
	return a->client;
}

static void remember_refusal(struct admit *a, const struct smtp_note *n) {
	AUTO_ARENA struct arena mem = { 0 };
	struct refused_ask ask = { .sender = a->open ? a->sender : SLICE_NONE, .recipient = n->to, .peer = a->client,
		                   .status = slice_of(n->reply->status), .text = n->reply->text };
	if (ask_refused(a->params->core, &ask, &mem) < 0) say(L_WARN, a->params->service, "%s", fail_text());
}

static void op_note(void *owner, const struct smtp_note *n) {
	struct admit *a = owner;
	admit_talk_note(a, n->event);
	if (a->local && n->event != SMTP_REJECT) return;
	if (n->event == SMTP_TLS_STARTED && !a->params->log_tls) return;
	if (n->event == SMTP_REJECT && smtp_reply_never(n->reply) && !a->refusal_told) remember_refusal(a, n);
	bool noted = a->content_noted;
	a->content_noted = false;
	if (n->event == SMTP_REJECT && noted) return;
	AUTO_BUF struct buf line = BUF(KIB(8));
	if (n->event == SMTP_REJECT && a->by_milter) buf_add(&line, S("milter-"));
	if (n->event == SMTP_REJECT) a->by_milter = false;
	struct smtp_note note = *n;
	bool over = n->event == SMTP_REJECT && strcmp(n->where, "END-OF-MESSAGE") == 0 && !a->open;
	if (over) note.to = slice_of(a->ended.to);
	else if (n->event == SMTP_REJECT && strcmp(n->where, "DATA") == 0) note.to = only_recipient(a);
	smtp_note_add(&line, &note, a->client);
	/* Postfix 3.10 writes it before a lost connection too, where logwatch does not know it */
	const char *known = over ? a->ended.id : a->announced ? a->id : "";
	const char *id = n->event != SMTP_REJECT ? NULL : known[0] != '\0' ? known : "NOQUEUE";
	log_line(smtp_note_level(n), a->params->service, a->session, id, buf_text(&line), NULL, 0);
}

const struct smtp_server_ops admit_ops = {
	.connect = op_connect,
	.helo = op_helo,
	.auth = op_auth,
	.judge = admit_judge,
	.mail = op_mail,
	.rcpt = op_rcpt,
	.data_begin = admit_data_begin,
	.data_bytes = admit_data_bytes,
	.data_end = admit_data_end,
	.reset = op_reset,
	.unknown = admit_milter_unknown,
	.tls = op_tls,
	.note = op_note,
	.vrfy = op_vrfy,
	.etrn = admit_etrn,
	.may_forward = admit_may_forward,
	.xclient = admit_xclient,
	.xforward = admit_xforward,
	.footer = admit_footer,
	.client = op_client,
	.command = admit_command,
	.forbidden = admit_forbidden,
	.may_verp = admit_may_verp,
	.refusal = admit_refusal,
	.tls_session = admit_tls_session,
	.trace = admit_trace,
};
