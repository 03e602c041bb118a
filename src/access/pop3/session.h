/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
#include "net/pool.h"
/* A POP3 session after log-in (RFC 1939 §5 and §6), as process core holds it with a user whose bytes come from edge
 * through a socket pair. The maildrop is INBOX as it was at log-in: what comes later is seen next time, what IMAP
 * removes meanwhile answers "-ERR" and is no harm. While a session lasts no other POP3 session of the account begins
 * ([IN-USE], after two seconds' wait for its end); IMAP and deliveries go on. QUIT marks what was retrieved as seen
 * and removes what was deleted, in one transaction; a connection that ends otherwise changes nothing.
 *
 * A session keeps 16 bytes a message; bodies are never held. */
struct db;
struct presence;
struct pop3_drops; /* who has his maildrop open, and when he last came; one for a process */
struct pop3_drops *pop3_drops_new(void) NONNULL_RESULT;
void pop3_drops_free(struct pop3_drops **d);

struct pop3_session_params {
	int64_t idle_limit;         /* milliseconds without a command before we hang up; 0: 10 minutes (RFC 1939 §3) */
	int64_t write_limit;        /* milliseconds a client may take to read what we have for it; 0: 5 minutes */
	unsigned login_delay_s;     /* between two log-ins of an account (RFC 2449 §8.1.1); 0: none */
	bool no_flag_updates;       /* retrieved messages are not marked as seen */
	const char *uidl_format;    /* Dovecot's pop3_uidl_format: %u %v %Xu %08Xu …; NULL: "%08Xu%08Xv" */
};
struct pop3_context { /* outlives the sessions */
	struct db *db;
	struct pop3_drops *drops;
	struct pop3_session_params params;
	struct presence *presence;  /* NULL: nobody is written down */
};
struct pop3_grant { /* who was let in; text is copied */
	int64_t account;
	struct slice login, remote;
	uint64_t session;
	bool tls, utf8;
	unsigned language;          /* enum language, chosen before log-in */
	unsigned offer;             /* enum sasl_word: the mechanisms that CAPA names */
};
/* Takes fd over, as imap_session_start does. The first thing sent is the answer to PASS or AUTH. */
void pop3_session_start(struct pool *pool, const struct pop3_context *context, int fd, const struct pop3_grant *grant);
/* "%08Xu%08Xv" and the like are understood: %[0][width][X]u|v, %%. False: something else is in it, or no %u. */
bool pop3_uidl_good(const char *format);
struct buf;
void pop3_uidl_add(struct buf *out, const char *format, uint32_t uid, uint32_t uidvalidity);
