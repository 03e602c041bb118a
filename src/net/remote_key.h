/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/wire.h"
/* A private key that is somewhere else. The process that talks to strangers holds only the certificate; the process
 * that holds the key (vault) makes the signatures. OpenSSL sees an ordinary EVP_PKEY of a small provider of ours.
 * Kinds: RSA (PKCS #1 v1.5 and PSS), ECDSA (P-256, P-384, P-521), Ed25519. Decryption is not offered: no RSA key
 * exchange. */
enum remote_padding { REMOTE_PADDING_NONE, REMOTE_PADDING_PKCS1, REMOTE_PADDING_PSS }; /* NONE: ECDSA, Ed25519 */
struct remote_sign_request {
	struct slice digest;   /* "SHA256", "SHA384", …: the signer hashes tbs with it; empty: Ed25519 */
	uint32_t padding;      /* enum remote_padding */
	uint32_t salt_length;  /* of PSS, in bytes */
	struct slice tbs;      /* the message to be signed, not its digest */
};
WIRE_DECLARE(remote_sign_request)
#define REMOTE_TBS_MAX KIB(64)
#define REMOTE_SIGNATURE_MAX KIB(2)

/* Makes the signature, often by asking another process. Called from any thread in the middle of a handshake; may wait.
 * 0, or <0 with fail(): the handshake fails with that text. */
typedef int (*remote_sign)(
	void *ctx, uint64_t key_id, const struct remote_sign_request *request, struct buf *signature);
struct remote_key {
	remote_sign sign;
	void *ctx;        /* outlives every connection that uses the key */
	uint64_t id;
};
/* OpenSSL's library context that knows remote keys. It is our own, so that nobody else's look-up of "RSA" finds them;
 * made at the first call (NULL: fail()), kept until the process ends. */
struct ossl_lib_ctx_st;
struct ossl_lib_ctx_st *remote_key_library(void);
/* The EVP_PKEY (evp_pkey_st) of a remote key; public_key is the one in its certificate.
 * NULL: fail(). */
struct evp_pkey_st;
struct evp_pkey_st *remote_key_new(const struct remote_key *key, struct evp_pkey_st *public_key);

/* The other side: the process that holds the key. Thread-safe once loaded. */
struct private_key;
/* <0 fail(): not a key, encrypted, a kind we do not know. */
int private_key_load(struct slice pem, struct private_key **out);
int private_key_sign(const struct private_key *key, const struct remote_sign_request *request, struct buf *signature);
/* SubjectPublicKeyInfo, to compare with a certificate. */
int private_key_public(const struct private_key *key, struct buf *der);
void private_key_free(struct private_key **key);
