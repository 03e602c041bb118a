/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands is the whole truth about when each is allowed; handlers check what only they know, act, and
 * answer with a value. */
#include "net/tls_peer.h"
#include "smtp/command.h"
#include "smtp/server_private.h"

enum command_rule {
	BEFORE_TLS = 1, /* allowed though TLS is required */
	LAST = COMMAND_LAST,       /* of a pipelined group: the client must wait for its reply (RFC 2920 §3.1) */
	JUNK = 4,       /* moves no mail: limited */
	GREETED = 8,    /* needs HELO, EHLO or LHLO where the settings say so */
	NO_TX = 16,     /* not while a message is under way */
	NO_WORDS = 32,  /* nothing may follow */
	SMTP_ONLY = 64,
	LMTP_ONLY = 128,
};

static struct smtp_reply ok(void) {
	return smtp_reply(250, "2.0.0", S("Ok"));
}

/* HELO, EHLO, LHLO. */

static unsigned mechanisms(const struct smtp_server *s) {
	unsigned tls = s->params->auth_tls;
	bool any = s->params->auth_any_certificate;
	if (!(any ? tls_peer_shown(s->facts.tls) : tls_peer_trusted(s->facts.tls))) tls &= ~(unsigned)SASL_EXTERNAL;
	return s->facts.tls == NULL ? sasl_offer(s->params->auth_clear, false, true) : tls;
}

static const struct sasl_judge *judge_of(const struct smtp_server *s) {
	return s->ops->judge != NULL ? s->ops->judge(s->owner) : NULL;
}

/* " PLAIN LOGIN" */
static void list_mechanisms(const struct smtp_server *s, struct buf *out) {
	const struct sasl_judge *judge = judge_of(s);
	if (judge != NULL) judge->offer(s->owner, out);
	else sasl_list(out, mechanisms(s), " ");
}

static bool offers_any(const struct smtp_server *s) {
	if (judge_of(s) == NULL) return mechanisms(s) != 0;
	return s->facts.tls != NULL || !s->params->auth_tls_only;
}

unsigned server_offer(const struct smtp_server *s) {
	unsigned offer = s->params->offer;
	if (s->facts.tls != NULL || s->ops->tls == NULL) offer &= ~(unsigned)OFFER_STARTTLS;
	if (s->facts.tls == NULL) offer &= ~(unsigned)OFFER_REQUIRETLS;
	if (s->ops->may_forward == NULL || !s->ops->may_forward(s->owner, false)) offer &= ~(unsigned)OFFER_XCLIENT;
	if (s->ops->may_forward == NULL || !s->ops->may_forward(s->owner, true)) offer &= ~(unsigned)OFFER_XFORWARD;
	if (s->ops->etrn == NULL) offer &= ~(unsigned)OFFER_ETRN;
	if (s->ops->may_verp == NULL || !s->ops->may_verp(s->owner)) offer &= ~(unsigned)OFFER_XVERP;
	if ((offer & OFFER_AUTH) != 0 && (s->ops->auth == NULL || !offers_any(s))) offer &= ~(unsigned)OFFER_AUTH;
	return offer;
}

static void set_text(char **at, struct slice *view, struct slice text) {
	free(*at);
	*at = text.len != 0 ? slice_text(text) : NULL;
	*view = *at != NULL ? slice_from(*at, text.len) : S("");
}

