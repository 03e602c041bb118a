/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
#include "net/pool.h"
/* An IMAP session after log-in (RFC 3501 §6.2 to §6.5 and the extensions in table.c), as process core holds it with a
 * user whose bytes come from edge through a socket pair, or over the client's own socket, if edge has handed that over
 * because nothing has to be done to the bytes (no TLS). A session is a task: parked while the client is silent or in
 * IDLE (then it keeps a few KB), stepped when a command line or news of the selected mailbox comes.
 * A step runs whole commands in straight-line code; it may wait, with a deadline, for the rest of a literal and for a
 * slow reader. What several sessions of one account do to a mailbox at once is ordered by the store; each session shows
 * its own snapshot, brought up to date only where RFC 3501 §5.2 and §7.4.1 allow it. */
struct db;
struct change_hub;
struct search_index;
struct rows;
struct presence;

struct imap_session_params {
	const char *spool_dir;      /* large APPENDs rest here, unlinked, on their way to the store */
	const char *host;           /* our own name, as IMAP URLs may have it (CATENATE) */
	uint64_t message_limit;     /* largest APPEND; 0: 50 MB */
	uint64_t command_messages;  /* that one command handles (RFC 9738); 0: any number */
	uint64_t command_saves;     /* the same for COPY and APPEND alone */
	int64_t idle_limit; /* milliseconds without a command before we hang up; 0: 30 minutes (RFC 3501 §5.4) */
	int64_t write_limit;        /* milliseconds a client may take to read what we have for it; 0: 5 minutes */
	int64_t progress_interval;  /* milliseconds between two INPROGRESS responses; 0: 5 seconds; below 0: none */
	int64_t notice_interval;    /* milliseconds between two "* OK Still here" in IDLE; 0: 2 minutes */
	struct slice shared_prefix; /* "Shared/": mailboxes of others stand below it; empty: they are not shown */
	struct slice public_prefix,
		public_account;     /* "Public/" and whose mailboxes stand there; no account: there are none */
	bool acl_anyone;            /* users may give rights to everybody */
	struct slice discard;       /* capabilities that are not announced, divided by blanks or commas */
	struct slice masters;       /* addresses of administrators, divided by blanks or commas */
	uint8_t quota_levels[2];    /* percent of a limit at which its owner is warned */
};
/* What all sessions share; outlives them. */
struct imap_context {
	struct db *db;
	struct change_hub *hub;
	struct search_index *index; /* NULL: searches look at every message */
	struct rows *rows;          /* NULL: every walk reads them */
	struct imap_session_params params;
	struct presence *presence;  /* NULL: nobody is written down */
};

/* Who was let in. Text is copied. */
struct imap_grant {
	int64_t account;
	struct slice login;         /* the account's name, for log lines */
	struct slice tag;           /* of the LOGIN or AUTHENTICATE that this session completes */
	struct slice remote;        /* the peer's address, for log lines */
	uint64_t session;           /* the number log lines carry */
	bool tls;
	uint32_t language;          /* enum language: chosen before log-in */
	bool no_uidonly;            /* the client is known to misuse it (client_id.h) */
	struct slice master;        /* who acts as the account; empty: itself */
	bool handed;                /* the client's socket comes over fd, which then only tells that edge is there */
};
/* Takes fd over (connected stream socket; input that edge had already read must have been written into it). The first
 * thing sent to the client is "TAG OK [CAPABILITY …] Logged in". The session ends with LOGOUT, when the peer closes, on
 * limits, or with the pool (WAKE_STOP: "* BYE"). */
void imap_session_start(struct pool *pool, const struct imap_context *context, int fd, const struct imap_grant *grant);
