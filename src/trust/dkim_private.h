/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "mime/header.h"
#include "trust/canon.h"
#include "trust/dkim.h"
/* What DKIM and ARC share: fields found by name, signatures read out of fields, keys asked for and used. */

/* The fields of a header, taken by name from the bottom up (RFC 6376 §5.4.2). Borrows the header. Linear in its size
 * whatever the names are. */
struct header_index;
struct header_index *header_index_new(struct slice header, struct arena *mem);
void header_index_restart(struct header_index *x); /* nothing is taken yet */
bool header_index_take(struct header_index *x, struct slice name, struct slice *field);
size_t header_index_left(struct header_index *x, struct slice name); /* of that name, not taken yet */

/* A signature as a field says it. DKIM-Signature, ARC-Message-Signature and ARC-Seal differ in few tags. */
enum signature_kind { SIGNATURE_DKIM, SIGNATURE_ARC_MESSAGE, SIGNATURE_ARC_SEAL };
struct signature {
	struct slice field;                      /* whole, with its line end */
	struct slice b_text;                     /* what of it is left out when it is hashed */
	struct slice domain, selector, identity; /* lower case, as it stands, as it stands or "@d" */
	struct slice names;                      /* h= */
	struct slice hash, signature;            /* bh= and b=, decoded */
	struct slice start;                      /* b=, its first characters, without folds */
	struct slice chain;                      /* cv= of a seal */
	enum dkim_algorithm algorithm;
	enum canon header, body;
	int64_t limit, made_s, ends_s;           /* l=, t=, x=, or -1 */
	uint64_t instance;                       /* i= of ARC */
	bool report;                             /* r=y (RFC 6651) */
};
/* Reads what it can; the result is TRUST_PASS when all of it makes sense, else what the verdict is, with its reason.
 * Slices point into the field or mem. */
enum trust_result signature_read(enum signature_kind kind, struct slice field, struct arena *mem, struct signature *out,
				 struct slice *reason);
/* t= and x= against the clock; as above. */
enum trust_result signature_in_time(const struct signature *s, const struct dkim_params *p, struct slice *reason,
				    enum dkim_fault *fault);
/* Adds the fields that h= names, canonical. */
void signed_fields_add(struct buf *out, const struct signature *s, struct header_index *x);
/* Adds the signature's own field, canonical, with an empty b= and without line end (§3.7). */
void signed_self_add(struct buf *out, enum canon c, struct slice field, struct slice b_text);

/* Asks for the key without waiting. */
void key_hint(const struct dkim_params *p, const struct signature *s, struct arena *mem);
/* What a key says of a signature. v: identity is set; result, reason, key_bits and testing are filled. */
void key_verify(const struct dkim_params *p, const struct signature *s, const uint8_t digest[32], int64_t deadline,
		struct arena *mem, struct dkim_verdict *v);
/* Does its domain only test that key (t=y)? For a signature that is bad before its key is needed. */
bool key_testing(const struct dkim_params *p, const struct signature *s, int64_t deadline, struct arena *mem);

/* Bodies hashed once for each (canonical form, l=) that signatures ask for. */
enum { BODIES_MAX = 16 };
struct dkim_bodies {
	struct body {
		enum canon canon;
		int64_t limit, size;
		struct canon_body *hash;
		uint8_t digest[32];
	} of[BODIES_MAX];
	size_t count;
	bool ended;
};
/* NULL: too many different ones. */
struct body *bodies_want(struct dkim_bodies *b, enum canon canon, int64_t limit, struct arena *mem);
void bodies_end(struct dkim_bodies *b); /* again: nothing happens */
/* Is it the body that was signed? *reason, when not. */
bool body_signed(const struct body *b, const struct signature *s, struct arena *mem, struct slice *reason);

/* Adds h=: names of the fields that are there, and what is oversigned; folded. */
void signed_names_add(struct buf *text, struct header_index *x, const struct dkim_sign_params *p);
/* Asks for a signature of tbs: RSA gets all of it, Ed25519 its digest (RFC 8463 §3). 0, or <0 fail(). */
int key_sign(const struct dkim_sign_params *p, const struct dkim_key *key, struct slice tbs, struct buf *signature);
void folded_base64_add(struct buf *out, struct slice bytes);
