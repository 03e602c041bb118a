/* SPDX-License-Identifier: Apache-2.0 */
/* The IMAP client: one command at a time, each response whole, with its literals in it. */
#include "base/clock.h"
#include "base/fail.h"
#include "cli/doveadm.h"
#include "flow/ask.h"
#include "net/stream.h"
#include "role/listen.h"

#include <sys/socket.h>
#include <sysexits.h>

enum { RESPONSE_MAX = 256 << 20, COMMAND_MAX = 16 << 20, PATIENCE_MS = 600000 };

struct dove_imap {
	struct stream *wire;
	struct buf response, answer;
};

static int gone(const struct doveadm *d) {
	dove_error(d, EX_TEMPFAIL, "the session with the server ended (its log tells why)");
	return -1;
}

/* A response with all its literals: "…{5}\r\nhello…". */
static int read_response(struct doveadm *d) {
	struct dove_imap *i = d->imap;
	int64_t deadline = deadline_in(PATIENCE_MS);
	buf_clear(&i->response);
	for (;;) {
		struct slice line, size;
		uint64_t n;
		if (stream_wait_line(i->wire, COMMAND_MAX * 4, &line, deadline) != STREAM_OK) return gone(d);
		size_t brace = slice_find_last(line, '{');
		size = slice_skip(line, brace + 1);
		bool literal =
			slice_ends(line, S("}")) && slice_number(slice_head(size, size.len - 1), RESPONSE_MAX, &n);
		if (!buf_add(&i->response, line)) return gone(d);
		if (!literal) return 0;
		buf_add(&i->response, S("\r\n"));
		while (n != 0) {
			struct slice piece = slice_head(stream_peek(i->wire), (size_t)n);
			if (piece.len == 0 && stream_wait_fill(i->wire, deadline) != STREAM_OK) return gone(d);
			if (!buf_add(&i->response, piece)) return gone(d);
			stream_eat(i->wire, piece.len);
			n -= piece.len;
		}
	}
}

int dove_command_run(struct doveadm *d, struct slice command, void (*each)(void *ctx, struct slice rest), void *ctx) {
	struct dove_imap *i = d->imap;
	int64_t deadline = deadline_in(PATIENCE_MS);
	static const struct slice head = { "d ", 2 };
	if (stream_wait_put(i->wire, head, deadline) != STREAM_OK ||
	    stream_wait_put(i->wire, command, deadline) != STREAM_OK ||
	    stream_wait_put(i->wire, S("\r\n"), deadline) != STREAM_OK ||
	    stream_wait_flush(i->wire, deadline) != STREAM_OK)
		return gone(d);
	for (;;) {
		if (read_response(d) < 0) return -1;
		struct slice line = buf_slice(&i->response);
		if (slice_starts(line, S("* BYE"))) return gone(d);
		if (slice_starts(line, S("* "))) {
			if (each != NULL) each(ctx, slice_skip(line, 2));
			continue;
		}
		buf_clear(&i->answer);
		buf_add(&i->answer, slice_skip(line, 5));
		if (slice_starts(line, S("d OK"))) return DOVE_OK;
		return slice_starts(line, S("d NO")) ? DOVE_NO : DOVE_BAD;
	}
}

struct slice dove_answer(const struct doveadm *d) {
	return slice_trim(buf_slice(&d->imap->answer));
}

int dove_refused(const struct doveadm *d, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(KIB(8));
	struct slice said = dove_answer(d), code = SLICE_NONE;
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	if (slice_starts(said, S("["))) {
		code = slice_head(said, slice_find(said, ']'));
		said = slice_trim(slice_skip(said, code.len + 1));
	}
	bool missing = slice_starts(code, S("[NONEXISTENT")) || slice_starts(code, S("[TRYCREATE")),
	     exists = slice_starts(code, S("[ALREADYEXISTS"));
	if (exists) said = S("Mailbox already exists");
	dove_error(d, 0, "%s: %.*s", buf_text(&text), SLICE_ARG(said));
	return missing ? EX_NOHOST : exists ? EX_DATAERR : EX_TEMPFAIL;
}

/* Core's part is asked over the control socket; ours is an end of a socket pair. */
static int open_session(struct doveadm *d, int *fd) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf run = BUF(PATH_MAX);
	struct session_answer answer = { 0 };
	int pair[2];
	buf_addf(&run, "%s/run", buf_text(&d->data));
	AUTO_FD int channel = listening_unix_connect(buf_text(&run), "control");
	if (channel < 0)
		return dove_error(d, errno == EACCES ? EX_NOPERM : EX_TEMPFAIL, "%s",
				  errno == EACCES ? "the server's control socket: Permission denied (run this as root)"
						  : "the server does not run (hato start)");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return dove_error(d, EX_OSERR, "socketpair: %s", strerror(errno));
	int r = ask_session_at(channel,
			       &(struct session_ask){ .protocol = SESSION_IMAP, .login = d->user, .tag = S("d") },
			       pair[1], &mem, &answer);
	close(pair[1]);
	*fd = pair[0];
	if (r == ASK_OK && answer.open) return EX_OK;
	close(TAKE_FD(*fd));
	if (r == ASK_OK) return dove_error(d, EX_NOUSER, "User doesn't exist");
	return dove_error(d, EX_TEMPFAIL, "%s", r < 0 ? fail_text() : "the server does not answer");
}

