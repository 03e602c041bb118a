/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/dns.h"
#include "trust/result.h"
/* DKIM signatures (RFC 6376, RFC 8301, RFC 8463), made and verified while the message streams by: the header is given
 * whole, the body in pieces of CRLF text cut anywhere; memory does not grow with the body. */
enum dkim_algorithm {
	DKIM_RSA_SHA256,
	DKIM_ED25519_SHA256,
	DKIM_RSA_SHA1 /* known, never accepted */,
	DKIM_ALGORITHM_UNKNOWN
};
const char *dkim_algorithm_name(enum dkim_algorithm a); /* "rsa-sha256" */

/* The hashes of one message's body, for verifiers that share them: each canonical form is then made once. */
struct dkim_bodies;
struct dkim_bodies *dkim_bodies_new(struct arena *mem);
void dkim_bodies_bytes(struct dkim_bodies *b, struct slice bytes);

/* Verifying. */
struct dkim_params {
	struct dns *dns;
	struct dkim_bodies
		*bodies; /* shared with other verifiers: the body is given to it, and not to them. NULL: one's own */
	unsigned signatures_max;   /* of one message; further ones are not looked at. 0: 10 */
	unsigned key_bits_min;     /* RSA; 0: 1024 */
	int64_t clock_drift_s;     /* for t= and x=; 0: 300 */
	int64_t now_s;             /* 0: the clock */
	const struct slice
		*must_sign; /* fields that a signature must cover where they are; else its result is policy */
	size_t must_sign_count;
	struct dkim_partial {      /* what l= must cover of the body; else the result is policy */
		enum { DKIM_PARTIAL_ANY, DKIM_PARTIAL_BYTES, DKIM_PARTIAL_PERCENT, DKIM_PARTIAL_ALL_BUT } unit;
		int64_t n;
	} partial;
	enum trust_result unprotected; /* of a good signature whose key DNSSEC did not prove; TRUST_NONE: pass */
};
/* "500", "80%", "200+"; empty: any. False: none of these. */
bool dkim_partial_read(struct slice text, struct dkim_partial *out);
/* What was wrong with a signature, as far as its signer may ask to hear of it (RFC 6651 §3.2, rr=; RFC 6591 §3.3). */
enum dkim_fault {
	DKIM_FAULT_NONE,
	DKIM_FAULT_BODY,      /* v, "bodyhash" */
	DKIM_FAULT_SIGNATURE, /* v; this and the rest "signature", but for: */
	DKIM_FAULT_EXPIRED,   /* x */
	DKIM_FAULT_SYNTAX,    /* s: of the signature or its key record */
	DKIM_FAULT_DNS,       /* d: no key there, or not now */
	DKIM_FAULT_POLICY,    /* p: ours */
	DKIM_FAULT_REVOKED,   /* o, "revoked" */
	DKIM_FAULT_OTHER,     /* o */
};
struct dkim_verdict {
	enum trust_result result;
	enum dkim_fault fault;
	bool report;               /* r=y: its signer wants to hear of a fault (dkim_report.h) */
	struct slice domain, selector, identity; /* d=, s=, i= ("@d" when absent) */
	enum dkim_algorithm algorithm;
	struct slice start;        /* the first 8 or more characters of b=, for header.b (RFC 6008) */
	unsigned key_bits;         /* 0: no key seen */
	bool no_key;               /* there is none in DNS */
	bool testing;              /* t=y in the key record */
	bool partial;              /* l= covers less than the body */
	bool from_signed;
	int64_t body_signed;       /* bytes of canonical body, with l=; else -1 */
	struct slice reason; /* for people: "the body was changed after signing"; with pass only when it is partial */
};
struct dkim_verifier;
/* header: the whole header as it stands in the message, with or without the empty line; copied where needed. Key
 * look-ups are started, not waited for. NULL: no signature. Lives in mem. */
struct dkim_verifier *dkim_verify_begin(const struct dkim_params *p, struct slice header, struct arena *mem);
void dkim_verify_body(struct dkim_verifier *v, struct slice bytes);
/* Waits for keys until the deadline. One verdict for each signature looked at, in order. */
void dkim_verify_end(struct dkim_verifier *v, int64_t deadline, struct dkim_verdict **out, size_t *count);

/* Signing. Keys are elsewhere: the signer is asked with the bytes to be signed. */
struct dkim_key {
	uint64_t id;               /* the key's name for `sign` */
	struct slice domain, selector;
	enum dkim_algorithm algorithm;
};
struct dkim_tbs {
	uint64_t key;
	enum dkim_algorithm algorithm;
	struct slice bytes;        /* as for `sign` */
};
enum dkim_canonical { DKIM_SIMPLE, DKIM_RELAXED };
struct dkim_sign_params {
	enum dkim_canonical header, body;
	const struct slice *sign_headers;     /* which fields are signed when present */
	size_t sign_headers_count; /* 0: the list of RFC 6376 §5.4.1 and what else people see (dkim_default_headers) */
	const struct slice *oversign_headers; /* signed once more than they are there, so that none can be added */
	size_t oversign_headers_count;
	int64_t lifetime_s;                   /* x=; 0: none */
	int64_t now_s;                        /* 0: the clock */
	struct slice identity;                /* i=; empty: none */
	bool request_reports;                 /* r=y (RFC 6651 §3.1) */
	/* RSA: tbs is what SHA-256 is taken of, PKCS #1 v1.5; Ed25519: tbs is the SHA-256 digest itself (RFC 8463 §3).
	 * 0, or <0 fail(). */
	int (*sign)(void *ctx, uint64_t key, enum dkim_algorithm algorithm, struct slice tbs, struct buf *signature);
	/* Told of all that sign will be asked for, before the first, where there are several keys. NULL: not wanted. */
	void (*soon)(void *ctx, const struct dkim_tbs *all, size_t count);
	void *ctx;
};
extern const char *const dkim_default_headers[]; /* NULL at the end */
struct dkim_signer;
/* From is signed always. Parameters' lists and the header are used now, keys and identity are borrowed until the end.
 */
struct dkim_signer *dkim_sign_begin(const struct dkim_sign_params *p, const struct dkim_key *keys, size_t count,
				    struct slice header, struct arena *mem);
void dkim_sign_body(struct dkim_signer *s, struct slice bytes);
/* Adds whole DKIM-Signature fields (folded, CRLF), to stand before the header. <0: a key could not sign; nothing is
 * added. */
int dkim_sign_end(struct dkim_signer *s, struct buf *out);

/* A key record: v=DKIM1; h=; k=; p=; t=; s=; n= (RFC 6376 §3.6.1). */
struct dkim_record {
	bool ed25519, revoked, testing, strict; /* strict: t=s, no subdomains */
	bool sha256, email;        /* allowed by h= and s= */
	struct slice public_key;   /* DER as decoded from p= */
	struct slice note;
};
/* False: not a key record; *reason says why. */
bool dkim_record_parse(struct slice text, struct arena *mem, struct dkim_record *out, struct slice *reason);
