/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of verifying (RFC 6376 §6.1.2, §6.1.3): the key is fetched and used. A name may have several key
 * records; that one of them fits is enough. Reading a public key costs OpenSSL more than using it, so the last ones read
 * are kept. */
#include "base/fail.h"
#include "base/map.h"
#include "trust/dkim_private.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <pthread.h>

enum { RECORDS_MAX = 8, KEPT = 256, KEY_BYTES_MAX = 2200, BITS_MAX = 8192 /* 16384 and more cost milliseconds */ };

void sha256(struct slice bytes, uint8_t digest[32]) {
	unsigned len;
	must(EVP_Digest(bytes.len != 0 ? bytes.at : "", bytes.len, digest, &len, EVP_sha256(), NULL) == 1 && len == 32);
}

/* ---- keys that were read ---- */

struct kept {
	struct slice der; /* owned; with the kind before it */
	EVP_PKEY *key;
};
static struct kept kept[KEPT];
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

static EVP_PKEY *key_read(const struct dkim_record *r) {
	const unsigned char *at = (const unsigned char *)r->public_key.at;
	long len = (long)r->public_key.len;
	EVP_PKEY *key = NULL;
	if (r->ed25519) {
		key = len == 32 ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, at, 32) : NULL;
	} else {
		const unsigned char *end = at;
		key = d2i_PUBKEY(NULL, &end, len);
		if (key == NULL) end = at, key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &end, len); /* as the RFC's text has it */
		if (key != NULL && (!EVP_PKEY_is_a(key, "RSA") || end != at + len)) {
			EVP_PKEY_free(key);
			key = NULL;
		}
	}
	ERR_clear_error();
	return key;
}

/* NULL: no key. The caller frees his reference. */
static EVP_PKEY *key_get(const struct dkim_record *r) {
	if (r->public_key.len > KEY_BYTES_MAX) return NULL;
	uint64_t hash = hash_bytes(r->public_key) + r->ed25519;
	struct kept *k = &kept[hash % KEPT];
	EVP_PKEY *key = NULL;
	pthread_mutex_lock(&kept_lock);
	if (k->key != NULL && slice_eq(k->der, r->public_key) && EVP_PKEY_is_a(k->key, "RSA") == !r->ed25519) {
		key = k->key;
		EVP_PKEY_up_ref(key);
	}
	pthread_mutex_unlock(&kept_lock);
	if (key != NULL || (key = key_read(r)) == NULL) return key;
	char *copy = slice_text(r->public_key);
	EVP_PKEY_up_ref(key);
	pthread_mutex_lock(&kept_lock);
	struct kept old = *k;
	*k = (struct kept){ slice_from(copy, r->public_key.len), key };
	pthread_mutex_unlock(&kept_lock);
	EVP_PKEY_free(old.key);
	free((char *)(uintptr_t)old.der.at);
	return key;
}

