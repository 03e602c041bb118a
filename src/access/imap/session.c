/* SPDX-License-Identifier: Apache-2.0 */
/* A session reads like the RFC: a command, its answer, the next. Only whole lines wake it into work; for a literal it
 * waits in place, because the one who sends it has logged in. Answers to pipelined commands leave together. */
#include "access/imap/notify.h"
#include "access/imap/state.h"
#include "access/line.h"
#include "access/present.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/descriptor.h"
#include "net/pump.h"

#include <sys/epoll.h>
#include <sys/socket.h>

enum {
	LINE_LIMIT = 64 * 1024,
	LITERALS_LIMIT = 1024 * 1024,
	OUT_LIMIT = 8 * 1024 * 1024,
	OUT_STEP = 64 * 1024,
	BAD_LIMIT = 20,
	TAG_LIMIT = 1024,
	HAND_OVER_MS = 10000
};

struct buf *imap_out(struct imap_session *s) {
	return stream_out(s->wire);
}

static int64_t write_deadline(const struct imap_session *s) {
	int64_t limit = s->context->params.write_limit;
	return deadline_in(limit != 0 ? limit : MINUTES(5));
}

static bool written(struct imap_session *s, int result) {
	if (result == STREAM_OK) return true;
	s->broken = s->over = true;
	if (s->ending == NULL)
		s->ending = result == STREAM_LATE     ? "Client does not read"
			    : result == STREAM_CLOSED ? "Connection closed"
						      : "Write failed";
	return false;
}

bool imap_flush(struct imap_session *s) {
	return !s->broken && written(s, stream_wait_flush(s->wire, write_deadline(s)));
}

bool imap_drain(struct imap_session *s) {
	return !s->broken && (imap_out(s)->len < OUT_STEP || imap_flush(s));
}

bool imap_put_large(struct imap_session *s, struct slice bytes) {
	return !s->broken && written(s, stream_wait_put(s->wire, bytes, write_deadline(s)));
}

void imap_end(struct imap_session *s, const char *why) {
	s->over = true;
	if (s->ending == NULL) s->ending = why;
}

/* Reading in place. */

static int lost(struct imap_session *s, int result) {
	s->broken = s->over = true;
	if (s->ending == NULL) s->ending = result == STREAM_LATE ? "Client does not write" : "Connection closed";
	return -1;
}

int imap_read_literal(struct imap_session *s, uint64_t size, int (*take)(void *ctx, struct slice piece), void *ctx) {
	/* slow lines are welcome, silence is not: a minute, and a second for each KiB */
	int64_t deadline = deadline_in(MINUTES(1) + (int64_t)MIN_OF(size, (uint64_t)1 << 40));
	int kept = 0;
	while (size != 0) {
		struct slice piece = slice_head(stream_peek(s->wire), size);
		if (piece.len == 0) {
			/* a line's end at least stands behind it */
			size_t most = (size_t)MIN_OF(size, (uint64_t)UINT32_MAX) + 2;
			int r = stream_wait_bytes(s->wire, most, deadline);
			if (r != STREAM_OK) return lost(s, r);
			continue;
		}
		if (kept == 0 && take != NULL)
			kept = take(ctx, piece); /* what follows a failure still has to be read */
		stream_eat(s->wire, piece.len);
		size -= piece.len;
	}
	return kept;
}

int imap_read_line(struct imap_session *s, struct slice *line) {
	int r = stream_wait_line(s->wire, LINE_LIMIT, line, deadline_in(MINUTES(1)));
	if (r == STREAM_LONG) return 1;
	return r == STREAM_OK ? 0 : lost(s, r);
}

static int add_to_text(void *ctx, struct slice piece) {
	struct imap_session *s = ctx;
	return buf_add(&s->text, piece) ? 0 : 1;
}

static const char *out_of_place(const struct imap_session *s, const struct imap_command *command, bool uid) {
	if (command == NULL) return "BAD Unknown command.";
	if (uid && (command->when & IMAP_UID) == 0) return "BAD This command has no UID form.";
	if ((command->when & IMAP_SELECTED) != 0 && !s->box.open) return "BAD No mailbox selected.";
	if ((command->when & IMAP_NUMBERS) != 0 && !uid && imap_enabled(s, IMAP_UIDONLY))
		return "BAD " IMAP_UIDREQUIRED;
	if ((command->when & IMAP_WRITES) != 0 && s->box.read_only) return "NO [CANNOT] Mailbox is read-only.";
	return NULL;
}

