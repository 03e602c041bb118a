/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Plays dialogues (see server.test.c) against a session whose owner writes down what it is asked and decides by
 * name: what starts with "no" is refused. */
#include "smtp/server.h"
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <cmocka.h>

struct owner {
	struct buf log, text;
	struct smtp_server *server;
	const char *host;
	char from[80], rcpts[8][80];
	size_t count;
	struct tls_server *tls;
	bool waited;
};

static inline void owner_log(struct owner *o, const char *format, ...) PRINTF_LIKE(2, 3);
static inline void owner_log(struct owner *o, const char *format, ...) {
	va_list args;
	va_start(args, format);
	assert_true(buf_addv(&o->log, format, args));
	va_end(args);
	buf_byte(&o->log, '\n');
}

static inline struct smtp_reply on_connect(void *owner, struct arena *mem) {
	struct owner *o = owner;
	if (strcmp(o->host, "closed") == 0) return smtp_reply(554, "5.7.1", S("no"));
	if (strcmp(o->host, "full") == 0) return smtp_reply(421, "4.7.0", S("full Error: too many connections"));
	return smtp_reply_fmt(mem, 220, NULL, "%s ESMTP", o->host);
}

static inline struct smtp_reply on_helo(void *owner, struct slice name, bool esmtp, unsigned *offer,
					struct arena *mem) {
	(void)owner, (void)offer;
	if (slice_eq(name, S("no")))
		return smtp_reply_fmt(mem, 504, "5.5.2", "<%.*s>: Helo command rejected", SLICE_ARG(name));
	return smtp_reply(250, NULL, esmtp ? S("") : S("hello"));
}

static inline enum sasl_verdict on_auth(void *owner, const struct sasl_ask *ask, struct arena *mem,
					struct sasl_found *found) {
	owner_log(owner, "auth %s %.*s %.*s", ask->mechanism, SLICE_ARG(ask->user), SLICE_ARG(ask->secret));
	if (!slice_eq(ask->secret, S("secret"))) return SASL_NO;
	found->name = arena_slice(mem, ask->user);
	return SASL_YES;
}

/* Every other time: not now. */
static inline bool on_wait(struct owner *o) {
	o->waited = !o->waited;
	if (!o->waited) return false;
	owner_log(o, "wait");
	smtp_server_pause(o->server, 3);
	return true;
}

static inline bool on_may_verp(void *owner) {
	(void)owner;
	return true;
}

static inline struct smtp_reply on_mail(void *owner, const struct smtp_mail *m, struct arena *mem) {
	struct owner *o = owner;
	if (slice_eq(m->from.local, S("slow")) && on_wait(o)) return smtp_reply(SMTP_PAUSE, NULL, S(""));
	buf_addf(&o->log, "mail <%.*s>", SLICE_ARG(m->text));
	if (m->size != 0) buf_addf(&o->log, " size=%d", (int)m->size);
	if (m->body != 0) buf_addf(&o->log, " body=%d", m->body);
	if (m->utf8) buf_addf(&o->log, " utf8=1");
	if (m->ret != 0) buf_addf(&o->log, " ret=%d", m->ret);
	if (m->envid.at != NULL) buf_addf(&o->log, " envid=%.*s", SLICE_ARG(m->envid));
	if (m->auth.at != NULL) buf_addf(&o->log, " auth=%.*s", SLICE_ARG(m->auth));
	if (m->verp.len != 0) buf_addf(&o->log, " verp=%.*s", SLICE_ARG(m->verp));
	buf_byte(&o->log, '\n');
	snprintf(o->from, sizeof o->from, "%.*s", SLICE_ARG(m->from.local));
	o->count = 0;
	if (strcmp(o->from, "bye") == 0) return smtp_reply(421, "4.7.0", S("mx.test go away"));
	if (strcmp(o->from, "no") == 0)
		return smtp_reply_fmt(mem, 450, "4.1.8", "<%.*s>: Sender address rejected", SLICE_ARG(m->text));
	return smtp_reply(250, "2.1.0", S("Ok"));
}

static inline struct smtp_reply on_rcpt(void *owner, const struct smtp_rcpt *r, struct arena *mem) {
	struct owner *o = owner;
	buf_addf(&o->log, "rcpt <%.*s>", SLICE_ARG(r->text));
	if (r->notify != 0) buf_addf(&o->log, " notify=%u", r->notify);
	if (r->orcpt.at != NULL) buf_addf(&o->log, " orcpt=%.*s", SLICE_ARG(r->orcpt));
	buf_byte(&o->log, '\n');
	if (slice_starts(r->text, S("no")))
		return smtp_reply_fmt(mem, 550, "5.1.1", "<%.*s>: Recipient address rejected: User unknown",
				      SLICE_ARG(r->text));
	snprintf(o->rcpts[o->count++], sizeof o->rcpts[0], "%.*s", SLICE_ARG(r->text));
	return smtp_reply(250, "2.1.5", S("Ok"));
}

