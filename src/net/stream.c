/* SPDX-License-Identifier: Apache-2.0 */
/* One read and one write path for clear text and TLS. A TLS write that could not finish must be repeated with the same
 * bytes: it is, since they stay at the front of the out-buffer until they are gone. */
#include "net/stream.h"
#include "base/fail.h"
#include "net/pool.h"
#include "net/zip.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { READ_STEP = 16384, ZIP_STEP = 65536, PARTING_MS = 2000, PARTING_PIECES = 16 };

struct stream {
	int fd;
	struct tls *tls;
	bool tls_ready, tcp, peer_ended; /* tcp: no pair of sockets; peer_ended: nothing more comes from it */
	bool drained;         /* the last read in the clear took less than it might have */
	bool tls_wants_write; /* a handshake or a read that can only go on after a write */
	struct buf in, out;
	size_t eaten, written; /* consumed bytes at the front of in and out */
	size_t clear;          /* bytes of out that were queued before TLS was started: they still go in clear text */
	size_t scanned;        /* bytes of in (after eaten) known to hold no line end */
	uint64_t bytes_in, bytes_out;
	struct zip *zip;       /* NULL: not compressed */
	struct buf zip_in, zip_out;
	size_t zip_eaten, zip_written; /* like eaten and written */
	bool zip_more;         /* plain text is ready inside of zip */
};

struct stream *stream_new(int fd, size_t in_limit, size_t out_limit) {
	struct stream *s = mem_get(sizeof *s);
	int one = 1;
	bool tcp = setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0; /* no: a socket of this machine */
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && (flags & O_NONBLOCK) == 0) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	s->fd = fd;
	s->tcp = tcp;
	s->in = BUF(in_limit);
	s->out = BUF(out_limit);
	return s;
}

void stream_close(struct stream **sp) {
	struct stream *s = *sp;
	if (s == NULL) return;
	*sp = NULL;
	if (s->tls_ready) tls_shutdown(s->tls);
	tls_free(&s->tls);
	if (s->fd >= 0) close(s->fd);
	mem_wipe(s->in.at, s->in.room); /* it may have held a password */
	buf_done(&s->in);
	buf_done(&s->out);
	zip_free(&s->zip);
	buf_done(&s->zip_in);
	buf_done(&s->zip_out);
	free(s);
}

struct parting {
	struct task task;
	int fd;
	int64_t deadline;
};

static void part_step(struct task *task, enum wake why) {
	struct parting *p = OWNER_OF(task, struct parting, task);
	char dropped[4096];
	ssize_t n = 1;
	for (int i = 0; i < PARTING_PIECES && n > 0; i++) n = recv(p->fd, dropped, sizeof dropped, 0);
	bool more = n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
	if (more && why != WAKE_STOP && clock_ms() < p->deadline) {
		task_park(task, EPOLLIN, 0, p->deadline);
		return;
	}
	int fd = p->fd;
	task_end(task);
	close(fd);
	free(p);
}

void stream_part(struct stream **sp, struct pool *pool) {
	struct stream *s = *sp;
	if (s == NULL) return;
	int fd = -1;
	if (s->tcp && !s->peer_ended) {
		if (s->tls_ready) tls_shutdown(s->tls);
		tls_free(&s->tls);
		s->tls_ready = false;
		if (shutdown(s->fd, SHUT_WR) == 0) fd = TAKE_FD(s->fd);
	}
	stream_close(sp);
	if (fd < 0) return;
	struct parting *p = mem_get(sizeof *p);
	*p = (struct parting){ .task.step = part_step, .fd = fd, .deadline = clock_ms() + PARTING_MS };
	pool_add(pool, &p->task, fd, -1);
}

int stream_fd(const struct stream *s) {
	return s->fd;
}

bool stream_is_bare(const struct stream *s) {
	return s->tls == NULL && s->zip == NULL && stream_peek(s).len == 0 && s->out.len == s->written;
}

int stream_take_fd(struct stream **sp) {
	must(stream_is_bare(*sp));
	int fd = TAKE_FD((*sp)->fd);
	stream_close(sp);
	return fd;
}

static int may_start_tls(const struct stream *s) {
	if (s->tls != NULL) return fail("TLS is already on");
	if (stream_peek(s).len != 0) return fail("clear text was sent ahead of the TLS handshake (possible injection)");
	return 0;
}

