/* SPDX-License-Identifier: Apache-2.0 */
/* Stepping: read what is there, let the reader of the present mode consume it, send all replies at once, park.
 * Everything about time and about quantity is in this file; what commands mean is in server_commands.c and
 * server_mail.c. */
#include <sys/epoll.h>
#include "base/fail.h"
#include "smtp/server_private.h"

enum {
	READ_FULL = 16384,         /* a fill of this size: probably there is more */
	STEP_BUDGET = 1 << 20,     /* bytes of work in one step, then others have their turn */
	COMMAND_COST = 4096,
	OUT_HIGH = 8192,           /* queued replies: send before making more */
};

const struct smtp_server_params smtp_server_defaults = {
	.host = "localhost",
	.offer = OFFER_USUAL | OFFER_STARTTLS | OFFER_AUTH,
	.strict_pipelining = true,
	.line_limit = 2048,
	.size_limit = 10240000,
	.recipient_limit = 1000,
	.recipient_overshoot = 1000,
	.soft_error_limit = 10,
	.hard_error_limit = 20,
	.junk_command_limit = 100,
	.error_delay = SECONDS(1),
	.timeout = SECONDS(300),
	.starttls_timeout = SECONDS(300),
	.min_data_rate = 500,
};

struct smtp_server *smtp_server_new(struct stream *stream, const struct smtp_server_params *params,
                                    const struct smtp_server_ops *ops, void *owner) {
	struct smtp_server *s = mem_get(sizeof *s);
	s->stream = stream;
	s->params = params;
	s->ops = ops;
	s->owner = owner;
	s->mode = MODE_COMMAND;
	s->where = "CONNECT";
	s->command = NO_COMMAND;
	s->awaited = -1;
	s->facts.proto = params->lmtp ? "LMTP" : "SMTP";
	s->facts.helo = s->facts.login = s->facts.mechanism = S("");
	s->deadline = deadline_in(params->timeout);
	return s;
}

void smtp_server_free(struct smtp_server **sp) {
	struct smtp_server *s = *sp;
	if (s == NULL) return;
	*sp = NULL;
	server_tx_end(s);
	sasl_done(&s->sasl);
	arena_done(&s->tx);
	arena_done(&s->mem);
	free(s->helo);
	free(s->login);
	free(s->again_args);
	free(s);
}

const struct smtp_session *smtp_server_session(const struct smtp_server *s) {
	return &s->facts;
}

const char *smtp_session_with(const struct smtp_session *session) {
	static const char *const names[3][4] = { /* by TLS and log-in */
		{ "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" },
		{ "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" },
		{ "LMTP", "LMTPS", "LMTPA", "LMTPSA" },
	};
	if (strcmp(session->proto, "SMTP") == 0) return session->proto;
	size_t kind = strcmp(session->proto, "LMTP") == 0 ? 2 : session->mail != NULL && session->mail->utf8;
	return names[kind][(session->tls != NULL) + 2 * (session->login.len != 0)];
}

/* Beginning. */

static bool talks_first(struct smtp_server *s) {
	if (s->params->tls_wrapper) return false;
	stream_fill(s->stream);
	return server_out_of_turn(s);
}

struct smtp_reply server_greet(struct smtp_server *s) {
	s->greeted = true;
	struct smtp_reply r = s->ops->connect(s->owner, &s->mem);
	s->refused = r.code != 220;
	s->offer = server_offer(s);
	server_reject(s, &r, S(""));
	return r;
}

static void greet(struct smtp_server *s) {
	struct smtp_reply r = server_greet(s);
	if (r.code == SMTP_PAUSE) return server_pause(s, AGAIN_GREET, S(""));
	/* who talks before the greeting does not listen to it (RFC 5321 §4.3.1) */
	if (r.code == 220 && talks_first(s)) return;
	server_answer(s, r);
}

void smtp_server_pause(struct smtp_server *s, int64_t ms) {
	s->pause_ms = ms;
}

void smtp_server_wait(struct smtp_server *s, int fd, int64_t ms) {
	s->pause_ms = ms;
	s->awaited = fd;
}

int smtp_server_awaits(const struct smtp_server *s) {
	return s->held_until != 0 ? s->awaited : -1;
}

