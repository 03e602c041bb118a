/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/gate.h"
/* What a gate has in common with the protocol that is spoken at it. The protocol's struct begins with this one. */
enum gate_bye { GATE_BYE_STOP, GATE_BYE_TIME, GATE_BYE_BAD, GATE_BYE_FAILURES };
struct gate_kind {
	const char *service;          /* for the log: "=dovecot/imap-login", whose lines fail2ban knows */
	bool (*take)(struct gate *g); /* one thing from what has arrived; false when there is not enough of it */
	/* The answer to a log-in that did not succeed: any but MORE and DONE. */
	void (*refused)(struct gate *g, enum sasl_answer why);
	void (*crowded)(struct gate *g, unsigned limit); /* ... or whose account has so many connections already */
	void (*challenge)(struct gate *g, struct slice base64);
	void (*bye)(struct gate *g, enum gate_bye why);
	void (*done)(struct gate *g);          /* frees what is the protocol's own */
};
enum gate_mode { GATE_COMMAND, GATE_SASL, GATE_DELAY };
enum { GATE_NAME_MAX = 1024 };

struct gate {
	const struct gate_kind *kind;
	struct stream *wire;
	const struct gate_params *params;
	const struct sasl_ops *ops;
	void *owner;
	enum gate_mode mode;
	struct sasl sasl;           /* the log-in under way */
	unsigned bad, failures;
	int64_t started, over_at, delay_until;
	bool over, granted, dropping; /* dropping: the rest of a line that was too long */
	bool utf8;
	unsigned language;
	bool no_uidonly;            /* IMAP: access/imap/client_id.h */
	const char *ending;         /* for the log: how it came to an end */
	struct buf user;            /* who tried to log in, for the log; then the account's name */
	struct buf tag;
	int64_t account;
	struct buf remote, local;
	uint64_t session;
};
void gate_init(struct gate *g, const struct gate_kind *kind, struct stream *wire, const struct gate_params *params,
	       const struct sasl_ops *ops, void *owner, const struct gate_peer *peer);
bool gate_secured(const struct gate *g);   /* from the start of the handshake */
bool gate_may_login(const struct gate *g); /* passwords may be given now */
unsigned gate_offer(const struct gate *g); /* enum sasl_word */
void gate_end(struct gate *g, const char *why);
void gate_bad(struct gate *g);             /* counts a bad command that was answered; says bye at the limit */
/* Begins and goes on with a log-in. Whatever comes of it is said through the kind, now or later. */
bool gate_sasl(struct gate *g, struct slice mechanism,
	       struct slice initial); /* initial.at NULL: none; false: not offered */
void gate_response(struct gate *g, struct slice line);
void gate_password(struct gate *g, const char *mechanism, struct slice user, struct slice password);
/* STARTTLS, after its answer was put. */
void gate_tls(struct gate *g);
