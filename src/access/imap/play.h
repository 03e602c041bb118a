/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Plays a dialogue of tests/data/imap against a server at the other end of a socket (for the tests of this folder).
 *
 *   # comment
 *   C: text        the client sends text and CRLF
 *   C- te\r\nxt    the client sends just this; \r \n \0 \\ are understood
 *   S: text        the server's next line is text; "..." in it stands for anything
 *   S* text        lines are skipped until one fits
 *   S.             the server closes
 *   C2: S2: …      the same for a second client of the same account (third: C3, S3) */
#include "base/buf.h"
#include "base/fail.h"
#include "net/file.h"

#include <poll.h>
#include <setjmp.h>
#include <sys/socket.h>
#include <cmocka.h>

enum { PLAY_CLIENTS = 4 };
struct play {
	const char *file;
	int fds[PLAY_CLIENTS];       /* -1: not connected */
	struct buf in[PLAY_CLIENTS];
	bool dripped;                /* one byte a write */
	int (*connect)(struct play *p);
	void (*turn)(struct play *p); /* lets the server run, when it has no threads of its own; may be NULL */
	int first;                   /* the first client's socket, when it is connected already; 0: not */
	void *ctx;
};

static inline bool play_fits(struct slice want, struct slice got) {
	size_t dots = slice_search(want, S("..."));
	if (dots == want.len) return slice_eq(want, got);
	if (!slice_starts(got, slice_head(want, dots))) return false;
	struct slice rest = slice_skip(want, dots + 3);
	for (size_t i = dots; i <= got.len; i++)
		if (play_fits(rest, slice_skip(got, i))) return true;
	return false;
}

/* 1: a line; 0: closed; -1: nothing for seconds */
static inline int play_line(struct play *p, int who, struct slice *line) {
	struct buf *in = &p->in[who];
	for (;;) {
		size_t end = slice_find(buf_slice(in), '\n');
		if (end < in->len) {
			*line = slice_head(buf_slice(in), end > 0 && in->at[end - 1] == '\r' ? end - 1 : end);
			return 1;
		}
		if (p->turn != NULL) p->turn(p);
		struct pollfd poll_for = { p->fds[who], POLLIN, 0 };
		if (poll(&poll_for, 1, p->turn != NULL ? 50 : 5000) <= 0) return -1;
		char *to = buf_room(in, 65536);
		ssize_t n = recv(p->fds[who], to, 65536, 0);
		if (n <= 0) return 0;
		in->len += (size_t)n;
	}
}

static inline void play_send(struct play *p, int who, struct slice bytes) {
	while (bytes.len != 0) {
		ssize_t n = send(p->fds[who], bytes.at, p->dripped ? 1 : bytes.len, MSG_NOSIGNAL);
		if (n <= 0) return;
		bytes = slice_skip(bytes, (size_t)n);
		if (p->turn != NULL) p->turn(p);
	}
}

static inline void play_escapes(struct buf *out, struct slice s) {
	static const char names[] = "rn0\\", bytes[] = "\r\n\0\\";
	for (size_t i = 0; i < s.len; i++) {
		const char *at = s.at[i] == '\\' && i + 1 < s.len ? memchr(names, s.at[i + 1], 4) : NULL;
		buf_byte(out, at != NULL ? bytes[at - names] : s.at[i]);
		i += at != NULL;
	}
}

static inline void play_expect(struct play *p, unsigned at, int who, char how, struct slice want) {
	struct slice got = SLICE_NONE;
	for (;;) {
		int r = play_line(p, who, &got);
		if (r == 0 && how == '.') return;
		if (r <= 0 || how == '.') {
			fail_msg("%s:%u: wanted \"%.*s\", but %s", p->file, at, SLICE_ARG(want),
				 r == 0  ? "the server closed"
				 : r < 0 ? "the server says nothing"
					 : "it says something");
		}
		bool fits = play_fits(want, got);
		if (!fits && how != '*')
			fail_msg("%s:%u: wanted \"%.*s\", got \"%.*s\"", p->file, at, SLICE_ARG(want), SLICE_ARG(got));
		buf_eat(&p->in[who], slice_find(buf_slice(&p->in[who]), '\n') + 1);
		if (fits) return;
	}
}

static inline void play_step(struct play *p, unsigned at, struct slice line) {
	int who = line.len > 1 && ascii_digit(line.at[1]) ? line.at[1] - '1' : 0;
	size_t head = line.len > 1 && ascii_digit(line.at[1]) ? 2 : 1;
	if (line.len == 0 || line.at[0] == '#') return;
	must(who < PLAY_CLIENTS && line.len > head);
	if (p->fds[who] < 0) p->fds[who] = p->connect(p);
	struct slice text = slice_skip(line, head + 2);
	AUTO_BUF struct buf bytes = BUF(1 << 20);
	if (line.at[0] == 'S') {
		play_expect(p, at, who, line.at[head], text);
	} else if (line.at[head] == '-') {
		play_escapes(&bytes, text);
		play_send(p, who, buf_slice(&bytes));
	} else {
		buf_add(&bytes, text);
		buf_add(&bytes, S("\r\n"));
		play_send(p, who, buf_slice(&bytes));
	}
}

static inline void play(struct play *p, const char *folder, const char *name) {
	AUTO_BUF struct buf text = BUF(1 << 20), path = BUF(4096);
	buf_addf(&path, "%s/%s", folder, name);
	p->file = name;
	if (file_read(buf_text(&path), &text) < 0) fail_msg("%s", fail_text());
	for (int i = 0; i < PLAY_CLIENTS; i++) {
		p->fds[i] = i == 0 && p->first != 0 ? p->first : -1;
		p->in[i] = BUF(1 << 24);
	}
	struct slice rest = buf_slice(&text);
	for (unsigned at = 1; rest.at != NULL; at++) play_step(p, at, slice_cut(&rest, '\n'));
	for (int i = 0; i < PLAY_CLIENTS; i++) {
		if (p->fds[i] >= 0) close(p->fds[i]);
		buf_done(&p->in[i]);
	}
}

/* tests/data/imap, from where this file was compiled. */
#define PLAY_FOLDER(out) \
	do { \
		const char *file_ = __FILE__, *end_ = strstr(file_, "src/access/imap/"); \
		snprintf(out, sizeof(out), "%.*stests/data/imap", (int)(end_ - file_), file_); \
	} while (0)
