/* SPDX-License-Identifier: Apache-2.0 */
/* Keys come and go here. A key is on disk before the list names it, and gone from the list before it is deleted: a
 * crash leaves at most a file that nobody asks for. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "net/file.h"
#include "trust/keyring_private.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

enum { PEM_MAX = 64 << 10, BITS_MOST = 8192, GENERATIONS = 10000 };

static bool public_of(EVP_PKEY *pkey, struct buf *der) {
	unsigned char *at = NULL;
	int len = i2d_PUBKEY(pkey, &at);
	bool ok = len > 0 && buf_add(der, slice_from(at, (size_t)len));
	OPENSSL_free(at);
	return ok;
}

static int no_passphrase(char *to UNUSED, int room UNUSED, int writing UNUSED, void *ctx UNUSED) {
	return -1;
}

/* OpenDKIM also takes the base64 of the DER without its frame. */
static BIO *frame_of(struct slice pem, struct buf *framed) {
	if (slice_search(pem, S("-----BEGIN")) == pem.len) {
		buf_addf(framed, "-----BEGIN PRIVATE KEY-----\n%.*s\n-----END PRIVATE KEY-----\n",
			 SLICE_ARG(slice_trim(pem)));
		pem = buf_slice(framed);
	}
	return BIO_new_mem_buf(pem.len != 0 ? pem.at : "", (int)MIN_OF(pem.len, (size_t)PEM_MAX));
}

EVP_PKEY *key_read(struct slice pem, enum dkim_algorithm *algorithm, unsigned *bits, struct buf *public_key) {
	AUTO_BUF struct buf framed = BUF(PEM_MAX);
	BIO *bio = frame_of(pem, &framed);
	EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	BIO_free(bio);
	mem_wipe(framed.at, framed.len);
	ERR_clear_error();
	bool rsa = pkey != NULL && EVP_PKEY_is_a(pkey, "RSA"), ed25519 = pkey != NULL && EVP_PKEY_is_a(pkey, "ED25519");
	if ((rsa || ed25519) && public_of(pkey, public_key)) {
		*algorithm = rsa ? DKIM_RSA_SHA256 : DKIM_ED25519_SHA256;
		*bits = (unsigned)EVP_PKEY_get_bits(pkey);
		return pkey;
	}
	fail(pkey == NULL ? "no private key in it (PEM without a pass phrase is wanted)"
			  : "not a key for DKIM (RSA or Ed25519 is wanted)");
	EVP_PKEY_free(pkey);
	return NULL;
}

int keyring_examine(struct slice pem, enum dkim_algorithm *algorithm, unsigned *bits, struct buf *public_key) {
	EVP_PKEY *pkey = key_read(pem, algorithm, bits, public_key);
	if (pkey == NULL) return KEYRING_BAD_KEY;
	EVP_PKEY_free(pkey);
	return 0;
}

EVP_PKEY *keyring_pkey(struct slice pem) {
	AUTO_BUF struct buf public_key = BUF(KIB(16));
	enum dkim_algorithm algorithm;
	unsigned bits;
	return key_read(pem, &algorithm, &bits, &public_key);
}

int keyring_generate(bool ed25519, unsigned bits, struct buf *pem, struct buf *public_key) {
	EVP_PKEY *pkey =
		ed25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") : EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)bits);
	BIO *bio = BIO_new(BIO_s_mem());
	char *at = NULL;
	bool ok =
		pkey != NULL && bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1;
	long len = ok ? BIO_get_mem_data(bio, &at) : 0;
	ok = ok && len > 0 && buf_add(pem, slice_from(at, (size_t)len)) && public_of(pkey, public_key);
	if (at != NULL) mem_wipe(at, (size_t)len);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return ok ? 0 : fail("a key cannot be made");
}

/* ---- names ---- */

static bool selector_taken(struct keyring *k, struct slice domain, struct slice selector) {
	for (size_t i = 0; i < k->count; i++)
		if (slice_eq(k->at[i]->told.domain, domain) && slice_same(k->at[i]->told.selector, selector))
			return true;
	return false;
}

static struct slice selector_of(struct slice form, unsigned generation, bool ed25519, struct arena *mem) {
	size_t mark = slice_find(form, '#');
	if (mark < form.len)
		return arena_fmt(mem, "%.*s%u%s%.*s", SLICE_ARG(slice_head(form, mark)), generation,
				 ed25519 ? "e" : "r", SLICE_ARG(slice_skip(form, mark + 1)));
	const char *end = ed25519 ? "-ed25519" : "";
	return generation == 1 ? arena_fmt(mem, "%.*s%s", SLICE_ARG(form), end)
			       : arena_fmt(mem, "%.*s%u%s", SLICE_ARG(form), generation, end);
}

