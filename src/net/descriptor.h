/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
/* A descriptor that goes from one of our processes to another with a byte of a stream between them (a pair of Unix
 * sockets), outside of the questions of link.h: whoever reads the byte has the descriptor with it. */
/* Waits for room until deadline. fd stays the caller's. <0: failed, or the deadline came first. */
int descriptor_send(int over, char byte, int fd, int64_t deadline);
/* Like recv without waiting. *fd: what came with these bytes, the caller's from now on; -1: nothing. */
ssize_t descriptor_receive(int over, char *at, size_t room, int *fd);