static inline struct smtp_reply on_data_begin(void *owner, struct arena *mem) {
	struct owner *o = owner;
	(void)mem;
	owner_log(o, "begin");
	buf_clear(&o->text);
	if (strcmp(o->from, "nodata") == 0) return smtp_reply(550, "5.5.3", S("<DATA>: Data command rejected"));
	return smtp_reply(354, NULL, S(""));
}

static inline void on_data_bytes(void *owner, struct slice bytes) {
	struct owner *o = owner;
	assert_true(buf_add(&o->text, bytes));
}

static inline void on_data_end(void *owner, const struct smtp_content *content, struct smtp_reply *replies,
			       size_t count, struct arena *mem) {
	struct owner *o = owner;
	if (strcmp(o->from, "slow") == 0 && on_wait(o)) {
		replies[0] = smtp_reply(SMTP_PAUSE, NULL, S(""));
		return;
	}
	buf_addf(&o->log, "text '");
	for (size_t i = 0; i < o->text.len; i++) {
		char c = o->text.at[i];
		if (c == '\r' || c == '\n') buf_addf(&o->log, "\\%c", c == '\r' ? 'r' : 'n');
		else buf_byte(&o->log, c);
	}
	const struct smtp_session *session = smtp_server_session(o->server);
	owner_log(o, "' %d as %s", (int)content->size, smtp_session_with(session));
	if (strcmp(session->proto, "LMTP") != 0) {
		replies[0] = strcmp(o->from, "noend") == 0 ? smtp_reply(554, "5.7.1", S("Blocked\nsecond line"))
							   : smtp_reply(250, "2.0.0", S("Ok: queued as ID"));
		return;
	}
	assert_int_equal(count, o->count);
	for (size_t i = 0; i < count; i++)
		replies[i] = strcmp(o->rcpts[i], "full@d") == 0
				     ? smtp_reply_fmt(mem, 452, "4.2.2", "<%s> Mailbox full", o->rcpts[i])
				     : smtp_reply_fmt(mem, 250, "2.0.0", "<%s> Saved", o->rcpts[i]);
}

static inline void on_reset(void *owner) {
	owner_log(owner, "reset");
}

static inline struct tls_server *on_tls(void *owner) {
	struct owner *o = owner;
	return o->tls;
}

static inline void on_note(void *owner, const struct smtp_note *n) {
	AUTO_BUF struct buf text = BUF(KIB(8));
	smtp_note_add(&text, n, S("h[192.0.2.7]"));
	owner_log(owner, "%s", buf_text(&text));
}

#define OWNER_OPS(more_) \
	{ .connect = on_connect, .helo = on_helo, .auth = on_auth, .mail = on_mail, .rcpt = on_rcpt, \
	  .data_begin = on_data_begin, .data_bytes = on_data_bytes, .data_end = on_data_end, .reset = on_reset, \
	  .note = on_note, more_ }
static const struct smtp_server_ops clear_ops = OWNER_OPS(.may_verp = on_may_verp);
static const struct smtp_server_ops tls_ops = OWNER_OPS(.tls = on_tls);

struct play {
	const char *name;
	struct owner owner;
	struct stream *stream;
	int fd;            /* the client's end */
	enum smtp_next next;
	struct buf said;   /* by the server, not yet expected */
	size_t logged;     /* bytes of the owner's log already expected */
};

static inline void play_listen(struct play *p) {
	char room[4096];
	ssize_t n;
	while ((n = recv(p->fd, room, sizeof room, MSG_DONTWAIT)) > 0)
		assert_true(buf_add(&p->said, slice_from(room, (size_t)n)));
}

/* Steps until the session waits for the client. */
static inline void play_step(struct play *p, enum wake why) {
	if (p->next == SMTP_OVER) return;
	p->next = smtp_server_step(p->owner.server, why);
	while (p->next == SMTP_PARK &&
	       (smtp_server_events(p->owner.server) & (EPOLLIN | EPOLLOUT)) == 0) { /* replies are held back */
		usleep((useconds_t)deadline_left(smtp_server_deadline(p->owner.server)) * 1000);
		p->next = smtp_server_step(p->owner.server, WAKE_DEADLINE);
	}
	while (p->next == SMTP_PARK && smtp_server_deadline(p->owner.server) == 0)
		p->next = smtp_server_step(p->owner.server, WAKE_DEADLINE);
	play_listen(p);
}