/* The messages of an APPEND go past `text`: they may be large. They are announced behind the mailbox's name. */
static bool reads_itself(struct imap_session *s) {
	struct imap_parse p = IMAP_PARSE(buf_slice(&s->text), &s->mem);
	struct slice tag, name, mailbox;
	struct imap_set set;
	if (!imap_parse_tag(&p, &tag) || !imap_parse_space(&p)) return false;
	bool uid = imap_parse_take_word(&p, "UID");
	if ((uid && !imap_parse_space(&p)) || !imap_parse_atom(&p, &name)) return false;
	const struct imap_command *command = imap_command_find(name);
	if (out_of_place(s, command, uid) != NULL || (command->when & IMAP_READS) == 0 || !imap_parse_space(&p))
		return false;
	if ((command->when & IMAP_SELECTED) != 0 && (!imap_parse_set(&p, &set) || !imap_parse_space(&p))) return false;
	return imap_parse_astring(&p, &mailbox) && imap_parse_space(&p);
}

static void answer_bad(struct imap_session *s, struct slice tag, const char *why) {
	buf_addf(imap_out(s), "%.*s BAD ", SLICE_ARG(tag));
	imap_say(s, why);
	if (++s->bad < BAD_LIMIT) return;
	imap_say(s, "* BYE Too many invalid commands.");
	imap_end(s, "Too many invalid commands");
}

static struct slice tag_of_text(struct imap_session *s) {
	struct imap_parse p = IMAP_PARSE(buf_slice(&s->text), &s->mem);
	struct slice tag;
	return imap_parse_tag(&p, &tag) && tag.len <= TAG_LIMIT && imap_parse_next_is(&p, ' ') ? tag : S("*");
}

/* Brings in the literals that the command's line announces. False: there is no command, and that has been said. */
static bool complete(struct imap_session *s) {
	struct imap_literal literal;
	struct slice line = buf_slice(&s->text);
	uint64_t total = 0;
	s->unread = false;
	while (imap_literal_at_end(line, &literal)) {
		s->unread = reads_itself(s);
		if (s->unread) break;
		bool fits = literal.size <= LITERALS_LIMIT - total;
		if (!fits && literal.waits) {
			answer_bad(s, tag_of_text(s), "[TOOBIG] Literal too large.");
			return false;
		}
		if (literal.waits) {
			buf_add(imap_out(s), S("+ OK\r\n"));
			if (!imap_flush(s)) return false;
		}
		if (!fits) {
			if (literal.size > OUT_LIMIT) {
				imap_say(s, "* BYE [TOOBIG] Literal too large.");
				imap_end(s, "Literal too large");
				return false;
			}
			if (imap_read_literal(s, literal.size, NULL, NULL) == 0 && imap_read_line(s, &line) == 0)
				answer_bad(s, tag_of_text(s), "[TOOBIG] Literal too large.");
			return false;
		}
		total += literal.size;
		buf_add(&s->text, S("\r\n"));
		int r = imap_read_literal(s, literal.size, add_to_text, s);
		if (r < 0 || (r = imap_read_line(s, &line)) < 0) return false;
		if (r > 0 || !buf_add(&s->text, line)) {
			answer_bad(s, tag_of_text(s), "Command too long.");
			s->dropping = r > 0;
			return false;
		}
	}
	return true;
}

/* Running. */

static int64_t progress_interval(const struct imap_session *s) {
	int64_t interval = s->context->params.progress_interval;
	return interval != 0 ? interval : SECONDS(5);
}

