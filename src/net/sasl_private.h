/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/sasl.h"
/* What the files of net/sasl share. */
struct sasl_mechanism {
	const char *name;
	unsigned word;
	/* Reads the client's bytes; what goes back is added to challenge, when the answer is SASL_MORE. s->step counts
	 * answers. */
	enum sasl_answer (*read)(struct sasl *s, struct slice bytes, struct buf *challenge);
	struct slice first;     /* the challenge before anything was said */
};
bool sasl_clean(struct slice s); /* UTF-8 without NUL, not empty */
/* Asks the owner; on SASL_YES the answer is SASL_DONE and s->found is set. */
enum sasl_answer sasl_prove(struct sasl *s, const struct sasl_ask *ask);
enum sasl_answer sasl_read_scram(struct sasl *s, struct slice bytes, struct buf *challenge);
enum sasl_answer sasl_read_bearer(struct sasl *s, struct slice bytes, struct buf *challenge);
/* In mem, without the escapes =2C and =3D of RFC 5802 §5.1; at == NULL: broken. */
struct slice sasl_unescape(struct arena *mem, struct slice name);