/* The first generation of which no name is taken. */
static unsigned next_generation(struct keyring *k, const struct keyring_wish *w, struct arena *mem) {
	unsigned g = 1;
	while (g < GENERATIONS && (selector_taken(k, w->domain, selector_of(w->selector, g, false, mem)) ||
				   selector_taken(k, w->domain, selector_of(w->selector, g, true, mem))))
		g++;
	return g;
}

/* ---- making ---- */

static struct key *store_key(struct keyring *k, struct keyring_key *told, struct slice pem) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	AUTO_BUF struct buf public_key = BUF(KIB(8));
	enum dkim_algorithm algorithm;
	buf_addf(&path, "%s/%.*s", k->dir, SLICE_ARG(told->domain));
	EVP_PKEY *pkey = key_read(pem, &algorithm, &told->bits, &public_key);
	if (pkey == NULL) return NULL;
	if (file_make_dir(buf_text(&path), 0700) < 0 ||
	    file_write(keyring_path(k, told->domain, told->selector, &path), pem, 0600) < 0) {
		EVP_PKEY_free(pkey);
		return NULL;
	}
	told->algorithm = algorithm;
	told->since_s = wall_s();
	told->public_key = buf_slice(&public_key);
	return key_new(told, SLICE_NONE, pkey);
}

static int enter(struct keyring *k, struct key *one) {
	pthread_rwlock_wrlock(&k->lock);
	keyring_add(k, one);
	int r = keyring_save(k);
	if (r < 0) keyring_drop(k, k->count - 1);
	pthread_rwlock_unlock(&k->lock);
	return r;
}

static int make_one(struct keyring *k, const struct keyring_wish *w, unsigned generation, bool ed25519,
		    enum keyring_state state) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf pem = BUF(PEM_MAX);
	AUTO_BUF struct buf public_key = BUF(KIB(8));
	struct keyring_key told = { .domain = w->domain,
				    .selector = selector_of(w->selector, generation, ed25519, &mem),
				    .state = state };
	if (!keyring_name(told.selector)) return KEYRING_BAD_NAME;
	unsigned bits = MIN_OF(MAX_OF(w->bits, (unsigned)KEYRING_BITS_LEAST), (unsigned)BITS_MOST);
	if (keyring_generate(ed25519, bits, &pem, &public_key) < 0) return -1;
	struct key *one = store_key(k, &told, buf_slice(&pem));
	mem_wipe(pem.at, pem.len);
	if (one == NULL) return -1;
	say(L_INFO, "/opendkim", "key made: %.*s._domainkey.%.*s (%s, %s)", SLICE_ARG(told.selector),
	    SLICE_ARG(told.domain), ed25519 ? "Ed25519" : "RSA", keyring_state_word(state));
	return enter(k, one);
}

static int make_all(struct keyring *k, const struct keyring_wish *w, enum keyring_state state) {
	AUTO_ARENA struct arena mem = { 0 };
	pthread_rwlock_rdlock(&k->lock);
	unsigned generation = next_generation(k, w, &mem);
	pthread_rwlock_unlock(&k->lock);
	int r = w->rsa || !w->ed25519 ? make_one(k, w, generation, false, state) : 0;
	return r == 0 && w->ed25519 ? make_one(k, w, generation, true, state) : r;
}

/* Has the domain a key of the state, or any at all? */
static bool has(struct keyring *k, struct slice domain, int state) {
	bool found = false;
	pthread_rwlock_rdlock(&k->lock);
	for (size_t i = 0; i < k->count && !found; i++)
		found = slice_eq(k->at[i]->told.domain, domain) &&
			(state < 0 || k->at[i]->told.state == (uint32_t)state);
	pthread_rwlock_unlock(&k->lock);
	return found;
}

static int wish_of(const struct keyring_wish *w, struct arena *mem, struct keyring_wish *out) {
	*out = *w;
	out->domain = arena_lower(mem, w->domain);
	return keyring_name(w->domain) && w->selector.len != 0 ? 0 : KEYRING_BAD_NAME;
}

int keyring_make(struct keyring *k, const struct keyring_wish *given) {
	AUTO_ARENA struct arena mem = { 0 };
	struct keyring_wish w;
	int r = wish_of(given, &mem, &w);
	if (r != 0) return r;
	pthread_mutex_lock(&k->making);
	r = has(k, w.domain, -1) ? KEYRING_EXISTS : make_all(k, &w, w.wait ? KEYRING_WAITING : KEYRING_ACTIVE);
	pthread_mutex_unlock(&k->making);
	return r;
}

