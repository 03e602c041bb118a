/* SPDX-License-Identifier: Apache-2.0 */
/* A message is rewritten into a file of its own before it is sent: its size is announced first, and it may be sent to more than
 * one host. */
#include "role/relay_checks.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/file.h"

#include <sys/mman.h>

enum { PIECE = 65536, IN_MEMORY = 1 << 20 };

struct checking {
	const struct relay_profile *profile;
	const char *queue_id;
	struct buf out;
	int fd;
	uint64_t size;
	bool failed;
};

static void flush(struct checking *c) {
	if (!c->failed && c->out.len != 0 && file_write_all(c->fd, buf_slice(&c->out)) < 0) {
		c->failed = true;
		fail_errno("rewrite the message");
	}
	c->size += c->out.len;
	buf_clear(&c->out);
}

static void put(void *ctx, struct slice bytes) {
	struct checking *c = ctx;
	if (c->out.len + bytes.len > c->out.limit) flush(c);
	if (bytes.len <= c->out.limit) buf_add(&c->out, bytes);
	else {
		c->failed = c->failed || file_write_all(c->fd, bytes) < 0;
		c->size += bytes.len;
	}
}

static void act(void *ctx, const struct checks_hit *hit) {
	struct checking *c = ctx;
	AUTO_BUF struct buf line = BUF(KIB(16));
	struct slice subject = slice_head(hit->subject, 60);
	if (hit->action == CHECKS_LATER) {
		if (!c->failed) fail("%.*s", SLICE_ARG(hit->text));
		c->failed = true;
		return;
	}
	if (hit->action == CHECKS_WRONG) {
		say(L_WARN, c->profile->tag, "%s: %.*s", c->queue_id, SLICE_ARG(hit->text));
		return;
	}
	buf_addf(&line, "%s: %s ", hit->word, hit->in_body ? "body" : "header");
	for (size_t i = 0; i < subject.len; i++) buf_byte(&line, ascii_control(subject.at[i]) ? '?' : subject.at[i]);
	if (hit->text.len != 0) buf_addf(&line, ": %.*s", SLICE_ARG(hit->text));
	log_line(L_INFO, c->profile->tag, 0, c->queue_id, buf_text(&line), NULL, 0);
}

static int feed_file(struct checks *checks, const struct smtp_body *body) {
	char piece[PIECE];
	for (uint64_t at = 0; at < body->size;) {
		ssize_t n = pread(body->fd, piece, (size_t)MIN_OF(body->size - at, (uint64_t)PIECE), (off_t)(body->offset + at));
		if (n <= 0) return fail_errno("the message cannot be read");
		checks_feed(checks, slice_from(piece, (size_t)n));
		at += (uint64_t)n;
	}
	return 0;
}

int relay_check(const struct relay_profile *p, const char *queue_id, struct smtp_body *body, int *fd) {
	static const struct checks_ops ops = { put, act };
	if (!checks_wanted(&p->checks)) return 0;
	AUTO_FD int made = body->size + body->head.len < IN_MEMORY ? memfd_create("message", MFD_CLOEXEC) : file_spool("/tmp");
	if (made < 0) return fail_errno("a file for the message");
	struct checking c = { .profile = p, .queue_id = queue_id, .out = BUF(PIECE), .fd = made };
	struct checks *checks = checks_new(&p->checks, &ops, &c);
	checks_feed(checks, body->head);
	int r = feed_file(checks, body);
	checks_end(checks);
	checks_free(&checks);
	flush(&c);
	buf_done(&c.out);
	if (r < 0 || c.failed) return -1;
	*body = (struct smtp_body){ .fd = made, .size = c.size };
	*fd = TAKE_FD(made);
	return 0;
}