int stream_start_tls_server(struct stream *s, struct tls_server *server) {
	if (may_start_tls(s) < 0) return -1;
	s->tls = tls_accept(server, s->fd);
	s->clear = s->out.len;
	return 0;
}

int stream_start_tls_client(struct stream *s, struct tls_client *client, const char *server_name) {
	if (may_start_tls(s) < 0) return -1;
	s->tls = tls_connect(client, s->fd, server_name);
	s->clear = s->out.len;
	return 0;
}

bool stream_is_tls(const struct stream *s) {
	return s->tls_ready;
}

struct tls *stream_tls(const struct stream *s) {
	return s->tls;
}

/* Results of tls_* and of system calls as stream results. */
static int from_tls(struct stream *s, int r) {
	s->tls_wants_write = r == TLS_WANT_WRITE;
	if (r < 0) return r;
	if (r == TLS_CLOSED) return STREAM_CLOSED;
	return r == TLS_OK ? STREAM_OK : STREAM_AGAIN;
}

static int from_errno(const char *what) {
	if (errno == EAGAIN || errno == EINTR) return STREAM_AGAIN;
	if (errno == ECONNRESET || errno == EPIPE || errno == ETIMEDOUT || errno == EHOSTUNREACH ||
	    errno == ENETUNREACH)
		return STREAM_CLOSED;
	return fail_errno("%s", what);
}

/* Sends what was queued before TLS (220 Ready to start TLS). */
static int flush_clear(struct stream *s) {
	while (s->written < s->clear) {
		ssize_t n = send(s->fd, s->out.at + s->written, s->clear - s->written, MSG_NOSIGNAL);
		if (n < 0) return from_errno("write");
		s->written += (size_t)n;
		s->bytes_out += (size_t)n;
	}
	return STREAM_OK;
}

static int handshake(struct stream *s) {
	if (s->tls == NULL || s->tls_ready) return STREAM_OK;
	int r = flush_clear(s);
	if (r == STREAM_OK) r = from_tls(s, tls_handshake(s->tls));
	if (r == STREAM_OK) s->tls_ready = true;
	return r;
}

static int read_some(struct stream *s, char *to, size_t room, size_t *got) {
	if (s->tls != NULL) return from_tls(s, tls_read(s->tls, to, room, got));
	ssize_t n = recv(s->fd, to, room, 0);
	s->drained = n < (ssize_t)room;
	if (n < 0) return from_errno("read");
	*got = (size_t)n;
	return n == 0 ? STREAM_CLOSED : STREAM_OK;
}

void stream_start_zip(struct stream *s) {
	must(s->zip == NULL && s->written == s->out.len);
	s->zip = zip_new();
	s->zip_in = BUF(s->in.limit + READ_STEP);
	s->zip_out = BUF(ZIP_STEP * 2);
	buf_add(&s->zip_in, stream_peek(s));
	s->zip_more = s->zip_in.len != 0;
	buf_clear(&s->in);
	s->eaten = s->scanned = 0;
}

bool stream_is_zipped(const struct stream *s) {
	return s->zip != NULL;
}

/* Plain text of what has arrived; nothing is read while some of that is left. */
static int read_zipped(struct stream *s, char *to, size_t room, size_t *got) {
	for (;;) {
		struct slice packed = slice_skip(buf_slice(&s->zip_in), s->zip_eaten);
		if (packed.len != 0 || s->zip_more) {
			if (zip_unpack(s->zip, &packed, to, room, got) < 0) return -1;
			s->zip_eaten = s->zip_in.len - packed.len;
			s->zip_more = *got == room;
			if (*got != 0) return STREAM_OK;
			if (packed.len != 0) continue;
		}
		s->zip_in.len = s->zip_eaten = 0;
		char *into = buf_room(&s->zip_in, READ_STEP);
		size_t n = 0;
		must(into != NULL);
		int r = read_some(s, into, READ_STEP, &n);
		if (r != STREAM_OK) return r;
		s->zip_in.len = n;
	}
}

int stream_fill(struct stream *s) {
	if (s->peer_ended) return STREAM_CLOSED;
	int r = handshake(s);
	if (r == STREAM_CLOSED) s->peer_ended = true;
	if (r != STREAM_OK) return r;
	if (s->eaten != 0) {
		buf_eat(&s->in, s->eaten);
		s->eaten = 0;
	}
	if (s->in.len >= s->in.limit) return STREAM_OK; /* let the owner consume first */
	size_t room = MIN_OF((size_t)READ_STEP, s->in.limit - s->in.len), got = 0;
	char *to = buf_room(&s->in, room);
	must(to != NULL);
	r = s->zip != NULL ? read_zipped(s, to, room, &got) : read_some(s, to, room, &got);
	if (r == STREAM_CLOSED) s->peer_ended = true;
	if (r != STREAM_OK) return r;
	s->in.len += got;
	s->bytes_in += got;
	return STREAM_OK;
}

