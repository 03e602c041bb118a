/* SPDX-License-Identifier: Apache-2.0 */
/* Looking up is a walk over all keys with a hash compared: some 10 µs for 10,000 domains, and relay remembers what it
 * was told. What costs is the signature, which is made outside the lock. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/map.h"
#include "net/file.h"
#include "trust/keyring_private.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

WIRE_STRUCT(keyring_key, KEYRING_KEY_FIELDS)
WIRE_STRUCT(keyring_file, KEYRING_FILE_FIELDS)
WIRE_STRUCT(keyring_rule, KEYRING_RULE_FIELDS)
WIRE_STRUCT(keyring_given, KEYRING_GIVEN_FIELDS)

enum { NAME_MAX_LEN = 253, KEYS_FILE_MAX = 64 << 20, PEM_MAX = 64 << 10, LABELS_MAX = 20 };

static const char *const state_words[] = { "active", "waiting", "retired", "given" };

const char *keyring_state_word(uint32_t state) {
	return state < LEN(state_words) ? state_words[state] : "unknown";
}

bool keyring_is_weak(const struct keyring_key *k) {
	return k->algorithm == DKIM_RSA_SHA256 && k->bits != 0 && k->bits < KEYRING_BITS_LEAST;
}

const char *keyring_dns_word(uint32_t dns) {
	static const char *const words[] = { "unknown", "published", "missing", "wrong" };
	return dns < LEN(words) ? words[dns] : words[0];
}

bool keyring_name(struct slice name) {
	if (name.len == 0 || name.len > NAME_MAX_LEN) return false;
	while (name.at != NULL) {
		struct slice label = slice_cut(&name, '.');
		if (label.len == 0 || label.len > 63) return false;
		for (size_t i = 0; i < label.len; i++)
			if (!ascii_alpha(label.at[i]) && !ascii_digit(label.at[i]) && label.at[i] != '-' &&
			    label.at[i] != '_')
				return false;
	}
	return true;
}

/* ---- keys ---- */

static EVP_PKEY_CTX *rsa_signer(EVP_PKEY *pkey) {
	if (pkey == NULL || !EVP_PKEY_is_a(pkey, "RSA")) return NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pkey, NULL);
	if (ctx != NULL && EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

struct key *key_new(const struct keyring_key *told, struct slice name, EVP_PKEY *pkey) {
	struct key *one = mem_get(sizeof *one);
	one->told = *told;
	one->told.domain = arena_lower(&one->mem, told->domain);
	one->told.selector = arena_lower(&one->mem, told->selector);
	one->told.public_key = arena_slice(&one->mem, told->public_key);
	one->told.source = arena_slice(&one->mem, told->source);
	one->told.reason = arena_slice(&one->mem, told->reason);
	one->name = arena_slice(&one->mem, name);
	one->hash = hash_bytes(one->told.domain);
	one->pkey = pkey;
	one->rsa = rsa_signer(pkey);
	unsigned char digest[32];
	AUTO_BUF struct buf named = BUF(KIB(16));
	buf_addf(&named, "%.*s %.*s ", SLICE_ARG(one->told.domain), SLICE_ARG(one->told.selector));
	buf_add(&named, told->public_key);
	EVP_Digest(named.at, named.len, digest, NULL, EVP_sha256(), NULL);
	memcpy(&one->told.id, digest, sizeof one->told.id);
	return one;
}

void key_free(struct key *one) {
	EVP_PKEY_CTX_free(one->rsa);
	EVP_PKEY_free(one->pkey);
	arena_done(&one->mem);
	free(one);
}

void keyring_add(struct keyring *k, struct key *one) {
	if (k->count == k->room) {
		size_t room = k->room == 0 ? 16 : k->room * 2;
		struct key **at = mem_array(room, sizeof(struct key *));
		if (k->count != 0) memcpy(at, k->at, k->count * sizeof(struct key *));
		free(k->at);
		k->at = at;
		k->room = room;
	}
	k->at[k->count++] = one;
}

void keyring_drop(struct keyring *k, size_t i) {
	key_free(k->at[i]);
	k->at[i] = k->at[--k->count];
}

/* ---- the folder ---- */

const char *keyring_path(struct keyring *k, struct slice domain, struct slice selector, struct buf *out) {
	buf_clear(out);
	buf_addf(out, "%s/%.*s/%.*s.private", k->dir, SLICE_ARG(domain), SLICE_ARG(selector));
	return buf_text(out);
}

void keyring_line_add(struct buf *out, const struct keyring_key *t) {
	buf_addf(out, "%.*s %.*s %s %s %lld\n", SLICE_ARG(t->domain), SLICE_ARG(t->selector),
		 dkim_algorithm_name((enum dkim_algorithm)t->algorithm), keyring_state_word(t->state),
		 (long long)t->since_s);
}

int keyring_save(struct keyring *k) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	AUTO_BUF struct buf text = BUF(KEYS_FILE_MAX);
	for (size_t i = 0; i < k->count; i++) {
		const struct keyring_key *t = &k->at[i]->told;
		if (t->state == KEYRING_GIVEN) continue;
		keyring_line_add(&text, t);
	}
	buf_addf(&path, "%s/keys", k->dir);
	return text.full ? fail("too many DKIM keys") : file_write(buf_text(&path), buf_slice(&text), 0600);
}

