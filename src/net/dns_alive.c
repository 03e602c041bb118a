/* SPDX-License-Identifier: Apache-2.0 */
/* Is any of the resolvers there at all? libunbound does not say: a resolver that refuses, one that is silent and a
 * domain whose own servers are silent all look the same to it, an answer that does not come. Only the last is worth the
 * patience that RFC 7208 §4.6.4 asks for. So the resolvers are asked something that each knows, the root's servers or
 * (where a filter drops that one, which was often abused) localhost's address; any answer will do. */
#include "base/clock.h"
#include "base/encode.h"
#include "net/dns_private.h"
#include <poll.h>
#include <sys/uio.h>

enum { AGAIN_MS = 700, ANSWER_LEAST = 12, MOST = 8 };

static void question_send(int fd, uint16_t id, struct slice question) {
	const unsigned char head[] = { (unsigned char)(id >> 8), (unsigned char)id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	struct iovec parts[] = { { (void *)(uintptr_t)head, sizeof head }, /* RD, one question */
				 { (void *)(uintptr_t)question.at, question.len } };
	if (writev(fd, parts, LEN(parts)) < 0) return; /* poll tells */
}

/* 1: an answer to it; 0: something else; <0: nobody is there. */
static int answer_take(int fd, uint16_t id) {
	unsigned char answer[512];
	ssize_t n = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
	if (n < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;
	return n >= ANSWER_LEAST && answer[0] == id >> 8 && answer[1] == (id & 0xff) && (answer[2] & 0x80) != 0;
}

static bool look(struct pollfd *fds, size_t count, uint16_t id, int64_t deadline) {
	/* . NS IN; localhost. A IN */
	const struct slice questions[] = { S("\0\0\2\0\1"), S("\11localhost\0\0\1\0\1") };
	size_t asked = 0;
	size_t left = count;
	for (int64_t now = clock_ms(), again = now; now < deadline && left != 0; now = clock_ms()) {
		for (size_t i = 0; i < count && now >= again; i++)
			if (fds[i].fd >= 0) question_send(fds[i].fd, id, questions[asked % LEN(questions)]);
		if (now >= again) {
			asked++;
			again = now + AGAIN_MS;
		}
		if (poll(fds, count, (int)(MIN_OF(deadline, again) - now)) <= 0) continue;
		for (size_t i = 0; i < count; i++) {
			if (fds[i].fd < 0 || fds[i].revents == 0) continue;
			int got = answer_take(fds[i].fd, id);
			if (got > 0) return true;
			if (got == 0) continue;
			close(fds[i].fd);
			fds[i].fd = -1;
			left--;
		}
	}
	return false;
}

bool dns_any_alive(const struct addr *resolvers, size_t count, int wait_ms) {
	struct pollfd fds[MOST];
	size_t n = 0;
	for (size_t i = 0; i < count && n < MOST; i++) {
		int fd = socket(addr_family(&resolvers[i]), SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, &resolvers[i].any, resolvers[i].len) == 0)
			fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
		else if (fd >= 0) close(fd);
	}
	bool alive = look(fds, n, (uint16_t)random_below(65536), deadline_in(wait_ms));
	for (size_t i = 0; i < n; i++)
		if (fds[i].fd >= 0) close(fds[i].fd);
	return alive;
}