int keyring_rotate(struct keyring *k, const struct keyring_wish *given) {
	AUTO_ARENA struct arena mem = { 0 };
	struct keyring_wish w;
	int r = wish_of(given, &mem, &w);
	if (r != 0) return r;
	pthread_mutex_lock(&k->making);
	if (has(k, w.domain, KEYRING_WAITING)) r = KEYRING_HAS_WAITING;
	else if (!has(k, w.domain, KEYRING_ACTIVE)) r = KEYRING_UNKNOWN;
	else r = make_all(k, &w, KEYRING_WAITING);
	pthread_mutex_unlock(&k->making);
	return r;
}

/* ---- states ---- */

static void change(struct key *one, enum keyring_state state) {
	one->told.state = state;
	one->told.since_s = wall_s();
	say(L_INFO, "/opendkim", "key %.*s._domainkey.%.*s is %s now", SLICE_ARG(one->told.selector),
	    SLICE_ARG(one->told.domain), keyring_state_word(state));
}

int keyring_seen(struct keyring *k, uint64_t id) {
	pthread_rwlock_wrlock(&k->lock);
	struct key *one = NULL;
	for (size_t i = 0; i < k->count && one == NULL; i++)
		if (k->at[i]->told.id == id && k->at[i]->told.state == KEYRING_WAITING) one = k->at[i];
	for (size_t i = 0; i < k->count && one != NULL; i++) {
		struct key *old = k->at[i];
		if (old != one && old->told.state == KEYRING_ACTIVE && old->told.algorithm == one->told.algorithm &&
		    slice_eq(old->told.domain, one->told.domain))
			change(old, KEYRING_RETIRED);
	}
	if (one != NULL) change(one, KEYRING_ACTIVE);
	int r = one != NULL ? keyring_save(k) : KEYRING_UNKNOWN;
	pthread_rwlock_unlock(&k->lock);
	return r;
}

void keyring_note(struct keyring *k, uint64_t id, enum keyring_dns dns) {
	pthread_rwlock_wrlock(&k->lock);
	for (size_t i = 0; i < k->count; i++)
		if (k->at[i]->told.id == id) k->at[i]->told.dns = dns;
	pthread_rwlock_unlock(&k->lock);
}

int keyring_import(struct keyring *k, struct slice domain, struct slice selector, struct slice pem) {
	AUTO_ARENA struct arena mem = { 0 };
	struct keyring_key told = { .domain = arena_lower(&mem, domain),
				    .selector = arena_lower(&mem, selector),
				    .state = KEYRING_ACTIVE };
	if (!keyring_name(domain) || !keyring_name(selector)) return KEYRING_BAD_NAME;
	pthread_mutex_lock(&k->making);
	pthread_rwlock_rdlock(&k->lock);
	bool taken = selector_taken(k, told.domain, told.selector);
	pthread_rwlock_unlock(&k->lock);
	int r = taken ? KEYRING_EXISTS : 0;
	AUTO_BUF struct buf public_key = BUF(KIB(8));
	enum dkim_algorithm algorithm;
	if (r == 0) r = keyring_examine(pem, &algorithm, &told.bits, &public_key);
	told.algorithm = r == 0 ? algorithm : DKIM_RSA_SHA256;
	if (r == 0 && keyring_is_weak(&told)) r = KEYRING_BAD_KEY;
	if (r == 0) {
		struct key *one = store_key(k, &told, pem);
		r = one != NULL ? enter(k, one) : -1;
	}
	pthread_mutex_unlock(&k->making);
	return r;
}

static void forget(struct keyring *k, size_t i) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	keyring_path(k, k->at[i]->told.domain, k->at[i]->told.selector, &path);
	keyring_drop(k, i);
	if (keyring_save(k) < 0) say(L_ERROR, "/opendkim", "%s", fail_text());
	else unlink(buf_text(&path));
}

int keyring_remove(struct keyring *k, struct slice domain, struct slice selector) {
	int r = KEYRING_UNKNOWN;
	pthread_rwlock_wrlock(&k->lock);
	for (size_t i = k->count; i-- > 0;) {
		const struct keyring_key *t = &k->at[i]->told;
		if (t->state == KEYRING_GIVEN || !slice_same(t->domain, domain) || !slice_same(t->selector, selector))
			continue;
		forget(k, i);
		r = 0;
	}
	pthread_rwlock_unlock(&k->lock);
	return r;
}

size_t keyring_tidy(struct keyring *k, int64_t before_s) {
	size_t n = 0;
	pthread_rwlock_wrlock(&k->lock);
	for (size_t i = k->count; i-- > 0;) {
		const struct keyring_key *t = &k->at[i]->told;
		if (t->state != KEYRING_RETIRED || t->since_s >= before_s) continue;
		say(L_INFO, "/opendkim", "key %.*s._domainkey.%.*s is deleted; its record may go",
		    SLICE_ARG(t->selector), SLICE_ARG(t->domain));
		forget(k, i);
		n++;
	}
	pthread_rwlock_unlock(&k->lock);
	return n;
}