bool keyring_line_read(struct slice line, struct keyring_key *out) {
	struct slice domain = slice_word(&line, " "), selector = slice_word(&line, " "),
		     algorithm = slice_word(&line, " "), state = slice_word(&line, " ");
	struct keyring_key told = { .domain = domain, .selector = selector };
	uint64_t since = 0;
	if (!keyring_name(domain) || !keyring_name(selector)) return false;
	slice_number(slice_trim(line), INT64_MAX, &since);
	told.since_s = (int64_t)since;
	for (uint32_t i = 0; i < LEN(state_words); i++)
		if (slice_eq(state, slice_of(state_words[i]))) told.state = i;
	told.algorithm = slice_eq(algorithm, S("ed25519-sha256")) ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
	*out = told;
	return true;
}

static void tell_weak(const struct keyring_key *told, struct slice path) {
	if (keyring_is_weak(told))
		say(L_WARN, "/opendkim", "%.*s: does not sign: RSA keys of fewer than %d bits prove nothing (RFC 8301)",
		    SLICE_ARG(path), KEYRING_BITS_LEAST);
}

static void load_one(struct keyring *k, struct slice line) {
	struct keyring_key told;
	if (!keyring_line_read(line, &told)) return;
	struct slice domain = told.domain, selector = told.selector;
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	AUTO_BUF struct buf pem = BUF(PEM_MAX);
	AUTO_BUF struct buf public_key = BUF(KIB(8));
	enum dkim_algorithm found = (enum dkim_algorithm)told.algorithm;
	EVP_PKEY *pkey = NULL;
	if (file_read(keyring_path(k, domain, selector, &path), &pem) >= 0)
		pkey = key_read(buf_slice(&pem), &found, &told.bits, &public_key);
	mem_wipe(pem.at, pem.len);
	if (pkey == NULL) {
		say(L_ERROR, "/opendkim", "key %.*s of %.*s: %s", SLICE_ARG(selector), SLICE_ARG(domain), fail_text());
		told.reason = slice_of(fail_text());
	}
	told.algorithm = found;
	told.public_key = buf_slice(&public_key);
	tell_weak(&told, buf_slice(&path));
	keyring_add(k, key_new(&told, SLICE_NONE, pkey));
}

int keyring_open(const char *dir, struct keyring **out) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	AUTO_BUF struct buf text = BUF(KEYS_FILE_MAX);
	if (file_make_dir(dir, 0700) < 0) return -1;
	buf_addf(&path, "%s/keys", dir);
	if (access(buf_text(&path), F_OK) == 0 && file_read(buf_text(&path), &text) < 0) return -1;
	struct keyring *k = mem_get(sizeof *k);
	k->dir = slice_text(slice_of(dir));
	pthread_rwlock_init(&k->lock, NULL);
	pthread_mutex_init(&k->making, NULL);
	for (struct slice rest = buf_slice(&text); rest.at != NULL && rest.len != 0;)
		load_one(k, slice_cut(&rest, '\n'));
	*out = k;
	return 0;
}

void keyring_close(struct keyring **kp) {
	struct keyring *k = TAKE(*kp);
	if (k == NULL) return;
	while (k->count != 0) keyring_drop(k, k->count - 1);
	free(k->at);
	free(k->dir);
	arena_done(&k->rules_mem);
	pthread_rwlock_destroy(&k->lock);
	pthread_mutex_destroy(&k->making);
	free(k);
}

/* ---- given ---- */

static struct key *given_key(const struct keyring_file *f) {
	AUTO_BUF struct buf public_key = BUF(KIB(8));
	enum dkim_algorithm algorithm = DKIM_RSA_SHA256;
	struct keyring_key told = {
		.domain = f->domain, .selector = f->selector, .state = KEYRING_GIVEN, .source = f->path
	};
	EVP_PKEY *pkey = key_read(f->pem, &algorithm, &told.bits, &public_key);
	if (pkey == NULL) {
		say(L_ERROR, "/opendkim", "%.*s: %s", SLICE_ARG(f->path), fail_text());
		told.reason = slice_of(fail_text());
	}
	told.algorithm = algorithm;
	tell_weak(&told, f->path);
	told.public_key = buf_slice(&public_key);
	return key_new(&told, f->name, pkey);
}

