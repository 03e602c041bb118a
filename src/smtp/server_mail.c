/* SPDX-License-Identifier: Apache-2.0 */
/* One message: MAIL, RCPT, and DATA or BDAT (RFC 5321 §3.3, RFC 3030). A message that breaks a rule is read to its
 * end all the same: the replies must stay in step with what the client sends. */
#include "smtp/command.h"
#include "smtp/server_private.h"

static void give_up(struct smtp_server *s) {
	if (s->in_tx) s->ops->reset(s->owner);
	s->in_tx = false;
	s->facts.mail = NULL;
}

void server_tx_end(struct smtp_server *s) {
	give_up(s);
	s->facts.rcpts = 0;
	s->chunked = s->chunk_failed = false;
	s->overshoot = 0;
	s->body = (struct body){ 0 };
	arena_reset(&s->tx);
}

/* Tells of an address that is none: args are "FROM:<a b>" or "TO:<a b>". */
static struct smtp_reply refused(struct smtp_server *s, struct smtp_reply r, struct slice args) {
	if (strcmp(r.status, "5.1.7") != 0 && strcmp(r.status, "5.1.3") != 0) return r;
	struct slice path = slice_trim(slice_skip(args, slice_find(args, ':') + 1));
	server_note(s, SMTP_BAD_ADDRESS, NULL, S(""), server_printable(s, path));
	return r;
}

struct smtp_reply server_mail(struct smtp_server *s, struct slice args) {
	if (s->in_tx) return smtp_reply(503, "5.5.1", S("Error: nested MAIL command"));
	if (s->chunk_failed) return smtp_reply(503, "5.5.1", S("Error: MAIL after BDAT"));
	const struct smtp_server_params *p = s->params;
	arena_reset(&s->tx);
	struct smtp_reply r = command_mail(arena_slice(&s->tx, args), p, s->offer, &s->tx, &s->mail);
	if (r.code != 0) return refused(s, r, args);
	s->facts.mail = &s->mail;
	bool too_big = p->size_limit != 0 && s->mail.size > p->size_limit;
	if (too_big && s->mail.size == UINT64_MAX)
		r = smtp_reply(552, "5.3.4", S("Message size exceeds file system imposed limit"));
	else if (too_big) r = smtp_reply(552, "5.3.4", S("Message size exceeds fixed limit"));
	else r = s->ops->mail(s->owner, &s->mail, &s->mem);
	server_reject(s, &r, S(""));
	s->in_tx = smtp_reply_ok(&r);
	if (!s->in_tx) s->facts.mail = NULL;
	return r;
}

struct smtp_reply server_rcpt(struct smtp_server *s, struct slice args) {
	if (s->chunked || s->chunk_failed) return smtp_reply(503, "5.5.1", S("Error: RCPT after BDAT"));
	if (!s->in_tx) return smtp_reply(503, "5.5.1", S("Error: need MAIL command"));
	struct smtp_rcpt to;
	struct smtp_reply r = command_rcpt(arena_slice(&s->mem, args), s->params, s->offer, s->mail.utf8, &s->mem, &to);
	if (r.code != 0) return refused(s, r, args);
	bool enough = s->facts.rcpts >= s->params->recipient_limit;
	s->forgiven = enough && s->overshoot++ < s->params->recipient_overshoot;
	if (enough) r = smtp_reply(452, "4.5.3", S("Error: too many recipients"));
	else r = s->ops->rcpt(s->owner, &to, &s->mem);
	server_reject(s, &r, to.text);
	if (smtp_reply_ok(&r)) s->facts.rcpts++;
	return r;
}

/* Asks whether the text may come; 354: yes. */
static struct smtp_reply begin(struct smtp_server *s, bool dots) {
	if (s->facts.rcpts == 0 && s->in_tx) return smtp_reply(554, "5.5.1", S("Error: no valid recipients"));
	if (s->facts.rcpts == 0) return smtp_reply(503, "5.5.1", S("Error: need RCPT command"));
	struct smtp_reply r = s->ops->data_begin(s->owner, &s->mem);
	server_reject(s, &r, S(""));
	if (r.code == 354) {
		s->body = body_new(dots, s->params->size_limit, s->params->text_line_limit);
		s->body.stripped = s->params->stripped;
		s->body.rejected = s->params->rejected;
	}
	return r;
}

