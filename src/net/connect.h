/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <stdint.h>
#include <sys/socket.h>
/* Connects a socket that does not block, and waits for it. 0, or an errno: ETIMEDOUT at the deadline, EAGAIN when the
 * queue of a Unix socket is full. */
int connect_until(int fd, const struct sockaddr *to, socklen_t len, int64_t deadline);
