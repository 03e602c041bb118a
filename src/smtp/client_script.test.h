/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A server that follows a script, for the tests of the client side: one thread, one dialogue for each connection in
 * turn. A dialogue is lines: S: text      say it                                 Q: text   say it together with the
 * next C: text      a line must begin with this            MAYBE text   like C, or the client has gone BODY read to the
 * lone dot, keep the text     TLS       start TLS          BADTLS    answer the handshake with rubbish DROP hang up
 * STALL     say nothing until the client hangs up DEAF         read nothing, and hang up after half a second FLOOD n n
 * bytes without a line end At the end of a dialogue the server waits until the client has gone, and takes QUIT for a
 * goodbye. */
#include <pthread.h>
#include "base/fail.h"
#include "net/stream.h"
#include "smtp/client.h"
#include "base/test.h"

#ifndef FAIL
#define FAIL(...) (print_error(__VA_ARGS__), print_error("\n"), assert_true(false))
#endif

struct script {
	int fd;
	struct addr addr;
	const char *const *dialogues;
	size_t count;
	struct tls_server *tls;
	pthread_t thread;
	size_t served;
	bool said_quit;
	struct buf body;
	char wrong[512];          /* the first line that was not as written */
};

enum { SCRIPT_PATIENCE = 5000 };

static bool script_body(struct script *s, struct stream *w) {
	struct slice line;
	bool bare = false;
	buf_clear(&s->body);
	for (;;) {
		int r = stream_line(w, 4000000, &line, &bare);
		if (r == STREAM_AGAIN) r = stream_wait_fill(w, deadline_in(SCRIPT_PATIENCE));
		else if (r == STREAM_OK && !bare && slice_eq(line, S("."))) return true;
		else if (r == STREAM_OK) {
			buf_add(&s->body, line);
			buf_add(&s->body, bare ? S("\n") : S("\r\n"));
		}
		if (r != STREAM_OK) return false;
	}
}

static void script_wait_end(struct script *s, struct stream *w) {
	struct slice line;
	while (stream_wait_line(w, 100000, &line, deadline_in(SCRIPT_PATIENCE)) == STREAM_OK)
		if (slice_eq(line, S("QUIT"))) s->said_quit = true;
}

static bool script_step(struct script *s, struct stream *w, struct slice step) {
	struct slice line, arg = slice_skip(step, slice_find(step, ' ') + 1);
	if (slice_starts(step, S("S: ")) || slice_starts(step, S("Q: "))) {
		stream_put(w, arg);
		stream_put(w, S("\r\n"));
		return step.at[0] == 'Q' || stream_wait_flush(w, deadline_in(SCRIPT_PATIENCE)) == STREAM_OK;
	}
	if (slice_starts(step, S("C: ")) || slice_starts(step, S("MAYBE "))) {
		int r = stream_wait_line(w, 100000, &line, deadline_in(SCRIPT_PATIENCE));
		if (r == STREAM_OK && slice_starts(line, arg)) return true;
		if (step.at[0] == 'C' && s->wrong[0] == '\0')
			snprintf(s->wrong, sizeof s->wrong, "wanted \"%.*s\", got \"%.*s\" (%d)", SLICE_ARG(arg),
				r == STREAM_OK ? (int)line.len : 0, r == STREAM_OK ? line.at : "", r);
		return false;
	}
	if (slice_eq(step, S("BODY"))) return script_body(s, w);
	if (slice_eq(step, S("TLS"))) {
		if (stream_start_tls_server(w, s->tls) < 0) return false;
		return stream_wait_handshake(w, deadline_in(SCRIPT_PATIENCE)) == STREAM_OK;
	}
	if (slice_eq(step, S("BADTLS"))) {
		stream_wait_fill(w, deadline_in(SCRIPT_PATIENCE));
		stream_put(w, S("500 5.5.1 what was that?\r\n"));
		stream_wait_flush(w, deadline_in(SCRIPT_PATIENCE));
		return false;
	}
	if (slice_starts(step, S("FLOOD "))) {
		uint64_t n = 0;
		slice_number(arg, 1 << 24, &n);
		while (n-- > 0)
			if (!stream_put(w, S("2")) ||
				(n % 10000 == 0 && stream_wait_flush(w, deadline_in(SCRIPT_PATIENCE)) != STREAM_OK))
				return false;
		return true;
	}
	if (slice_eq(step, S("STALL"))) script_wait_end(s, w);
	if (slice_eq(step, S("DEAF"))) usleep(500000);
	return false; /* DROP, or an unknown word */
}

static void *script_run(void *arg) {
	struct script *s = arg;
	for (size_t i = 0; i < s->count; i++) {
		int fd = accept(s->fd, NULL, NULL);
		if (fd < 0) break;
		s->served++;
		struct stream *w = stream_new(fd, 4 << 20, 4 << 20);
		struct slice rest = slice_of(s->dialogues[i]);
		bool on = true;
		while (on && rest.at != NULL) {
			struct slice step = slice_trim(slice_cut(&rest, '\n'));
			if (step.len > 0) on = script_step(s, w, step);
		}
		if (on) script_wait_end(s, w);
		stream_close(&w);
	}
	return NULL;
}

/* at: "127.0.0.1"; port 0: any. */
static void script_start(struct script *s, const char *at, uint16_t port, const char *const *dialogues, size_t count) {
	*s = (struct script){ .dialogues = dialogues, .count = count, .tls = s->tls, .body = BUF(8 << 20) };
	assert_true(addr_parse(slice_of(at), &s->addr));
	addr_set_port(&s->addr, port);
	s->fd = socket(addr_family(&s->addr), SOCK_STREAM | SOCK_CLOEXEC, 0);
	int yes = 1;
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	assert_int_equal(bind(s->fd, &s->addr.any, s->addr.len), 0);
	assert_int_equal(listen(s->fd, 16), 0);
	assert_true(addr_of_socket(s->fd, &s->addr));
	assert_int_equal(pthread_create(&s->thread, NULL, script_run, s), 0);
}

/* Ends the server, whether all dialogues were used or not. */
static void script_stop(struct script *s) {
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	if (s->wrong[0] != '\0') print_error("server: %s\n", s->wrong);
}

static UNUSED struct tls_server *script_tls(void) {
	AUTO_BUF struct buf cert = BUF(16384), key = BUF(16384);
	struct tls_server *server = NULL;
	assert_int_equal(tls_make_self_signed("mx.example.org", &cert, &key), 0);
	struct tls_identity identity = { .chain_pem = buf_slice(&cert), .key_pem = buf_slice(&key) };
	assert_int_equal(
		tls_server_new(&(struct tls_server_params){ .identities = &identity, .identities_count = 1 }, &server),
		0);
	return server;
}

static UNUSED bool slice_has(struct slice s, const char *part) {
	return part == NULL || slice_search(s, slice_of(part)) < s.len || *part == '\0';
}
