/* SPDX-License-Identifier: Apache-2.0 */
/* Each direction holds at most one piece that its far side has not taken yet, and reads more only when that is gone: a
 * slow reader slows its sender and nothing else. A step carries a bounded number of pieces, so that one client who
 * loads his whole archive does not keep a worker for himself. */
#include "net/pump.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { PIECE = 16384, PIECES_A_STEP = 16 };

struct pump {
	struct stream *client;
	int inner;
	bool client_ended, inner_ended, inner_full, client_full;
	int64_t idle, last;
};

struct pump *pump_new(struct stream *client, int inner, int64_t idle) {
	struct pump *p = mem_get(sizeof *p);
	*p = (struct pump){ .client = client, .inner = inner, .idle = idle, .last = clock_ms() };
	return p;
}

void pump_free(struct pump **p) {
	free(*p);
	*p = NULL;
}

/* What one attempt to carry a piece came to. */
enum carried { CARRIED, WAITS, OVER };

static enum carried client_to_inner(struct pump *p) {
	struct slice have = stream_peek(p->client);
	if (have.len == 0 && !p->client_ended) {
		int r = stream_fill(p->client);
		if (r < 0) return OVER;
		if (r == STREAM_AGAIN) return WAITS;
		if (r == STREAM_CLOSED) {
			p->client_ended = true;
			shutdown(p->inner, SHUT_WR);
		}
		have = stream_peek(p->client);
	}
	if (have.len == 0) return p->client_ended ? WAITS : CARRIED;
	ssize_t n = send(p->inner, have.at, have.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) return OVER;
	if (n > 0) stream_eat(p->client, (size_t)n);
	p->inner_full = n < (ssize_t)have.len;
	return p->inner_full ? WAITS : CARRIED;
}

static enum carried inner_to_client(struct pump *p) {
	int r = stream_flush(p->client);
	p->client_full = r == STREAM_AGAIN;
	if (r == STREAM_AGAIN) return WAITS;
	if (r != STREAM_OK || p->inner_ended) return OVER; /* everything has been said */
	struct buf *out = stream_out(p->client);
	char *at = buf_room(out, PIECE);
	must(at != NULL);
	ssize_t n = recv(p->inner, at, PIECE, MSG_DONTWAIT);
	if (n < 0) return errno == EAGAIN || errno == EINTR ? WAITS : OVER;
	p->inner_ended = n == 0;
	out->len += (size_t)n;
	return CARRIED;
}

enum pump_next pump_step(struct pump *p) {
	enum carried in = CARRIED, out = CARRIED;
	for (int i = 0; i < PIECES_A_STEP && (in == CARRIED || out == CARRIED); i++) {
		if (in == CARRIED) in = client_to_inner(p);
		if (out == CARRIED) out = inner_to_client(p);
		if (in == OVER || out == OVER) return PUMP_OVER;
		if (in == CARRIED || out == CARRIED) p->last = clock_ms();
	}
	stream_relax(p->client);
	return clock_ms() - p->last >= p->idle ? PUMP_OVER : PUMP_PARK;
}

bool pump_given_back(const struct pump *p) {
	struct pollfd far = { .fd = p->inner };
	return p->inner_ended && !p->client_ended && poll(&far, 1, 0) == 0; /* POLLHUP: it has closed */
}

uint32_t pump_client_events(const struct pump *p) {
	uint32_t events = p->client_ended || p->inner_full ? 0 : stream_events(p->client) & EPOLLIN;
	if (p->client_full || (stream_events(p->client) & EPOLLOUT) != 0) events |= EPOLLOUT;
	return events;
}

uint32_t pump_inner_events(const struct pump *p) {
	return (p->inner_ended || p->client_full ? 0u : (uint32_t)EPOLLIN) | (p->inner_full ? (uint32_t)EPOLLOUT : 0u);
}

int64_t pump_deadline(const struct pump *p) {
	bool more = stream_has_input(p->client) && !p->inner_full;
	return more ? clock_ms() : p->last + p->idle;
}