static struct smtp_reply ehlo_reply(struct smtp_server *s) {
	static const struct { unsigned offer; const char *line;
	} keywords[] = {
		{ OFFER_PIPELINING, "PIPELINING" },
		{ OFFER_SIZE, "SIZE" },
		{ OFFER_VRFY, "VRFY" },
		{ OFFER_ETRN, "ETRN" },
		{ OFFER_STARTTLS, "STARTTLS" },
		{ OFFER_AUTH, "AUTH" },
		{ OFFER_XVERP, "XVERP" },
		{ OFFER_XCLIENT, "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT" },
		{ OFFER_XFORWARD, "XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT" },
		{ OFFER_STATUS_CODES, "ENHANCEDSTATUSCODES" },
		{ OFFER_8BITMIME, "8BITMIME" },
		{ OFFER_DSN, "DSN" },
		{ OFFER_SMTPUTF8, "SMTPUTF8" },
		{ OFFER_CHUNKING, "CHUNKING" },
		{ OFFER_REQUIRETLS, "REQUIRETLS" },
	};
	AUTO_BUF struct buf text = BUF(KIB(2));
	buf_addf(&text, "%s", s->params->host);
	for (size_t i = 0; i < LEN(keywords); i++) {
		bool is_size = keywords[i].offer == OFFER_SIZE, is_auth = keywords[i].offer == OFFER_AUTH;
		AUTO_BUF struct buf list = BUF(KIB(1));
		if ((s->offer & keywords[i].offer) == 0) continue;
		if (is_auth) list_mechanisms(s, &list);
		if (is_auth && list.len == 0) continue;
		buf_addf(&text, "\n%s%.*s", keywords[i].line, SLICE_ARG(buf_slice(&list)));
		if (is_size && s->params->size_limit != 0)
			buf_addf(&text, " %llu", (unsigned long long)s->params->size_limit);
		if (is_auth && s->params->auth_equals)
			buf_addf(&text, "\nAUTH=%.*s", SLICE_ARG(slice_skip(buf_slice(&list), 1)));
	}
	return smtp_reply(250, NULL, arena_slice(&s->mem, buf_slice(&text)));
}

void server_set_helo(struct smtp_server *s, struct slice name) {
	set_text(&s->helo, &s->facts.helo, name);
}

void server_set_login(struct smtp_server *s, struct slice login, struct slice mechanism) {
	set_text(&s->login, &s->facts.login, login);
	s->facts.mechanism = login.len != 0 ? mechanism : S("");
}

/* A new greeting begins everything anew but TLS and log-in (RFC 5321 §4.1.4). */
static struct smtp_reply hello(struct smtp_server *s, struct slice args, const char *proto, const char *syntax) {
	struct slice name = arena_slice(&s->mem, command_word(&args));
	if (name.len == 0 || name.len > 255) return smtp_reply(501, NULL, slice_of(syntax));
	bool esmtp = strcmp(proto, "SMTP") != 0;
	unsigned offer = server_offer(s);
	struct smtp_reply r = ok();
	if (s->ops->helo != NULL) r = s->ops->helo(s->owner, name, esmtp, &offer, &s->mem);
	server_reject(s, &r, S(""));
	if (r.code < 200 || r.code > 299) return r;
	server_tx_end(s);
	set_text(&s->helo, &s->facts.helo, name);
	s->facts.proto = proto;
	s->offer = offer & server_offer(s);
	return esmtp ? ehlo_reply(s) : smtp_reply(250, NULL, slice_of(s->params->host));
}

static struct smtp_reply do_ehlo(struct smtp_server *s, struct slice args) {
	return hello(s, args, "ESMTP", "Syntax: EHLO hostname");
}

static struct smtp_reply do_helo(struct smtp_server *s, struct slice args) {
	return hello(s, args, "SMTP", "Syntax: HELO hostname");
}

static struct smtp_reply do_lhlo(struct smtp_server *s, struct slice args) {
	return hello(s, args, "LMTP", "Syntax: LHLO hostname");
}

/* STARTTLS (RFC 3207). */

static struct smtp_reply do_starttls(struct smtp_server *s, struct slice args) {
	(void)args;
	if (s->facts.tls != NULL) return smtp_reply(554, "5.5.1", S("Error: TLS already active"));
	if ((server_offer(s) & OFFER_STARTTLS) == 0)
		return smtp_reply(502, "5.5.1", S("Error: command not implemented"));
	/* Clear text behind STARTTLS was put there by somebody who wants it to be taken for encrypted (CVE-2011-0411).
	 * It is never read, whatever strict_pipelining says. */
	if (stream_has_input(s->stream)) {
		server_last(s);
		return smtp_reply(554, "5.5.0", S("Error: SMTP protocol synchronization"));
	}
	struct smtp_reply limited = { 0 };
	if (s->ops->tls_session != NULL) limited = s->ops->tls_session(s->owner, false, &s->mem);
	if (limited.code != 0) return limited;
	if (s->ops->tls(s->owner) == NULL) return smtp_reply(454, "4.7.0", S("TLS not available due to local problem"));
	/* whatever was said in the clear may have been somebody else's words (§4.2) */
	server_tx_end(s);
	set_text(&s->helo, &s->facts.helo, S(""));
	set_text(&s->login, &s->facts.login, S(""));
	s->facts.mechanism = S("");
	s->facts.proto = s->params->lmtp ? "LMTP" : "SMTP";
	s->mode = MODE_HANDSHAKE;
	return smtp_reply(220, "2.0.0", S("Ready to start TLS"));
}

