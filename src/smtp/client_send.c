/* SPDX-License-Identifier: Apache-2.0 */
/* One transaction is a row of commands: MAIL, each RCPT, DATA. With PIPELINING (RFC 2920) they leave in groups, without
 * it a group is one command; everything else is the same. A group stays well below what any socket buffers, so that
 * neither side can wait for the other for ever. */
#include "base/fail.h"
#include "mime/address.h"
#include "smtp/dsn.h"
#include "smtp/client_body.h"
#include "smtp/client_private.h"

enum { GROUP_BYTES = 8192, GROUP_COMMANDS = 100, PIECE = 16384, WRITE_AT = 65536, ADDRESS_MAX = 1000 };

/* NO_VERDICT: nothing is known; ACCEPTED: RCPT was, the message not yet; TOLD: the outcome stands. */
enum standing { NO_VERDICT, ACCEPTED, TOLD };

struct transaction {
	struct smtp_client *c;
	const struct smtp_message *m;
	struct slice sender;
	struct arena *mem;
	const size_t *which;       /* recipients of this transaction */
	size_t count;
	struct smtp_outcome *outcomes;
	enum standing *standing;   /* parallel to which */
	size_t accepted;
	bool mail_ok, go_ahead;    /* 2xx to MAIL, 354 to DATA */
	int64_t text_deadline;     /* with min_data_rate */
	enum smtp_stage stage;     /* what is said to have failed when the connection is lost now */
};

static struct smtp_outcome *outcome(struct transaction *t, size_t i) { return &t->outcomes[t->which[i]]; }

static void tell(struct transaction *t, size_t i, enum smtp_stage stage, const struct smtp_heard *heard) {
	smtp_outcome_said(t->c, t->mem, outcome(t, i), stage, heard);
	t->standing[i] = TOLD;
}

/* The same answer for all who have none yet. */
static void tell_rest(struct transaction *t, enum smtp_stage stage, const struct smtp_heard *heard) {
	for (size_t i = 0; i < t->count; i++)
		if (t->standing[i] != TOLD) tell(t, i, stage, heard);
}

static void tell_rest_words(
	struct transaction *t, enum smtp_fate fate, const char *status, struct slice text, bool settled) {
	for (size_t i = 0; i < t->count; i++) {
		if (t->standing[i] == TOLD) continue;
		smtp_outcome_of(t->c, t->mem, outcome(t, i), fate, status, "%.*s", SLICE_ARG(text));
		outcome(t, i)->settled = settled;
		t->standing[i] = TOLD;
	}
}

static enum smtp_client_result lost(struct transaction *t) {
	for (size_t i = 0; i < t->count; i++) {
		if (t->standing[i] == TOLD) continue;
		smtp_outcome_lost(t->c, t->mem, outcome(t, i), t->stage);
		t->standing[i] = TOLD;
	}
	return t->mail_ok ? SMTP_CLIENT_OVER : SMTP_CLIENT_STALE;
}

/* Before anything is said. */

static bool plain_bytes(struct slice s, size_t max) {
	if (s.len > max) return false;
	for (size_t i = 0; i < s.len; i++)
		if (ascii_control(s.at[i])) return false;
	return true;
}

static bool is_xtext(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (s.at[i] <= ' ' || s.at[i] > '~') return false;
	return s.len > 0 && s.len <= ADDRESS_MAX;
}

static uint64_t message_size(const struct smtp_message *m) {
	return m->body.head.len + smtp_body_size(&m->body);
}

static bool needs_utf8(const struct transaction *t) {
	bool ascii = slice_is_ascii(t->sender);
	for (size_t i = 0; i < t->count; i++) ascii = ascii && slice_is_ascii(t->m->recipients[t->which[i]].address);
	return t->m->utf8 || !ascii;
}