void keyring_give(struct keyring *k, const struct keyring_given *g) {
	struct key **fresh = mem_array(g->files_count + 1, sizeof(struct key *));
	for (size_t i = 0; i < g->files_count; i++) fresh[i] = given_key(&g->files[i]);
	pthread_rwlock_wrlock(&k->lock);
	for (size_t i = k->count; i-- > 0;)
		if (k->at[i]->told.state == KEYRING_GIVEN) keyring_drop(k, i);
	for (size_t i = 0; i < g->files_count; i++) keyring_add(k, fresh[i]);
	arena_done(&k->rules_mem);
	k->rules = arena_array(&k->rules_mem, g->rules_count, sizeof *k->rules);
	k->rules_count = g->rules_count;
	for (size_t i = 0; i < g->rules_count; i++)
		k->rules[i] = (struct keyring_rule){ arena_lower(&k->rules_mem, g->rules[i].pattern),
						     arena_slice(&k->rules_mem, g->rules[i].key), g->rules[i].glob };
	k->multiple = g->multiple;
	pthread_rwlock_unlock(&k->lock);
	free(fresh);
}

/* ---- finding ---- */

struct finding {
	struct keyring *k;
	struct slice author, local, domain;
	struct arena *mem;
	struct dkim_key *keys;
	size_t count;
};

static void take(struct finding *f, const struct key *one) {
	if (keyring_is_weak(&one->told)) return;
	struct slice domain = slice_eq(one->told.domain, S("%")) ? f->domain : arena_slice(f->mem, one->told.domain);
	for (size_t i = 0; i < f->count; i++)
		if (f->keys[i].id == one->told.id) return;
	f->keys[f->count++] = (struct dkim_key){ one->told.id, domain, arena_slice(f->mem, one->told.selector),
						 (enum dkim_algorithm)one->told.algorithm };
}

static void take_named(struct finding *f, struct slice name) {
	for (size_t i = 0; i < f->k->count; i++)
		if (f->k->at[i]->name.len != 0 && slice_eq(f->k->at[i]->name, name)) take(f, f->k->at[i]);
}

/* Rules whose pattern is this text. True: that is all. */
static bool take_rules(struct finding *f, struct slice text, bool glob) {
	for (size_t i = 0; i < f->k->rules_count; i++) {
		const struct keyring_rule *rule = &f->k->rules[i];
		if (rule->glob != glob || (glob ? !slice_matches(rule->pattern, text) : !slice_eq(rule->pattern, text)))
			continue;
		take_named(f, rule->key);
		if (f->count != 0 && !f->k->multiple) return true;
	}
	return false;
}

/* In the order of opendkim.conf(5): user@host, host, user@.parent and .parent for each, user@*, *. */
static void by_rules(struct finding *f) {
	if (f->k->rules_count == 0) return;
	if (take_rules(f, f->author, true)) return;
	if (take_rules(f, f->author, false) || take_rules(f, f->domain, false)) return;
	struct slice above = f->domain;
	for (size_t dot; (dot = slice_find(above, '.')) < above.len; above = slice_skip(above, dot + 1)) {
		struct slice parent = slice_skip(above, dot);
		if (take_rules(f, arena_fmt(f->mem, "%.*s@%.*s", SLICE_ARG(f->local), SLICE_ARG(parent)), false) ||
		    take_rules(f, parent, false))
			return;
	}
	if (take_rules(f, arena_fmt(f->mem, "%.*s@*", SLICE_ARG(f->local)), false)) return;
	take_rules(f, S("*"), false);
}

static void by_domain(struct finding *f, struct slice domain) {
	uint64_t hash = hash_bytes(domain);
	for (int given = 1; given >= 0 && f->count == 0; given--)
		for (size_t i = 0; i < f->k->count; i++) {
			const struct key *one = f->k->at[i];
			if (one->hash != hash || !slice_eq(one->told.domain, domain) || one->name.len != 0) continue;
			if (one->told.state == (given ? KEYRING_GIVEN : KEYRING_ACTIVE)) take(f, one);
		}
}

static int by_name(const void *a, const void *b) {
	const struct dkim_key *one = a, *other = b;
	return one->algorithm != other->algorithm ? (int)one->algorithm - (int)other->algorithm
						  : slice_order(one->selector, other->selector);
}

