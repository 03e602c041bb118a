/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* The client's side of SASL, without the wire: bytes in, bytes out. PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195),
 * SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677; no channel binding, so that the server is told "n"). User and
 * password go out as they are: whoever has other letters than ASCII in them writes them in composed form (NFC). */

/* The ways to log in; a greater one is better. */
enum smtp_mechanism {
	SMTP_MECHANISM_LOGIN = 1,
	SMTP_MECHANISM_PLAIN = 2,
	SMTP_MECHANISM_CRAM_MD5 = 4,
	SMTP_MECHANISM_SCRAM_SHA_1 = 8,
	SMTP_MECHANISM_SCRAM_SHA_256 = 16,
};
enum { SMTP_MECHANISMS_ALL = 31 };
const char *smtp_mechanism_name(enum smtp_mechanism m) NONNULL_RESULT; /* "SCRAM-SHA-256" */
enum smtp_mechanism smtp_mechanism_of(struct slice name);              /* case does not matter; 0: none of ours */
enum smtp_mechanism smtp_mechanism_best(unsigned among);               /* 0: none */

enum { SASL_SECRET_MAX = 2048, SASL_NONCE_MAX = 512, SASL_ROUNDS_MAX = 2000000 };
struct sasl_client {
	enum smtp_mechanism mechanism;
	struct slice user, password;   /* borrowed */
	unsigned step;
	struct buf first, expected;    /* SCRAM: client-first-message-bare; what the server must answer with */
	bool proved;                   /* the server has shown that it knows the password (SCRAM), or need not */
};
/* nonce: printable, without a comma; empty: a random one. */
void sasl_client_init(struct sasl_client *s, enum smtp_mechanism m, struct slice user, struct slice password,
		      struct slice nonce);
/* What goes with the AUTH command; false: nothing does. */
bool sasl_client_first(struct sasl_client *s, struct buf *out);
/* The answer to a challenge. <0 fail(): the server said something that this mechanism does not have, or is an impostor.
 */
int sasl_client_answer(struct sasl_client *s, struct slice challenge, struct buf *out);
void sasl_client_done(struct sasl_client *s); /* wipes what it held; may be called again */