/* AUTH (RFC 4954). */

static struct smtp_reply auth_failed(struct smtp_server *s, struct smtp_reply r) {
	struct slice user = server_printable(s, s->sasl.user);
	server_note(s, SMTP_AUTH_FAILED, &r, user, slice_of(sasl_name(&s->sasl)));
	if (r.code >= 500) s->auth_failures++;
	return r;
}

static struct smtp_reply auth_reply(struct smtp_server *s, enum sasl_answer answer, struct slice challenge) {
	switch (answer) {
	case SASL_WAIT:
		smtp_server_wait(s, s->sasl.awaited, deadline_left(s->sasl.wait_until));
		return smtp_reply(SMTP_PAUSE, NULL, S(""));
	case SASL_MORE:
		s->mode = MODE_AUTH;
		return smtp_reply(334, NULL, arena_slice(&s->mem, challenge));
	case SASL_DONE:
		set_text(&s->login, &s->facts.login, s->sasl.found.name);
		snprintf(s->judged, sizeof s->judged, "%s", sasl_name(&s->sasl));
		s->facts.mechanism = slice_of(s->judged);
		return smtp_reply(235, "2.7.0", S("Authentication successful"));
	case SASL_REFUSED:
		return auth_failed(
			s, smtp_reply(535, "5.7.8", S("Error: authentication failed: wrong user name or password")));
	case SASL_DEFERRED:
		return auth_failed(
			s, smtp_reply(454, "4.7.0", S("Temporary authentication failure: try again in a moment")));
	case SASL_LIMITED:
		return auth_failed(s, smtp_reply(450, "4.7.1", S("Error: too many AUTH commands from your address")));
	case SASL_CANCELLED:
		return smtp_reply(501, "5.7.0", S("Authentication aborted"));
	case SASL_NOT_BASE64:
		return auth_failed(s, smtp_reply(501, "5.5.2", S("Error: authentication failed: Invalid base64 data")));
	case SASL_MALFORMED:
		break;
	}
	return auth_failed(s, smtp_reply(535, "5.7.8", S("Error: authentication failed: Malformed response")));
}

static struct smtp_reply auth_answered(struct smtp_server *s, enum sasl_answer answer, struct slice challenge) {
	struct smtp_reply r = auth_reply(s, answer, challenge);
	if (r.code != 334 && r.code != SMTP_PAUSE) sasl_done(&s->sasl);
	return r;
}

/* Goes on with the exchange; response as in sasl_take. */
static struct smtp_reply auth_go(struct smtp_server *s, struct slice response) {
	struct slice challenge = S("");
	enum sasl_answer answer = sasl_take(&s->sasl, response, &challenge);
	return auth_answered(s, answer, challenge);
}

static struct smtp_reply auth_judged(struct smtp_server *s, struct slice mechanism, struct slice initial) {
	AUTO_BUF struct buf list = BUF(KIB(1));
	list_mechanisms(s, &list);
	if (list.len == 0)
		return smtp_reply(454, "4.7.0", S("Temporary authentication failure: try again in a moment"));
	if (!sasl_begin_judged(&s->sasl, mechanism, buf_slice(&list), judge_of(s), s->owner))
		return smtp_reply(504, "5.5.4", S("Unrecognized authentication type"));
	return auth_go(s, initial.len != 0 ? initial : SLICE_NONE);
}

