/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger's dialogue. Bytes are gathered into one command at a time (`text`, literals included), and only a whole
 * command is looked at. */
#include "access/imap/login.h"
#include "access/gate_private.h"
#include "access/imap/client_id.h"
#include "access/imap/parse.h"
#include "access/language.h"
#include "access/line.h"

enum { LINE_LIMIT = 8192, LITERAL_MAX = 4096, LITERALS_MAX = 4, TAG_MAX = 256 };

struct imap_login {
	struct gate gate;           /* first */
	struct buf text;            /* the command so far */
	uint64_t literal_left;
	unsigned literals;
	struct arena mem;           /* of one command */
};

static void put_capabilities(struct imap_login *l) {
	struct gate *g = &l->gate;
	stream_put(g->wire, S("CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE IDLE LANGUAGE"));
	if (g->params->tls != NULL && !gate_secured(g)) stream_put(g->wire, S(" STARTTLS"));
	if (!gate_may_login(g)) stream_put(g->wire, S(" LOGINDISABLED"));
	sasl_list(stream_out(g->wire), gate_offer(g), " AUTH=");
}

/* In the language that the peer has chosen. */
static void say_line(struct gate *g, const char *response) {
	language_add(stream_out(g->wire), (enum language)g->language, slice_of(response));
	stream_put(g->wire, S("\r\n"));
}

static void answer(struct imap_login *l, struct slice tag, const char *text) {
	stream_putf(l->gate.wire, "%.*s ", SLICE_ARG(tag));
	say_line(&l->gate, text);
}

static void bad(struct imap_login *l, struct slice tag, const char *why) {
	if (tag.len == 0) tag = S("*");
	answer(l, tag, arena_fmt(&l->mem, "BAD %s", why).at);
	gate_bad(&l->gate);
}

static void keep_tag(struct imap_login *l, struct slice tag) {
	buf_clear(&l->gate.tag);
	buf_add(&l->gate.tag, tag);
}

/* What came of a log-in. */

static void say_refused(struct gate *g, enum sasl_answer why) {
	struct imap_login *l = (struct imap_login *)g;
	struct slice tag = buf_slice(&g->tag);
	switch (why) {
	case SASL_REFUSED: answer(l, tag, "NO [AUTHENTICATIONFAILED] Authentication failed."); break;
	case SASL_LIMITED: answer(l, tag, "NO [LIMIT] Too many log-ins from your address, try again later."); break;
	case SASL_CANCELLED: bad(l, tag, "Authentication cancelled."); break;
	case SASL_NOT_BASE64: bad(l, tag, "Invalid base64."); break;
	case SASL_MALFORMED: bad(l, tag, arena_fmt(&l->mem, "Invalid %s response.", sasl_name(&g->sasl)).at); break;
	default: answer(l, tag, "NO [UNAVAILABLE] Temporary authentication failure, try again later.");
	}
}

/* RFC 5530 has no code for this; Dovecot's is [UNAVAILABLE], which clients know to try again after. */
static void say_crowded(struct gate *g, unsigned limit) {
	struct imap_login *l = (struct imap_login *)g;
	answer(l, buf_slice(&g->tag),
	       arena_fmt(&l->mem,
			 "NO [UNAVAILABLE] You have %u connections already (imapd_connection_limit_per_user): "
			 "close one.",
			 limit)
		       .at);
}

static void say_challenge(struct gate *g, struct slice base64) {
	stream_putf(g->wire, "+ %.*s\r\n", SLICE_ARG(base64));
}

static void say_bye(struct gate *g, enum gate_bye why) {
	static const char *const texts[] = {
		[GATE_BYE_STOP] = "* BYE Server shutting down.",
		[GATE_BYE_TIME] = "* BYE Disconnected for inactivity.",
		[GATE_BYE_BAD] = "* BYE Too many invalid commands.",
		[GATE_BYE_FAILURES] = "* BYE Too many failed log-ins." };
	say_line(g, texts[why]);
}

/* Commands. Each is called with the parser behind its name. */

