/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger's dialogue. Bytes are gathered into one command at a time (`text`, literals included), and only a whole
 * command is looked at; so the dialogue's only states are: gathering, waiting for a line of AUTHENTICATE, and holding
 * back the "no" to a wrong password. Holding back means being parked without reading: it costs the guesser time and us
 * nothing. */
#include "access/imap/login.h"
#include "access/imap/line.h"
#include "access/imap/parse.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/log.h"

#include <sys/epoll.h>

enum { LINE_LIMIT = 8192, LITERAL_MAX = 4096, LITERALS_MAX = 4, ID_PAIRS = 30, TAG_MAX = 256 };
enum mode { MODE_COMMAND, MODE_SASL, MODE_DELAY };

struct imap_login {
	struct stream *wire;
	const struct imap_login_params *params;
	const struct imap_login_ops *ops;
	void *owner;
	enum mode mode;
	struct buf text;            /* the command so far */
	uint64_t literal_left;
	unsigned literals;
	bool dropping;              /* the rest of a line that was too long */
	struct arena mem;           /* of one command */
	struct buf tag;             /* of the command that waits: SASL, delay, or granted */
	const char *method;         /* of the SASL exchange or log-in */
	struct buf user;            /* AUTHENTICATE LOGIN's first answer; then for the log */
	bool user_known;
	unsigned bad, failures;
	int64_t started, over_at, delay_until;
	bool over, granted;
	const char *ending;         /* for the log: how it came to an end */
	int64_t account;
	struct buf login;
	struct buf remote, local;
	uint64_t session;
};

/* From the start of the handshake: what is said from then on is encrypted. */
static bool is_secured(const struct imap_login *l) {
	return stream_tls(l->wire) != NULL;
}

static bool may_login(const struct imap_login *l) {
	return l->params->clear_text || l->params->trusted_path || is_secured(l);
}

static void put_capabilities(struct imap_login *l) {
	stream_put(l->wire, S("CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE"));
	if (l->params->tls != NULL && !is_secured(l)) stream_put(l->wire, S(" STARTTLS"));
	stream_put(l->wire, may_login(l) ? S(" AUTH=PLAIN AUTH=LOGIN") : S(" LOGINDISABLED"));
}

static void answer(struct imap_login *l, struct slice tag, const char *text) {
	stream_putf(l->wire, "%.*s %s\r\n", SLICE_ARG(tag), text);
}

static void end(struct imap_login *l, const char *why) {
	l->over = true;
	if (l->ending == NULL) l->ending = why;
}

static void bad(struct imap_login *l, struct slice tag, const char *why) {
	unsigned limit = l->params->bad_limit != 0 ? l->params->bad_limit : 10;
	if (tag.len == 0) tag = S("*");
	stream_putf(l->wire, "%.*s BAD %s\r\n", SLICE_ARG(tag), why);
	if (++l->bad < limit) return;
	stream_put(l->wire, S("* BYE Too many invalid commands.\r\n"));
	end(l, "Too many invalid commands");
}

/* Passwords. */

static void log_login(struct imap_login *l, enum log_level level, const char *text) {
	note(level, "imap-login", l->session, NULL, text, FA("user", buf_slice(&l->user)),
	     F("method", slice_of(l->method != NULL ? l->method : "")), F("rip", buf_slice(&l->remote)),
	     F("lip", buf_slice(&l->local)), F(is_secured(l) ? "TLS" : "secured", is_secured(l) ? S("yes") : S("no")));
}

static void keep(struct buf *b, struct slice s) {
	buf_clear(b);
	buf_add(b, s);
}

static void refuse(struct imap_login *l, struct slice tag) {
	int64_t delay = l->params->failure_delay != 0 ? l->params->failure_delay : SECONDS(2);
	l->failures++;
	log_login(l, L_INFO, "Authentication failed: ");
	keep(&l->tag, tag);
	l->mode = MODE_DELAY;
	l->delay_until = delay < 0 ? clock_ms() : deadline_in(delay * l->failures);
}