/* False: everybody has been told. */
static bool can_be_sent(struct transaction *t) {
	const struct smtp_client *c = t->c;
	uint64_t size = message_size(t->m);
	if (!plain_bytes(t->sender, ADDRESS_MAX))
		tell_rest_words(t, SMTP_NEVER, "5.1.7", S("bad sender address syntax"), false);
	for (size_t i = 0; i < t->count; i++) {
		struct slice address = t->m->recipients[t->which[i]].address;
		if (t->standing[i] == TOLD || (address.len > 0 && plain_bytes(address, ADDRESS_MAX))) continue;
		smtp_outcome_of(c, t->mem, outcome(t, i), SMTP_NEVER, "5.1.3", "bad recipient address syntax");
		t->standing[i] = TOLD;
	}
	if (c->size_limit > 0 && size > c->size_limit)
		tell_rest_words(t, SMTP_NEVER, "5.3.4",
			arena_fmt(t->mem, "message size %llu exceeds size limit %llu of server %.*s",
				(unsigned long long)size, (unsigned long long)c->size_limit, SLICE_ARG(c->who)),
			false);
	if (needs_utf8(t) && !(c->offers & SMTP_OFFERS_SMTPUTF8))
		tell_rest_words(t, SMTP_NEVER, "5.6.7",
			arena_fmt(t->mem, "SMTPUTF8 is required, but was not offered by host %.*s", SLICE_ARG(c->who)),
			false);
	for (size_t i = 0; i < t->count; i++)
		if (t->standing[i] == NO_VERDICT) return true;
	return false;
}

/* The commands. Number 0 is MAIL, 1 to count are RCPT, count + 1 is DATA. */

static struct slice on_the_wire(const struct transaction *t, struct slice address) {
	struct mailbox m;
	if (!t->c->params.unquoted ||
	    address_parse(address, ADDRESS_UTF8 | ADDRESS_LONG_LOCAL, t->mem, &m) != ADDRESS_OK)
		return address;
	return arena_fmt(t->mem, "%.*s@%.*s", SLICE_ARG(m.local), SLICE_ARG(m.domain));
}

static void put_mail(struct transaction *t, struct buf *to) {
	const struct smtp_message *m = t->m;
	unsigned offers = t->c->offers;
	struct slice sender = on_the_wire(t, t->sender);
	buf_addf(to, "MAIL FROM:<%.*s>", SLICE_ARG(sender));
	if (offers & SMTP_OFFERS_SIZE) buf_addf(to, " SIZE=%llu", (unsigned long long)message_size(m));
	if ((offers & SMTP_OFFERS_8BITMIME) && m->eight_bit) buf_add(to, S(" BODY=8BITMIME"));
	if ((offers & SMTP_OFFERS_SMTPUTF8) && needs_utf8(t)) buf_add(to, S(" SMTPUTF8"));
	if ((offers & SMTP_OFFERS_REQUIRETLS) && t->c->params.require != SMTP_REQUIRE_NONE)
		buf_add(to, S(" REQUIRETLS"));
	if (t->c->logged_in && t->c->params.mail_auth) buf_add(to, S(" AUTH=<>"));
	if ((offers & SMTP_OFFERS_DSN) && m->ret != SMTP_RET_NONE)
		buf_addf(to, " RET=%s", m->ret == SMTP_RET_FULL ? "FULL" : "HDRS");
	if ((offers & SMTP_OFFERS_DSN) && is_xtext(m->envid)) buf_addf(to, " ENVID=%.*s", SLICE_ARG(m->envid));
	buf_add(to, S("\r\n"));
}

static void put_rcpt(struct transaction *t, const struct smtp_recipient *r, struct buf *to) {
	struct slice address = on_the_wire(t, r->address);
	buf_addf(to, "RCPT TO:<%.*s>", SLICE_ARG(address));
	if (t->c->offers & SMTP_OFFERS_DSN) {
		smtp_notify_add(to, r->notify);
		if (is_xtext(r->orcpt)) buf_addf(to, " ORCPT=%.*s", SLICE_ARG(r->orcpt));
	}
	buf_add(to, S("\r\n"));
}

