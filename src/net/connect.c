/* SPDX-License-Identifier: Apache-2.0 */
/* connect() says at once only that it has begun: the outcome is asked for when the socket has become writable. */
#include "net/connect.h"
#include "base/clock.h"

#include <errno.h>
#include <poll.h>

int connect_until(int fd, const struct sockaddr *to, socklen_t len, int64_t deadline) {
	if (connect(fd, to, len) == 0) return 0;
	if (errno != EINPROGRESS && errno != EINTR) return errno;
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int ready, error = 0;
	do ready = poll(&p, 1, deadline_left(deadline));
	while (ready < 0 && errno == EINTR);
	if (ready <= 0) return ready == 0 ? ETIMEDOUT : errno;
	socklen_t size = sizeof error;
	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}
