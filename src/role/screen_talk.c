/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing here waits, looks anything up or keeps more than a line: whoever is sent here is probably not worth it. */
#include "role/screen_talk.h"
#include "base/fail.h"
#include "base/log.h"
#include "mime/address.h"
#include "smtp/server.h"

#include <sys/epoll.h>

enum { FLUSH_MS = 10000, LINES_A_STEP = 50 };

struct screen_talk {
	struct screen *s;
	struct stream *stream;
	const char *proto, *where; /* where: the last command, or "CONNECT" */
	char helo[256], sender[320];
	bool in_mail, greeted, handshake, over;
	unsigned commands;
	int64_t deadline;
};

struct screen_talk *screen_talk_new(struct screen *s, struct stream *stream) {
	struct screen_talk *t = mem_get(sizeof *t);
	*t = (struct screen_talk){ .s = s, .stream = stream, .proto = "SMTP", .where = "CONNECT" };
	/* who is here anyway is watched for these too (POSTSCREEN_README) */
	s->todo[SCREEN_PIPELINING] |= s->refusal[0] != '\0' || s->params->tests[SCREEN_BARE_NEWLINE].on;
	s->todo[SCREEN_NON_SMTP] |= s->refusal[0] != '\0' || s->params->tests[SCREEN_PIPELINING].on ||
				    s->params->tests[SCREEN_BARE_NEWLINE].on;
	return t;
}

void screen_talk_free(struct screen_talk **tp) {
	free(*tp);
	*tp = NULL;
}

static void answer(struct screen_talk *t, const char *reply) {
	screen_reply(t->s, t->stream, slice_of(reply));
}

static void answerf(struct screen_talk *t, const char *format, ...) PRINTF_LIKE(2, 3);
static void answerf(struct screen_talk *t, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	answer(t, buf_text(&text));
}

static void tell(const struct screen_talk *t, const char *what, struct slice where, struct slice more) {
	AUTO_BUF struct buf line = BUF(KIB(2));
	if (where.at == NULL) where = slice_of(t->where);
	buf_addf(&line, "%s from %s after ", what, t->s->name);
	screen_show(&line, where);
	if (more.at != NULL) buf_addf(&line, ": ");
	screen_show(&line, more);
	log_line(L_INFO, t->s->params->log_name, 0, NULL, buf_text(&line), NULL, 0);
}

static void finish(struct screen_talk *t) {
	if (t->over) return;
	t->over = true;
	screen_remember(t->s);
	screen_tell(t->s, "DISCONNECT");
	t->deadline = deadline_in(FLUSH_MS);
}

static void failed(struct screen_talk *t, enum screen_test_id test, const char *text) {
	bool ignored = t->s->ignored;
	bool drop = screen_fail(t->s, t->stream, test, text);
	t->s->ignored = ignored; /* what is ignored here does not keep a client from passing */
	if (!drop) return;
	t->over = true; /* it has been said and told */
}

/* Commands. */

/* EHLO keywords that a table takes from this client. */
static unsigned taken_back(const struct screen_talk *t) {
	AUTO_ARENA struct arena mem = { 0 };
	struct lookup_hit hit;
	unsigned offer = 0;
	const struct lookup *maps = &t->s->params->ehlo_maps;
	if (maps->count == 0 || lookup_ip(maps, slice_of(t->s->ip), &mem, &hit) != TABLE_FOUND) return 0;
	for (struct slice w; (w = slice_word(&hit.value, ", \t\r\n")).len != 0;) offer |= screen_offer_of(w);
	return offer;
}