static void refuse_now(struct imap_login *l) {
	unsigned limit = l->params->failure_limit != 0 ? l->params->failure_limit : 5;
	l->mode = MODE_COMMAND;
	answer(l, buf_slice(&l->tag), "NO [AUTHENTICATIONFAILED] Authentication failed.");
	if (l->failures < limit) return;
	stream_put(l->wire, S("* BYE Too many failed log-ins.\r\n"));
	end(l, "Too many failed log-ins");
}

static void try_password(struct imap_login *l, struct slice tag, struct slice user, struct slice password) {
	l->mode = MODE_COMMAND;
	if (slice_find(user, '\0') != user.len || slice_find(password, '\0') != password.len || user.len == 0) {
		keep(&l->user, user);
		refuse(l, tag);
		return;
	}
	buf_clear(&l->login);
	struct slice copy = arena_slice(&l->mem, user);
	int r = l->ops->authenticate(l->owner, l->method, user, password, &l->account, &l->login);
	keep(&l->user, copy);
	if (r == IMAP_AUTH_GRANTED) {
		keep(&l->tag, tag);
		keep(&l->user, buf_slice(&l->login));
		l->granted = true;
		log_login(l, L_INFO, "Login: ");
	} else if (r == IMAP_AUTH_REFUSED) {
		refuse(l, tag);
	} else {
		if (r < 0) say(L_WARN, "imap-login", "authentication: %s", fail_text());
		answer(l, tag, "NO [UNAVAILABLE] Temporary authentication failure, try again later.");
	}
}

/* AUTHENTICATE PLAIN is RFC 4616; LOGIN is draft-murchison-sasl-login: two questions, two answers. */

static void sasl_plain(struct imap_login *l, struct slice tag, struct slice bytes) {
	struct slice zid = slice_cut(&bytes, '\0');
	struct slice user = bytes.at != NULL ? slice_cut(&bytes, '\0') : SLICE_NONE;
	if (bytes.at == NULL) {
		l->mode = MODE_COMMAND;
		bad(l, tag, "Invalid PLAIN response.");
	} else if (zid.len != 0 && !slice_same(zid, user)) {
		keep(&l->user, user);
		refuse(l, tag); /* acting for somebody else is not offered */
	} else {
		try_password(l, tag, user, bytes);
	}
}

static void sasl_login(struct imap_login *l, struct slice tag, struct slice bytes) {
	if (l->user_known) {
		try_password(l, tag, arena_slice(&l->mem, buf_slice(&l->user)), bytes);
		return;
	}
	keep(&l->user, bytes);
	l->user_known = true;
	stream_put(l->wire, S("+ UGFzc3dvcmQ6\r\n"));
}

static const struct mechanism {
	const char *name;
	const char *question; /* the first challenge */
	void (*respond)(struct imap_login *l, struct slice tag, struct slice bytes);
} mechanisms[] = {
	{ "PLAIN", "+ \r\n", sasl_plain },
	{ "LOGIN", "+ VXNlcm5hbWU6\r\n", sasl_login },
};

static void sasl_response(struct imap_login *l, struct slice text) {
	AUTO_BUF struct buf bytes = BUF(LINE_LIMIT);
	struct slice tag = arena_slice(&l->mem, buf_slice(&l->tag));
	if (slice_eq(text, S("*")) || !base64_read(&bytes, slice_eq(text, S("=")) ? SLICE_NONE : text)) {
		l->mode = MODE_COMMAND;
		bad(l, tag, slice_eq(text, S("*")) ? "Authentication cancelled." : "Invalid base64.");
		return;
	}
	for (size_t i = 0; i < LEN(mechanisms); i++)
		if (mechanisms[i].name == l->method) mechanisms[i].respond(l, tag, buf_slice(&bytes));
	mem_wipe(bytes.at, bytes.len);
}

/* Commands. Each is called with the parser behind its name. */