static struct smtp_reply do_auth(struct smtp_server *s, struct slice args) {
	bool known = s->ops->auth != NULL && (s->params->offer & OFFER_AUTH) != 0;
	bool usable = (server_offer(s) & OFFER_AUTH) != 0;
	if (!known) return smtp_reply(503, "5.5.1", S("Error: authentication not enabled"));
	if (!usable) return smtp_reply(538, "5.7.11", S("Encryption required for requested authentication mechanism"));
	if (s->facts.login.len != 0) return smtp_reply(503, "5.5.1", S("Error: already authenticated"));
	struct slice mechanism = command_word(&args), initial = command_word(&args);
	if (mechanism.len == 0 || command_word(&args).len != 0)
		return smtp_reply(501, "5.5.4", S("Syntax: AUTH mechanism"));
	if (judge_of(s) != NULL) return auth_judged(s, mechanism, initial);
	if (!s->facts.tls && (sasl_word(mechanism) & s->params->auth_tls & ~mechanisms(s)) != 0)
		return smtp_reply(538, "5.7.11", S("Encryption required for requested authentication mechanism"));
	s->sasl_ops.prove = s->ops->auth;
	if (!sasl_begin(&s->sasl, mechanism, mechanisms(s), s->facts.tls, &s->sasl_ops, s->owner))
		return smtp_reply(504, "5.5.4", S("Unrecognized authentication type"));
	return auth_go(s, initial.len != 0 ? initial : SLICE_NONE);
}

static void answer_auth(struct smtp_server *s, struct smtp_reply r) {
	bool failed = r.code >= 500;
	if (r.code == SMTP_PAUSE) return server_pause(s, AGAIN_AUTH, S(""));
	server_answer(s, r);
	unsigned limit = s->params->auth_failure_limit;
	if (failed && limit != 0 && s->auth_failures >= limit && s->mode != MODE_LAST) server_too_many_errors(s);
}

void server_auth_line(struct smtp_server *s, struct slice line) {
	s->mode = MODE_COMMAND;
	answer_auth(s, auth_go(s, line.at != NULL ? line : S("")));
}

void server_auth_again(struct smtp_server *s) {
	struct slice challenge = S("");
	enum sasl_answer answer = sasl_go_on(&s->sasl, &challenge);
	answer_auth(s, auth_answered(s, answer, challenge));
}

/* The small ones. */

static struct smtp_reply do_rset(struct smtp_server *s, struct slice args) {
	(void)args;
	server_tx_end(s);
	return ok();
}

static struct smtp_reply do_noop(struct smtp_server *s, struct slice args) {
	(void)s, (void)args;
	return ok();
}

static struct smtp_reply do_vrfy(struct smtp_server *s, struct slice args) {
	if ((s->params->offer & OFFER_VRFY) == 0) return smtp_reply(502, "5.5.1", S("VRFY command is disabled"));
	args = arena_slice(&s->mem, slice_trim(args));
	if (args.len == 0) return smtp_reply(501, "5.5.4", S("Syntax: VRFY address"));
	if (s->ops->vrfy == NULL) return smtp_reply_fmt(&s->mem, 252, "2.0.0", "%.*s", SLICE_ARG(args));
	struct smtp_reply r = s->ops->vrfy(s->owner, args, &s->mem);
	server_reject(s, &r, S(""));
	return r;
}

static struct smtp_reply do_etrn(struct smtp_server *s, struct slice args) {
	if ((s->params->offer & OFFER_ETRN) == 0 || s->ops->etrn == NULL)
		return smtp_reply(502, "5.5.1", S("ETRN command is disabled"));
	if (s->params->helo_required && s->facts.helo.len == 0)
		return smtp_reply(503, NULL, S("Error: send HELO/EHLO first"));
	if (s->in_tx) return smtp_reply(503, NULL, S("Error: MAIL transaction in progress"));
	struct slice domain = arena_slice(&s->mem, command_word(&args));
	if (domain.len == 0 || command_word(&args).len != 0) return smtp_reply(500, NULL, S("Syntax: ETRN domain"));
	struct smtp_reply r = s->ops->etrn(s->owner, domain, &s->mem);
	server_reject(s, &r, S(""));
	return r;
}

static struct smtp_reply do_quit(struct smtp_server *s, struct slice args) {
	(void)args;
	server_last(s);
	return smtp_reply(221, "2.0.0", S("Bye"));
}

static struct smtp_reply do_help(struct smtp_server *s, struct slice args) {
	(void)args;
	AUTO_BUF struct buf text = BUF(KIB(1));
	const struct smtp_command *commands = server_commands();
	unsigned other = s->params->lmtp ? SMTP_ONLY : LMTP_ONLY;
	buf_addf(&text, "Commands:");
	for (size_t i = 0; commands[i].run != NULL; i++)
		if ((commands[i].rules & other) == 0 && commands[i].word.at[0] != 'X')
			buf_addf(&text, " %.*s", SLICE_ARG(commands[i].word));
	return smtp_reply(214, "2.0.0", arena_slice(&s->mem, buf_slice(&text)));
}