static void do_hello(struct screen_talk *t, struct slice args, bool esmtp) {
	const struct screen_params *p = t->s->params;
	static const struct { unsigned offer; const char *word;
	} words[] = {
		{ OFFER_VRFY, "VRFY" },         { OFFER_ETRN, "ETRN" },
		{ OFFER_STARTTLS, "STARTTLS" }, { OFFER_STATUS_CODES, "ENHANCEDSTATUSCODES" },
		{ OFFER_8BITMIME, "8BITMIME" }, { OFFER_DSN, "DSN" },
		{ OFFER_SMTPUTF8, "SMTPUTF8" }, { OFFER_CHUNKING, "CHUNKING" },
	};
	args = slice_trim(args);
	if (args.len == 0) return answerf(t, "501 Syntax: %s hostname", esmtp ? "EHLO" : "HELO");
	snprintf(t->helo, sizeof t->helo, "%.*s", SLICE_ARG(args));
	t->proto = esmtp ? "ESMTP" : "SMTP";
	t->in_mail = false;
	if (!esmtp) return answerf(t, "250 %s", p->host);
	AUTO_BUF struct buf text = BUF(KIB(2));
	unsigned offer = p->offer & ~taken_back(t);
	if (p->tls == NULL || stream_tls(t->stream) != NULL) offer &= ~(unsigned)OFFER_STARTTLS;
	buf_addf(&text, "%s", p->host);
	if ((offer & OFFER_SIZE) != 0 && p->size_limit != 0)
		buf_addf(&text, "\nSIZE %llu", (unsigned long long)p->size_limit);
	else if ((offer & OFFER_SIZE) != 0) buf_addf(&text, "\nSIZE");
	for (size_t i = 0; i < LEN(words); i++)
		if ((offer & words[i].offer) != 0) buf_addf(&text, "\n%s", words[i].word);
	struct slice rest = buf_slice(&text);
	while (rest.at != NULL) {
		struct slice line = slice_cut(&rest, '\n');
		answerf(t, "250%c%.*s", rest.at != NULL ? '-' : ' ', SLICE_ARG(line));
	}
}

/* "FROM:<address> …": the address as it is to be shown; false: there is none. */
static bool address_of(struct slice args, struct slice prefix, struct arena *mem, struct slice *out) {
	struct mailbox box;
	struct slice rest;
	args = slice_trim(args);
	if (!slice_starts_same(args, prefix)) return false;
	if (address_parse_path(slice_trim(slice_skip(args, prefix.len)), ADDRESS_LONG_LOCAL | ADDRESS_UTF8, mem, &box,
			       &rest) == ADDRESS_BAD)
		return false;
	*out = mailbox_text(mem, box);
	return true;
}

static void do_mail(struct screen_talk *t, struct slice args) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice from;
	if (t->s->params->helo_required && t->helo[0] == '\0')
		return answer(t, "503 5.5.1 Error: send HELO/EHLO first");
	if (t->in_mail) return answer(t, "503 5.5.1 Error: nested MAIL command");
	if (!address_of(args, S("FROM:"), &mem, &from)) return answer(t, "501 5.5.4 Syntax: MAIL FROM:<address>");
	snprintf(t->sender, sizeof t->sender, "%.*s", SLICE_ARG(from));
	t->in_mail = true;
	answer(t, "250 2.1.0 Ok");
}

static const char *refusal_of(const struct screen_talk *t) {
	return t->s->refusal[0] != '\0' ? t->s->refusal : "450 4.3.2 Service currently unavailable";
}

static void do_rcpt(struct screen_talk *t, struct slice args) {
	AUTO_ARENA struct arena mem = { 0 };
	struct screen *s = t->s;
	struct slice to;
	if (!t->in_mail) return answer(t, "503 5.5.1 Error: need MAIL command");
	if (!address_of(args, S("TO:"), &mem, &to)) return answer(t, "501 5.5.4 Syntax: RCPT TO:<address>");
	/* it has kept to the rules up to here: that is what these tests are about */
	for (size_t i = SCREEN_PIPELINING; i < SCREEN_TESTS; i++) {
		s->passed[i] |= s->todo[i] && s->params->tests[i].on && s->refusal[0] == '\0';
		s->todo[i] = false;
	}
	const char *reply = refusal_of(t);
	AUTO_BUF struct buf line = BUF(KIB(4));
	buf_addf(&line, "reject: RCPT from %s: %s; from=<%s>, to=<%.*s>, proto=%s, helo=<%s>", s->name, reply,
		 t->sender, SLICE_ARG(to), t->proto, t->helo);
	log_line(L_INFO, s->params->log_name, 0, "NOQUEUE", buf_text(&line), NULL, 0);
	answer(t, reply);
}

static void do_starttls(struct screen_talk *t) {
	const struct screen_params *p = t->s->params;
	if (stream_tls(t->stream) != NULL) return answer(t, "554 5.5.1 Error: TLS already active");
	if ((p->offer & OFFER_STARTTLS) == 0 || p->tls == NULL)
		return answer(t, "502 5.5.1 Error: command not implemented");
	answer(t, "220 2.0.0 Ready to start TLS");
	t->helo[0] = '\0';
	t->in_mail = false;
	t->handshake = true;
}