void keyring_find(struct keyring *k, struct slice author, bool subdomains, struct arena *mem, struct dkim_key **out,
		  size_t *count) {
	size_t at = slice_find_last(author, '@');
	struct finding f = { .k = k, .author = author, .local = slice_head(author, at), .mem = mem,
			     .domain = arena_slice(mem, slice_skip(author, at + 1)) };
	pthread_rwlock_rdlock(&k->lock);
	f.keys = arena_array(mem, k->count + 1, sizeof *f.keys);
	by_rules(&f);
	struct slice domain = f.domain;
	for (unsigned i = 0; i < LABELS_MAX && f.count == 0 && slice_find(domain, '.') < domain.len; i++) {
		by_domain(&f, domain);
		if (!subdomains) break;
		slice_cut(&domain, '.');
	}
	if (f.count == 0 && slice_find(f.domain, '.') == f.domain.len) by_domain(&f, f.domain);
	pthread_rwlock_unlock(&k->lock);
	qsort(f.keys, f.count, sizeof *f.keys, by_name);
	*out = f.keys;
	*count = f.count;
}

static int by_domain_and_selector(const void *a, const void *b) {
	const struct keyring_key *one = a, *other = b;
	int r = slice_order(one->domain, other->domain);
	return r != 0 ? r : slice_order(one->selector, other->selector);
}

void keyring_list(struct keyring *k, struct slice domain, struct arena *mem, struct keyring_key **out, size_t *count) {
	size_t n = 0;
	pthread_rwlock_rdlock(&k->lock);
	struct keyring_key *list = arena_array(mem, k->count + 1, sizeof *list);
	for (size_t i = 0; i < k->count; i++) {
		const struct keyring_key *t = &k->at[i]->told;
		if (domain.len != 0 && !slice_same(t->domain, domain)) continue;
		struct keyring_key *to = &list[n++];
		*to = *t;
		to->domain = arena_slice(mem, t->domain);
		to->selector = arena_slice(mem, t->selector);
		to->public_key = arena_slice(mem, t->public_key);
		to->source = arena_slice(mem, t->source);
		to->reason = arena_slice(mem, t->reason);
	}
	pthread_rwlock_unlock(&k->lock);
	qsort(list, n, sizeof *list, by_domain_and_selector);
	*out = list;
	*count = n;
}

/* ---- signing ---- */

/* A key that stays although it may be taken out meanwhile. */
struct held {
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *rsa; /* a copy; NULL: Ed25519 */
};

static bool hold_key(struct keyring *k, uint64_t id, struct held *out) {
	bool found = false;
	*out = (struct held){ 0 };
	pthread_rwlock_rdlock(&k->lock);
	for (size_t i = 0; i < k->count && !found; i++) {
		const struct key *one = k->at[i];
		if (one->told.id != id || one->pkey == NULL || !EVP_PKEY_up_ref(one->pkey)) continue;
		out->pkey = one->pkey;
		if (one->rsa != NULL) out->rsa = EVP_PKEY_CTX_dup(one->rsa);
		found = true;
	}
	pthread_rwlock_unlock(&k->lock);
	return found;
}

static bool sign_ed25519(const struct held *key, struct slice digest, unsigned char *to, size_t *len) {
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md != NULL && EVP_DigestSignInit(md, NULL, NULL, NULL, key->pkey) == 1 &&
		  EVP_DigestSign(md, to, len, (const unsigned char *)digest.at, digest.len) == 1;
	EVP_MD_CTX_free(md);
	return ok;
}

static bool sign_rsa(const struct held *key, struct slice digest, unsigned char *to, size_t *len) {
	return key->rsa != NULL &&
	       EVP_PKEY_sign(key->rsa, to, len, (const unsigned char *)digest.at, digest.len) == 1;
}

int keyring_sign(struct keyring *k, uint64_t id, struct slice digest, struct buf *signature) {
	struct held key;
	if (digest.len != 32) return fail("DKIM signature: not a SHA-256 digest");
	if (!hold_key(k, id, &key)) return fail("DKIM signature: the key is not there (hato dkim list)");
	size_t len = (size_t)EVP_PKEY_get_size(key.pkey);
	char *room = buf_room(signature, len);
	bool rsa = EVP_PKEY_is_a(key.pkey, "RSA");
	bool ok = room != NULL && (rsa ? sign_rsa : sign_ed25519)(&key, digest, (unsigned char *)room, &len);
	EVP_PKEY_CTX_free(key.rsa);
	EVP_PKEY_free(key.pkey);
	ERR_clear_error();
	if (!ok) return fail("DKIM signature: cannot be made");
	signature->len += len;
	return 0;
}
