/* SPDX-License-Identifier: Apache-2.0 */
/* The second half of verifying (RFC 6376 §6.1.2, §6.1.3): the key is fetched and used. A name may have several key
 * records; that one of them fits is enough. Reading a public key costs OpenSSL more than using it, so the last ones
 * read are kept. */
#include "base/fail.h"
#include "base/map.h"
#include "trust/dkim_private.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <pthread.h>

enum { RECORDS_MAX = 8, KEPT = 256, KEY_BYTES_MAX = 2200, BITS_MAX = 8192 /* 16384 and more cost milliseconds */ };

/* ---- keys that were read ---- */

struct kept {
	struct slice der;    /* owned */
	EVP_PKEY *key;
	EVP_PKEY_CTX *ready; /* RSA: prepared for verifying; NULL while somebody uses it */
};
static struct kept kept[KEPT];
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;

static void kept_done(struct kept *k) {
	EVP_PKEY_CTX_free(k->ready);
	EVP_PKEY_free(k->key);
	free((char *)(uintptr_t)k->der.at);
}

static struct kept *place_of(const struct dkim_record *r) {
	return &kept[(hash_bytes(r->public_key) + r->ed25519) % KEPT];
}

/* Steps into a DER value of that kind which fills all of *der. */
static bool der_enter(struct slice *der, uint8_t kind) {
	const uint8_t *at = (const uint8_t *)der->at;
	if (der->len < 2 || at[0] != kind) return false;
	size_t head = 2, len = at[1];
	if (len > 0x82) return false;
	if (len >= 0x80) {
		size_t bytes = len - 0x80;
		head += bytes;
		len = 0;
		for (size_t i = 2; i < head && i < der->len; i++) len = len << 8 | at[i];
	}
	if (head > der->len || len != der->len - head) return false;
	*der = slice_skip(*der, head);
	return true;
}

/* The key inside of SubjectPublicKeyInfo, for a way through OpenSSL that takes a fifth of the time. */
static bool rsa_inside(struct slice der, struct slice *out) {
	static const char algorithm[] =
		"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05"; /* rsaEncryption, and NULL */
	if (!der_enter(&der, 0x30) || !slice_starts(der, slice_from(algorithm, sizeof algorithm))) return false;
	der = slice_skip(der, sizeof algorithm);
	if (!der_enter(&der, 0x03) || der.len == 0 || der.at[0] != 0) return false;
	*out = slice_skip(der, 1);
	return true;
}

/* RFC 6376 speaks of RSAPublicKey and shows SubjectPublicKeyInfo; both are in use. */
static EVP_PKEY *rsa_read(struct slice der) {
	rsa_inside(der, &der);
	const unsigned char *at = (const unsigned char *)der.at, *end = at;
	EVP_PKEY *key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &end, (long)der.len);
	if (key == NULL) end = at, key = d2i_PUBKEY(NULL, &end, (long)der.len);
	if (key != NULL && EVP_PKEY_is_a(key, "RSA") && end == at + der.len) return key;
	EVP_PKEY_free(key);
	return NULL;
}

static EVP_PKEY *key_read(const struct dkim_record *r) {
	const unsigned char *at = (const unsigned char *)r->public_key.at;
	EVP_PKEY *key = NULL;
	if (!r->ed25519) key = rsa_read(r->public_key);
	else if (r->public_key.len == 32) key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, at, 32);
	ERR_clear_error();
	return key;
}

