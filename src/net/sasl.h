/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* The server's side of a log-in by SASL (RFC 4422), once for SMTP, IMAP and POP3, which differ only in how they wrap
 * the base64 lines. It knows what the mechanisms say to each other; whether a password, a proof, a certificate or a
 * token is right is somebody else's question, asked through sasl_ops.
 *
 *   PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), SCRAM-SHA-1 and -256 with and without -PLUS (RFC 5802, 7677;
 * bindings tls-exporter of RFC 9266 and tls-server-end-point of RFC 5929), EXTERNAL (RFC 4422 A), OAUTHBEARER (RFC
 * 7628), XOAUTH2.
 *
 * Against downgrading: who says that he could bind the channel but saw no -PLUS is refused when we offered one. */
struct tls;
enum sasl_word { /* bits of an offer */
		 SASL_PLAIN = 1,
		 SASL_LOGIN = 2,
		 SASL_SCRAM_SHA_1 = 4,
		 SASL_SCRAM_SHA_1_PLUS = 8,
		 SASL_SCRAM_SHA_256 = 16,
		 SASL_SCRAM_SHA_256_PLUS = 32,
		 SASL_EXTERNAL = 64,
		 SASL_OAUTHBEARER = 128,
		 SASL_XOAUTH2 = 256,
		 SASL_BINDING = SASL_SCRAM_SHA_1_PLUS | SASL_SCRAM_SHA_256_PLUS,
		 SASL_SCRAM = SASL_SCRAM_SHA_1 | SASL_SCRAM_SHA_256 | SASL_BINDING,
		 SASL_HAND_OVER = SASL_PLAIN | SASL_LOGIN | SASL_OAUTHBEARER |
				  SASL_XOAUTH2, /* give the secret away: not in the clear */
		 SASL_USUAL = SASL_PLAIN | SASL_LOGIN | SASL_SCRAM,
};
enum { SASL_LINE_MAX = 12288 }; /* RFC 4954 §4 */

enum sasl_means { SASL_BY_PASSWORD, SASL_BY_SALT, SASL_BY_PROOF, SASL_BY_CERTIFICATE, SASL_BY_TOKEN };
struct sasl_ask {
	enum sasl_means means;
	const char *mechanism;
	struct slice authzid;   /* whose mail he wants to see, when it is not his own; empty: his own */
	struct slice user;      /* UTF-8 without NUL; empty with a certificate, and perhaps with a token */
	struct slice secret;    /* the password, SCRAM's proof, or the token */
	struct slice message;   /* SASL_BY_PROOF: SCRAM's AuthMessage */
	bool sha256;            /* SASL_BY_SALT, SASL_BY_PROOF: else SHA-1 */
};
enum sasl_verdict { SASL_YES, SASL_NO, SASL_LATER, SASL_TOO_OFTEN };
struct sasl_found {
	struct slice salt;      /* SASL_BY_SALT, which is answered with SASL_YES for whatever user */
	uint64_t rounds;
	struct slice signature; /* SASL_BY_PROOF: the server's */
	int64_t account;        /* SASL_YES: whose mail it will be */
	struct slice name;
	struct slice master;    /* who acts as that one; empty: himself */
	/* SASL_BY_TOKEN, SASL_NO: what the client is told (RFC 7628 §3.2.2); may be empty */
	struct slice status, scope, discovery;
};
struct sasl_ops {
	/* enum sasl_verdict; text lives in mem. May wait for our own processes. SASL_BY_SALT is no log-in yet. */
	enum sasl_verdict (*prove)(void *owner, const struct sasl_ask *ask, struct arena *mem,
				   struct sasl_found *found);
};

/* Somebody else who judges whole exchanges, by mechanisms of his own (net/sasl_dovecot.h). offer may wait. */
struct sasl;
enum sasl_answer {
	SASL_MORE,      /* *challenge (in base64) goes out, the next line comes in */
	SASL_DONE,      /* logged in: found */
	SASL_REFUSED,   /* a wrong password or the like */
	SASL_DEFERRED,  /* nobody can tell now */
	SASL_LIMITED,   /* this client tries too often */
	SASL_CANCELLED, /* "*" */
	SASL_NOT_BASE64,
	SASL_MALFORMED,
	SASL_WAIT,      /* a judge's only: he tells when s->awaited can be read, or s->wait_until is over */
};
struct sasl_judge {
	void (*offer)(void *owner, struct buf *out); /* adds " PLAIN LOGIN": for this client, now */
	/* As sasl_take, with base64 that was checked; SASL_DONE sets s->found. */
	enum sasl_answer (*take)(void *owner, struct sasl *s, struct slice response, struct slice *challenge);
	/* After SASL_WAIT, which may be the answer again. */
	enum sasl_answer (*go_on)(void *owner, struct sasl *s, struct slice *challenge);
	void (*done)(struct sasl *s);                /* frees s->exchange */
};

struct sasl_mechanism;
enum { SASL_NAME_MAX = 24 };
struct sasl {
	const struct sasl_mechanism *mechanism;
	const struct sasl_ops *ops;
	void *owner;
	struct tls *tls;
	unsigned offer;
	unsigned step;
	struct arena mem;       /* of the exchange */
	struct slice authzid, user; /* as far as known; for the log */
	struct slice first, second, nonce, header; /* SCRAM: client-first-bare, server-first, nonce, GS2 header */
	struct sasl_found found; /* after SASL_DONE: account and name */
	const struct sasl_judge *judge; /* not NULL: mechanism is, and these are his */
	char judged[SASL_NAME_MAX];
	void *exchange;
	int awaited;            /* SASL_WAIT */
	int64_t wait_until;
};

const char *sasl_name(const struct sasl *s); /* "PLAIN"; "" before sasl_begin */
/* " PLAIN LOGIN" with this before each name: " ", " AUTH=". */
void sasl_list(struct buf *out, unsigned offer, const char *before);
unsigned sasl_word(struct slice name);       /* 0: not known */
/* What of an offer holds for a connection: nothing that gives the secret away or wants a certificate without TLS
 * (unless clear is set), bindings only with TLS. */
unsigned sasl_offer(unsigned offer, bool tls, bool clear);
/* False: not in the offer. What s held is wiped. */
bool sasl_begin(struct sasl *s, struct slice mechanism, unsigned offer, struct tls *tls, const struct sasl_ops *ops,
		void *owner);
/* The same with somebody else, whose offer it must be in. */
bool sasl_begin_judged(struct sasl *s, struct slice mechanism, struct slice offer, const struct sasl_judge *judge,
		       void *owner);
/* response: the line; for the first call the initial response of the AUTH command ("=" is an empty one), or at == NULL.
 */
enum sasl_answer sasl_take(struct sasl *s, struct slice response, struct slice *challenge);
enum sasl_answer sasl_go_on(struct sasl *s, struct slice *challenge); /* after SASL_WAIT */
/* The same question without an exchange, for LOGIN of IMAP and PASS of POP3. mechanism: a literal. */
enum sasl_answer sasl_password(struct sasl *s, const char *mechanism, struct slice user, struct slice password,
			       const struct sasl_ops *ops, void *owner);
void sasl_done(struct sasl *s); /* wipes what it held; may be called again */