static const struct smtp_command commands[COMMANDS] = {
	{ S("HELO"), BEFORE_TLS | LAST | JUNK | SMTP_ONLY, do_helo },
	{ S("EHLO"), BEFORE_TLS | LAST | JUNK | SMTP_ONLY, do_ehlo },
	{ S("LHLO"), BEFORE_TLS | LAST | JUNK | LMTP_ONLY, do_lhlo },
	{ S("STARTTLS"), BEFORE_TLS | LAST | NO_WORDS, do_starttls },
	{ S("AUTH"), LAST | GREETED | NO_TX, do_auth },
	{ S("MAIL"), GREETED, server_mail },
	{ S("RCPT"), 0, server_rcpt },
	{ S("DATA"), LAST | NO_WORDS, server_data_begin },
	{ S("BDAT"), 0, server_bdat },
	{ S("RSET"), JUNK | NO_WORDS, do_rset },
	{ S("NOOP"), BEFORE_TLS | LAST | JUNK, do_noop },
	{ S("VRFY"), LAST | JUNK, do_vrfy },
	{ S("ETRN"), JUNK, do_etrn },
	{ S("XCLIENT"), LAST, server_xclient },
	{ S("XFORWARD"), LAST, server_xforward },
	{ S("QUIT"), BEFORE_TLS, do_quit },
	{ S("HELP"), BEFORE_TLS | JUNK, do_help },
	{ S("UNKNOWN"), 0, NULL },
};

const struct smtp_command *server_commands(void) {
	return commands;
}

/* Dispatch. */

static size_t find(struct slice word) {
	size_t i = 0;
	while (commands[i].run != NULL && !slice_same(word, commands[i].word)) i++;
	return i;
}

static bool is_among(const char *const *list, struct slice word) {
	for (; list != NULL && *list != NULL; list++)
		if (slice_same(word, slice_of(*list))) return true;
	return false;
}

/* A web browser, a TLS handshake, a message header: made to send mail by somebody behind its back, perhaps. */
static bool is_forbidden(const struct smtp_server *s, struct slice word) {
	static const char *const usual[] = { "CONNECT", "GET", "POST", NULL };
	if (!ascii_alpha(word.at[0])) return true;
	if (s->ops->forbidden != NULL) return s->ops->forbidden(s->owner, word) || slice_find(word, ':') < word.len;
	if (is_among(s->params->forbidden != NULL ? s->params->forbidden : usual, word)) return true;
	return slice_find(word, ':') < word.len;
}

bool server_out_of_turn(struct smtp_server *s) {
	if (!stream_has_input(s->stream)) return false;
	if (!s->talked_out_of_turn) {
		server_note(s, SMTP_PIPELINING, NULL, S(""), server_printable(s, stream_peek(s->stream)));
	}
	s->talked_out_of_turn = true;
	if (!s->params->strict_pipelining || s->facts.login.len != 0) return false;
	server_answer(s, smtp_reply(554, "5.5.0", S("Error: SMTP protocol synchronization")));
	server_last(s);
	return true;
}

static struct smtp_reply access_denied(struct smtp_server *s) {
	if (s->ops->client == NULL) return smtp_reply(503, "5.7.0", S("Error: access denied"));
	struct slice who = s->ops->client(s->owner);
	return smtp_reply_fmt(&s->mem, 503, "5.7.0", "Error: access denied for %.*s", SLICE_ARG(who));
}