bool imap_progress(struct imap_session *s, uint64_t done, uint64_t goal) {
	if (progress_interval(s) < 0 || clock_ms() < s->progress_due) return !s->broken;
	struct buf *out = imap_out(s);
	s->progress_due = clock_ms() + progress_interval(s);
	buf_add(out, S("* OK [INPROGRESS ("));
	imap_put_string(out, s->running);
	if (goal != 0 && done < goal)
		buf_addf(out, " %llu %llu)] ", (unsigned long long)done, (unsigned long long)goal);
	else buf_addf(out, " %llu NIL)] ", (unsigned long long)done);
	imap_say(s, "Still at it.");
	return imap_flush(s);
}

/* With QRESYNC a client keeps a modseq up to which it has missed nothing. Where FETCH responses alone would let it
 * think too high of that (an EXPUNGE that may not be told yet) or too low, the tagged answer says it (RFC 7162 §3.2.7).
 */
static void put_modseq(struct imap_session *s, struct imap_answer a) {
	uint64_t safe = imap_safe_modseq(s);
	bool taken = a.status != IMAP_OK || a.text[0] == '[';
	if (!s->box.open || !imap_enabled(s, IMAP_QRESYNC)) return;
	if (s->box.gone.set.count == 0 && (taken || safe == s->box.modseq_said)) return;
	s->box.modseq_said = safe;
	buf_addf(imap_out(s), taken ? "* OK [HIGHESTMODSEQ %llu] " : "[HIGHESTMODSEQ %llu] ", (unsigned long long)safe);
	if (taken) imap_say(s, "Highest");
}

static void answer(struct imap_session *s, const struct imap_command *command, const struct imap_call *call,
		   struct imap_answer a) {
	if (s->broken || a.status == IMAP_LATER) return;
	if (a.status == IMAP_BAD && s->over) return; /* a BYE has said why */
	if (a.status == IMAP_BAD) {
		answer_bad(s, call->tag, a.text);
		return;
	}
	s->bad = 0;
	/* RFC 3501 §7.4.1, RFC 7162 §3.2.10.2 */
	bool may_expunge = (command->when & IMAP_NO_EXPUNGE) == 0 || (call->uid && !call->numbers);
	if ((command->when & IMAP_NO_NEWS) == 0) imap_sync(s, may_expunge);
	if (s->broken) return;
	bool news = (command->when & IMAP_NO_NEWS) == 0, code = a.status != IMAP_OK || a.text[0] == '[';
	if (news && code) put_modseq(s, a);
	buf_addf(imap_out(s), "%.*s %s ", SLICE_ARG(call->tag), a.status == IMAP_OK ? "OK" : "NO");
	if (news && !code) put_modseq(s, a);
	imap_say(s, a.text);
}

static void run(struct imap_session *s) {
	struct imap_call call = { .p = IMAP_PARSE(buf_slice(&s->text), &s->mem) };
	struct slice name;
	if (!imap_parse_tag(&call.p, &call.tag) || call.tag.len > TAG_LIMIT || !imap_parse_space(&call.p)) {
		answer_bad(s, S("*"), "Invalid tag.");
		return;
	}
	call.p.utf8 = imap_enabled(s, IMAP_UTF8 | IMAP_REV2);
	s->running = call.tag;
	s->progress_due = clock_ms() + progress_interval(s);
	call.uid = imap_parse_take_word(&call.p, "UID");
	if ((call.uid && !imap_parse_space(&call.p)) || !imap_parse_atom(&call.p, &name)) {
		answer_bad(s, call.tag, "Missing command.");
		return;
	}
	const struct imap_command *command = imap_command_find(name);
	const char *why_not = out_of_place(s, command, call.uid);
	if (why_not == NULL) {
		answer(s, command, &call, command->run(s, &call));
	} else if (slice_starts(slice_of(why_not), S("BAD "))) {
		answer_bad(s, call.tag, why_not + 4);
	} else {
		buf_addf(imap_out(s), "%.*s ", SLICE_ARG(call.tag));
		imap_say(s, why_not);
	}
}

static bool take_line(struct imap_session *s) {
	struct slice line;
	int r = access_line(s->wire, LINE_LIMIT, &s->dropping, &line);
	if (r == STREAM_LONG) answer_bad(s, S("*"), "Line too long.");
	if (r != STREAM_OK) return r == STREAM_LONG;
	s->heard = clock_ms();
	if (s->idling) {
		imap_idle_done(s, line);
		return true;
	}
	buf_clear(&s->text);
	buf_add(&s->text, line);
	if (complete(s)) run(s);
	s->running = SLICE_NONE;
	arena_reset(&s->mem);
	return imap_drain(s);
}