int dove_enter(struct doveadm *d) {
	int fd = -1, code = open_session(d, &fd);
	if (code != EX_OK) return code;
	d->imap = mem_get(sizeof *d->imap);
	*d->imap = (struct dove_imap){ .response = BUF(RESPONSE_MAX), .answer = BUF(KIB(64)) };
	d->imap->wire = stream_new(fd, COMMAND_MAX * 4 + 1024, COMMAND_MAX);
	if (read_response(d) < 0) return EX_TEMPFAIL;
	/* names and texts in UTF-8, both ways */
	return dove_command_run(d, S("ENABLE UTF8=ACCEPT"), NULL, NULL) == DOVE_OK ? EX_OK : EX_TEMPFAIL;
}

void dove_leave(struct doveadm *d) {
	struct dove_imap *i = TAKE(d->imap);
	if (i == NULL) return;
	stream_put(i->wire, S("d LOGOUT\r\n"));
	(void)stream_flush(i->wire);
	stream_close(&i->wire);
	buf_done(&i->response);
	buf_done(&i->answer);
	free(i);
}

/* Words. */

static size_t string_end(struct slice s) {
	size_t n = 1;
	while (n < s.len && s.at[n] != '"') n += s.at[n] == '\\' ? 2 : 1;
	return MIN_OF(n + 1, s.len);
}

static bool take_literal(struct slice s, struct slice *text, size_t *end) {
	size_t close = slice_find(s, '}');
	uint64_t n;
	if (close + 3 > s.len || !slice_number(slice_skip(slice_head(s, close), 1), s.len, &n)) return false;
	*text = slice_head(slice_skip(s, close + 3), (size_t)n);
	*end = MIN_OF(close + 3 + (size_t)n, s.len);
	return true;
}

static size_t list_end(struct slice s) {
	size_t depth = 0, n = 0;
	while (n < s.len) {
		struct slice rest = slice_skip(s, n), text;
		size_t end = 1;
		if (rest.at[0] == '(') depth++;
		else if (rest.at[0] == ')' && --depth == 0) return n + 1;
		else if (rest.at[0] == '"') end = string_end(rest);
		else if (rest.at[0] == '{' && !take_literal(rest, &text, &end)) end = 1;
		n += end;
	}
	return s.len;
}

bool dove_next(struct slice *rest, struct dove_word *out) {
	while (rest->len != 0 && (*rest->at == ' ' || *rest->at == '~')) *rest = slice_skip(*rest, 1);
	struct slice s = *rest;
	size_t end = 0;
	if (s.len == 0) return false;
	if (s.at[0] == '(') {
		end = list_end(s);
		*out = (struct dove_word){ DOVE_LIST, slice_head(s, end) };
	} else if (s.at[0] == '"') {
		end = string_end(s);
		*out = (struct dove_word){ DOVE_STRING, slice_head(slice_skip(s, 1), end - 2) };
	} else if (s.at[0] == '{' && take_literal(s, &out->text, &end)) {
		out->kind = DOVE_LIST; /* as it is: no escapes */
	} else {
		bool inside = false; /* BODY[HEADER.FIELDS (X)] */
		for (; end < s.len && (inside || (s.at[end] != ' ' && s.at[end] != '(')); end++)
			inside = s.at[end] == '[' || (inside && s.at[end] != ']');
		*out = (struct dove_word){ DOVE_ATOM, slice_head(s, end) };
		if (slice_same(out->text, S("NIL"))) out->text = SLICE_NONE;
	}
	*rest = slice_skip(s, MAX_OF(end, (size_t)1));
	return true;
}

struct slice dove_unescape(struct arena *mem, const struct dove_word *w) {
	if (w->kind != DOVE_STRING) return arena_slice(mem, w->text);
	AUTO_BUF struct buf plain = BUF(w->text.len + 1);
	for (size_t i = 0; i < w->text.len; i++) {
		if (w->text.at[i] == '\\' && i + 1 < w->text.len) i++;
		buf_byte(&plain, w->text.at[i]);
	}
	return arena_slice(mem, buf_slice(&plain));
}

void dove_quote(struct buf *out, struct slice name) {
	buf_byte(out, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] == '"' || name.at[i] == '\\') buf_byte(out, '\\');
		buf_byte(out, ascii_control(name.at[i]) ? '?' : name.at[i]);
	}
	buf_byte(out, '"');
}