static EVP_PKEY_CTX *ready_new(EVP_PKEY *key) {
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	if (ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

/* A key and what is ready for it, out of their place; the caller gives both back. key NULL: it cannot be read. */
static struct kept key_take(const struct dkim_record *r) {
	struct kept *k = place_of(r), got = { 0 };
	if (r->public_key.len > KEY_BYTES_MAX) return got;
	pthread_mutex_lock(&kept_lock);
	if (k->key != NULL && slice_eq(k->der, r->public_key) && EVP_PKEY_is_a(k->key, "RSA") == !r->ed25519) {
		got.key = k->key;
		EVP_PKEY_up_ref(got.key);
		got.ready = TAKE(k->ready);
	}
	pthread_mutex_unlock(&kept_lock);
	if (got.key == NULL) got.key = key_read(r);
	if (got.key != NULL && got.ready == NULL && !r->ed25519) got.ready = ready_new(got.key);
	return got;
}

/* Keeps it for the next signature; what was in its place goes. */
static void key_give_back(const struct dkim_record *r, struct kept *got) {
	struct kept *k = place_of(r), old = *got;
	pthread_mutex_lock(&kept_lock);
	if (k->key == got->key) {
		if (k->ready == NULL) k->ready = TAKE(old.ready);
	} else {
		old = *k;
		*k = *got;
		k->der = slice_from(slice_text(r->public_key), r->public_key.len);
	}
	pthread_mutex_unlock(&kept_lock);
	kept_done(&old);
}

static bool rsa_good(const struct kept *k, const uint8_t digest[32], struct slice signature) {
	bool good = k->ready != NULL &&
		    EVP_PKEY_verify(k->ready, (const unsigned char *)signature.at, signature.len, digest, 32) == 1;
	if (!good) ERR_clear_error();
	return good;
}

static bool ed25519_good(const struct kept *k, const uint8_t digest[32], struct slice signature) {
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, k->key) == 1 &&
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
	if (name.len != 0 && p->dns != NULL) dns_hint(p->dns, name, DNS_TXT);
}

static void found(struct dkim_verdict *v, enum trust_result result, enum dkim_fault fault, struct slice reason) {
	v->result = result;
	v->fault = fault;
	v->reason = reason;
}

/* Is a key with that record meant for this signature (§3.6.1)? */
static bool record_fits(const struct dkim_record *r, const struct signature *s, struct dkim_verdict *v) {
	struct slice identity = slice_skip(v->identity, slice_find_last(v->identity, '@') + 1);
	if (r->revoked) found(v, TRUST_PERMERROR, DKIM_FAULT_REVOKED, S("the key has been revoked"));
	else if (r->ed25519 != (s->algorithm == DKIM_ED25519_SHA256))
		found(v, TRUST_PERMERROR, DKIM_FAULT_OTHER, S("the key is for another algorithm (k=)"));
	else if (!r->sha256) found(v, TRUST_PERMERROR, DKIM_FAULT_OTHER, S("the key is not for SHA-256 (h=)"));
	else if (!r->email) found(v, TRUST_PERMERROR, DKIM_FAULT_OTHER, S("the key is not for mail (s=)"));
	else if (r->strict && !slice_same(identity, s->domain))
		found(v, TRUST_PERMERROR, DKIM_FAULT_OTHER, S("the key is not for subdomains, as i= names one (t=s)"));
	else return true;
	return false;
}

static void record_verify(const struct dkim_params *p, struct slice text, const struct signature *s,
			  const uint8_t digest[32], struct arena *mem, struct dkim_verdict *v) {
	struct dkim_record r;
	struct slice reason;
	if (!dkim_record_parse(text, mem, &r, &reason)) {
		found(v, TRUST_PERMERROR, DKIM_FAULT_SYNTAX, reason);
		return;
	}
	v->testing = r.testing;
	if (!record_fits(&r, s, v)) return;
	struct kept key = key_take(&r);
	if (key.key == NULL) {
		found(v, TRUST_PERMERROR, DKIM_FAULT_SYNTAX, S("the key in the key record cannot be read (p=)"));
		return;
	}
	unsigned least = p->key_bits_min != 0 ? p->key_bits_min : 1024;
	v->key_bits = (unsigned)EVP_PKEY_get_bits(key.key);
	if (v->key_bits > BITS_MAX)
		found(v, TRUST_POLICY, DKIM_FAULT_POLICY,
		      arena_fmt(mem, "the key has %u bits, more than the %u we try", v->key_bits, BITS_MAX));
	else if (!(r.ed25519 ? ed25519_good : rsa_good)(&key, digest, s->signature))
		found(v, TRUST_FAIL, DKIM_FAULT_SIGNATURE,
		      S("the signature does not fit the header: signed fields were changed, or another key was used"));
	else if (!r.ed25519 && v->key_bits < least)
		found(v, TRUST_POLICY, DKIM_FAULT_POLICY,
		      arena_fmt(mem, "the key has %u bits, %u are demanded (RFC 8301)", v->key_bits, least));
	else
		found(v, TRUST_PASS, DKIM_FAULT_NONE, SLICE_NONE);
	key_give_back(&r, &key);
}

/* How much a verdict says about the signature: what another record said may be better. */
static int worth(const struct dkim_verdict *v) {
	return v->result == TRUST_PASS ? 3 : v->result == TRUST_POLICY ? 2 : v->result == TRUST_FAIL ? 1 : 0;
}

void key_verify(const struct dkim_params *p, const struct signature *s, const uint8_t digest[32], int64_t deadline,
		struct arena *mem, struct dkim_verdict *v) {
	struct slice name = key_name(s, mem), *texts;
	struct dns_facts facts = { 0 };
	size_t count;
	if (p->dns == NULL) {
		found(v, TRUST_TEMPERROR, DKIM_FAULT_DNS, S("the key cannot be looked up: no name server is known"));
		return;
	}
	int r = name.len != 0 ? dns_txt(p->dns, name, deadline, mem, &texts, &count, &facts) : DNS_NXDOMAIN;
	if (r == DNS_NXDOMAIN || r == DNS_NODATA) {
		v->no_key = true;
		found(v, TRUST_PERMERROR, DKIM_FAULT_DNS, arena_fmt(mem, "there is no key at %.*s", SLICE_ARG(name)));
		return;
	}
	if (r != DNS_OK) {
		found(v, TRUST_TEMPERROR, DKIM_FAULT_DNS,
		      arena_fmt(mem, "the key at %.*s cannot be looked up now: %s", SLICE_ARG(name), fail_text()));
		return;
	}
	struct dkim_verdict best = *v;
	for (size_t i = 0; i < MIN_OF(count, (size_t)RECORDS_MAX); i++) {
		struct dkim_verdict one = *v;
		record_verify(p, texts[i], s, digest, mem, &one);
		if (i == 0 || worth(&one) > worth(&best)) best = one;
	}
	if (count == 0)
		found(&best, TRUST_PERMERROR, DKIM_FAULT_DNS,
		      arena_fmt(mem, "there is no key at %.*s", SLICE_ARG(name)));
	if (best.result == TRUST_PASS && p->unprotected != TRUST_NONE && !facts.secure)
		found(&best, p->unprotected, DKIM_FAULT_POLICY,
		      S("DNSSEC does not prove the key (dkim_unprotected_key)"));
	*v = best;
}

bool key_testing(const struct dkim_params *p, const struct signature *s, int64_t deadline, struct arena *mem) {
	struct slice name = key_name(s, mem), *texts, reason;
	struct dkim_record r;
	size_t count = 0;
	bool all = false;
	if (p->dns == NULL || name.len == 0 || dns_txt(p->dns, name, deadline, mem, &texts, &count, NULL) != DNS_OK)
		return false;
	for (size_t i = 0; i < MIN_OF(count, (size_t)RECORDS_MAX); i++) {
		all = dkim_record_parse(texts[i], mem, &r, &reason) && r.testing;
		if (!all) break;
	}
	return all;
}