struct smtp_reply server_data_begin(struct smtp_server *s, struct slice args) {
	(void)args;
	if (s->chunked || s->chunk_failed) return smtp_reply(503, "5.5.1", S("Error: DATA after BDAT"));
	struct smtp_reply r = begin(s, true);
	if (r.code != 354) return r;
	s->mode = MODE_DATA;
	return smtp_reply(354, NULL, S("End data with <CR><LF>.<CR><LF>"));
}

/* The text. */

static void hand_on(void *ctx, struct slice bytes) {
	struct smtp_server *s = ctx;
	s->ops->data_bytes(s->owner, bytes);
}

/* Who sends slowly must at least send: each byte buys a little time, never more than a whole timeout. */
static void buy_time(struct smtp_server *s, size_t bytes) {
	int64_t most = deadline_in(s->params->timeout);
	uint64_t rate = s->params->per_request ? s->params->min_data_rate : 0;
	s->deadline = rate == 0 ? most : MIN_OF(most, s->deadline + (int64_t)(bytes * 1000 / rate));
}

/* What is refused is read to its end, but not for ever. */
static bool endless(struct smtp_server *s) {
	uint64_t limit = s->params->size_limit;
	if (limit == 0 || limit > UINT64_MAX / 8 || s->body.taken <= limit * 4 + MIB(64)) return false;
	server_good_bye(s, "4.3.4", "Error: too much data");
	return true;
}

static struct smtp_reply refusal(struct smtp_server *s) {
	static const char *const bare[] = {
		[BODY_BARE_LF] = "bare <LF>", [BODY_BARE_CR] = "bare <CR>", [BODY_NUL] = "<NUL>"
	};
	enum body_fault fault = s->body.fault;
	if (fault == BODY_TOO_BIG) return smtp_reply(552, "5.3.4", S("Error: message file too big"));
	if (fault == BODY_CHARACTER) return smtp_reply(550, "5.7.1", S("disallowed character"));
	if (fault == BODY_LONG_LINE) {
		return smtp_reply_fmt(&s->mem, 554, "5.6.0", "Error: line longer than %zu bytes",
				      s->params->text_line_limit);
	}
	return smtp_reply_fmt(&s->mem, 550, "5.5.2", "%s Error: %s received", s->params->host, bare[fault]);
}

/* How many replies the end of a message gets (RFC 2033 §4.2). */
static size_t reply_count(const struct smtp_server *s) {
	return s->params->lmtp && s->facts.rcpts != 0 ? s->facts.rcpts : 1;
}

static void answer_all(struct smtp_server *s, const struct smtp_reply *replies, size_t count) {
	for (size_t i = 0; i + 1 < count; i++) server_queue(s, &replies[i]);
	server_tx_end(s);
	server_answer(s, replies[count - 1]);
}

static void refuse_all(struct smtp_server *s, struct smtp_reply r) {
	size_t count = reply_count(s);
	for (size_t i = 0; i + 1 < count; i++) server_queue(s, &r);
	server_tx_end(s);
	server_answer(s, r);
}

void server_message_end(struct smtp_server *s) {
	s->mode = MODE_COMMAND;
	s->where = "END-OF-MESSAGE";
	if (s->body.fault != BODY_FINE) {
		struct smtp_reply r = refusal(s);
		server_reject(s, &r, S(""));
		refuse_all(s, r);
		return;
	}
	size_t count = reply_count(s);
	struct smtp_reply *replies = arena_array(&s->mem, count, sizeof *replies);
	for (size_t i = 0; i < count; i++) replies[i] = smtp_reply(451, "4.3.0", S("Error: queue file write error"));
	struct smtp_content content = { s->body.size, s->body.longest, s->chunked };
	s->in_tx = false; /* data_end is the end of it for the owner */
	s->ops->data_end(s->owner, &content, replies, count, &s->mem);
	if (replies[0].code == SMTP_PAUSE) {
		s->in_tx = true;
		return server_pause(s, AGAIN_END, S(""));
	}
	bool accepted = false;
	for (size_t i = 0; i < count; i++) {
		server_reject(s, &replies[i], S(""));
		accepted |= smtp_reply_ok(&replies[i]);
	}
	if (accepted) s->facts.errors = s->junk = 0; /* it does move mail: forgiven */
	answer_all(s, replies, count);
}

