/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/keyring.h"
#include <openssl/evp.h>
#include <pthread.h>
/* What the files of the keyring share. */
struct key {
	struct keyring_key told;   /* text in mem */
	struct slice name;         /* of the KeyTable entry */
	uint64_t hash;             /* of the domain */
	EVP_PKEY *pkey;            /* NULL: cannot be read */
	EVP_PKEY_CTX *rsa;         /* ready to sign, never used itself: copies are cheap.
				      NULL: no RSA key */
	struct arena mem;
};
struct keyring {
	char *dir;
	pthread_rwlock_t lock;     /* of all below */
	pthread_mutex_t making;    /* one key after the other */
	struct key **at;
	size_t count, room;
	struct arena rules_mem;
	struct keyring_rule *rules;
	size_t rules_count;
	bool multiple;
};
EVP_PKEY *key_read(struct slice pem, enum dkim_algorithm *algorithm, unsigned *bits,
		   struct buf *public_key); /* NULL: fail() */
/* domain, selector, name, source are copied; pkey is taken over. */
struct key *key_new(const struct keyring_key *told, struct slice name, EVP_PKEY *pkey) NONNULL_RESULT;
void key_free(struct key *k);
void keyring_add(struct keyring *k, struct key *one);      /* under the lock */
void keyring_drop(struct keyring *k, size_t i);            /* under the lock */
/* A line of that file, without its end: domain, selector, algorithm, state, since when. False: no such line. Slices are
 * of the line. */
bool keyring_line_read(struct slice line, struct keyring_key *out);
void keyring_line_add(struct buf *out, const struct keyring_key *t);
int keyring_save(struct keyring *k);                       /* the file `keys`; under the lock */
const char *keyring_path(struct keyring *k, struct slice domain, struct slice selector, struct buf *out);
