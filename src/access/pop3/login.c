/* SPDX-License-Identifier: Apache-2.0 */
/* POP3 before log-in. One line is one command; only AUTH takes more of them. */
#include "access/pop3/login.h"
#include "access/gate_private.h"
#include "access/line.h"
#include "access/pop3/line.h"
#include "base/encode.h"

enum { COMMAND_LIMIT = SASL_LINE_MAX + 64 }; /* AUTH with its initial response */

struct pop3_login {
	struct gate gate;  /* first */
	struct buf name;   /* of USER */
};

static void say(struct pop3_login *l, const char *text) {
	stream_putf(l->gate.wire, "%s\r\n", text);
}

static void yes(struct pop3_login *l, const char *text) {
	pop3_say(stream_out(l->gate.wire), (enum language)l->gate.language, true, text);
}

static void no(struct pop3_login *l, const char *text) {
	pop3_say(stream_out(l->gate.wire), (enum language)l->gate.language, false, text);
}

static void bad(struct pop3_login *l, const char *text) {
	no(l, text);
	gate_bad(&l->gate);
}

/* What came of a log-in. */

static void say_refused(struct gate *g, enum sasl_answer why) {
	struct pop3_login *l = (struct pop3_login *)g;
	switch (why) {
	case SASL_REFUSED: no(l, "[AUTH] Authentication failed."); break;
	case SASL_LIMITED: no(l, "[SYS/TEMP] Too many log-ins from your address, try again later."); break;
	case SASL_CANCELLED: bad(l, "Authentication cancelled."); break;
	case SASL_NOT_BASE64: bad(l, "Invalid base64."); break;
	case SASL_MALFORMED: bad(l, "Invalid response."); break;
	default: no(l, "[SYS/TEMP] Temporary authentication failure, try again later.");
	}
}

static void say_crowded(struct gate *g, unsigned limit) {
	stream_putf(g->wire,
		    "-ERR [SYS/TEMP] You have %u connections already (pop3d_connection_limit_per_user): close one.\r\n",
		    limit);
}

static void say_challenge(struct gate *g, struct slice base64) {
	stream_putf(g->wire, "+ %.*s\r\n", SLICE_ARG(base64));
}

static void say_bye(struct gate *g, enum gate_bye why) {
	static const char *const texts[] = {
		[GATE_BYE_STOP] = "[SYS/TEMP] Server shutting down.", [GATE_BYE_TIME] = "Disconnected for inactivity.",
		[GATE_BYE_BAD] = "Too many invalid commands.", [GATE_BYE_FAILURES] = "Too many failed log-ins." };
	no((struct pop3_login *)g, texts[why]);
}

/* Commands. */

static void do_capa(struct pop3_login *l, struct slice args UNUSED) {
	struct gate *g = &l->gate;
	struct buf *out = stream_out(g->wire);
	yes(l, "Capability list follows");
	pop3_put_capabilities(out, g->params->login_delay_s);
	if (g->params->tls != NULL && !gate_secured(g)) say(l, "STLS");
	if (gate_may_login(g)) say(l, "USER");
	if (gate_offer(g) != 0) {
		buf_add(out, S("SASL"));
		sasl_list(out, gate_offer(g), " ");
		say(l, "");
	}
	say(l, "IMPLEMENTATION hato\r\n.");
}

static bool login_allowed(struct pop3_login *l) {
	if (gate_may_login(&l->gate)) return true;
	no(l, "[AUTH] Passwords are not accepted without TLS (STLS first).");
	return false;
}

static void do_user(struct pop3_login *l, struct slice args) {
	if (!login_allowed(l)) return;
	buf_clear(&l->name);
	if (args.len == 0 || !buf_add(&l->name, args)) bad(l, "USER needs a name.");
	else yes(l, ""); /* whether anybody has that name is not told */
}

static void do_pass(struct pop3_login *l, struct slice args) {
	if (!login_allowed(l)) return;
	if (l->name.len == 0) bad(l, "USER first.");
	else gate_password(&l->gate, "USER", buf_slice(&l->name), args); /* blanks belong to it */
	buf_clear(&l->name);
}

