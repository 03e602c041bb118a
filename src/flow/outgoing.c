/* SPDX-License-Identifier: Apache-2.0 */
/* Without tables nothing is read and nothing copied: mail leaves from the descriptor that core handed over. */
#include "flow/outgoing.h"
#include "base/fail.h"
#include "base/log.h"
#include "flow/header.h"

#include <sys/mman.h>

enum { HEADER_MAX = 1 << 20, PIECE = 64 << 10, TOKENS = 10000 };

/* Checks: the whole message goes through, into memory. */

struct checking {
	const struct outgoing_params *params;
	const struct smtp_message *message;
	int fd;
	uint64_t size;
	int error;
	bool later;
};

static void put(void *ctx, struct slice bytes) {
	struct checking *c = ctx;
	while (bytes.len != 0 && c->error == 0) {
		ssize_t n = write(c->fd, bytes.at, bytes.len);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) {
			c->error = n < 0 ? errno : EIO;
			return;
		}
		c->size += (uint64_t)n;
		bytes = slice_skip(bytes, (size_t)n);
	}
}

static void act(void *ctx, const struct checks_hit *hit) {
	struct checking *c = ctx;
	AUTO_BUF struct buf line = BUF(KIB(4));
	if (hit->action == CHECKS_LATER) {
		if (!c->later) fail("%.*s", SLICE_ARG(hit->text));
		c->later = true;
		return;
	}
	if (hit->action == CHECKS_WRONG) {
		say(L_WARN, c->params->tag, "%s: %.*s", c->message->id, SLICE_ARG(hit->text));
		return;
	}
	buf_addf(&line, "%s: %s ", hit->word, hit->in_body ? "body" : "header");
	struct slice subject = slice_head(hit->subject, 200);
	for (size_t i = 0; i < subject.len; i++) buf_byte(&line, ascii_control(subject.at[i]) ? '?' : subject.at[i]);
	if (hit->text.len != 0) buf_addf(&line, ": %.*s", SLICE_ARG(hit->text));
	log_line(L_INFO, c->params->tag, 0, c->message->id, buf_text(&line), NULL, 0);
}

static int feed(struct checks *checks, const struct smtp_body *body) {
	AUTO_FREE char *room = mem_get(PIECE);
	struct slice piece;
	ssize_t n;
	checks_feed(checks, body->head);
	for (uint64_t at = 0; (n = smtp_body_read(body, at, room, PIECE, &piece)) > 0; at += (uint64_t)n)
		checks_feed(checks, piece);
	checks_end(checks);
	return (int)n;
}

static int check(const struct outgoing_params *p, struct smtp_message *m, int *body_fd) {
	static const struct checks_ops ops = { put, act };
	AUTO_FD int fd = memfd_create("outgoing", MFD_CLOEXEC);
	struct checking c = { .params = p, .message = m, .fd = fd };
	if (fd < 0) return fail_errno("memory for the message");
	struct checks *checks = checks_new(&p->checks, &ops, &c);
	int r = feed(checks, &m->body);
	checks_free(&checks);
	if (r < 0 || c.later) return -1;
	if (c.error != 0) return fail("memory for the message: %s", strerror(c.error));
	m->body = (struct smtp_body){ .fd = fd, .size = c.size };
	*body_fd = TAKE_FD(fd);
	return 0;
}

/* Generic maps. */

static int generic_header(const struct rewrite_params *generic, struct smtp_body *body, struct arena *mem) {
	size_t want = (size_t)MIN_OF(smtp_body_size(body), (uint64_t)HEADER_MAX);
	AUTO_FREE char *room = mem_get(want + 1);
	struct slice text;
	if (smtp_body_read(body, 0, room, want, &text) < 0) return -1;
	size_t end = slice_search(text, S("\r\n\r\n"));
	struct slice header = slice_head(text, end < text.len ? end + 2 : text.len);
	struct header_params params = { .local = generic, .token_limit = TOKENS };
	struct header_facts facts = { .ours = true };
	AUTO_BUF struct buf out = BUF(HEADER_MAX * 4);
	buf_add(&out, body->head);
	if (header_take(&params, &facts, header, &out) != HEADER_DONE) return -1;
	if (out.full) return 0; /* too large to be rewritten: it goes as it is */
	body->head = arena_slice(mem, buf_slice(&out));
	body->offset += header.len;
	body->size -= header.len;
	return 0;
}

static int generic(const struct rewrite_params *p, struct smtp_message *m, struct smtp_recipient *recipients,
		   struct arena *mem) {
	if (rewrite_address(p, REWRITE_ENVELOPE_SENDER, m->sender, mem, &m->sender) != REWRITE_DONE) return -1;
	for (size_t i = 0; i < m->count; i++)
		if (rewrite_address(p, REWRITE_ENVELOPE_RECIPIENT, recipients[i].address, mem,
				    &recipients[i].address) != REWRITE_DONE)
			return -1;
	return generic_header(p, &m->body, mem);
}

int outgoing_change(const struct outgoing_params *p, struct smtp_message *m, struct smtp_recipient *recipients,
		    struct arena *mem, int *body_fd) {
	*body_fd = -1;
	int r = checks_wanted(&p->checks) ? check(p, m, body_fd) : 0;
	if (r == 0 && p->generic.canonical.maps.count != 0) r = generic(&p->generic, m, recipients, mem);
	return r;
}