static bool rsa_good(EVP_PKEY *key, const uint8_t digest[32], struct slice signature) {
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool good = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
		    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
		    EVP_PKEY_verify(ctx, (const unsigned char *)signature.at, signature.len, digest, 32) == 1;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

static bool ed25519_good(EVP_PKEY *key, const uint8_t digest[32], struct slice signature) {
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
		    EVP_DigestVerify(ctx, (const unsigned char *)signature.at, signature.len, digest, 32) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return good;
}

/* ---- records ---- */

static struct slice key_name(const struct signature *s, struct arena *mem) {
	struct slice domain = s->domain, selector = s->selector;
	if (!slice_is_ascii(domain) && !dns_to_ascii(domain, mem, &domain)) return SLICE_NONE;
	if (!slice_is_ascii(selector) && !dns_to_ascii(selector, mem, &selector)) return SLICE_NONE;
	return arena_fmt(mem, "%.*s._domainkey.%.*s", SLICE_ARG(selector), SLICE_ARG(domain));
}

void key_hint(const struct dkim_params *p, const struct signature *s, struct arena *mem) {
	struct slice name = key_name(s, mem);
	if (name.len != 0) dns_hint(p->dns, name, DNS_TXT);
}

static void found(struct dkim_verdict *v, enum trust_result result, struct slice reason) {
	v->result = result;
	v->reason = reason;
}

/* Is a key with that record meant for this signature (§3.6.1)? */
static bool record_fits(const struct dkim_record *r, const struct signature *s, struct dkim_verdict *v) {
	struct slice identity = slice_skip(v->identity, slice_find_last(v->identity, '@') + 1);
	if (r->revoked) found(v, TRUST_PERMERROR, S("the key has been revoked"));
	else if (r->ed25519 != (s->algorithm == DKIM_ED25519_SHA256)) found(v, TRUST_PERMERROR, S("the key is for another algorithm (k=)"));
	else if (!r->sha256) found(v, TRUST_PERMERROR, S("the key is not for SHA-256 (h=)"));
	else if (!r->email) found(v, TRUST_PERMERROR, S("the key is not for mail (s=)"));
	else if (r->strict && !slice_same(identity, s->domain)) found(v, TRUST_PERMERROR, S("the key is not for subdomains, as i= names one (t=s)"));
	else return true;
	return false;
}

static void record_verify(const struct dkim_params *p, struct slice text, const struct signature *s, const uint8_t digest[32],
			  struct arena *mem, struct dkim_verdict *v) {
	struct dkim_record r;
	struct slice reason;
	if (!dkim_record_parse(text, mem, &r, &reason)) {
		found(v, TRUST_PERMERROR, reason);
		return;
	}
	v->testing = r.testing;
	if (!record_fits(&r, s, v)) return;
	EVP_PKEY *key = key_get(&r);
	if (key == NULL) {
		found(v, TRUST_PERMERROR, S("the key in the key record cannot be read (p=)"));
		return;
	}
	unsigned least = p->key_bits_min != 0 ? p->key_bits_min : 1024;
	v->key_bits = (unsigned)EVP_PKEY_get_bits(key);
	if (v->key_bits > BITS_MAX)
		found(v, TRUST_POLICY, arena_fmt(mem, "the key has %u bits, more than the %u we try", v->key_bits, BITS_MAX));
	else if (!(r.ed25519 ? ed25519_good : rsa_good)(key, digest, s->signature))
		found(v, TRUST_FAIL, S("the signature does not fit the header: signed fields were changed, or another key was used"));
	else if (!r.ed25519 && v->key_bits < least)
		found(v, TRUST_POLICY, arena_fmt(mem, "the key has %u bits, %u are demanded (RFC 8301)", v->key_bits, least));
	else
		found(v, TRUST_PASS, SLICE_NONE);
	EVP_PKEY_free(key);
}

/* How much a verdict says about the signature: what another record said may be better. */
static int worth(const struct dkim_verdict *v) {
	return v->result == TRUST_PASS ? 3 : v->result == TRUST_POLICY ? 2 : v->result == TRUST_FAIL ? 1 : 0;
}

void key_verify(const struct dkim_params *p, const struct signature *s, const uint8_t digest[32], int64_t deadline,
		struct arena *mem, struct dkim_verdict *v) {
	struct slice name = key_name(s, mem), *texts;
	size_t count;
	int r = name.len != 0 ? dns_txt(p->dns, name, deadline, mem, &texts, &count, NULL) : DNS_NXDOMAIN;
	if (r == DNS_NXDOMAIN || r == DNS_NODATA) {
		found(v, TRUST_PERMERROR, arena_fmt(mem, "there is no key at %.*s", SLICE_ARG(name)));
		return;
	}
	if (r != DNS_OK) {
		found(v, TRUST_TEMPERROR, arena_fmt(mem, "the key at %.*s cannot be looked up now: %s", SLICE_ARG(name), fail_text()));
		return;
	}
	struct dkim_verdict best = *v;
	for (size_t i = 0; i < MIN_OF(count, (size_t)RECORDS_MAX); i++) {
		struct dkim_verdict one = *v;
		record_verify(p, texts[i], s, digest, mem, &one);
		if (i == 0 || worth(&one) > worth(&best)) best = one;
	}
	if (count == 0) found(&best, TRUST_PERMERROR, arena_fmt(mem, "there is no key at %.*s", SLICE_ARG(name)));
	*v = best;
}
