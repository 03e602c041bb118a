/* SPDX-License-Identifier: Apache-2.0 */
/* A list under a lock: log-ins are rare beside what they are for. The descriptor of a session is only ever shut down
 * here, under the lock that its owner needs to leave, so that it cannot be somebody else's by then. */
#include "access/present.h"
#include "base/clock.h"

#include <pthread.h>
#include <sys/socket.h>

enum { FAR_LOOK = 1000 }; /* entries of other processes, before those that are over are looked for */

struct entry {
	struct entry *before, *after;
	struct present who;
	char *login, *remote;
	int fd;
	bool far;
};

struct presence {
	pthread_mutex_t lock;
	struct entry *first, *last;
	size_t far, far_look;
};

struct presence *presence_new(void) {
	struct presence *p = mem_get(sizeof *p);
	pthread_mutex_init(&p->lock, NULL);
	p->far_look = FAR_LOOK;
	return p;
}

static void take_out(struct presence *p, struct entry *e) {
	*(e->before != NULL ? &e->before->after : &p->first) = e->after;
	*(e->after != NULL ? &e->after->before : &p->last) = e->before;
	if (e->far) {
		close(e->fd);
		p->far--;
	}
	free(e->login);
	free(e->remote);
	free(e);
}

void presence_free(struct presence **pp) {
	struct presence *p = TAKE(*pp);
	if (p == NULL) return;
	while (p->first != NULL) take_out(p, p->first);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* Sessions of other processes end by closing their socket. */
static void sweep(struct presence *p) {
	for (struct entry *e = p->first, *next; e != NULL; e = next) {
		char byte;
		next = e->after;
		if (!e->far) continue;
		ssize_t n = recv(e->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) take_out(p, e);
	}
	p->far_look = p->far * 2 + FAR_LOOK;
}

static uint64_t add(struct presence *p, const struct present *who, int fd, bool far) {
	struct entry *e = mem_get(sizeof *e);
	*e = (struct entry){ .who = *who, .login = slice_text(who->login), .remote = slice_text(who->remote), .fd = fd,
			     .far = far };
	e->who.login = slice_from(e->login, who->login.len);
	e->who.remote = slice_from(e->remote, who->remote.len);
	if (e->who.since_us == 0) e->who.since_us = wall_us();
	pthread_mutex_lock(&p->lock);
	if (far && ++p->far > p->far_look) sweep(p);
	e->before = p->last;
	*(p->last != NULL ? &p->last->after : &p->first) = e;
	p->last = e;
	pthread_mutex_unlock(&p->lock);
	return (uint64_t)(uintptr_t)e;
}

uint64_t presence_enter(struct presence *p, const struct present *who, int fd) {
	return p != NULL ? add(p, who, fd, false) : 0;
}

void presence_enter_far(struct presence *p, const struct present *who, int fd) {
	add(p, who, fd, true);
}

void presence_leave(struct presence *p, uint64_t id) {
	if (p == NULL || id == 0) return;
	pthread_mutex_lock(&p->lock);
	take_out(p, (struct entry *)(uintptr_t)id);
	pthread_mutex_unlock(&p->lock);
}

void presence_each(struct presence *p, void (*each)(void *ctx, const struct present *who), void *ctx) {
	pthread_mutex_lock(&p->lock);
	sweep(p);
	for (const struct entry *e = p->first; e != NULL; e = e->after) each(ctx, &e->who);
	pthread_mutex_unlock(&p->lock);
}

size_t presence_kick(struct presence *p, bool (*chosen)(void *ctx, const struct present *who), void *ctx) {
	size_t count = 0;
	pthread_mutex_lock(&p->lock);
	sweep(p);
	for (struct entry *e = p->first, *next; e != NULL; e = next) {
		next = e->after;
		if (!chosen(ctx, &e->who)) continue;
		count++;
		shutdown(e->fd, SHUT_RDWR);
		if (e->far) take_out(p, e);
	}
	pthread_mutex_unlock(&p->lock);
	return count;
}