static void do_auth(struct pop3_login *l, struct slice args) {
	struct gate *g = &l->gate;
	struct slice name = pop3_word(&args);
	if (name.len == 0) { /* RFC 1734's way to ask what there is */
		AUTO_BUF struct buf list = BUF(KIB(1));
		sasl_list(&list, gate_offer(g), "\r\n");
		stream_putf(g->wire, "+OK%s\r\n.\r\n", buf_text(&list));
	} else if (login_allowed(l) && !gate_sasl(g, name, args.len != 0 ? args : SLICE_NONE)) {
		no(l, "Unsupported authentication mechanism.");
	}
}

static void do_stls(struct pop3_login *l, struct slice args UNUSED) {
	struct gate *g = &l->gate;
	if (gate_secured(g)) {
		bad(l, "TLS is already active.");
	} else if (g->params->tls == NULL) {
		bad(l, "TLS is not available.");
	} else if (stream_has_input(g->wire)) { /* RFC 3207 §6's injection holds here too */
		no(l, "Commands behind STLS.");
		gate_end(g, "Commands behind STLS");
	} else {
		yes(l, "Begin TLS negotiation now.");
		buf_clear(&l->name);
		g->utf8 = false;
		g->language = LANGUAGE_DEFAULT; /* RFC 6856 §7: somebody between might have asked for it */
		gate_tls(g);
	}
}

static void do_utf8(struct pop3_login *l, struct slice args UNUSED) {
	l->gate.utf8 = true;
	yes(l, "UTF8 enabled");
}

static void do_lang(struct pop3_login *l, struct slice args) {
	enum language chosen = (enum language)l->gate.language;
	pop3_lang(stream_out(l->gate.wire), args, &chosen);
	l->gate.language = chosen;
}

static void do_noop(struct pop3_login *l, struct slice args UNUSED) {
	yes(l, "");
}

static void do_quit(struct pop3_login *l, struct slice args UNUSED) {
	yes(l, "Logging out");
	gate_end(&l->gate, "Aborted login by logging out");
}

static const struct verb {
	const char *name;
	void (*run)(struct pop3_login *l, struct slice args);
	bool bare; /* takes no arguments */
} verbs[] = {
	{ "USER", do_user, false }, { "PASS", do_pass, false }, { "AUTH", do_auth, false },
	{ "CAPA", do_capa, true },  { "STLS", do_stls, true },  { "UTF8", do_utf8, true },
	{ "LANG", do_lang, false }, { "NOOP", do_noop, true },  { "QUIT", do_quit, true },
};

static void run_command(struct pop3_login *l, struct slice line) {
	struct slice args = line, name = pop3_word(&args);
	bool is_auth = slice_same(name, S("AUTH"));
	if (line.len > POP3_LINE && !is_auth) {
		bad(l, "Line too long.");
		return;
	}
	for (size_t i = 0; i < LEN(verbs); i++) {
		if (!slice_same(name, slice_of(verbs[i].name))) continue;
		if (verbs[i].bare && slice_trim(args).len != 0) bad(l, "This command has no arguments.");
		else verbs[i].run(l, args);
		return;
	}
	bad(l, "Unknown command, or not before log-in.");
}

static bool take_input(struct gate *g) {
	struct pop3_login *l = (struct pop3_login *)g;
	struct slice line;
	int r = access_line(g->wire, COMMAND_LIMIT, &g->dropping, &line);
	if (r == STREAM_LONG) {
		bad(l, "Line too long.");
		g->mode = GATE_COMMAND;
	} else if (r == STREAM_OK) {
		if (g->mode == GATE_SASL) gate_response(g, line);
		else run_command(l, line);
		if (line.len != 0) mem_wipe((void *)(uintptr_t)line.at, line.len); /* it may hold a password */
	}
	return r != STREAM_AGAIN;
}

static void done(struct gate *g) {
	buf_done(&((struct pop3_login *)g)->name);
}

static const struct gate_kind pop3_gate = { .service = "=dovecot/pop3-login",
					    .take = take_input,
					    .refused = say_refused,
					    .crowded = say_crowded,
					    .challenge = say_challenge,
					    .bye = say_bye,
					    .done = done };

struct gate *pop3_login_new(struct stream *wire, const struct gate_params *params, const struct sasl_ops *ops,
			    void *owner, const struct gate_peer *peer) {
	struct pop3_login *l = mem_get(sizeof *l);
	gate_init(&l->gate, &pop3_gate, wire, params, ops, owner, peer);
	l->name = BUF(POP3_LINE);
	stream_putf(wire, "+OK %s\r\n", params->banner != NULL ? params->banner : "hato ready.");
	return &l->gate;
}
