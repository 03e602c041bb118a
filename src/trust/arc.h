/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/dkim.h"
/* Authenticated Received Chain (RFC 8617): what each forwarder saw, sealed. */
enum { ARC_SETS_MAX = 50 };
struct arc_hop {
	struct slice domain, selector; /* of the seal */
	struct slice results;          /* ARC-Authentication-Results behind "i=N;" */
};
struct arc_verdict {
	enum trust_result result;      /* none: no chain; pass; fail (also what cannot be looked up: reason says so) */
	unsigned oldest_pass;          /* RFC 8617 §5.2: 0 or the instance from which on the message is unchanged */
	struct arc_hop *hops;          /* [0] is i=1 */
	size_t hops_count;
	struct slice reason;
};
struct arc_verifier;
/* As dkim_verify_…. The newest message signature and all seals decide; older message signatures only tell oldest_pass.
 * NULL: no chain. */
struct arc_verifier *arc_verify_begin(const struct dkim_params *p, struct slice header, struct arena *mem);
void arc_verify_body(struct arc_verifier *v, struct slice bytes);
void arc_verify_end(struct arc_verifier *v, int64_t deadline, struct arc_verdict *out);

struct arc_sealer;
struct arc_seal_params {
	struct dkim_sign_params sign;  /* canonical forms, headers, the way to the key */
	struct dkim_key key;           /* RSA (RFC 8617 §4.1.3 knows no other that all verify) */
	struct slice results;          /* "authserv-id; spf=pass …": what we found */
	enum trust_result chain;       /* of the chain as it came in: cv= */
	bool unfolded; /* b= on one line, as test suites compare it; others' servers may fold it, and break it */
};
/* NULL: not to be sealed (the chain has failed before, or is full). */
struct arc_sealer *arc_seal_begin(const struct arc_seal_params *p, struct slice header, struct arena *mem);
void arc_seal_body(struct arc_sealer *s, struct slice bytes);
/* Adds ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results. */
int arc_seal_end(struct arc_sealer *s, struct buf *out);
