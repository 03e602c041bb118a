/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* The server's side of SASL PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login), as the two mechanisms that hand
 * over a user and a password. It only takes the words apart; whether they are right is somebody else's question. */
struct sasl_mechanism;
struct sasl {
	const struct sasl_mechanism *mechanism;
	unsigned step;
	struct buf authzid, user, password;
};
enum sasl_answer {
	SASL_MORE,      /* *challenge (in base64) goes out, the next line comes in */
	SASL_DONE,      /* user and password are there; neither is empty, both are UTF-8 without NUL */
	SASL_CANCELLED, /* "*" */
	SASL_NOT_BASE64,
	SASL_MALFORMED,
};
enum { SASL_LINE_MAX = 12288 }; /* RFC 4954 §4 */
#define SASL_MECHANISMS "PLAIN LOGIN"

const char *sasl_name(const struct sasl *s); /* "PLAIN" */
bool sasl_begin(struct sasl *s, struct slice mechanism); /* false: not known */
/* response: the line; for the first call the initial response of the AUTH command ("=" is an empty one), or at ==
 * NULL. */
enum sasl_answer sasl_take(struct sasl *s, struct slice response, struct slice *challenge);
void sasl_done(struct sasl *s); /* wipes what it held; may be called again */
