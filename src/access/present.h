/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* Who is logged in now: every session that core holds or, for SMTP, has been told of. What `hato who` lists and `hato
 * kick` ends. Thread-safe; entries are some hundred bytes. */
struct presence;
struct presence *presence_new(void) NONNULL_RESULT;
void presence_free(struct presence **p);

struct present {
	struct slice login, remote; /* the account's address; the peer's */
	const char *protocol;       /* "imap", "pop3", "smtp": lives for ever */
	int64_t since_us;
	uint64_t session;           /* the number that log lines carry; 0: none */
};
/* fd: a connected socket of the session. To kick it is to shut that down: the session then sees its end. It must be
 * taken out with presence_leave before fd is closed. p may be NULL: nobody is written down, 0. */
uint64_t presence_enter(struct presence *p, const struct present *who, int fd);
void presence_leave(struct presence *p, uint64_t id); /* 0: nothing to do */
/* The same, where the session lives in another process that keeps the other end of fd, which is ours from now on: it
 * is over when that end is closed, and whoever reads there finds it closed when he was kicked. */
void presence_enter_far(struct presence *p, const struct present *who, int fd);

/* In the order in which they came. A callback must not call back here. */
void presence_each(struct presence *p, void (*each)(void *ctx, const struct present *who), void *ctx);
/* Ends the sessions for which chosen is true; how many. */
size_t presence_kick(struct presence *p, bool (*chosen)(void *ctx, const struct present *who), void *ctx);