static void do_capability(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	if (!imap_parse_end(p)) return;
	stream_put(l->wire, S("* "));
	put_capabilities(l);
	stream_put(l->wire, S("\r\n"));
	answer(l, tag, "OK Pre-login capabilities listed.");
}

static void do_noop(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	if (imap_parse_end(p)) answer(l, tag, "OK NOOP completed.");
}

static void do_logout(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	if (!imap_parse_end(p)) return;
	stream_put(l->wire, S("* BYE Logging out\r\n"));
	answer(l, tag, "OK Logout completed.");
	end(l, "Aborted login by logging out");
}

static void do_id(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	struct slice *pairs;
	size_t count;
	if (!imap_parse_space(p)) return;
	if (!imap_parse_take_word(p, "NIL") && !imap_parse_strings(p, ID_PAIRS * 2, &pairs, &count)) return;
	if (!imap_parse_end(p)) return;
	stream_put(l->wire, S("* ID (\"name\" \"hato\""));
	if (l->params->client_id != NULL) stream_putf(l->wire, " \"version\" \"%s\"", l->params->client_id);
	stream_put(l->wire, S(")\r\n"));
	answer(l, tag, "OK ID completed.");
}

static void do_starttls(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	if (!imap_parse_end(p)) return;
	if (is_secured(l)) {
		bad(l, tag, "TLS is already active.");
	} else if (l->params->tls == NULL) {
		bad(l, tag, "TLS is not available.");
	} else if (stream_has_input(l->wire)) { /* RFC 3207 §6's injection holds here too */
		answer(l, tag, "BAD Commands behind STARTTLS.");
		end(l, "Commands behind STARTTLS");
	} else {
		answer(l, tag, "OK Begin TLS negotiation now.");
		if (stream_start_tls_server(l->wire, l->params->tls) < 0) end(l, "TLS failed");
	}
}

static bool login_allowed(struct imap_login *l, struct slice tag) {
	if (may_login(l)) return true;
	stream_put(l->wire, S("* BAD [ALERT] A password was sent without TLS. It must be taken as exposed.\r\n"));
	answer(l, tag, "NO [PRIVACYREQUIRED] Passwords are not accepted without TLS (STARTTLS first).");
	return false;
}

static void do_login(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	struct slice user, password;
	if (!imap_parse_space(p) || !imap_parse_astring(p, &user) || !imap_parse_space(p) ||
	    !imap_parse_astring(p, &password) || !imap_parse_end(p) || !login_allowed(l, tag))
		return;
	l->method = "LOGIN";
	try_password(l, tag, user, password);
}

static void do_authenticate(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	const struct mechanism *m = mechanisms, *last = mechanisms + LEN(mechanisms);
	struct slice name;
	if (!imap_parse_space(p) || !imap_parse_atom(p, &name)) return;
	bool initial = imap_parse_take(p, ' ');
	if (!may_login(l)) {
		login_allowed(l, tag);
		return;
	}
	while (m < last && !slice_same(name, slice_of(m->name))) m++;
	if (m == last) {
		answer(l, tag, "NO Unsupported authentication mechanism.");
		return;
	}
	keep(&l->tag, tag);
	l->method = m->name;
	l->user_known = false;
	l->mode = MODE_SASL;
	if (initial) sasl_response(l, p->rest);
	else stream_put(l->wire, slice_of(m->question));
}

static const struct verb {
	const char *name;
	void (*run)(struct imap_login *l, struct slice tag, struct imap_parse *p);
} verbs[] = {
	{ "CAPABILITY", do_capability }, { "NOOP", do_noop },   { "LOGOUT", do_logout },
	{ "STARTTLS", do_starttls },     { "LOGIN", do_login }, { "AUTHENTICATE", do_authenticate },
	{ "ID", do_id },
};

