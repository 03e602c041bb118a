/* SPDX-License-Identifier: Apache-2.0 */
/* Channels are stream sockets; a frame is an 12-byte header, the body, and descriptors that ride on the header. Both
 * ends are our own processes, so a frame comes whole and soon: receiving one may wait. Its length is bounded all the
 * same. */
#include "net/link.h"
#include "base/fail.h"
#include "base/log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { IDLE_CHANNELS = 64, FRAME_WAIT_MS = 30000, ANSWER_GUESS = 512, QUESTION_GUESS = 16384, PATIENCE_MS = 5000 };

struct header {
	uint32_t kind, length, fd_count;
};

union fd_space {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(LINK_FDS * sizeof(int))];
};

static int send_all(int fd, const char *at, size_t len) {
	while (len != 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0)
			return errno == EPIPE || errno == ECONNRESET ? LINK_LATE
								     : fail_errno("send to another process");
		at += n;
		len -= (size_t)n;
	}
	return LINK_OK;
}

int link_send(int channel, const struct link_frame *f) {
	must(f->fd_count <= LINK_FDS);
	if (f->body.len > LINK_FRAME_MAX) return fail("message of %zu bytes to another process", f->body.len);
	struct header h = { f->kind, (uint32_t)f->body.len, (uint32_t)f->fd_count };
	struct iovec parts[2] = { { &h, sizeof h }, { (void *)(uintptr_t)f->body.at, f->body.len } };
	struct msghdr m = { .msg_iov = parts, .msg_iovlen = f->body.len != 0 ? 2 : 1 };
	union fd_space space = { 0 };
	if (f->fd_count != 0) {
		m.msg_control = &space;
		m.msg_controllen = CMSG_SPACE(f->fd_count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(f->fd_count * sizeof(int));
		memcpy(CMSG_DATA(c), f->fds, f->fd_count * sizeof(int));
	}
	ssize_t n;
	do n = sendmsg(channel, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0) return errno == EPIPE || errno == ECONNRESET ? LINK_LATE : fail_errno("send to another process");
	if ((size_t)n < sizeof h) {
		int r = send_all(channel, (char *)&h + n, sizeof h - (size_t)n);
		if (r != LINK_OK) return r;
		n = sizeof h;
	}
	size_t sent = (size_t)n - sizeof h;
	return send_all(channel, f->body.at + sent, f->body.len - sent);
}

enum { NOTHING_YET = 100 }; /* beside enum link_result: the socket's own time-out passed */

static int wait_readable(int fd, int64_t deadline) {
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int n = poll(&p, 1, deadline_left(deadline));
		if (n > 0) return LINK_OK;
		if (n == 0) return LINK_LATE;
		if (errno != EINTR) return fail_errno("poll");
	}
}

/* One recvmsg; descriptors that come along are put into f. Bytes, LINK_LATE as *result when the other side has gone. */
static size_t receive_some(int fd, struct iovec *parts, size_t count, struct link_frame *f, int *result) {
	union fd_space space;
	struct msghdr m = {
		.msg_iov = parts, .msg_iovlen = count, .msg_control = &space, .msg_controllen = sizeof space
	};
	ssize_t n;
	do n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n > 0) *result = LINK_OK;
	else if (n == 0 || errno == ECONNRESET) *result = LINK_LATE;
	else *result = errno == EAGAIN ? NOTHING_YET : fail_errno("receive from another process");
	for (struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&m) : NULL; c != NULL; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
		size_t got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < got; i++) {
			int passed;
			memcpy(&passed, CMSG_DATA(c) + i * sizeof(int), sizeof passed);
			if (f->fd_count < LINK_FDS) f->fds[f->fd_count++] = passed;
			else close(passed);
		}
	}
	return n > 0 ? (size_t)n : 0;
}

/* Fills at, waiting for each piece. */
static int receive_rest(int fd, char *at, size_t len, struct link_frame *f, int64_t deadline) {
	int r = LINK_OK;
	while (len != 0 && r == LINK_OK) {
		r = wait_readable(fd, deadline);
		if (r != LINK_OK) return r;
		size_t n = receive_some(fd, &(struct iovec){ at, len }, 1, f, &r);
		at += n;
		len -= n;
	}
	return r;
}

void link_received_done(struct link_received *r) {
	for (size_t i = 0; i < r->frame.fd_count; i++)
		if (r->frame.fds[i] >= 0) close(r->frame.fds[i]);
	buf_done(&r->mem);
	*r = (struct link_received){ 0 };
}

/* A frame that has begun to arrive. `guess` bytes of body are read together with the header: most frames come in one
 * call. 0 where the next frame may follow at once: on a dial socket, or when master feeds a role. */
