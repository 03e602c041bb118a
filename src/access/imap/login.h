/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/pool.h"
#include "net/stream.h"
/* The IMAP dialogue before log-in (RFC 3501 §3.1 and §3.2 up to LOGIN/AUTHENTICATE; RFC 9051 agrees), as process edge
 * holds it with strangers. It is stepped: it takes what has arrived, answers, and wants to be parked again; it never
 * waits for the peer. Lines (8 KiB), literals (4 KiB), bad commands, failed log-ins and time are bounded.
 *
 * It knows CAPABILITY, NOOP, LOGOUT, ID, ENABLE's refusal, STARTTLS, LOGIN and AUTHENTICATE PLAIN / LOGIN with SASL-IR.
 * After IMAP_LOGIN_DONE the caller hands imap_login_result() to a session in process core (session.h), which completes
 * the tagged answer; what the stream still holds as input belongs to that session. */
struct imap_login_params {
	struct tls_server *tls;   /* for STARTTLS; NULL: not offered. Borrowed while the dialogue lives */
	bool clear_text;          /* passwords may be given without TLS (imapd_tls_auth_only = no) */
	bool trusted_path;        /* the peer is on this host: as good as TLS (no LOGINDISABLED) */
	const char *banner;       /* text of the greeting; NULL: "hato ready." */
	const char *client_id;    /* what ID answers as "version", or NULL to keep it to ourselves */
	unsigned bad_limit;       /* bad commands before the connection is closed; 0: 10 */
	unsigned failure_limit;   /* failed log-ins before it is closed; 0: 5 */
	int64_t time_limit;       /* milliseconds from the greeting to a log-in; 0: 3 minutes */
	int64_t failure_delay;    /* milliseconds a "no" is held back, growing with each; 0: 2 seconds; below 0: none */
};

/* Who the peer is, for the log. Copied. */
struct imap_peer {
	struct slice remote, local; /* addresses as text, "192.0.2.7" */
	uint64_t session;           /* the number log lines carry */
};

enum imap_auth { IMAP_AUTH_GRANTED, IMAP_AUTH_REFUSED, IMAP_AUTH_LATER };
struct imap_login_ops {
	/* Is the password right? May wait for our own processes. GRANTED sets *account and adds the account's name to *login.
	 * method: "PLAIN", "LOGIN". Anything below zero counts as LATER, with fail_text() logged. */
	int (*authenticate)(void *owner, const char *method, struct slice user, struct slice password, int64_t *account,
	                    struct buf *login);
};

struct imap_login;
/* Puts the greeting into the stream. A wrapped (port 993) stream must have been given to stream_start_tls_server
 * before. Everything but params' strings is copied; params and ops must outlive the dialogue. */
struct imap_login *imap_login_new(struct stream *wire, const struct imap_login_params *params,
				  const struct imap_login_ops *ops, void *owner,
				  const struct imap_peer *peer) NONNULL_RESULT;
void imap_login_free(struct imap_login **l); /* logs an abandoned dialogue; leaves the stream alone */

/* The step of the connection's task. PARK: task_park(imap_login_events(), imap_login_deadline()). OVER: everything has
 * been said, close. DONE: logged in, see below; nothing of the tagged answer has been sent. */
enum imap_login_state { IMAP_LOGIN_PARK, IMAP_LOGIN_OVER, IMAP_LOGIN_DONE };
int imap_login_step(struct imap_login *l, enum wake why);
uint32_t imap_login_events(const struct imap_login *l);
int64_t imap_login_deadline(const struct imap_login *l);

/* After DONE; borrowed from the dialogue. */
struct imap_login_result {
	int64_t account;
	struct slice login;  /* the account's name */
	struct slice tag;    /* of the command that waits for its OK */
	bool tls;
};
struct imap_login_result imap_login_result(const struct imap_login *l);
/* The tagged answer when no session can be had after all: puts "NO [UNAVAILABLE]", the dialogue goes on (PARK). */
int imap_login_sorry(struct imap_login *l);
