/* SPDX-License-Identifier: Apache-2.0 */
/* Connections to servers of tables. They are kept for a while, because a question takes microseconds and connecting
 * does not; an old one that fails is no reason to say "later" before a new one was tried. */
#include "conf/table/peer.h"
#include "net/connect.h"
#include "net/addr.h"
#include <netdb.h>
#include <sys/un.h>

#define IDLE_MOST 8              /* connections kept */
#define IDLE_TIME SECONDS(10)
#define ANSWER_MOST KIB(256)     /* bytes of one answer in a stream's buffer */

struct peer {
	size_t most;              /* bytes of an answer */
	char *host, *port, *path; /* path: a Unix socket; else the other two */
	pthread_mutex_t lock;
	struct idle {
		struct stream *stream;
		int64_t since;
	} idle[IDLE_MOST];
	size_t count;
};

static char *socket_path(const struct table *t, struct slice name) {
	const char *base = table_params_of(t)->queue_directory;
	AUTO_BUF struct buf path = BUF(KIB(8));
	if (base != NULL && name.len > 0 && name.at[0] != '/') buf_addf(&path, "%s/", base);
	buf_add(&path, name);
	return mem_text(buf_text(&path));
}

struct peer *peer_new(const struct table *t, struct slice address) {
	struct slice host, port, name = address;
	size_t most = MAX_OF((size_t)ANSWER_MOST, table_params_of(t)->socketmap_most + 64);
	if (slice_starts(name, S("unix:"))) {
		name = slice_skip(name, 5);
		if (name.len == 0 || name.len >= sizeof ((struct sockaddr_un *)NULL)->sun_path)
			return fail("%.*s: expected unix:pathname", SLICE_ARG(address)), NULL;
		struct peer *p = mem_get(sizeof *p);
		*p = (struct peer){ .most = most, .path = socket_path(t, name), .lock = PTHREAD_MUTEX_INITIALIZER };
		return p;
	}
	if (slice_starts(name, S("inet:"))) name = slice_skip(name, 5);
	if (!addr_split_host_port(name, &host, &port) || port.len == 0)
		return fail("%.*s: expected host:port", SLICE_ARG(address)), NULL;
	struct peer *p = mem_get(sizeof *p);
	*p = (struct peer){ .most = most,
			    .host = slice_text(host.len > 0 ? host : S("localhost")),
			    .port = slice_text(port),
			    .lock = PTHREAD_MUTEX_INITIALIZER };
	return p;
}

void peer_free(struct peer **pp) {
	struct peer *p = *pp;
	if (p == NULL) return;
	*pp = NULL;
	for (size_t i = 0; i < p->count; i++) stream_close(&p->idle[i].stream);
	pthread_mutex_destroy(&p->lock);
	free(p->host);
	free(p->port);
	free(p->path);
	free(p);
}

static int connect_to(const struct sockaddr *to, socklen_t len, int64_t deadline) {
	AUTO_FD int fd = socket(to->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return -1;
	int error = connect_until(fd, to, len, deadline);
	return error == 0 ? TAKE_FD(fd) : (errno = error, -1);
}

static int connect_unix(const char *path, int64_t deadline) {
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof a.sun_path) return fail("unix:%s: the name is too long for a socket", path);
	memcpy(a.sun_path, path, strlen(path));
	int fd = connect_to((struct sockaddr *)&a, sizeof a, deadline);
	return fd >= 0 ? fd : fail_errno("connect to unix:%s", path);
}

/* Each address of the host in turn. */
static int connect_inet(const struct peer *p, int64_t deadline) {
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	/* known without any file, for processes that see none */
	const char *host = strcmp(p->host, "localhost") == 0 ? "127.0.0.1" : p->host;
	int r = getaddrinfo(host, p->port, &hints, &list), fd = -1;
	if (r != 0) return fail("%s:%s: %s", p->host, p->port, gai_strerror(r));
	for (const struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next)
		fd = connect_to(a->ai_addr, a->ai_addrlen, deadline);
	freeaddrinfo(list);
	return fd >= 0 ? fd : fail_errno("connect to %s:%s", p->host, p->port);
}

/* The newest connection that was not idle for too long. */
static struct stream *take_idle(struct peer *p) {
	struct stream *found = NULL, *old[IDLE_MOST];
	size_t olds = 0;
	int64_t now = clock_ms();
	pthread_mutex_lock(&p->lock);
	while (p->count > 0 && found == NULL) {
		struct idle *i = &p->idle[--p->count];
		if (now - i->since < IDLE_TIME) found = i->stream;
		else old[olds++] = i->stream;
	}
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < olds; i++) stream_close(&old[i]);
	return found;
}

struct stream *peer_take(struct peer *p, bool fresh, int64_t deadline, bool *used) {
	struct stream *s = fresh ? NULL : take_idle(p);
	*used = s != NULL;
	if (s != NULL) return s;
	int fd = p->path != NULL ? connect_unix(p->path, deadline) : connect_inet(p, deadline);
	return fd >= 0 ? stream_new(fd, p->most, ANSWER_MOST) : NULL;
}

void peer_give(struct peer *p, struct stream *s) {
	pthread_mutex_lock(&p->lock);
	if (p->count < IDLE_MOST) {
		p->idle[p->count++] = (struct idle){ s, clock_ms() };
		s = NULL;
	}
	pthread_mutex_unlock(&p->lock);
	stream_close(&s);
}

int peer_result(int r) {
	switch (r) {
	case STREAM_OK: return STREAM_OK;
	case STREAM_LATE: return fail("no answer in time");
	case STREAM_LONG: return fail("the answer is too long");
	case STREAM_CLOSED: return fail("the server closed the connection");
	default: return r < 0 ? r : fail("no answer");
	}
}

int peer_ask(struct peer *p, struct slice request, peer_read *read, void *ctx, int64_t wait) {
	int64_t deadline = deadline_in(wait);
	for (bool fresh = false;; fresh = true) {
		bool used;
		struct stream *s = peer_take(p, fresh, deadline, &used);
		if (s == NULL) return TABLE_LATER;
		int r = peer_result(stream_wait_put(s, request, deadline));
		if (r >= 0) r = peer_result(stream_wait_flush(s, deadline));
		if (r >= 0) r = read(ctx, s, deadline);
		if (r >= 0) {
			peer_give(p, s);
			return r;
		}
		stream_close(&s);
		if (!used || deadline_left(deadline) == 0) return TABLE_LATER;
	}
}