void server_pause(struct smtp_server *s, int again, struct slice args) {
	s->again = (__typeof__(s->again))again;
	free(s->again_args);
	s->again_args = again == AGAIN_LINE ? slice_text(args) : NULL;
	s->held_until = deadline_in(s->pause_ms);
	arena_reset(&s->mem);
}

static void go_on(struct smtp_server *s) {
	int again = (int)s->again;
	AUTO_FREE char *args = s->again_args;
	s->again = AGAIN_NOT;
	s->again_args = NULL;
	s->awaited = -1;
	if (again == AGAIN_GREET) greet(s);
	if (again == AGAIN_LINE) server_line_again(s, slice_of(args));
	if (again == AGAIN_AUTH) server_auth_again(s);
	if (again == AGAIN_END) server_message_end(s);
}

/* Begins the handshake behind what is queued; false: it cannot be. */
static bool start_tls(struct smtp_server *s) {
	struct tls_server *tls = s->ops->tls != NULL ? s->ops->tls(s->owner) : NULL;
	if (tls == NULL || stream_start_tls_server(s->stream, tls) < 0) {
		server_note(s, SMTP_TLS_FAILED, NULL, S(""), slice_of(tls == NULL ? "no certificate" : fail_text()));
		return false;
	}
	s->mode = MODE_HANDSHAKE;
	s->deadline = deadline_in(s->params->starttls_timeout);
	return true;
}

bool smtp_server_early(struct smtp_server *s) {
	if (s->talked_out_of_turn) return true;
	bool waits = s->command == NO_COMMAND || (server_commands()[s->command].rules & COMMAND_LAST) != 0 ||
	             strcmp(s->facts.proto, "SMTP") == 0;
	if (!waits) return false;
	if (!s->params->tls_wrapper || s->facts.tls != NULL) stream_fill(s->stream);
	return stream_has_input(s->stream);
}

/* Readers: each consumes some of the input its mode is about; false when there is not enough of it. */

static struct smtp_reply too_many_sessions(struct smtp_server *s) {
	struct tls_info info;
	if (s->ops->tls_session == NULL) return (struct smtp_reply){ 0 };
	tls_info(s->facts.tls, &info);
	return info.resumed ? (struct smtp_reply){ 0 } : s->ops->tls_session(s->owner, true, &s->mem);
}

static bool read_handshake(struct smtp_server *s) {
	/* after STARTTLS: the reply to it is queued by now, and goes out in the clear before the first byte of TLS */
	if (stream_tls(s->stream) == NULL && !start_tls(s)) {
		server_last(s);
		return false;
	}
	if (!stream_is_tls(s->stream)) return false;
	s->mode = MODE_COMMAND;
	s->facts.tls = stream_tls(s->stream);
	s->deadline = deadline_in(s->params->timeout);
	server_note(s, SMTP_TLS_STARTED, NULL, S(""), S(""));
	struct smtp_reply limited = too_many_sessions(s);
	if (limited.code != 0) server_answer(s, limited);
	else if (!s->greeted) greet(s);
	s->offer = server_offer(s);
	return true;
}

/* A line that is too long is dropped up to its end; what it gets for an answer waits in s->late. */
static bool line_too_long(struct smtp_server *s, struct smtp_reply r) {
	s->late = r;
	s->mode = MODE_LONG_LINE;
	s->where = "UNKNOWN";
	return true;
}

/* RFC 5321 §2.3.8: a line ends with CRLF and nothing else; a client MUST NOT send LF alone. Whoever does may be
 * relaying what a third party wrote: we can no longer tell commands from smuggled text, so nothing after it is read. */
static bool bare_lf(struct smtp_server *s) {
	s->where = "UNKNOWN";
	s->late = (struct smtp_reply){ 0 };
	struct smtp_reply r = smtp_reply_fmt(&s->mem, 550, "5.5.2", "%s Error: bare <LF> received", s->params->host);
	server_reject(s, &r, S(""));
	server_answer(s, r);
	server_last(s);
	return true;
}

static bool read_long_line(struct smtp_server *s) {
	struct slice have = stream_peek(s->stream);
	size_t end = slice_find(have, '\n');
	if (end == have.len) {
		if (have.len > 1) stream_eat(s->stream, have.len - 1); /* the last byte may be the CR */
		return false;
	}
	bool crlf = end > 0 && have.at[end - 1] == '\r';
	stream_eat(s->stream, end + 1);
	if (!crlf) return bare_lf(s);
	s->mode = MODE_COMMAND;
	server_answer(s, TAKE_REPLY(s->late));
	return true;
}