/* False: this command is not said. */
static bool put_command(struct transaction *t, size_t number, struct buf *to) {
	if (number == 0) put_mail(t, to);
	else if (number > t->count) buf_add(to, S("DATA\r\n"));
	else if (t->standing[number - 1] == TOLD) return false;
	else put_rcpt(t, &t->m->recipients[t->which[number - 1]], to);
	return true;
}

/* Their answers. */

static void answer_mail(struct transaction *t, const struct smtp_heard *heard) {
	t->mail_ok = smtp_reply_ok(&heard->reply);
	if (t->mail_ok) t->c->begun = true;
	else tell_rest(t, SMTP_STAGE_MAIL, heard);
}

static void answer_rcpt(struct transaction *t, size_t i, struct smtp_heard *heard) {
	if (t->standing[i] == TOLD) return; /* MAIL was refused, this had been said already */
	if (smtp_reply_ok(&heard->reply) && t->m->probe && !t->m->probe_data) {
		smtp_outcome_accepted(t->c, t->mem, outcome(t, i), heard);
		t->standing[i] = TOLD;
		return;
	}
	if (smtp_reply_ok(&heard->reply)) {
		t->standing[i] = ACCEPTED;
		t->accepted++;
		return;
	}
	if (heard->reply.code == 552) heard->reply.code = 452; /* too many recipients, RFC 5321 §4.5.3.1.10 */
	tell(t, i, SMTP_STAGE_RCPT, heard);
}

static void answer_data(struct transaction *t, const struct smtp_heard *heard) {
	t->go_ahead = heard->reply.code == 354;
	if (!t->go_ahead) {
		tell_rest(t, SMTP_STAGE_DATA, heard);
		return;
	}
	for (size_t i = 0; i < t->count && t->m->probe; i++) {
		if (t->standing[i] == TOLD) continue;
		smtp_outcome_accepted(t->c, t->mem, outcome(t, i), heard);
		t->standing[i] = TOLD;
	}
}

static enum smtp_stage stage_of(const struct transaction *t, size_t number) {
	return number == 0 ? SMTP_STAGE_MAIL : number > t->count ? SMTP_STAGE_DATA : SMTP_STAGE_RCPT;
}

static int64_t patience(const struct transaction *t, size_t number) {
	const struct smtp_timeouts *ms = &t->c->params.timeouts;
	return number == 0 ? ms->mail : number > t->count ? ms->data_init : ms->rcpt;
}

/* One answer. False: the conversation is over; so it is after 421, whose sender hangs up. */
static bool hear_one(struct transaction *t, size_t number) {
	struct smtp_heard heard;
	t->stage = stage_of(t, number);
	if (!smtp_client_hear(t->c, patience(t, number), t->mem, &heard)) return false;
	bool closing = heard.reply.code == 421;
	if (number == 0) answer_mail(t, &heard);
	else if (number > t->count) answer_data(t, &heard);
	else answer_rcpt(t, number - 1, &heard);
	if (closing) smtp_client_lose(t->c, STREAM_CLOSED);
	return !closing;
}

/* Of the last command of a transaction. */
static size_t last_number(const struct transaction *t) {
	return t->m->probe && !t->m->probe_data ? t->count : t->count + 1;
}

/* Is this command worth a group of its own, after the answers so far? */
static bool more_to_say(const struct transaction *t, size_t next) {
	return next == 0 || (t->mail_ok && (next <= t->count || (next == t->count + 1 && t->accepted > 0)));
}