static inline void play_send(struct play *p, struct slice bytes, size_t piece) {
	for (; bytes.len != 0; bytes = slice_skip(bytes, piece)) {
		struct slice part = slice_head(bytes, piece);
		if (send(p->fd, part.at, part.len, MSG_NOSIGNAL) < 0) return;
		play_step(p, WAKE_IO);
	}
}

static inline void play_add_special(struct play *p, struct buf *out, const char *word, size_t piece) {
	if (strcmp(word, "@big") == 0) for (int i = 0; i < 77; i++) buf_addf(out, "big big big\r\n");
	else if (strcmp(word, "@line") == 0) for (int i = 0; i < 300; i++) buf_byte(out, 'x');
	else buf_addf(out, "%s", word);
	if (strcmp(word, "@line") == 0) buf_addf(out, "\r\n");
	if (strcmp(word, "@end") != 0 && strcmp(word, "@wait") != 0 && strcmp(word, "@stop") != 0) return;
	out->len -= strlen(word);
	play_send(p, buf_slice(out), piece);
	buf_clear(out);
	if (word[1] == 'e') shutdown(p->fd, SHUT_WR);
	if (word[1] == 'w') usleep((useconds_t)(deadline_left(smtp_server_deadline(p->owner.server)) + 1) * 1000);
	play_step(p, word[1] == 'e' ? WAKE_IO : word[1] == 'w' ? WAKE_DEADLINE : WAKE_STOP);
}

static inline void play_expect(struct play *p, const char *line) {
	struct slice have = buf_slice(&p->said), want = slice_of(line);
	size_t end = slice_search(have, S("\r\n"));
	if (!slice_eq(slice_head(have, end), want))
		fail_msg("%s: wanted '%s', got '%s'\nlog:\n%s", p->name, line, buf_text(&p->said),
			 buf_text(&p->owner.log));
	buf_eat(&p->said, MIN_OF(end + 2, have.len));
}

static inline void play_expect_log(struct play *p, const char *line) {
	struct slice rest = slice_skip(buf_slice(&p->owner.log), p->logged);
	AUTO_BUF struct buf want = BUF(KIB(4));
	buf_addf(&want, "%s\n", line);
	size_t at = slice_search(rest, buf_slice(&want));
	if (at == rest.len) fail_msg("%s: the log lacks '%s':\n%s", p->name, line, buf_text(&p->owner.log));
	p->logged += at + want.len;
}

static inline void play_lines(struct play *p, const char *const lines[64], size_t piece) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	for (size_t i = 0; i < 64 && lines[i] != NULL; i++) {
		const char *line = lines[i];
		bool more = i + 1 < 64 && lines[i + 1] != NULL && strchr("CR", lines[i + 1][0]) != NULL;
		if (line[0] == 'C') buf_addf(&out, "%s\r\n", line + 3);
		if (line[0] == 'R') play_add_special(p, &out, line + 3, piece);
		if (!more && out.len != 0) {
			play_send(p, buf_slice(&out), piece);
			buf_clear(&out);
		}
		if (line[0] == 'S') play_expect(p, line + 3);
		if (line[0] == 'X' && p->next != SMTP_OVER) fail_msg("%s: the session goes on", p->name);
	}
	if (p->said.len != 0) fail_msg("%s: not expected: '%s'", p->name, buf_text(&p->said));
}

static inline void dialogue_play(const char *name, const struct smtp_server_params *params, const char *const lines[64],
				 size_t piece) {
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	struct play p = { .name = name, .fd = pair[1], .said = BUF(MIB(1)) };
	p.owner = (struct owner){ .log = BUF(MIB(1)), .text = BUF(MIB(1)), .host = params->host };
	p.stream = stream_new(pair[0], KIB(32), KIB(64));
	p.owner.server = smtp_server_new(p.stream, params, &clear_ops, &p.owner);
	if (lines[0][0] == 'C') send(p.fd, "EHLO x\r\n", 8, MSG_NOSIGNAL); /* too early */
	play_step(&p, WAKE_CALL);
	play_lines(&p, lines[0][0] == 'C' ? lines + 1 : lines, piece);
	smtp_server_free(&p.owner.server);
	for (size_t i = 0; i < 64 && lines[i] != NULL; i++)
		if (lines[i][0] == 'O') play_expect_log(&p, lines[i] + 3);
	stream_close(&p.stream);
	close(p.fd);
	buf_done(&p.said);
	buf_done(&p.owner.log);
	buf_done(&p.owner.text);
}
