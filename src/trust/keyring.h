/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/wire.h"
#include "trust/dkim.h"
/* DKIM's private keys, in the vault process. Two sorts: those hato makes, in a folder (DOMAIN/SELECTOR.private in PEM,
 * mode 0600, and `keys` with a line for each: domain, selector, algorithm, state, since when), and those of other
 * programs' files, which come with the settings (struct keyring_given) and are never changed. Domains and selectors are
 * lower case ASCII. Thread-safe; making a key takes some 100 ms and holds nobody else up. */
enum keyring_state {
	KEYRING_ACTIVE,   /* signs */
	KEYRING_WAITING,  /* signs when its record has been seen in DNS (rotation) */
	KEYRING_RETIRED,  /* signs no more; mail under way may still need its record */
	KEYRING_GIVEN,    /* of another program's file: signs */
};
const char *keyring_state_word(uint32_t state);
/* What DNS said of its record when somebody looked; forgotten at the end of the process. */
enum keyring_dns { KEYRING_DNS_UNKNOWN, KEYRING_DNS_PUBLISHED, KEYRING_DNS_MISSING, KEYRING_DNS_OTHER };
const char *keyring_dns_word(uint32_t dns);
struct keyring_key {
	uint64_t id;               /* of the key itself: the same after a restart */
	struct slice domain, selector;
	uint32_t algorithm;        /* enum dkim_algorithm */
	uint32_t bits;
	uint32_t state;
	uint32_t dns;              /* enum keyring_dns */
	int64_t since_s;
	struct slice public_key;   /* SubjectPublicKeyInfo in DER; empty: the key cannot be read, see reason */
	struct slice source;       /* the file of a given one; empty: hato's own */
	struct slice reason;
};
/* An RSA key of fewer than 1024 bits: it may not sign (RFC 8301 §3.2), so it is told of and not found. */
enum { KEYRING_BITS_LEAST = 1024 };
bool keyring_is_weak(const struct keyring_key *k);
#define KEYRING_KEY_FIELDS(F) \
	F(u64, id) F(text, domain) F(text, selector) F(u32, algorithm) F(u32, bits) F(u32, state) F(u32, dns) \
	F(i64, since_s) \
	F(text, public_key) F(text, source) F(text, reason)
WIRE_DECLARE(keyring_key)

/* What other programs' files say (OpenDKIM's KeyTable and SigningTable, rspamd's folder). Packed by master, who may
 * read them. */
struct keyring_file {
	struct slice name;             /* of the KeyTable entry; empty: for mail of its domain */
	struct slice domain, selector; /* domain "%": the author's */
	struct slice pem, path;
};
struct keyring_rule {
	struct slice pattern, key;     /* key: name of the file */
	bool glob; /* "*" stands for any text in user@host (refile:); else user@host, host, user@.parent, … */
};
#define KEYRING_FILE_FIELDS(F) F(text, name) F(text, domain) F(text, selector) F(text, pem) F(text, path)
#define KEYRING_RULE_FIELDS(F) F(text, pattern) F(text, key) F(bool_, glob)
WIRE_DECLARE(keyring_file)
WIRE_DECLARE(keyring_rule)
struct keyring_given {
	struct keyring_file *files;
	size_t files_count;
	struct keyring_rule *rules;    /* SigningTable, in its order */
	size_t rules_count;
	bool multiple;                 /* MultipleSignatures */
};
#define KEYRING_GIVEN_FIELDS(F) F(list, files, keyring_file) F(list, rules, keyring_rule) F(bool_, multiple)
WIRE_DECLARE(keyring_given)

struct keyring;
int keyring_open(const char *dir, struct keyring **out);
void keyring_close(struct keyring **k);
void keyring_give(struct keyring *k, const struct keyring_given *g); /* in place of what was given before */

/* The keys that sign for an author, "user@example.org" or "@example.org", in lower case: what the rules say; then given
 * keys of the domain; then hato's own; with subdomains those of the nearest domain above that has some. */
void keyring_find(struct keyring *k, struct slice author, bool subdomains, struct arena *mem, struct dkim_key **out,
		  size_t *count);
/* digest: SHA-256 of what is signed. RSA: PKCS #1 v1.5; Ed25519 signs the digest itself (RFC 8463). <0: fail(). */
int keyring_sign(struct keyring *k, uint64_t id, struct slice digest, struct buf *signature);
/* All, or those of a domain, in the order of domain and selector. Text in mem. */
void keyring_list(struct keyring *k, struct slice domain, struct arena *mem, struct keyring_key **out, size_t *count);

enum keyring_answer { KEYRING_UNKNOWN = 1, KEYRING_EXISTS, KEYRING_BAD_NAME, KEYRING_BAD_KEY, KEYRING_HAS_WAITING };
struct keyring_wish {
	struct slice domain;
	struct slice selector; /* "hato#": # becomes 1r, 1e, 2r, …; without # the RSA key's own name, -ed25519 behind it
				  for the other */
	bool rsa, ed25519;
	unsigned bits;             /* of RSA */
	bool wait;                 /* they sign when their record has been seen, also the first ones */
};
/* Keys for a domain without any, given ones included: 0, or KEYRING_EXISTS, KEYRING_BAD_NAME. */
int keyring_make(struct keyring *k, const struct keyring_wish *w);
/* New ones beside the active ones, waiting. KEYRING_UNKNOWN (no own key to be followed), KEYRING_HAS_WAITING. */
int keyring_rotate(struct keyring *k, const struct keyring_wish *w);
/* Its record is in DNS: it signs, and the one it follows retires. KEYRING_UNKNOWN: none waits by that id. */
int keyring_seen(struct keyring *k, uint64_t id);
void keyring_note(struct keyring *k, uint64_t id, enum keyring_dns dns);
/* Copies a key in (active). KEYRING_EXISTS, KEYRING_BAD_NAME, KEYRING_BAD_KEY. */
int keyring_import(struct keyring *k, struct slice domain, struct slice selector, struct slice pem);
int keyring_remove(struct keyring *k, struct slice domain, struct slice selector); /* an own one; KEYRING_UNKNOWN */
/* Removes what retired before that time. How many. */
size_t keyring_tidy(struct keyring *k, int64_t before_s);

/* Making keys, for tools: PEM (PKCS #8) and SubjectPublicKeyInfo. */
int keyring_generate(bool ed25519, unsigned bits, struct buf *pem, struct buf *public_key);
/* What a PEM holds. KEYRING_BAD_KEY with fail(): not a key, or of another kind. */
int keyring_examine(struct slice pem, enum dkim_algorithm *algorithm, unsigned *bits, struct buf *public_key);
struct evp_pkey_st;
struct evp_pkey_st *keyring_pkey(struct slice pem); /* for a tool that signs by itself; NULL: fail() */
bool keyring_name(struct slice name); /* may be a domain or a selector: labels of letters, digits, - and _ */