/* Who closed only his sending side, or whose edge is about to stop, still reads (RFC 9051 §7.1.5). */
static void hung_up(struct imap_session *s) {
	imap_say(s, "* BYE Connection closed.");
	imap_end(s, "Connection closed");
}

/* Written down under the socket that the client's bytes come over: who is kicked loses that. */
static void enter(struct imap_session *s) {
	const struct present who = { .login = buf_slice(&s->login),
				     .remote = buf_slice(&s->remote),
				     .protocol = "imap",
				     .session = s->log_session };
	s->present = presence_enter(s->context->presence, &who, stream_fd(s->wire));
}

static void take_input(struct imap_session *s) {
	int r = STREAM_OK;
	while (r == STREAM_OK && !s->over) {
		r = stream_fill(s->wire);
		while (!s->over && take_line(s)) continue;
		if (r == STREAM_OK && stream_is_drained(s->wire)) break;
	}
	if (r == STREAM_AGAIN || r == STREAM_OK || s->over) return;
	if (r != STREAM_CLOSED) lost(s, STREAM_CLOSED);
	else hung_up(s);
}

/* The client's own socket. False: it is not there yet, or never will be (then the session is over). */
static bool take_client(struct imap_session *s) {
	char byte;
	int client;
	ssize_t n = descriptor_receive(stream_fd(s->wire), &byte, 1, &client);
	if (client < 0) {
		bool waits = n < 0 && (errno == EAGAIN || errno == EINTR);
		if (!waits || clock_ms() >= s->heard + HAND_OVER_MS) lost(s, STREAM_CLOSED);
		return false;
	}
	s->awaits_client = false;
	s->edge = stream_take_fd(&s->wire);
	s->wire = stream_new(client, LINE_LIMIT + 1024, OUT_LIMIT);
	task_watch(&s->task, client, s->edge);
	enter(s);
	return true;
}

/* Edge says nothing more over the pair once the client's socket has come: what comes is its end. */
static bool edge_left(struct imap_session *s) {
	char byte;
	if (s->edge < 0 || (task_came(&s->task) & 2) == 0) return false;
	ssize_t n = recv(s->edge, &byte, 1, MSG_DONTWAIT);
	s->edge_ended = n >= 0 || (errno != EAGAIN && errno != EINTR);
	return s->edge_ended;
}

/* The task. */

static int64_t patience(const struct imap_session *s) {
	const struct imap_session_params *params = &s->context->params;
	if (s->idling) return params->notice_interval != 0 ? params->notice_interval : MINUTES(2);
	return params->idle_limit != 0 ? params->idle_limit : MINUTES(30);
}

static void tired(struct imap_session *s) {
	if (s->idling) { /* keeps NAT tables warm and finds peers that are gone */
		imap_say(s, "* OK Still here");
		s->heard = clock_ms();
		return;
	}
	imap_say(s, "* BYE Disconnected for inactivity.");
	imap_end(s, "Disconnected for inactivity");
}

static void session_free(struct imap_session *s) {
	AUTO_BUF struct buf text = BUF(256);
	imap_deselect(s);
	buf_addf(&text, "Disconnected: %s ", s->ending != NULL ? s->ending : "Closed");
	note(L_INFO, "imap", s->log_session, NULL, buf_text(&text), FA("user", buf_slice(&s->login)),
	     F("rip", buf_slice(&s->remote)), FN("in", stream_bytes_in(s->wire)), FN("out", stream_bytes_out(s->wire)));
	presence_leave(s->context->presence, s->present);
	/* edge, which has the client's socket too, ends the connection; or has him again, after UNAUTHENTICATE */
	if (s->edge >= 0 && !s->edge_ended) stream_close(&s->wire);
	else stream_part(&s->wire, s->pool);
	auto_fd(&s->edge);
	struct buf *bufs[] = { &s->login, &s->remote, &s->text, &s->tag };
	for (size_t i = 0; i < LEN(bufs); i++) buf_done(bufs[i]);
	arena_done(&s->mem);
	free(s);
}