static int receive_frame(int fd, struct link_received *r, size_t guess, int64_t deadline) {
	struct header h = { 0 };
	char *at = guess != 0 ? buf_room(&r->mem, guess) : NULL;
	struct iovec parts[2] = { { &h, sizeof h }, { at, guess } };
	int result;
	size_t n = receive_some(fd, parts, guess != 0 ? 2 : 1, &r->frame, &result);
	if (result == LINK_OK && n < sizeof h)
		result = receive_rest(fd, (char *)&h + n, sizeof h - n, &r->frame, deadline);
	if (result != LINK_OK) return result;
	size_t have = n > sizeof h ? n - sizeof h : 0;
	if (h.length > LINK_FRAME_MAX || have > h.length) return fail("broken message from another process");
	r->mem.len = have;
	if (h.length > have) {
		at = buf_room(&r->mem, h.length - have);
		must(at != NULL);
		result = receive_rest(fd, at, h.length - have, &r->frame, deadline);
		r->mem.len = h.length;
	}
	if (result == LINK_OK && h.fd_count != r->frame.fd_count) result = fail("broken message from another process");
	r->frame.kind = h.kind;
	r->frame.body = buf_slice(&r->mem);
	return result;
}

/* ready: the descriptor is known to be readable. */
static int receive(int fd, struct link_received *out, size_t guess, bool ready, int64_t deadline) {
	struct link_received r = { .mem = BUF(LINK_FRAME_MAX) };
	int result = ready || deadline == NEVER ? LINK_OK : wait_readable(fd, deadline);
	if (result == LINK_OK) result = receive_frame(fd, &r, guess, deadline_in(FRAME_WAIT_MS));
	if (result == LINK_OK) *out = r;
	else link_received_done(&r);
	return result;
}

int link_receive(int channel, struct link_received *out, int64_t deadline) {
	return receive(channel, out, 0, false, deadline);
}

int link_receive_answer(int channel, struct link_received *out) {
	int r = receive(channel, out, ANSWER_GUESS, true, NEVER);
	return r == NOTHING_YET ? LINK_LATE : r;
}

int link_frame_take_fd(struct link_frame *f, size_t index) {
	if (index >= f->fd_count) return -1;
	return TAKE_FD(f->fds[index]);
}

/* Asking. */

struct link {
	int dial;
	pthread_mutex_t lock;
	int idle[IDLE_CHANNELS];
	size_t idle_count;
};