static bool read_command(struct smtp_server *s) {
	if (s->facts.errors >= s->params->hard_error_limit) {
		server_too_many_errors(s);
		return true;
	}
	struct slice line;
	bool bare = false;
	int r = stream_line(s->stream, s->params->line_limit + 1, &line, &bare);
	if (r == STREAM_AGAIN) return false;
	if (r == STREAM_LONG) {
		return line_too_long(
			s, smtp_reply_fmt(&s->mem, 500, "5.5.2", "%s Error: command too long", s->params->host));
	}
	if (bare) return bare_lf(s);
	s->budget -= MIN_OF(s->budget, (size_t)COMMAND_COST);
	server_line(s, line);
	return true;
}

static bool read_auth(struct smtp_server *s) {
	struct slice line;
	bool bare = false;
	size_t limit = s->params->auth_line_limit != 0 ? s->params->auth_line_limit : (size_t)SASL_LINE_MAX;
	int r = stream_line(s->stream, limit + 1, &line, &bare);
	if (r == STREAM_AGAIN) return false;
	if (r == STREAM_OK && !bare) {
		server_auth_line(s, line);
		return true;
	}
	sasl_done(&s->sasl);
	return bare ? bare_lf(s) : line_too_long(s, smtp_reply(500, "5.5.6", S("SASL response limit exceeded")));
}

static bool read_nothing(struct smtp_server *s) {
	(void)s;
	return false;
}

static bool (*const readers[])(struct smtp_server *s) = {
	[MODE_HANDSHAKE] = read_handshake,
	[MODE_COMMAND] = read_command,
	[MODE_LONG_LINE] = read_long_line,
	[MODE_AUTH] = read_auth,
	[MODE_DATA] = server_data,
	[MODE_CHUNK] = server_chunk,
	[MODE_LAST] = read_nothing,
};

static void consume(struct smtp_server *s) {
	while (s->held_until == 0 && s->budget > 0 && stream_out(s->stream)->len < OUT_HIGH)
		if (!readers[s->mode](s)) return;
}

/* The stepping. */

static enum smtp_next over(struct smtp_server *s) {
	if (!s->noted_end) server_note_end(s);
	s->noted_end = true;
	return SMTP_OVER;
}

/* A STARTTLS whose handshake did not come about counts as one that failed. */
static void uncount_starttls(struct smtp_server *s) {
	for (size_t i = 0; i < COMMANDS; i++)
		if (slice_eq(server_commands()[i].word, S("STARTTLS")) && s->counts[i].ok != 0) s->counts[i].ok--;
}

static enum smtp_next lost(struct smtp_server *s, bool broken) {
	if (s->mode == MODE_LAST) return over(s);
	if (s->mode == MODE_HANDSHAKE) uncount_starttls(s);
	if (broken && s->mode == MODE_HANDSHAKE) server_note(s, SMTP_TLS_FAILED, NULL, S(""), slice_of(fail_text()));
	/* to leave after a message without QUIT is rude, and common */
	if (strcmp(s->where, "END-OF-MESSAGE") != 0) server_note(s, SMTP_LOST, NULL, S(""), server_progress(s));
	stream_flush(s->stream); /* the other half may still listen */
	return over(s);
}

/* Parked sessions are many: they keep what they know and nothing else. */
static enum smtp_next park(struct smtp_server *s) {
	if (s->late.code == 0) arena_done(&s->mem);
	if (!s->in_tx) arena_done(&s->tx);
	stream_relax(s->stream);
	return SMTP_PARK;
}

/* Closing with unread input makes TCP say "reset", which can take our last words away from a client that still
 * talks. */
static void drain(struct smtp_server *s) {
	for (int i = 0; i < 4 && stream_fill(s->stream) == STREAM_OK; i++)
		stream_eat(s->stream, stream_peek(s->stream).len);
}

