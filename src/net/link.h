/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/wire.h"
#include "net/pool.h"
/* Links between our processes: a question goes over, an answer comes back, descriptors alongside.
 *
 * Master makes one "dial" socket pair for each (asker, answerer) and keeps both ends, so that they outlive either
 * process. A worker that wants to ask opens a channel: a fresh socket pair whose far end is sent through the dial
 * socket. Each worker has a channel of its own while it asks, so that link_call looks like a function: write, then
 * read. When the answerer has died, the channel ends, and the next one waits in the dial socket for its successor.
 *
 * A frame on a channel: kind, length, packed body (base/wire); up to 4 descriptors. */
enum { LINK_FDS = 4, LINK_FRAME_MAX = 64 << 20 };

struct link_frame {
	uint32_t kind;
	struct slice body;
	int fds[LINK_FDS];
	size_t fd_count;
};
/* A received frame: its own memory and descriptors. link_received_done frees the one and closes what is left of the
 * other. */
struct link_received {
	struct link_frame frame;
	struct buf mem;
};
void link_received_done(struct link_received *r);
int link_frame_take_fd(struct link_frame *f, size_t index); /* -1 when there is none; the caller closes it */

/* Asking. */
struct link;
struct link *link_new(int dial_fd); /* borrows the descriptor */
void link_free(struct link **l);
enum link_result { LINK_OK, LINK_LATE };
/* One question, one answer. LINK_LATE: no answer in time, or the other process ended before it gave one; whether the
 * question was acted on is then not known. Below zero: fail(). */
int link_call(struct link *l, const struct link_frame *ask, struct link_received *answer, int64_t deadline);
/* For a question that may be acted on twice: when the other process ends before it answered, its successor is asked,
 * once. */
int link_query(struct link *l, const struct link_frame *ask, struct link_received *answer, int64_t deadline);
/* The same in two parts, for a task that awaits *channel in between (net/pool.h). link_answered waits until deadline
 * where nothing has come yet, and takes the channel back in every case. Who does not want the answer any more closes
 * it. */
int link_ask(struct link *l, const struct link_frame *ask, int *channel);
int link_answered(struct link *l, int channel, struct link_received *answer, int64_t deadline);
/* A channel for oneself, for a task that parks on it until the answer comes (descriptor, to be closed by the caller).
 */
int link_channel(struct link *l);
int link_send(int channel, const struct link_frame *f);
/* LINK_OK; LINK_LATE when the other side is gone (or the deadline passed). */
int link_receive(int channel, struct link_received *r, int64_t deadline);
/* The same in one call for a channel that is known to be readable, and on which nothing follows until we ask again. */
int link_receive_answer(int channel, struct link_received *r);

/* Answering: the table of what may be asked. Anything else closes the channel and is logged as an intrusion. */
struct link_question {
	const struct link_frame *ask;
	struct unwire in;         /* the body, ready to unpack */
	struct arena *mem;        /* until the answer is sent */
	struct buf *answer;       /* packed by the answering function */
	int answer_fds[LINK_FDS]; /* closed after they were sent */
	size_t answer_fd_count;
	int channel;              /* the socket the question came through: who asks, for a socket in the file system */
	void **kept;              /* what this channel keeps between questions, NULL at first; see link_keeper */
};
struct link_rule {
	uint32_t kind;
	const char *name;
	/* 0: answer is sent. Below zero: the fail() text is logged and the channel is closed, which the asker sees as
	 * LINK_LATE. */
	int (*answer)(void *ctx, struct link_question *q);
};
/* For answerers that keep something for a channel (relay: an open connection). */
struct link_keeper {
	int64_t (*deadline)(void *kept); /* when to call expire, NEVER: not at all */
	void (*expire)(void *kept);
	void (*done)(void *kept);        /* the channel ends */
};
struct link_service {
	const struct link_rule *rules;
	size_t count;
	void *ctx;
	const struct link_keeper *keeper; /* NULL: nothing is kept */
};
/* Serves every channel that comes in through dial_fd, in tasks of the pool, until pool_stop. service must outlive the
 * pool. */
void link_serve(struct pool *p, int dial_fd, const struct link_service *service);
/* The same for a listening Unix socket: each connection is a channel. */
void link_serve_socket(struct pool *p, int listen_fd, const struct link_service *service);