static void finish(struct task *task, struct imap_session *s) {
	if (s->watch != NULL) change_unwatch(s->context->hub, &s->watch);
	imap_notify_free(s);
	task_end(task);
	session_free(s);
}

/* All but the last byte, and that together with the mark. Who answered over the client's own socket only sends that. */
static void give_back(struct imap_session *s) {
	struct buf *out = imap_out(s);
	char last = 0;
	if (s->broken || out->len == 0) return;
	if (s->edge < 0) last = out->at[--out->len];
	int to = s->edge < 0 ? stream_fd(s->wire) : s->edge;
	if (imap_flush(s) && pump_give_back(to, last, write_deadline(s)) < 0)
		say(L_WARN, "imap", "%.*s: %s", SLICE_ARG(buf_slice(&s->login)), fail_text());
}

static void greet(struct imap_session *s) {
	s->self = task_name(&s->task);
	buf_addf(imap_out(s), "%s OK [", buf_text(&s->tag));
	imap_put_capabilities(s);
	buf_add(imap_out(s), S("] "));
	imap_say(s, "Logged in");
	s->greeted = true;
}

static void step(struct task *task, enum wake why) {
	struct imap_session *s = OWNER_OF(task, struct imap_session, task);
	if (s->over) { /* given back, and taken */
		finish(task, s);
		return;
	}
	if (s->awaits_client && !take_client(s)) {
		if (s->over || why == WAKE_STOP) finish(task, s);
		else task_park(task, EPOLLIN, 0, s->heard + HAND_OVER_MS);
		return;
	}
	if (!s->greeted) greet(s);
	if (why == WAKE_STOP) {
		imap_say(s, "* BYE Server shutting down.");
		imap_end(s, "Server shutting down");
	} else if (edge_left(s)) {
		hung_up(s);
	} else {
		if (why == WAKE_CALL && s->notify != NULL) imap_notify_tell(s);
		else if (why == WAKE_CALL && s->idling) imap_sync(s, true);
		take_input(s);
		if (!s->over && clock_ms() >= s->heard + patience(s)) tired(s);
	}
	if (s->given_back && why != WAKE_STOP) give_back(s);
	else if (!s->broken) imap_flush(s);
	if (s->over) {
		finish(task, s);
		return;
	}
	stream_relax(s->wire);
	buf_done(&s->text);
	arena_done(&s->mem);
	task_park(task, EPOLLIN, EPOLLIN, s->heard + patience(s));
}

static bool is_master(const struct imap_context *context, struct slice login) {
	struct slice rest = context->params.masters;
	for (struct slice word; (word = slice_word(&rest, " ,\t")).len != 0;)
		if (slice_same(word, login)) return true;
	return false;
}

void imap_session_start(struct pool *pool, const struct imap_context *context, int fd, const struct imap_grant *grant) {
	struct imap_session *s = mem_get(sizeof(*s));
	*s = (struct imap_session){ .task.step = step,
				    .pool = pool,
				    .context = context,
				    .account = grant->account,
				    .log_session = grant->session,
				    .tls = grant->tls,
				    .heard = clock_ms(),
				    .login = BUF(KIB(1)),
				    .remote = BUF(256),
				    .text = BUF(LINE_LIMIT * 2 + LITERALS_LIMIT),
				    .tag = BUF(TAG_LIMIT) };
	buf_add(&s->login, grant->login);
	s->no_uidonly = grant->no_uidonly;
	s->language = grant->language < LANGUAGE_COUNT ? (enum language)grant->language : LANGUAGE_DEFAULT;
	s->master = grant->master.len != 0 || is_master(context, grant->login);
	buf_add(&s->remote, grant->remote);
	buf_add(&s->tag, grant->tag);
	s->wire = stream_new(fd, LINE_LIMIT + 1024, OUT_LIMIT);
	s->edge = -1;
	s->awaits_client = grant->handed;
	if (!s->awaits_client) enter(s);
	pool_add(pool, &s->task, fd, -1);
}