struct slice stream_peek(const struct stream *s) {
	return slice_skip(buf_slice(&s->in), s->eaten);
}

void stream_eat(struct stream *s, size_t n) {
	must(n <= s->in.len - s->eaten);
	s->eaten += n;
	s->scanned = 0;
}

int stream_line(struct stream *s, size_t max, struct slice *line, bool *bare) {
	struct slice have = stream_peek(s);
	size_t end = s->scanned + slice_find(slice_skip(have, s->scanned), '\n');
	if (end >= have.len) {
		s->scanned = have.len;
		return have.len > max || have.len >= s->in.limit ? STREAM_LONG : STREAM_AGAIN;
	}
	if (end > max) return STREAM_LONG;
	bool crlf = end > 0 && have.at[end - 1] == '\r';
	if (bare != NULL) *bare = !crlf;
	*line = slice_head(have, crlf ? end - 1 : end);
	stream_eat(s, end + 1);
	return STREAM_OK;
}

struct buf *stream_out(struct stream *s) {
	return &s->out;
}

bool stream_put(struct stream *s, struct slice bytes) {
	return buf_add(&s->out, bytes);
}

bool stream_putf(struct stream *s, const char *format, ...) {
	va_list args;
	va_start(args, format);
	bool ok = buf_addv(&s->out, format, args);
	va_end(args);
	return ok;
}

static int write_some(struct stream *s, struct slice bytes, size_t *put) {
	if (s->tls_ready) return from_tls(s, tls_write(s->tls, bytes.at, bytes.len, put));
	ssize_t n = send(s->fd, bytes.at, bytes.len, MSG_NOSIGNAL);
	if (n < 0) return from_errno("write");
	*put = (size_t)n;
	return STREAM_OK;
}

/* Packs a piece, sends it, packs the next. */
static int flush_zipped(struct stream *s) {
	for (bool whole = false;;) {
		while (s->zip_written < s->zip_out.len) {
			size_t put = 0;
			int r = write_some(s, slice_skip(buf_slice(&s->zip_out), s->zip_written), &put);
			if (r != STREAM_OK) return r;
			s->zip_written += put;
		}
		buf_clear(&s->zip_out);
		s->zip_written = 0;
		struct slice plain = slice_skip(buf_slice(&s->out), s->written);
		if (whole) break;
		size_t before = plain.len;
		whole = zip_pack(s->zip, &plain, &s->zip_out, ZIP_STEP);
		s->written += before - plain.len;
		s->bytes_out += before - plain.len;
		if (whole && s->zip_out.len == 0) break;
	}
	s->written = 0;
	buf_clear(&s->out);
	return STREAM_OK;
}

int stream_flush(struct stream *s) {
	if (s->out.full) return fail("a reply is longer than %zu bytes", s->out.limit);
	int ready = handshake(s);
	if (ready != STREAM_OK) return ready;
	if (s->zip != NULL) return flush_zipped(s);
	while (s->written < s->out.len) {
		size_t put = 0;
		int r = write_some(s, slice_skip(buf_slice(&s->out), s->written), &put);
		if (r != STREAM_OK) return r;
		s->written += put;
		s->bytes_out += put;
	}
	s->written = s->clear = 0;
	buf_clear(&s->out);
	return STREAM_OK;
}

/* In the handshake, with nothing left to say in the clear. */
static bool shaking(const struct stream *s) {
	return s->tls != NULL && !s->tls_ready && s->written >= s->clear;
}

uint32_t stream_events(const struct stream *s) {
	if (shaking(s)) return s->tls_wants_write ? EPOLLOUT : EPOLLIN;
	bool blocked = s->written < s->out.len || s->zip_written < s->zip_out.len || s->tls_wants_write;
	return blocked ? EPOLLOUT | (s->tls != NULL && !s->tls_wants_write ? EPOLLIN : 0u) : EPOLLIN;
}

bool stream_has_input(const struct stream *s) {
	return s->eaten < s->in.len || s->zip_eaten < s->zip_in.len || s->zip_more ||
	       (s->tls_ready && tls_pending(s->tls));
}