static void do_capability(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	if (!imap_parse_end(p)) return;
	stream_put(l->gate.wire, S("* "));
	put_capabilities(l);
	stream_put(l->gate.wire, S("\r\n"));
	answer(l, tag, "OK Pre-login capabilities listed.");
}

static void do_noop(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	if (imap_parse_end(p)) answer(l, tag, "OK NOOP completed.");
}

static void do_logout(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	if (!imap_parse_end(p)) return;
	say_line(&l->gate, "* BYE Logging out");
	answer(l, tag, "OK Logout completed.");
	gate_end(&l->gate, "Aborted login by logging out");
}

static void do_id(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	if (!client_id_read(p, &l->gate.no_uidonly)) return;
	stream_put(l->gate.wire, S("* ID (\"name\" \"hato\""));
	if (l->gate.params->client_id != NULL)
		stream_putf(l->gate.wire, " \"version\" \"%s\"", l->gate.params->client_id);
	stream_put(l->gate.wire, S(")\r\n"));
	answer(l, tag, "OK ID completed.");
}

static void do_language(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	struct slice ranges[LANGUAGE_RANGES_MAX];
	size_t count = 0;
	enum language chosen = LANGUAGE_DEFAULT;
	while (p->error == NULL && p->rest.len != 0) {
		if (count == LEN(ranges)) imap_parse_fail(p, "Too many languages.");
		else if (imap_parse_space(p) && imap_parse_astring(p, &ranges[count])) count++;
	}
	if (!imap_parse_end(p)) return;
	if (count == 0) {
		language_list(stream_out(l->gate.wire));
		answer(l, tag, "OK Languages listed.");
	} else if (language_choose(ranges, count, &chosen)) {
		l->gate.language = chosen;
		stream_putf(l->gate.wire, "* LANGUAGE (%s)\r\n", language_tag(chosen));
		answer(l, tag, chosen == LANGUAGE_JA ? "OK Language is now Japanese." : "OK Language is now English.");
	} else {
		answer(l, tag, "NO None of these languages is spoken here.");
	}
}

static void do_starttls(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	struct gate *g = &l->gate;
	if (!imap_parse_end(p)) return;
	if (gate_secured(g)) {
		bad(l, tag, "TLS is already active.");
	} else if (g->params->tls == NULL) {
		bad(l, tag, "TLS is not available.");
	} else if (stream_has_input(g->wire)) { /* RFC 3207 §6's injection holds here too */
		answer(l, tag, "BAD Commands behind STARTTLS.");
		gate_end(g, "Commands behind STARTTLS");
	} else {
		answer(l, tag, "OK Begin TLS negotiation now.");
		g->language = LANGUAGE_DEFAULT; /* somebody in between may have chosen it (RFC 5255 §7) */
		gate_tls(g);
	}
}

static bool login_allowed(struct imap_login *l, struct slice tag) {
	if (gate_may_login(&l->gate)) return true;
	say_line(&l->gate, "* BAD [ALERT] A password was sent without TLS. It must be taken as exposed.");
	answer(l, tag, "NO [PRIVACYREQUIRED] Passwords are not accepted without TLS (STARTTLS first).");
	return false;
}

static void do_login(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	struct slice user, password;
	/* "user*master" comes without quotes from Python's imaplib and from hands: '*' and '%' are letters here */
	if (!imap_parse_space(p) || !imap_parse_pattern(p, &user) || !imap_parse_space(p) ||
	    !imap_parse_pattern(p, &password) || !imap_parse_end(p) || !login_allowed(l, tag))
		return;
	keep_tag(l, tag);
	gate_password(&l->gate, "LOGIN", user, password);
}

static void do_authenticate(struct imap_login *l, struct slice tag, struct imap_parse *p) {
	struct slice name;
	if (!imap_parse_space(p) || !imap_parse_atom(p, &name)) return;
	bool initial = imap_parse_take(p, ' ');
	if (!gate_may_login(&l->gate)) {
		login_allowed(l, tag);
		return;
	}
	keep_tag(l, tag);
	if (!gate_sasl(&l->gate, name,
		       initial ? slice_from(p->rest.at != NULL ? p->rest.at : "", p->rest.len) : SLICE_NONE))
		answer(l, tag, "NO Unsupported authentication mechanism.");
}