struct link *link_new(int dial_fd) {
	struct link *l = mem_get(sizeof *l);
	l->dial = dial_fd;
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

void link_free(struct link **lp) {
	struct link *l = *lp;
	if (l == NULL) return;
	*lp = NULL;
	for (size_t i = 0; i < l->idle_count; i++) close(l->idle[i]);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

int link_channel(struct link *l) {
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return fail_errno("socket pair");
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	struct link_frame hello = { .fds = { pair[1] }, .fd_count = 1 };
	int r = link_send(l->dial, &hello);
	close(pair[1]);
	if (r == LINK_OK) return pair[0];
	close(pair[0]);
	return r < 0 ? r : fail("the other process cannot be reached");
}

static int idle_channel(struct link *l) {
	pthread_mutex_lock(&l->lock);
	int fd = l->idle_count != 0 ? l->idle[--l->idle_count] : -1;
	pthread_mutex_unlock(&l->lock);
	return fd;
}

/* Sends on an idle channel or a fresh one. A channel whose far end has gone takes nothing, or not all of it: nobody has
 * acted on the question then, and the next channel is tried. */
int link_ask(struct link *l, const struct link_frame *ask, int *out) {
	for (;;) {
		int fd = idle_channel(l);
		bool fresh = fd < 0;
		if (fresh && (fd = link_channel(l)) < 0) return fd;
		int r = link_send(fd, ask);
		if (r == LINK_OK) *out = fd;
		else close(fd);
		if (r != LINK_LATE || fresh) return r;
	}
}

static void channel_put(struct link *l, int fd) {
	pthread_mutex_lock(&l->lock);
	bool keep = l->idle_count < IDLE_CHANNELS;
	if (keep) l->idle[l->idle_count++] = fd;
	pthread_mutex_unlock(&l->lock);
	if (!keep) close(fd);
}

/* A process that ends loses its channels one after the other: those that still look alive are no better. */
static void idle_close(struct link *l) {
	for (int fd; (fd = idle_channel(l)) >= 0;) close(fd);
}

int link_answered(struct link *l, int channel, struct link_received *answer, int64_t deadline) {
	int r = NOTHING_YET;
	/* the channel itself gives up after PATIENCE_MS: a poll before each receive would double the calls */
	while (r == NOTHING_YET && deadline_left(deadline) != 0)
		r = receive(channel, answer, ANSWER_GUESS, true, NEVER);
	if (r == LINK_LATE) idle_close(l);
	if (r == NOTHING_YET) r = LINK_LATE;
	if (r == LINK_OK) channel_put(l, channel);
	else close(channel);
	return r;
}

int link_call(struct link *l, const struct link_frame *ask, struct link_received *answer, int64_t deadline) {
	int channel, r = link_ask(l, ask, &channel);
	return r == LINK_OK ? link_answered(l, channel, answer, deadline) : r;
}

int link_query(struct link *l, const struct link_frame *ask, struct link_received *answer, int64_t deadline) {
	int r = link_call(l, ask, answer, deadline);
	return r == LINK_LATE && deadline_left(deadline) != 0 ? link_call(l, ask, answer, deadline) : r;
}

/* Answering. */

struct door { /* where new channels come from: a dial socket, or one that listens */
	struct task task;
	struct pool *pool;
	int fd;
	int (*open)(int fd); /* a new channel, or -1 */
	const struct link_service *service;
};

struct channel {
	struct task task;
	int fd;
	const struct link_service *service;
	struct arena mem;
	void *kept;
};

static void channel_close(struct channel *c) {
	int fd = c->fd;
	if (c->kept != NULL) c->service->keeper->done(c->kept);
	task_end(&c->task);
	close(fd);
	arena_done(&c->mem);
	free(c);
}

static int answer(struct channel *c, const struct link_rule *rule, struct link_received *asked) {
	AUTO_BUF struct buf out = BUF(LINK_FRAME_MAX);
	struct link_question q = {
		.ask = &asked->frame, .mem = &c->mem, .answer = &out, .kept = &c->kept, .channel = c->fd
	};
	q.in = UNWIRE(asked->frame.body, &c->mem);
	int r = rule->answer(c->service->ctx, &q);
	if (r >= 0 && out.full) r = fail("answer too long");
	if (r >= 0) {
		struct link_frame f = { .kind = asked->frame.kind,
					.body = buf_slice(&out),
					.fd_count = q.answer_fd_count };
		memcpy(f.fds, q.answer_fds, sizeof f.fds);
		r = link_send(c->fd, &f);
	}
	for (size_t i = 0; i < q.answer_fd_count; i++) close(q.answer_fds[i]);
	if (r < 0) say(L_ERROR, "link", "%s: %s", rule->name, fail_text());
	arena_reset(&c->mem);
	return r;
}

/* One question. False: the channel is over. */
static bool channel_serve(struct channel *c) {
	struct link_received asked;
	if (receive(c->fd, &asked, QUESTION_GUESS, true, NEVER) != LINK_OK) return false;
	const struct link_rule *rule = NULL;
	for (size_t i = 0; i < c->service->count && rule == NULL; i++)
		if (c->service->rules[i].kind == asked.frame.kind) rule = &c->service->rules[i];
	if (rule == NULL)
		say(L_ERROR, "link", "another process asked for %u, which it may not: channel closed",
		    asked.frame.kind);
	bool go_on = rule != NULL && answer(c, rule, &asked) == LINK_OK;
	link_received_done(&asked);
	return go_on;
}

static void channel_step(struct task *t, enum wake why) {
	struct channel *c = OWNER_OF(t, struct channel, task);
	if (why == WAKE_STOP || (why == WAKE_IO && !channel_serve(c))) {
		channel_close(c);
		return;
	}
	if (why == WAKE_DEADLINE) c->service->keeper->expire(c->kept);
	task_park(t, EPOLLIN, 0, c->kept != NULL ? c->service->keeper->deadline(c->kept) : NEVER);
}

static void door_step(struct task *t, enum wake why) {
	struct door *d = OWNER_OF(t, struct door, task);
	if (why == WAKE_STOP) {
		task_end(t);
		free(d);
		return;
	}
	int fd = why == WAKE_IO ? d->open(d->fd) : -1;
	if (fd >= 0) {
		struct channel *c = mem_get(sizeof *c);
		*c = (struct channel){ .task.step = channel_step, .fd = fd, .service = d->service };
		pool_add(d->pool, &c->task, fd, -1);
	}
	task_park(t, EPOLLIN, 0, NEVER);
}

static int open_dialled(int fd) {
	struct link_received r;
	if (receive(fd, &r, 0, false, deadline_in(0)) != LINK_OK) return -1;
	int channel = link_frame_take_fd(&r.frame, 0);
	link_received_done(&r);
	return channel;
}

static int open_accepted(int fd) {
	return accept4(fd, NULL, NULL, SOCK_CLOEXEC);
}

static void open_door(struct pool *p, int fd, int (*open)(int), const struct link_service *service) {
	struct door *d = mem_get(sizeof *d);
	*d = (struct door){ .task.step = door_step, .pool = p, .fd = fd, .open = open, .service = service };
	pool_add(p, &d->task, fd, -1);
}

void link_serve(struct pool *p, int dial_fd, const struct link_service *service) {
	open_door(p, dial_fd, open_dialled, service);
}

void link_serve_socket(struct pool *p, int listen_fd, const struct link_service *service) {
	open_door(p, listen_fd, open_accepted, service);
}