static void run_command(struct imap_login *l) {
	struct imap_parse p = IMAP_PARSE(buf_slice(&l->text), &l->mem);
	struct slice tag = SLICE_NONE, name;
	if (!imap_parse_tag(&p, &tag) || tag.len > TAG_MAX || !imap_parse_space(&p) || !imap_parse_atom(&p, &name)) {
		bad(l, p.error != NULL && p.rest.at != tag.at && tag.len <= TAG_MAX ? tag : SLICE_NONE,
		    "Invalid tag or missing command.");
		return;
	}
	for (size_t i = 0; i < LEN(verbs); i++) {
		if (!slice_same(name, slice_of(verbs[i].name))) continue;
		verbs[i].run(l, tag, &p);
		if (p.error != NULL) bad(l, tag, p.error);
		return;
	}
	bad(l, tag, "Unknown command, or not before log-in.");
}

/* Gathering. */

static bool gather_literal(struct imap_login *l) {
	struct slice part = slice_head(stream_peek(l->wire), l->literal_left);
	buf_add(&l->text, part);
	stream_eat(l->wire, part.len);
	l->literal_left -= part.len;
	return l->literal_left == 0;
}

/* True when a literal was announced and the command goes on behind it. */
static bool gather_goes_on(struct imap_login *l, struct slice line) {
	struct imap_literal literal;
	if (l->mode != MODE_COMMAND || !imap_literal_at_end(line, &literal)) return false;
	struct imap_parse p = IMAP_PARSE(buf_slice(&l->text), &l->mem);
	struct slice tag = SLICE_NONE;
	imap_parse_tag(&p, &tag);
	if (literal.size > LITERAL_MAX || ++l->literals > LITERALS_MAX) {
		/* RFC 7888 §4: a literal that comes anyway cannot be told from commands; the connection has to end */
		bad(l, tag.len <= TAG_MAX ? tag : SLICE_NONE, "Literal too large before log-in.");
		if (!literal.waits) end(l, "Literal too large");
		buf_clear(&l->text);
		l->literals = 0;
		return true;
	}
	buf_add(&l->text, S("\r\n"));
	l->literal_left = literal.size;
	if (literal.waits) stream_put(l->wire, S("+ OK\r\n"));
	return true;
}

static void forget_command(struct imap_login *l) {
	if (l->text.len != 0) mem_wipe(l->text.at, l->text.len); /* it may hold a password */
	buf_done(&l->text);
	l->literals = 0;
	arena_done(&l->mem);
}

static void take_line(struct imap_login *l, struct slice line) {
	if (!buf_add(&l->text, line)) {
		bad(l, SLICE_NONE, "Command too long.");
	} else if (gather_goes_on(l, line)) {
		return;
	} else if (l->mode == MODE_SASL) {
		sasl_response(l, buf_slice(&l->text));
	} else {
		run_command(l);
	}
	forget_command(l);
}

/* One thing from what has arrived; false when there is not enough of it. */
static bool take_input(struct imap_login *l) {
	struct slice line;
	if (l->literal_left != 0 && !gather_literal(l)) return false;
	int r = imap_line(l->wire, LINE_LIMIT, &l->dropping, &line);
	if (r == STREAM_LONG) {
		bad(l, SLICE_NONE, "Line too long.");
		forget_command(l);
	}
	if (r == STREAM_OK) take_line(l, line);
	return r != STREAM_AGAIN;
}

static int finish(struct imap_login *l) {
	int r = stream_flush(l->wire);
	if (r == STREAM_CLOSED || r < 0) end(l, "Connection closed");
	if (l->over && r == STREAM_AGAIN && clock_ms() < l->over_at) return IMAP_LOGIN_PARK; /* let the last words leave */
	if (l->over) return IMAP_LOGIN_OVER;
	if (l->granted) return IMAP_LOGIN_DONE;
	stream_relax(l->wire);
	return IMAP_LOGIN_PARK;
}