bool server_data(struct smtp_server *s) {
	struct slice in = stream_peek(s->stream);
	if (in.len == 0) return false;
	size_t n = body_take(&s->body, in, hand_on, s);
	stream_eat(s->stream, n);
	buy_time(s, n);
	if (s->body.state == BODY_ENDED) server_message_end(s);
	else endless(s);
	return true;
}

/* BDAT. */

/* Why this chunk is to be thrown away; code 0: it is not. */
static struct smtp_reply chunk_refusal(struct smtp_server *s) {
	uint64_t n = s->chunk_left;
	if (s->chunk_failed) {
		return smtp_reply_fmt(&s->mem, 551, "5.0.0", "Discarded %llu bytes after earlier error",
				      (unsigned long long)n);
	}
	if (n == 0 && !s->chunk_last) return smtp_reply(551, "5.7.1", S("Null BDAT request"));
	if (!s->chunked) {
		struct smtp_reply r = begin(s, false);
		if (r.code != 354) return r;
		s->chunked = true;
	}
	uint64_t limit = s->params->size_limit;
	if (limit != 0 && n > limit - s->body.size)
		return smtp_reply(552, "5.3.4", S("Chunk exceeds message size limit"));
	return (struct smtp_reply){ 0 };
}

struct smtp_reply server_bdat(struct smtp_server *s, struct slice args) {
	/* where a chunk is not understood, its bytes would be taken for commands: hang up */
	if ((s->offer & OFFER_CHUNKING) == 0) return smtp_reply(521, "5.5.1", S("Error: command not implemented"));
	bool clear = command_bdat(args, &s->chunk_left, &s->chunk_last);
	if (!clear) return smtp_reply(521, "5.5.4", S("Syntax: BDAT count [LAST]"));
	s->chunk_size = s->chunk_left;
	s->late = chunk_refusal(s);
	if (s->late.code == 421 || s->late.code == 521 || s->late.code == SMTP_PAUSE) return TAKE_REPLY(s->late);
	if (s->late.code != 0) {
		give_up(s);
		s->chunk_failed = true;
	}
	s->mode = MODE_CHUNK;
	return (struct smtp_reply){ 0 };
}

static void chunk_end(struct smtp_server *s) {
	s->mode = MODE_COMMAND;
	struct smtp_reply r = TAKE_REPLY(s->late);
	if (r.code == 0 && s->chunk_last) {
		body_finish(&s->body, hand_on, s);
		server_message_end(s);
		return;
	}
	if (r.code != 0 && s->chunk_last) {
		s->where = "END-OF-MESSAGE";
		refuse_all(s, r);
		return;
	}
	if (r.code == 0 && s->body.fault != BODY_FINE) {
		r = refusal(s);
		server_reject(s, &r, S(""));
		give_up(s);
		s->chunk_failed = true;
	}
	if (r.code == 0) r = smtp_reply_fmt(&s->mem, 250, "2.0.0", "Ok: %llu bytes", (unsigned long long)s->chunk_size);
	server_answer(s, r);
}

bool server_chunk(struct smtp_server *s) {
	struct slice in = stream_peek(s->stream);
	in = slice_head(in, s->chunk_left < in.len ? (size_t)s->chunk_left : in.len);
	if (in.len == 0 && s->chunk_left != 0) return false;
	if (s->late.code == 0) body_take(&s->body, in, hand_on, s);
	else s->body.taken += in.len;
	stream_eat(s->stream, in.len);
	s->chunk_left -= in.len;
	buy_time(s, in.len);
	if (s->chunk_left == 0) chunk_end(s);
	else endless(s);
	return true;
}
