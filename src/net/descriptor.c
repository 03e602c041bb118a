/* SPDX-License-Identifier: Apache-2.0 */
#include "net/descriptor.h"
#include "base/clock.h"
#include "base/fail.h"

#include <poll.h>
#include <sys/socket.h>

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
};

int descriptor_send(int over, char byte, int fd, int64_t deadline) {
	union control control = { .room = { 0 } };
	struct iovec piece = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room
	};
	control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof fd),
					 .cmsg_level = SOL_SOCKET,
					 .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	for (int64_t left; (left = deadline - clock_ms()) > 0;) {
		if (sendmsg(over, &m, MSG_NOSIGNAL | MSG_DONTWAIT) == 1) return 0;
		if (errno != EAGAIN && errno != EINTR) return fail_errno("passing a descriptor");
		struct pollfd room = { .fd = over, .events = POLLOUT };
		(void)poll(&room, 1, (int)MIN_OF(left, (int64_t)INT32_MAX));
	}
	return fail("passing a descriptor: the other end does not read");
}

ssize_t descriptor_receive(int over, char *at, size_t room, int *fd) {
	union control control;
	struct iovec piece = { at, room };
	struct msghdr m = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room
	};
	*fd = -1;
	ssize_t n = recvmsg(over, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(c), sizeof *fd);
	return n;
}