/* Why this command cannot be run now; code 0: it can. */
static struct smtp_reply not_now(struct smtp_server *s, const struct smtp_command *c, struct slice args) {
	const struct smtp_server_params *p = s->params;
	unsigned rules = c->rules;
	bool foreign = c->run == NULL || (rules & (p->lmtp ? SMTP_ONLY : LMTP_ONLY)) != 0;
	bool in_clear = p->tls_required && s->facts.tls == NULL && (rules & BEFORE_TLS) == 0;
	bool not_greeted = (p->helo_required || p->lmtp) && s->facts.helo.len == 0 && (rules & GREETED) != 0;
	bool wordy = (rules & NO_WORDS) != 0 && slice_trim(args).len != 0;
	if (foreign) return smtp_reply(500, "5.5.2", S("Error: command not recognized"));
	if (s->refused && c->run != do_quit) return access_denied(s);
	if (in_clear) return smtp_reply(530, "5.7.0", S("Must issue a STARTTLS command first"));
	if (not_greeted && p->lmtp) return smtp_reply(503, "5.5.1", S("Error: send LHLO first"));
	if (not_greeted) return smtp_reply(503, "5.5.1", S("Error: send HELO/EHLO first"));
	if (s->in_tx && (rules & NO_TX) != 0) return smtp_reply(503, "5.5.1", S("Error: MAIL transaction in progress"));
	if (wordy) return smtp_reply_fmt(&s->mem, 501, "5.5.4", "Syntax: %.*s", SLICE_ARG(c->word));
	return (struct smtp_reply){ 0 };
}

static void run(struct smtp_server *s, const struct smtp_command *c, struct slice args, bool again) {
	bool waits =
		(c->rules & LAST) != 0 || strcmp(s->facts.proto, "SMTP") == 0 || (s->offer & OFFER_PIPELINING) == 0;
	struct smtp_reply r = not_now(s, c, args);
	if (r.code == 0 && waits && !again && c->run != server_bdat && c->run != do_quit && server_out_of_turn(s))
		return;
	if (r.code == 0) r = c->run(s, args);
	if (c->run == do_auth) answer_auth(s, r);
	else if (r.code == SMTP_PAUSE) return server_pause(s, AGAIN_LINE, args);
	else server_answer(s, r);
	if ((c->rules & JUNK) != 0 && s->junk++ > s->params->junk_command_limit) s->facts.errors++;
}

/* What is wrong with the line as such; code 0: nothing. */
static struct smtp_reply malformed(struct smtp_server *s, struct slice line, struct slice word) {
	switch (command_line_check(line)) {
	case COMMAND_LINE_OK:
		return word.len != 0 ? (struct smtp_reply){ 0 } : smtp_reply(500, "5.5.2", S("Error: bad syntax"));
	case COMMAND_LINE_BARE_CR:
		return smtp_reply_fmt(&s->mem, 550, "5.5.2", "%s Error: bare <CR> received", s->params->host);
	case COMMAND_LINE_NOT_UTF8:
		return smtp_reply(500, "5.5.2", S("Error: bad UTF-8 syntax"));
	case COMMAND_LINE_CONTROL:
		break;
	}
	return smtp_reply(500, "5.5.2", S("Error: bad syntax"));
}

void server_line_again(struct smtp_server *s, struct slice args) {
	run(s, &commands[s->command], args, true);
}

void server_line(struct smtp_server *s, struct slice line) {
	if (s->ops->trace != NULL) s->ops->trace(s->owner, false, line);
	if (s->ops->command != NULL) line = s->ops->command(s->owner, line, &s->mem);
	struct slice args = line, word = command_word(&args);
	if (word.len != 0 && is_among(s->params->noop, word)) {
		if (s->junk++ > s->params->junk_command_limit) s->facts.errors++;
		server_answer(s, ok());
		return;
	}
	s->command = find(word);
	s->counts[s->command].all++;
	s->where = commands[s->command].word.at;
	if (word.len != 0 && commands[s->command].run == NULL && is_forbidden(s, word)) {
		server_note(s, SMTP_FORBIDDEN, NULL, S(""), server_printable(s, line));
		s->command = NO_COMMAND;
		server_answer(s, smtp_reply(221, "2.7.0", S("Error: I can break rules, too. Goodbye.")));
		server_last(s);
		return;
	}
	struct smtp_reply r = malformed(s, line, word);
	if (r.code == 550) server_reject(s, &r, S(""));
	if (r.code == 0 && commands[s->command].run == NULL && s->ops->unknown != NULL)
		r = s->ops->unknown(s->owner, word, &s->mem);
	if (r.code == 0) run(s, &commands[s->command], args, false);
	else server_answer(s, r);
	if (r.code == 550) server_last(s); /* a bare CR is no better than a bare LF */
}
