/* SPDX-License-Identifier: Apache-2.0 */
/* Each direction holds at most one piece that its far side has not taken yet, and reads more only when that is gone: a
 * slow reader slows its sender and nothing else. A step carries a bounded number of pieces, so that one client who
 * loads his whole archive does not keep a worker for himself. */
#include "net/pump.h"
#include "net/descriptor.h"

#include <sys/epoll.h>
#include <sys/socket.h>

/* SMALL: what a client said in a piece below that was most likely all there is. Whether there is more the poller
 * tells. */
enum { PIECE = 65536, PIECES_A_STEP = 8, SMALL = 16384 };

struct pump {
	struct stream *client;
	int inner;
	bool client_ended, inner_ended, inner_deaf, inner_full, client_full, given_back;
	int64_t idle, last;
	bool ending; /* last is when that began */
};

struct pump *pump_new(struct stream *client, int inner, int64_t idle) {
	struct pump *p = mem_get(sizeof *p);
	*p = (struct pump){ .client = client, .inner = inner, .idle = idle, .last = clock_ms() };
	return p;
}

void pump_end(struct pump *p, int64_t within) {
	p->ending = p->client_ended = p->inner_deaf = true;
	p->inner_full = false;
	p->last = clock_ms();
	p->idle = within;
	shutdown(p->inner, SHUT_WR);
}

void pump_free(struct pump **p) {
	free(*p);
	*p = NULL;
}

/* What one attempt to carry a piece came to. EMPTIED: carried, and there is probably no more. */
enum carried { CARRIED, EMPTIED, WAITS, OVER };

static enum carried client_to_inner(struct pump *p) {
	if (p->given_back) return WAITS;
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
	ssize_t n = p->inner_deaf ? (ssize_t)have.len
				  : send(p->inner, have.at, have.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0 && errno != EAGAIN && errno != EINTR) { /* it has ended; its last words may still be on their way */
		p->inner_deaf = true;
		n = (ssize_t)have.len;
	}
	if (n > 0) stream_eat(p->client, (size_t)n);
	p->inner_full = n < (ssize_t)have.len;
	if (p->inner_full) return WAITS;
	return have.len < SMALL && !stream_has_input(p->client) && !p->client_ended ? EMPTIED : CARRIED;
}

/* Like recv, and looks for the mark. */
static ssize_t receive(struct pump *p, char *at, size_t room) {
	int mark;
	ssize_t n = descriptor_receive(p->inner, at, room, &mark);
	p->given_back |= mark >= 0;
	auto_fd(&mark);
	return n;
}

int pump_give_back(int served, char last, int64_t deadline) {
	return descriptor_send(served, last, served, deadline);
}

static enum carried inner_to_client(struct pump *p) {
	int r = stream_flush(p->client);
	p->client_full = r == STREAM_AGAIN;
	if (r == STREAM_AGAIN) return WAITS;
	if (r != STREAM_OK || p->inner_ended) return OVER; /* everything has been said */
	struct buf *out = stream_out(p->client);
	char *at = buf_room(out, PIECE);
	must(at != NULL);
	ssize_t n = receive(p, at, PIECE);
	if (n < 0) return errno == EAGAIN || errno == EINTR ? WAITS : OVER;
	p->inner_ended = n == 0 || p->given_back;
	out->len += (size_t)n;
	return CARRIED; /* its end often comes right behind its last words */
}

enum pump_next pump_step(struct pump *p, unsigned came) {
	bool blocked = p->inner_full || p->client_full || p->inner_ended || (stream_events(p->client) & EPOLLOUT) != 0;
	enum carried in = (came & PUMP_CLIENT) != 0 || blocked || stream_has_input(p->client) ? CARRIED : WAITS;
	enum carried out = (came & PUMP_INNER) != 0 || blocked ? CARRIED : WAITS;
	bool moved = false;
	for (int i = 0; i < PIECES_A_STEP && (in == CARRIED || out == CARRIED); i++) {
		if (in == CARRIED) in = client_to_inner(p), moved |= in <= EMPTIED;
		if (out == CARRIED) out = inner_to_client(p), moved |= out <= EMPTIED;
		if (in == OVER || out == OVER) return PUMP_OVER;
	}
	stream_relax(p->client);
	if (moved && !p->ending) p->last = clock_ms();
	return clock_ms() - p->last >= p->idle ? PUMP_OVER : PUMP_PARK;
}

bool pump_given_back(const struct pump *p) {
	return p->given_back && !p->client_ended;
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
	bool more = stream_has_input(p->client) && !p->inner_full && !p->ending;
	more |= p->inner_ended && !p->client_full; /* a step had carried its share just then */
	return more ? clock_ms() : p->last + p->idle;
}