static const struct verb {
	const char *name;
	void (*run)(struct imap_login *l, struct slice tag, struct imap_parse *p);
} verbs[] = {
	{ "CAPABILITY", do_capability }, { "NOOP", do_noop },   { "LOGOUT", do_logout },
	{ "STARTTLS", do_starttls },     { "LOGIN", do_login }, { "AUTHENTICATE", do_authenticate },
	{ "ID", do_id },                 { "LANGUAGE", do_language },
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
	struct slice part = slice_head(stream_peek(l->gate.wire), l->literal_left);
	buf_add(&l->text, part);
	stream_eat(l->gate.wire, part.len);
	l->literal_left -= part.len;
	return l->literal_left == 0;
}

/* True when a literal was announced and the command goes on behind it. */
static bool gather_goes_on(struct imap_login *l, struct slice line) {
	struct imap_literal literal;
	if (l->gate.mode != GATE_COMMAND || !imap_literal_at_end(line, &literal)) return false;
	struct imap_parse p = IMAP_PARSE(buf_slice(&l->text), &l->mem);
	struct slice tag = SLICE_NONE;
	imap_parse_tag(&p, &tag);
	if (literal.size > LITERAL_MAX || ++l->literals > LITERALS_MAX) {
		/* RFC 7888 §4: a literal that comes anyway cannot be told from commands; the connection has to end */
		bad(l, tag.len <= TAG_MAX ? tag : SLICE_NONE, "Literal too large before log-in.");
		if (!literal.waits) gate_end(&l->gate, "Literal too large");
		buf_clear(&l->text);
		l->literals = 0;
		return true;
	}
	buf_add(&l->text, S("\r\n"));
	l->literal_left = literal.size;
	if (literal.waits) stream_put(l->gate.wire, S("+ OK\r\n"));
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
	} else if (l->gate.mode == GATE_SASL) {
		gate_response(&l->gate, buf_slice(&l->text));
	} else {
		run_command(l);
	}
	forget_command(l);
}

/* One thing from what has arrived; false when there is not enough of it. */
static bool take_input(struct gate *g) {
	struct imap_login *l = (struct imap_login *)g;
	struct slice line;
	size_t limit = g->mode == GATE_SASL ? (size_t)SASL_LINE_MAX : (size_t)LINE_LIMIT;
	if (l->literal_left != 0 && !gather_literal(l)) return false;
	int r = access_line(g->wire, limit, &l->gate.dropping, &line);
	if (r == STREAM_LONG) {
		bad(l, SLICE_NONE, "Line too long.");
		forget_command(l);
	}
	if (r == STREAM_OK) take_line(l, line);
	return r != STREAM_AGAIN;
}

static void done(struct gate *g) {
	struct imap_login *l = (struct imap_login *)g;
	forget_command(l);
}

static const struct gate_kind imap_gate = { .service = "=dovecot/imap-login",
					    .take = take_input,
					    .refused = say_refused,
					    .crowded = say_crowded,
					    .challenge = say_challenge,
					    .bye = say_bye,
					    .done = done };

struct gate *imap_login_new(struct stream *wire, const struct gate_params *params, const struct sasl_ops *ops,
			    void *owner, const struct gate_peer *peer) {
	struct imap_login *l = mem_get(sizeof(*l));
	gate_init(&l->gate, &imap_gate, wire, params, ops, owner, peer);
	l->text = BUF(MAX_OF((int)SASL_LINE_MAX, LINE_LIMIT) + LITERALS_MAX * (LITERAL_MAX + 2));
	if (peer->again) return &l->gate;
	stream_put(wire, S("* OK ["));
	put_capabilities(l);
	stream_putf(wire, "] %s\r\n", params->banner != NULL ? params->banner : "hato ready.");
	return &l->gate;
}