/* MAIL to DATA. False: the connection is over. */
static bool say_commands(struct transaction *t) {
	size_t group_max = t->c->offers & SMTP_OFFERS_PIPELINING ? GROUP_COMMANDS : 1, next = 0;
	size_t *said = arena_array(t->mem, group_max, sizeof *said);
	while (more_to_say(t, next)) {
		struct buf *to = stream_out(t->c->stream);
		size_t count = 0;
		while (count < group_max && to->len < GROUP_BYTES) {
			if (count > 0 ? next > last_number(t) : !more_to_say(t, next)) break;
			if (put_command(t, next, to)) said[count++] = next;
			next++;
		}
		if (count == 0) break;
		t->stage = stage_of(t, said[0]);
		if (!smtp_client_flush(t->c, patience(t, said[0]))) return false;
		for (size_t i = 0; i < count; i++)
			if (!hear_one(t, said[i])) return false;
	}
	return true;
}

/* The text. */

/* What is written buys time for the rest, where the time is that of the whole text. */
static bool flush_text(struct transaction *t) {
	const struct smtp_client_params *p = &t->c->params;
	int64_t now = clock_ms(), limit = p->timeouts.data_xfer;
	if (p->min_data_rate == 0) return smtp_client_flush(t->c, limit);
	if (t->text_deadline == 0) t->text_deadline = now + limit;
	uint64_t bought = stream_out(t->c->stream)->len * 1000 / p->min_data_rate;
	if (!smtp_client_flush(t->c, MAX_OF(t->text_deadline - now, (int64_t)1))) return false;
	t->text_deadline = MIN_OF(t->text_deadline + (int64_t)bought, clock_ms() + limit);
	return true;
}

static bool put_piece(struct transaction *t, struct smtp_body_coder *coder, struct slice piece) {
	struct buf *to = stream_out(t->c->stream);
	smtp_body_code(coder, piece, to);
	return to->len < WRITE_AT || flush_text(t);
}

/* <0: our own file cannot be read; 0: all of it is on its way; 1: the connection is over. */
static int put_body(struct transaction *t, struct smtp_body_coder *coder) {
	const struct smtp_body *body = &t->m->body;
	for (struct slice rest = body->head; rest.len > 0; rest = slice_skip(rest, PIECE))
		if (!put_piece(t, coder, slice_head(rest, PIECE))) return 1;
	char room[PIECE];
	struct slice piece;
	ssize_t n;
	for (uint64_t at = 0; (n = smtp_body_read(body, at, room, sizeof room, &piece)) > 0; at += (uint64_t)n)
		if (!put_piece(t, coder, piece)) return 1;
	return (int)n;
}

/* A server that refuses in the middle of the text may say so before it hangs up. */
static enum smtp_client_result cut_short(struct transaction *t) {
	struct smtp_heard heard;
	struct slice lost_words = t->c->lost;
	t->c->over = false;
	if (smtp_client_hear(t->c, SECONDS(1), t->mem, &heard) && !smtp_reply_ok(&heard.reply))
		tell_rest(t, SMTP_STAGE_BODY, &heard);
	t->c->lost = lost_words;
	t->c->over = true;
	return lost(t);
}

/* One answer for all, or with LMTP (RFC 2033 §4.2) one for each recipient that was accepted. */
static enum smtp_client_result hear_verdicts(struct transaction *t) {
	struct smtp_heard heard;
	bool closing = false;
	for (size_t i = 0; i < t->count && !closing; i++) {
		if (t->standing[i] != ACCEPTED) continue;
		if (!smtp_client_hear(t->c, t->c->params.timeouts.data_done, t->mem, &heard)) return lost(t);
		closing = heard.reply.code == 421;
		if (t->c->params.lmtp && !closing) tell(t, i, SMTP_STAGE_DOT, &heard);
		else tell_rest(t, SMTP_STAGE_DOT, &heard);
	}
	t->c->begun = false;
	if (closing || stream_peek(t->c->stream).len > 0) smtp_client_lose(t->c, STREAM_CLOSED);
	return t->c->over ? SMTP_CLIENT_OVER : SMTP_CLIENT_OK;
}

/* The dot leaves with the end of the text. Where bytes stay behind, it is among them, and the server cannot have taken
 * the message. */
