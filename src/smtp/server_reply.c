/* SPDX-License-Identifier: Apache-2.0 */
/* All that leaves a session: replies to the client, notes to the owner, and the counting that goes with them. */
#include "smtp/server_private.h"

enum {
	REPLY_LINE_MAX = 512,    /* RFC 5321 §4.5.3.1.5 */
	LAST_WORDS_TIME = 10000, /* ms for the last reply to leave */
	PRINTABLE_MAX = 100,
};

void server_note(struct smtp_server *s, enum smtp_event event, const struct smtp_reply *reply, struct slice to,
                 struct slice text) {
	struct smtp_note n = { event, &s->facts, s->where, reply, to, text };
	(s->ops->note)(s->owner, &n); /* the brackets keep the macro of log.h away */
}

void server_reject(struct smtp_server *s, const struct smtp_reply *reply, struct slice to) {
	if (reply->code >= 400) server_note(s, SMTP_REJECT, reply, to, S(""));
}

struct slice server_printable(struct smtp_server *s, struct slice bytes) {
	AUTO_BUF struct buf out = BUF(PRINTABLE_MAX * 4);
	for (size_t i = 0; i < MIN_OF(bytes.len, (size_t)PRINTABLE_MAX); i++) {
		char c = bytes.at[i];
		if (c == '\r') buf_add(&out, S("\\r"));
		else if (c == '\n') buf_add(&out, S("\\n"));
		else if (c >= ' ' && c < 127) buf_byte(&out, c);
		else buf_addf(&out, "\\%03o", (unsigned char)c);
	}
	return arena_slice(&s->mem, buf_slice(&out));
}

struct slice server_progress(struct smtp_server *s) {
	if (s->mode != MODE_DATA && s->mode != MODE_CHUNK) return S("");
	return arena_fmt(&s->mem, "%llu bytes", (unsigned long long)s->body.taken);
}

void server_note_end(struct smtp_server *s) {
	struct buf text = BUF(KIB(2));
	const struct smtp_command *commands = server_commands();
	unsigned ok = 0, all = 0;
	for (size_t i = 0; i < COMMANDS; i++) {
		if (s->counts[i].all == 0) continue;
		ok += s->counts[i].ok;
		all += s->counts[i].all;
		for (size_t k = 0; k < commands[i].word.len; k++) buf_byte(&text, ascii_lower(commands[i].word.at[k]));
		buf_addf(&text, "=%u", s->counts[i].ok);
		if (s->counts[i].ok != s->counts[i].all) buf_addf(&text, "/%u", s->counts[i].all);
		buf_byte(&text, ' ');
	}
	buf_addf(&text, ok == all && all != 0 ? "commands=%u" : "commands=%u/%u", ok, all);
	server_note(s, SMTP_DISCONNECT, NULL, S(""), buf_slice(&text));
	buf_done(&text);
}

static void queue_line(struct smtp_server *s, const struct smtp_reply *r, struct slice line, bool more) {
	char room[REPLY_LINE_MAX];
	const char *gap = r->status[0] != '\0' ? " " : "";
	size_t len = (size_t)snprintf(room, sizeof room, "%d%c%s%s", r->code, more ? '-' : ' ', r->status, gap);
	for (size_t i = 0; i < line.len && len < sizeof room - 2; i++) {
		room[len++] = ascii_control(line.at[i]) ? '?' : line.at[i];
	}
	memcpy(room + len, "\r\n", 2);
	if (s->ops->trace != NULL) s->ops->trace(s->owner, true, slice_from(room, len));
	stream_put(s->stream, slice_from(room, len + 2));
}

static void put_reply(struct smtp_server *s, const struct smtp_reply *r) {
	struct slice rest = r->text, footer = SLICE_NONE;
	if (r->code >= 400 && s->ops->footer != NULL) footer = s->ops->footer(s->owner, r, &s->mem);
	if (slice_starts(footer, S("\\c"))) { /* goes on in the last line */
		rest = arena_fmt(&s->mem, "%.*s%.*s", SLICE_ARG(rest), SLICE_ARG(slice_skip(footer, 2)));
		footer = SLICE_NONE;
	}
	do {
		struct slice line = slice_cut(&rest, '\n');
		queue_line(s, r, line, rest.at != NULL || footer.at != NULL);
	} while (rest.at != NULL);
	while (footer.at != NULL) {
		struct slice line = slice_cut(&footer, '\n');
		queue_line(s, r, line, footer.at != NULL);
	}
}

static struct smtp_reply as_sent(struct smtp_server *s, struct smtp_reply r) {
	if (r.code >= 400 && s->ops->refusal != NULL) r = s->ops->refusal(s->owner, &r, &s->mem);
	if (s->params->soft && r.code >= 500) {
		r.code -= 100;
		if (r.status[0] == '5') r.status[0] = '4';
	}
	return r;
}

void server_queue(struct smtp_server *s, const struct smtp_reply *r) {
	struct smtp_reply sent = as_sent(s, *r);
	put_reply(s, &sent);
}

/* Time for the next request to arrive, and for what is queued to leave. */
static void set_deadline(struct smtp_server *s) {
	int64_t time = s->mode == MODE_HANDSHAKE ? s->params->starttls_timeout : s->params->timeout;
	s->deadline = deadline_in(s->mode == MODE_LAST ? MIN_OF(time, (int64_t)LAST_WORDS_TIME) : time);
}

void server_last(struct smtp_server *s) {
	s->mode = MODE_LAST;
	set_deadline(s);
}

void server_answer(struct smtp_server *s, struct smtp_reply r) {
	if (r.code == 0) return;
	if (r.code == SMTP_HANG_UP) {
		server_last(s);
		arena_reset(&s->mem);
		return;
	}
	r = as_sent(s, r);
	put_reply(s, &r);
	bool fine = r.code < 300 || s->forgiven;
	if (fine && s->command != NO_COMMAND) s->counts[s->command].ok++;
	if (r.code >= 400 && !s->forgiven) s->facts.errors++;
	s->forgiven = false;
	if (r.code < 300 || r.code >= 400) s->command = NO_COMMAND;
	set_deadline(s);
	bool tiresome = s->facts.errors >= s->params->soft_error_limit && s->params->error_delay > 0;
	if (tiresome) s->held_until = deadline_in(s->params->error_delay);
	if (r.code == 421 || r.code == 521) server_last(s);
	arena_reset(&s->mem);
}

void server_good_bye(struct smtp_server *s, const char *status, const char *why) {
	server_answer(s, smtp_reply_fmt(&s->mem, 421, status, "%s %s", s->params->host, why));
}

void server_too_many_errors(struct smtp_server *s) {
	server_note(s, SMTP_TOO_MANY_ERRORS, NULL, S(""), S(""));
	server_good_bye(s, "4.7.0", "Error: too many errors");
}
