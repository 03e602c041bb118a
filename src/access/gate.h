/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/pool.h"
#include "net/sasl.h"
#include "net/stream.h"
/* A gate is the dialogue before log-in of a protocol in which people read their mail, as process edge holds it with
 * strangers: imap/login.h, pop3/login.h. It is stepped: it takes what has arrived, answers, and wants to be parked
 * again; it never waits for the peer. Lines, bad commands, failed log-ins and time are bounded, and the "no" to a wrong
 * password is held back.
 *
 * After GATE_DONE the caller hands gate_result() to a session in process core, which completes the answer to the
 * log-in; what the stream still holds as input belongs to that session. */
struct tls_server;
struct gate_params {
	struct tls_server *tls;   /* for STARTTLS; NULL: not offered. Borrowed while the dialogue lives */
	bool clear_text;          /* passwords may be given without TLS (imapd_tls_auth_only = no) */
	bool trusted_path;        /* the peer is on this host: as good as TLS */
	bool any_certificate;     /* EXTERNAL for certificates that lead to no root of ours, too: a table knows them */
	unsigned mechanisms;      /* enum sasl_word: AUTHENTICATE, AUTH; 0: SASL_USUAL */
	const char *banner;       /* text of the greeting; NULL: "hato ready." */
	const char *client_id;    /* what IMAP's ID answers as "version", or NULL to keep it to ourselves */
	unsigned bad_limit;       /* bad commands before the connection is closed; 0: 10 */
	unsigned failure_limit;   /* failed log-ins before it is closed; 0: 5 */
	int64_t time_limit;       /* milliseconds from the greeting to a log-in; 0: 3 minutes */
	int64_t failure_delay;    /* milliseconds a "no" is held back, growing with each; 0: 2 seconds; below 0: none */
	unsigned login_delay_s;   /* POP3: announced as LOGIN-DELAY; core keeps to it */
};

/* Who the peer is, for the log. Copied. */
struct gate_peer {
	struct slice remote, local; /* addresses as text, "192.0.2.7" */
	uint64_t session;           /* the number log lines carry */
	bool again;                 /* it was here before and has left its account (UNAUTHENTICATE): no greeting */
};

struct gate;
void gate_free(struct gate **g); /* logs an abandoned dialogue; leaves the stream alone */

/* The step of the connection's task. PARK: task_park(gate_events(), gate_deadline()). OVER: everything has been said,
 * close. DONE: logged in, see below; nothing of the answer to that has been sent. */
enum gate_state { GATE_PARK, GATE_OVER, GATE_DONE };
int gate_step(struct gate *g, enum wake why);
uint32_t gate_events(const struct gate *g);
int64_t gate_deadline(const struct gate *g);

/* After DONE; borrowed from the dialogue. */
struct gate_result {
	int64_t account;
	struct slice login;  /* the account's name */
	struct slice tag;    /* IMAP: of the command that waits for its OK */
	bool tls, utf8;
	unsigned language;   /* enum language */
	unsigned offer;      /* POP3: enum sasl_word, what CAPA names */
	bool no_uidonly;     /* IMAP: the client misuses it */
};
struct gate_result gate_result(const struct gate *g);
/* The answer when no session can be had after all; the dialogue goes on (PARK). limit: the account has as many
 * connections as it may have; 0: something is wrong here. */
int gate_sorry(struct gate *g, unsigned limit);
