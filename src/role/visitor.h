/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/map.h"
#include "role/edge_settings.h"
/* A visitor is one client connection in edge, from accept to close: an SMTP session, or an IMAP or POP3 log-in that
 * becomes a pump to core. What all of them share: */
struct visitors {
	struct pool *pool;
	struct edge_outside outside;
	pthread_mutex_t lock;
	uint64_t next_session;     /* numbers of log lines: unique among live sessions */
	size_t live;
	struct screen_memory *screened; /* who passed the tests of postscreen */
	struct map users;          /* account → how many pumps (imapd_connection_limit_per_user) */
};
void visitors_init(struct visitors *all); /* lock and screened; outside is set, the rest is zero */
/* Takes fd and one hold on settings over. */
void visitor_welcome(struct visitors *all, int fd, const struct addr *peer, struct edge_settings *settings,
		     size_t service);
/* The same for a user of this machine, on settings->submit. */
void visitor_welcome_user(struct visitors *all, int fd, uid_t uid, struct edge_settings *settings);
