/* SPDX-License-Identifier: Apache-2.0 */
/* The signer's half of remote_key.h. It needs no provider of ours and uses OpenSSL's ordinary library context, so that
 * the process which holds keys runs as little of our code as can be. */
#include "base/fail.h"
#include "net/remote_key.h"
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

struct private_key {
	EVP_PKEY *pkey;
	bool is_rsa;
};

static int no_passphrase(char *to UNUSED, int room UNUSED, int writing UNUSED, void *asked) {
	*(bool *)asked = true;
	return -1;
}

int private_key_load(struct slice pem, struct private_key **out) {
	bool encrypted = false;
	BIO *bio = BIO_new_mem_buf(pem.len != 0 ? pem.at : "", (int)MIN_OF(pem.len, MIB(1)));
	EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted) : NULL;
	BIO_free(bio);
	ERR_clear_error();
	if (pkey == NULL && encrypted)
		return fail("private key is encrypted (store it without a pass phrase: openssl pkey -in FILE)");
	if (pkey == NULL) return fail("no private key in it (PEM: \"-----BEGIN PRIVATE KEY-----\")");
	bool is_rsa = EVP_PKEY_is_a(pkey, "RSA");
	if (!is_rsa && !EVP_PKEY_is_a(pkey, "EC") && !EVP_PKEY_is_a(pkey, "ED25519")) {
		EVP_PKEY_free(pkey);
		return fail("private key is of an unsupported kind (use RSA, ECDSA or Ed25519)");
	}
	struct private_key *k = mem_get(sizeof *k);
	*k = (struct private_key){ pkey, is_rsa };
	*out = k;
	return 0;
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct remote_sign_request *request) {
	if (request->padding == REMOTE_PADDING_PKCS1) return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;
	return request->padding == REMOTE_PADDING_PSS && request->salt_length <= KIB(1) &&
	       EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)request->salt_length) == 1;
}

int private_key_sign(const struct private_key *key, const struct remote_sign_request *request, struct buf *signature) {
	char digest[32];
	if (request->digest.len >= sizeof digest || request->tbs.len > REMOTE_TBS_MAX)
		return fail("signature: request is too long");
	if (key->is_rsa == (request->padding == REMOTE_PADDING_NONE))
		return fail("signature: padding does not fit the key");
	snprintf(digest, sizeof digest, "%.*s", SLICE_ARG(request->digest));
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *ctx = NULL;
	size_t len = (size_t)EVP_PKEY_get_size(key->pkey);
	char *room = buf_room(signature, len);
	bool ok = md != NULL && room != NULL &&
		  EVP_DigestSignInit_ex(md, &ctx, digest[0] ? digest : NULL, NULL, NULL, key->pkey, NULL) == 1 &&
		  (!key->is_rsa || set_padding(ctx, request)) &&
		  EVP_DigestSign(md, (unsigned char *)room, &len, (const unsigned char *)request->tbs.at,
				 request->tbs.len) == 1;
	if (ok) signature->len += len;
	else
		fail("signature: %s",
		     ERR_peek_last_error() != 0 ? ERR_reason_error_string(ERR_peek_last_error()) : "refused");
	ERR_clear_error();
	EVP_MD_CTX_free(md);
	return ok ? 0 : -1;
}

int private_key_public(const struct private_key *key, struct buf *der) {
	unsigned char *at = NULL;
	int len = i2d_PUBKEY(key->pkey, &at);
	bool ok = len > 0 && buf_add(der, slice_from(at, (size_t)len));
	OPENSSL_free(at);
	return ok ? 0 : fail("public key: cannot be written");
}

void private_key_free(struct private_key **key) {
	struct private_key *k = TAKE(*key);
	if (k == NULL) return;
	EVP_PKEY_free(k->pkey);
	free(k);
}