int imap_login_step(struct imap_login *l, enum wake why) {
	if (l->over) return clock_ms() >= l->over_at || why == WAKE_STOP ? IMAP_LOGIN_OVER : finish(l);
	if (why == WAKE_STOP) {
		stream_put(l->wire, S("* BYE Server shutting down.\r\n"));
		end(l, "Server shutting down");
		return finish(l);
	}
	if (l->mode == MODE_DELAY) {
		if (clock_ms() < l->delay_until) return IMAP_LOGIN_PARK;
		refuse_now(l);
	}
	if (clock_ms() >= l->over_at) {
		stream_put(l->wire, S("* BYE Disconnected for inactivity.\r\n"));
		end(l, "Inactivity");
		l->over_at = deadline_in(SECONDS(5));
		return finish(l);
	}
	int r = stream_fill(l->wire);
	while (!l->over && !l->granted && l->mode != MODE_DELAY) {
		if (take_input(l)) continue;
		/* a fill takes one read's worth; what waits behind it must not wait for the poller */
		if (r != STREAM_OK || !stream_has_input(l->wire)) break;
		r = stream_fill(l->wire);
	}
	if ((r == STREAM_CLOSED || r < 0) && !l->granted) end(l, r < 0 ? "Connection lost" : "Connection closed");
	return finish(l);
}

uint32_t imap_login_events(const struct imap_login *l) {
	if (l->mode == MODE_DELAY) return 0;
	return l->over ? (uint32_t)EPOLLOUT : stream_events(l->wire);
}

int64_t imap_login_deadline(const struct imap_login *l) {
	return l->mode == MODE_DELAY ? MIN_OF(l->delay_until, l->over_at) : l->over_at;
}

struct imap_login_result imap_login_result(const struct imap_login *l) {
	return (struct imap_login_result){ l->account, buf_slice(&l->login), buf_slice(&l->tag), is_secured(l) };
}

int imap_login_sorry(struct imap_login *l) {
	l->granted = false;
	answer(l, buf_slice(&l->tag), "NO [UNAVAILABLE] No session can be opened now, try again later.");
	return finish(l);
}

struct imap_login *imap_login_new(struct stream *wire, const struct imap_login_params *params,
                                  const struct imap_login_ops *ops, void *owner, const struct imap_peer *peer) {
	struct imap_login *l = mem_get(sizeof(*l));
	*l = (struct imap_login){ .wire = wire, .params = params, .ops = ops, .owner = owner, .session = peer->session,
		.text = BUF(LINE_LIMIT + LITERALS_MAX * (LITERAL_MAX + 2)), .tag = BUF(TAG_MAX), .user = BUF(LINE_LIMIT),
		.login = BUF(KIB(1)), .remote = BUF(256), .local = BUF(256), .started = clock_ms() };
	l->over_at = deadline_in(params->time_limit != 0 ? params->time_limit : MINUTES(3));
	keep(&l->remote, peer->remote);
	keep(&l->local, peer->local);
	stream_put(wire, S("* OK ["));
	put_capabilities(l);
	stream_putf(wire, "] %s\r\n", params->banner != NULL ? params->banner : "hato ready.");
	return l;
}

void imap_login_free(struct imap_login **lp) {
	struct imap_login *l = TAKE(*lp);
	if (l == NULL) return;
	if (!l->granted) {
		AUTO_BUF struct buf why = BUF(512);
		buf_addf(&why, "Disconnected: %s (", l->ending != NULL ? l->ending : "Closed");
		if (l->failures != 0) buf_addf(&why, "auth failed, %u attempts in ", l->failures);
		else buf_add(&why, S("no auth attempts in "));
		buf_addf(&why, "%lld secs): ", (long long)((clock_ms() - l->started) / 1000));
		log_login(l, L_INFO, buf_text(&why));
	}
	struct buf *bufs[] = { &l->text, &l->tag, &l->user, &l->login, &l->remote, &l->local };
	for (size_t i = 0; i < LEN(bufs); i++) buf_done(bufs[i]);
	arena_done(&l->mem);
	free(l);
}