static void do_quit(struct screen_talk *t) {
	answer(t, "221 2.0.0 Bye");
	finish(t);
}

static void do_reset(struct screen_talk *t) {
	t->in_mail = false;
	answer(t, "250 2.0.0 Ok");
}

static void do_vrfy(struct screen_talk *t, struct slice args) {
	if ((t->s->params->offer & OFFER_VRFY) == 0) return answer(t, "502 5.5.1 VRFY command is disabled");
	args = slice_trim(args);
	if (args.len == 0) return answer(t, "501 5.5.4 Syntax: VRFY address");
	answer(t, refusal_of(t));
}

static void do_data(struct screen_talk *t) {
	screen_tell(t->s, "DATA without valid RCPT from");
	answer(t, t->in_mail ? "554 5.5.1 Error: no valid recipients" : "503 5.5.1 Error: need RCPT command");
	finish(t); /* as Postfix: what it would send now is no command */
}

enum { HELO, EHLO, STARTTLS, MAIL, RCPT, DATA, BDAT, RSET, NOOP, VRFY, QUIT, ETRN };
static const struct {
	struct slice word;
	int what;
	bool before_tls;
} commands[] = {
	{ S("HELO"), HELO, true },  { S("EHLO"), EHLO, true },  { S("STARTTLS"), STARTTLS, true },
	{ S("MAIL"), MAIL, false }, { S("RCPT"), RCPT, false }, { S("DATA"), DATA, false },
	{ S("BDAT"), BDAT, false }, { S("RSET"), RSET, false }, { S("NOOP"), NOOP, true },
	{ S("VRFY"), VRFY, false }, { S("QUIT"), QUIT, true },  { S("ETRN"), ETRN, false },
};

static void run(struct screen_talk *t, int what, struct slice args) {
	switch (what) {
	case HELO: case EHLO: return do_hello(t, args, what == EHLO);
	case STARTTLS: return do_starttls(t);
	case MAIL: return do_mail(t, args);
	case RCPT: return do_rcpt(t, args);
	case DATA: case BDAT: return do_data(t);
	case RSET: return do_reset(t);
	case NOOP: return answer(t, "250 2.0.0 Ok");
	case VRFY: return do_vrfy(t, args);
	case QUIT: return do_quit(t);
	default: return answer(t, "458 Unable to queue messages");
	}
}

static bool is_forbidden(const struct screen_talk *t, struct slice word) {
	const struct screen_params *p = t->s->params;
	for (size_t i = 0; i < p->forbidden_count; i++)
		if (slice_same(p->forbidden[i], word)) return true;
	return slice_find(word, ':') < word.len;
}

/* postscreen_command_filter. */
static struct slice filtered(const struct screen_talk *t, struct slice line, struct arena *mem) {
	const struct screen_params *p = t->s->params;
	struct lookup_hit hit;
	if (p->command_filter.count == 0) return line;
	int r = lookup_key(&p->command_filter, line, mem, &hit);
	if (r == TABLE_LATER) say(L_WARN, p->log_name, "postscreen_command_filter: %s", fail_text());
	if (r != TABLE_FOUND) return line;
	say(L_INFO, p->log_name, "%s: replacing command \"%.*s\" with \"%.*s\"", t->s->name,
	    SLICE_ARG(slice_head(line, 100)), SLICE_ARG(slice_head(hit.value, 100)));
	return hit.value;
}