/* Reads once; true: there is something to consume. */
static bool read_more(struct smtp_server *s, bool *again, int *result) {
	uint64_t before = stream_bytes_in(s->stream);
	*result = stream_fill(s->stream);
	size_t got = (size_t)(stream_bytes_in(s->stream) - before);
	s->budget -= MIN_OF(s->budget, got);
	bool patient = !s->params->per_request && s->mode != MODE_HANDSHAKE && s->mode != MODE_LAST;
	if (got != 0 && patient) s->deadline = deadline_in(s->params->timeout);
	/* less than a full read: the socket is empty, and asking again would be for nothing; TLS gives one record at a
	 * time */
	*again = got >= READ_FULL || (got > 0 && stream_is_tls(s->stream));
	return *result == STREAM_OK || (s->mode == MODE_HANDSHAKE && stream_is_tls(s->stream));
}

/* again: something may have arrived. */
static enum smtp_next converse(struct smtp_server *s, bool again) {
	for (;;) {
		int r = STREAM_OK;
		consume(s);
		if (s->held_until != 0) return park(s);
		if (s->mode == MODE_LAST || stream_out(s->stream)->len >= OUT_HIGH) {
			r = stream_flush(s->stream);
			if (r == STREAM_AGAIN) return park(s);
			if (r != STREAM_OK) return lost(s, r < 0);
			if (s->mode != MODE_LAST) continue;
			drain(s);
			return over(s);
		}
		s->yielding = s->budget == 0;
		if (s->yielding || !again) break;
		if (!read_more(s, &again, &r)) {
			if (r != STREAM_AGAIN) return lost(s, r < 0);
			break;
		}
	}
	int r = stream_flush(s->stream);
	if (r == STREAM_OK && s->mode == MODE_HANDSHAKE && stream_is_tls(s->stream)) {
		/* its last message came just now: there is nothing left to wake us, for the client waits for our
		 * greeting */
		consume(s);
		r = stream_flush(s->stream);
	}
	return r == STREAM_OK || r == STREAM_AGAIN ? park(s) : lost(s, r < 0);
}

/* true: the session can go on to say so. */
static bool timed_out(struct smtp_server *s) {
	if (s->mode == MODE_LAST) return false;
	server_note(s, SMTP_TIMEOUT, NULL, S(""), server_progress(s));
	if (s->mode == MODE_HANDSHAKE) return false;
	server_good_bye(s, "4.4.2", "Error: timeout exceeded");
	return true;
}

enum smtp_next smtp_server_step(struct smtp_server *s, enum wake why) {
	int64_t now = clock_ms();
	s->budget = STEP_BUDGET;
	s->yielding = false;
	if (s->noted_end) return SMTP_OVER;
	if (why == WAKE_STOP && s->mode == MODE_HANDSHAKE) return over(s);
	bool answered = smtp_server_awaits(s) >= 0 && (why == WAKE_IO || why == WAKE_STOP);
	if (answered) {
		s->held_until = 0;
		go_on(s);
	}
	if (why == WAKE_STOP && s->mode != MODE_LAST) {
		server_good_bye(s, "4.3.2", "Service shutting down");
		s->held_until = 0;
	} else if (answered) {
		return converse(s, false); /* the client was not listened to: what he says next wakes us */
	} else if (s->held_until != 0) {
		if (now < s->held_until)
			return why == WAKE_IO ? lost(s, false) : SMTP_PARK; /* parked for nothing: it hung up */
		s->held_until = 0;
		if (s->mode != MODE_LAST) s->deadline = deadline_in(s->params->timeout);
		if (s->mode != MODE_LAST) go_on(s);
	} else if (now >= s->deadline) {
		if (!timed_out(s)) return over(s);
	} else if (!s->greeted && s->mode == MODE_COMMAND) {
		if (!s->params->tls_wrapper) greet(s);
		else if (!start_tls(s)) return over(s);
	}
	return converse(s, true);
}

uint32_t smtp_server_events(const struct smtp_server *s) {
	if (s->held_until != 0) return EPOLLHUP; /* who has gone need not be waited for */
	bool blocked = stream_out(s->stream)->len != 0 && s->mode != MODE_HANDSHAKE;
	return blocked ? EPOLLOUT : stream_events(s->stream);
}

int64_t smtp_server_deadline(const struct smtp_server *s) {
	if (s->yielding) return 0;
	return s->held_until != 0 ? s->held_until : s->deadline;
}