static enum smtp_client_result send_text(struct transaction *t) {
	struct smtp_body_coder coder = { .line_limit = t->c->params.line_limit };
	t->stage = SMTP_STAGE_BODY;
	t->c->hushed = true;
	int r = put_body(t, &coder);
	if (r < 0) {
		smtp_talk_trouble(t->c, SMTP_TROUBLE_DATA);
		smtp_client_lose(t->c, STREAM_CLOSED);
		tell_rest_words(t, SMTP_LATER, "4.3.0", arena_fmt(t->mem, "%s", fail_text()), true);
		return SMTP_CLIENT_OVER;
	}
	if (r > 0) return cut_short(t);
	must(smtp_body_end(&coder, stream_out(t->c->stream)));
	if (!flush_text(t)) return cut_short(t);
	t->stage = SMTP_STAGE_DOT;
	return hear_verdicts(t);
}

/* 354 although nobody was accepted: the lone dot ends it. What LMTP answers to that is not defined. */
static enum smtp_client_result send_nothing(struct transaction *t) {
	struct smtp_heard heard;
	if (t->c->params.lmtp) smtp_client_lose(t->c, STREAM_CLOSED);
	else if (smtp_client_ask(t->c, t->c->params.timeouts.data_done, t->mem, &heard, ".")) t->c->begun = false;
	return t->c->over ? SMTP_CLIENT_OVER : SMTP_CLIENT_OK;
}

/* A transaction that never got to its dot is still open at the server. */
static bool reset(struct transaction *t) {
	struct smtp_heard heard;
	t->stage = SMTP_STAGE_RSET;
	if (!t->c->begun) return true;
	if (!smtp_client_ask(t->c, t->c->params.timeouts.rset, t->mem, &heard, "RSET")) return false;
	if (!smtp_reply_ok(&heard.reply)) smtp_client_lose(t->c, STREAM_CLOSED);
	t->c->begun = false;
	return !t->c->over;
}

static void choose_sender(struct transaction *t) {
	struct addr ours;
	bool known = t->m->sender_from != NULL && addr_of_socket(stream_fd(t->c->stream), &ours);
	t->sender = t->m->sender_from != NULL ? t->m->sender_from(t->m->sender_ctx, known ? &ours : NULL, t->mem)
					      : t->m->sender;
}

static enum smtp_client_result run(struct transaction *t) {
	choose_sender(t);
	if (!can_be_sent(t)) return SMTP_CLIENT_OK;
	if (!reset(t)) return lost(t);
	t->stage = SMTP_STAGE_XFORWARD;
	if (!smtp_client_forward(t->c, t->m, t->mem) || !say_commands(t)) return lost(t);
	if (!t->go_ahead) return SMTP_CLIENT_OK;
	if (t->m->probe) { /* whatever was said now would be text: there is no way back but this */
		smtp_client_lose(t->c, STREAM_CLOSED);
		return SMTP_CLIENT_OVER;
	}
	return t->accepted > 0 ? send_text(t) : send_nothing(t);
}

enum smtp_client_result smtp_client_send(struct smtp_client *c, const struct smtp_message *m, const size_t *which,
	size_t count, struct arena *mem, struct smtp_outcome *outcomes) {
	int64_t started = clock_us();
	struct transaction t = { .c = c, .m = m, .mem = mem, .which = which, .count = count, .outcomes = outcomes };
	t.standing = arena_array(mem, count, sizeof *t.standing);
	c->uses++;
	if (m->talk != NULL && c->uses > 1) smtp_talk_begin(c, m->talk);
	else c->talk = m->talk != NULL && !m->talk->over ? m->talk : NULL; /* with what was said while it was opened */
	c->hushed = false;
	enum smtp_client_result r = c->over ? lost(&t) : run(&t);
	for (size_t i = 0; i < count; i++) {
		outcomes[which[i]].send_us = clock_us() - started;
		if (outcomes[which[i]].fate != SMTP_DELIVERED) smtp_talk_code(c, outcomes[which[i]].code);
	}
	smtp_talk_end(c);
	return r;
}
