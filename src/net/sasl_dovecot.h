/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/dns.h"
#include "net/sasl.h"
/* Log-ins that a Dovecot judges (smtpd_sasl_type = dovecot): its authentication protocol 1.1, the client's side, over
 * its auth socket. Which mechanisms there are, and what they say, is Dovecot's; we pass base64 on. An exchange has a
 * connection of its own while it lasts; idle ones are kept. Connecting and asking wait for Dovecot; its
 * answer, which it holds back for about two seconds when it is "no", is left to whoever asks to wait for.
 * Thread-safe. */
enum dovecot_property { /* of a mechanism */
	DOVECOT_ANONYMOUS = 1,
	DOVECOT_PLAINTEXT = 2,
	DOVECOT_DICTIONARY = 4,
	DOVECOT_ACTIVE = 8,
	DOVECOT_FORWARD_SECRECY = 16,
	DOVECOT_MUTUAL_AUTH = 32,
	DOVECOT_PRIVATE = 64,      /* not for clients */
};
/* What of it clients are offered. */
struct dovecot_wish {
	const struct slice *filter; /* smtpd_sasl_mechanism_filter: names, "!name", "static:rest"; the first that fits
				     * counts */
	size_t filter_count;
	unsigned forbidden, needed; /* enum dovecot_property */
};
struct dovecot_params {
	struct slice place;         /* "private/auth", "/run/dovecot/auth-client", "unix:…", "inet:host:port" */
	const char *queue_directory;
	const char *service;        /* told to Dovecot: "smtp" */
	struct dns *dns;            /* for host names; NULL: addresses only */
	int64_t timeout_ms;
};
struct dovecot;
int dovecot_open(const struct dovecot_params *params, struct dovecot **out) MUST_USE; /* <0: the place is none */
void dovecot_close(struct dovecot **d); /* no exchange may be under way */
/* Is somebody meant to answer there? 0; ENOENT: there is no socket of that name; EACCES: we may not look. */
int dovecot_absent(const struct dovecot *d);
/* Adds " PLAIN LOGIN": what is offered now. Nothing when Dovecot does not answer (it is logged). */
void dovecot_offer(struct dovecot *d, const struct dovecot_wish *wish, struct buf *out);

/* One exchange. */
struct dovecot_client {
	const char *local, *remote; /* addresses as text; NULL: not known */
	bool secured;               /* by TLS */
};
struct dovecot_exchange;
/* response: checked base64, or at == NULL. As sasl_take: SASL_MORE sets *challenge (base64, in mem), SASL_DONE and
 * SASL_REFUSED *user. *x is NULL at first; anything but SASL_MORE and SASL_WAIT ends it. After SASL_WAIT: dovecot_go_on
 * once dovecot_awaits can be read, or at dovecot_until at the latest. */
enum sasl_answer dovecot_take(struct dovecot *d, struct dovecot_exchange **x, struct slice mechanism,
			      const struct dovecot_client *client, struct slice response, struct arena *mem,
			      struct slice *challenge, struct slice *user);
enum sasl_answer dovecot_go_on(struct dovecot_exchange **x, struct arena *mem, struct slice *challenge,
			       struct slice *user);
int dovecot_awaits(const struct dovecot_exchange *x);
int64_t dovecot_until(const struct dovecot_exchange *x);
void dovecot_exchange_free(struct dovecot_exchange **x); /* the client gave up */

/* A line of the protocol: a command and its words, divided by tabs. For the above, and its fuzzer. */
enum dovecot_word {
	DOVECOT_OTHER,
	DOVECOT_VERSION,
	DOVECOT_MECH,
	DOVECOT_DONE,
	DOVECOT_OK,
	DOVECOT_CONT,
	DOVECOT_FAIL
};
struct dovecot_line {
	enum dovecot_word word;
	uint64_t id;               /* OK, CONT, FAIL; VERSION: the major number */
	struct slice text;         /* CONT: the challenge; MECH: its name; OK, FAIL: user=, without its escapes */
	unsigned properties;       /* MECH */
	bool temporary;            /* FAIL: nobody can tell now */
};
bool dovecot_line_read(struct slice line, struct arena *mem, struct dovecot_line *out); /* false: malformed */
bool dovecot_wanted(const struct dovecot_wish *wish, struct slice mechanism, unsigned properties);