bool stream_is_drained(const struct stream *s) {
	return s->drained && s->zip == NULL && s->tls == NULL;
}

void stream_relax(struct stream *s) {
	if (s->eaten == s->in.len && s->in.room > 0) {
		mem_wipe(s->in.at, s->in.len);
		buf_done(&s->in);
		s->eaten = s->scanned = 0;
	}
	if (s->out.len == s->written && s->out.room > 0) {
		buf_done(&s->out);
		s->written = s->clear = 0;
	}
	if (s->zip == NULL || s->out.len != 0 || s->zip_written < s->zip_out.len) return;
	buf_done(&s->zip_out);
	s->zip_written = 0;
	if (s->zip_eaten < s->zip_in.len || s->zip_more) return;
	buf_done(&s->zip_in);
	s->zip_eaten = 0;
	zip_relax(s->zip);
}

/* Waits for the descriptor. */
static int wait_for(struct stream *s, short events, int64_t deadline) {
	for (;;) {
		struct pollfd p = { .fd = s->fd, .events = events };
		int n = poll(&p, 1, deadline_left(deadline));
		if (n > 0) return STREAM_OK;
		if (n == 0) return STREAM_LATE;
		if (errno != EINTR) return fail_errno("poll");
	}
}

/* Repeats a stepped call until it says something other than STREAM_AGAIN. */
static int wait_until(struct stream *s, int (*call)(struct stream *), short events, int64_t deadline) {
	for (;;) {
		int r = call(s);
		if (r != STREAM_AGAIN) return r;
		r = wait_for(s, s->tls_wants_write ? POLLOUT : shaking(s) ? POLLIN : events, deadline);
		if (r != STREAM_OK) return r;
	}
}

int stream_wait_handshake(struct stream *s, int64_t deadline) {
	return wait_until(s, handshake, POLLIN, deadline);
}

int stream_wait_fill(struct stream *s, int64_t deadline) {
	return wait_until(s, stream_fill, POLLIN, deadline);
}

int stream_wait_bytes(struct stream *s, size_t n, int64_t deadline) {
	if (!stream_is_drained(s)) return stream_wait_fill(s, deadline);
	int want = (int)MIN_OF(n, (size_t)READ_STEP), any = 1;
	bool counts = s->tcp && want > any; /* else every piece wakes */
	if (counts) setsockopt(s->fd, SOL_SOCKET, SO_RCVLOWAT, &want, sizeof want);
	int r = wait_for(s, POLLIN, deadline);
	if (counts) setsockopt(s->fd, SOL_SOCKET, SO_RCVLOWAT, &any, sizeof any);
	return r == STREAM_OK ? stream_wait_fill(s, deadline) : r;
}

int stream_wait_flush(struct stream *s, int64_t deadline) {
	/* a TLS 1.3 peer may have to be read from before it takes more; our reads happen elsewhere, so only wait for
	 * room */
	return wait_until(s, stream_flush, POLLOUT, deadline);
}

int stream_wait_answer(struct stream *s, int64_t deadline) {
	bool bare = s->tls == NULL && s->zip == NULL;
	int r = bare ? wait_for(s, POLLIN, deadline) : STREAM_OK;
	return r == STREAM_OK ? stream_wait_fill(s, deadline) : r;
}

int stream_wait_line(struct stream *s, size_t max, struct slice *line, int64_t deadline) {
	for (;;) {
		int r = stream_line(s, max, line, NULL);
		if (r != STREAM_AGAIN) return r;
		r = stream_wait_answer(s, deadline);
		if (r != STREAM_OK) return r;
	}
}

int stream_wait_put(struct stream *s, struct slice bytes, int64_t deadline) {
	while (bytes.len != 0) {
		size_t room = s->out.limit - s->out.len;
		if (room == 0 || s->out.len >= READ_STEP * 4) {
			int r = stream_wait_flush(s, deadline);
			if (r != STREAM_OK) return r;
			continue;
		}
		struct slice step = slice_head(bytes, MIN_OF(room, (size_t)READ_STEP * 4));
		if (!stream_put(s, step)) return fail("write buffer is full");
		bytes = slice_skip(bytes, step.len);
	}
	return STREAM_OK;
}

uint64_t stream_bytes_in(const struct stream *s) {
	return s->bytes_in;
}

uint64_t stream_bytes_out(const struct stream *s) {
	return s->bytes_out;
}