static void line_taken(struct screen_talk *t, struct slice line, bool bare) {
	struct screen *s = t->s;
	AUTO_ARENA struct arena mem = { 0 };
	line = filtered(t, line, &mem);
	struct slice args = line, word = slice_word(&args, " \t");
	size_t i = 0;
	while (i < LEN(commands) && !slice_same(commands[i].word, word)) i++;
	if (bare && s->todo[SCREEN_BARE_NEWLINE]) {
		tell(t, "BARE NEWLINE", line, SLICE_NONE);
		failed(t, SCREEN_BARE_NEWLINE, "5.5.1 Protocol error");
		if (t->over) return;
	}
	if (i == LEN(commands) && word.len != 0 && s->todo[SCREEN_NON_SMTP] && is_forbidden(t, word)) {
		tell(t, "NON-SMTP COMMAND", SLICE_NONE, line);
		failed(t, SCREEN_NON_SMTP,
		       s->params->tests[SCREEN_NON_SMTP].action == SCREEN_DROP
			       ? "5.7.0 Error: I can break rules, too. Goodbye."
			       : "5.5.1 Protocol error");
		if (t->over) return;
	}
	if (i < LEN(commands)) t->where = commands[i].word.at;
	if (s->todo[SCREEN_PIPELINING] && (i == LEN(commands) || commands[i].what != BDAT) &&
	    stream_has_input(t->stream)) {
		tell(t, "COMMAND PIPELINING", SLICE_NONE, stream_peek(t->stream));
		failed(t, SCREEN_PIPELINING, "5.5.1 Protocol error");
		if (t->over) return;
	}
	if (++t->commands > s->params->command_limit) {
		tell(t, "COMMAND COUNT LIMIT", SLICE_NONE, SLICE_NONE);
		answerf(t, "421 %s Service unavailable - try again later", s->params->host);
		return finish(t);
	}
	if (word.len == 0) return answer(t, "500 5.5.2 Error: bad syntax");
	if (i == LEN(commands)) return answer(t, "502 5.5.2 Error: command not recognized");
	if (s->params->tls_required && stream_tls(t->stream) == NULL && !commands[i].before_tls)
		return answer(t, "530 5.7.0 Must issue a STARTTLS command first");
	run(t, commands[i].what, args);
}

/* Stepping. */

static bool hung_up(struct screen_talk *t) {
	AUTO_BUF struct buf line = BUF(512);
	if (t->over) return false;
	buf_addf(&line, "HANGUP after %.2g from %s in tests after SMTP handshake",
		 (double)(clock_ms() - t->s->started) / 1000, t->s->name);
	log_line(L_INFO, t->s->params->log_name, 0, NULL, buf_text(&line), NULL, 0);
	finish(t);
	return false;
}

static void take_lines(struct screen_talk *t) {
	struct slice line;
	for (int n = 0; n < LINES_A_STEP && !t->over && !t->handshake; n++) {
		bool bare = false;
		int r = stream_line(t->stream, t->s->params->line_limit + 1, &line, &bare);
		if (r == STREAM_AGAIN) return;
		if (r == STREAM_LONG) {
			tell(t, "COMMAND LENGTH LIMIT", SLICE_NONE, SLICE_NONE);
			answerf(t, "421 4.7.0 %s Error: command too long", t->s->params->host);
			return finish(t);
		}
		t->deadline = deadline_in(t->s->params->command_ms);
		line_taken(t, line, bare);
	}
}

/* False: the client is gone, or wants nothing of TLS. */
static bool begin_tls(struct screen_talk *t) {
	t->handshake = false;
	/* what stands behind STARTTLS in the clear is never read (CVE-2011-0411) */
	return !stream_has_input(t->stream) && stream_flush(t->stream) == STREAM_OK &&
	       stream_start_tls_server(t->stream, t->s->params->tls) >= 0;
}

bool screen_talk_step(struct screen_talk *t, enum wake why) {
	if (why == WAKE_STOP && !t->over) {
		answerf(t, "421 4.3.2 %s Service shutting down", t->s->params->host);
		finish(t);
	}
	if (!t->greeted) {
		t->greeted = true;
		t->deadline = deadline_in(t->s->params->command_ms);
		answerf(t, "220 %s", t->s->params->greeting);
	}
	if (clock_ms() >= t->deadline) {
		if (t->over) return false;
		tell(t, "COMMAND TIME LIMIT", SLICE_NONE, SLICE_NONE);
		answerf(t, "421 4.4.2 %s Error: timeout exceeded", t->s->params->host);
		finish(t);
	}
	int r = STREAM_OK;
	if (!t->over) r = stream_fill(t->stream);
	take_lines(t);
	if (t->handshake && !begin_tls(t)) return hung_up(t);
	int flushed = stream_flush(t->stream);
	if (flushed != STREAM_OK && flushed != STREAM_AGAIN) return hung_up(t);
	if (t->over) return flushed == STREAM_AGAIN;
	if (r != STREAM_OK && r != STREAM_AGAIN) return hung_up(t);
	stream_relax(t->stream);
	return true;
}

uint32_t screen_talk_events(const struct screen_talk *t) {
	return t->over ? (uint32_t)EPOLLOUT : stream_events(t->stream);
}

int64_t screen_talk_deadline(const struct screen_talk *t) {
	struct slice have = stream_peek(t->stream);
	bool more = !t->over && slice_find(have, '\n') < have.len; /* a step takes a bounded number of lines */
	return more ? 0 : t->deadline;
}
