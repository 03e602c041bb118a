/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/map.h"
#include "user/secret.h"
#include <pthread.h>
/* What the files of passwords share. */
enum { MAC_LEN = 32, REMEMBERED_MAX = 4096, REMEMBERED_MS = 60000, SCRAM_KEY_MAX = 32 };

enum { PROOFS = 4 };
struct proof { /* of one account: its own password, and those of apps */
	unsigned char mac[PROOFS][MAC_LEN];
	int64_t until[PROOFS]; /* ms */
	unsigned next;
};

struct secrets {
	struct db *db;
	unsigned char key[MAC_LEN];
	struct buf nobody; /* a hash nobody has the password of, so that unknown users take as long */
	unsigned char salt_key[MAC_LEN]; /* of made-up salts; the same for ever */
	_Atomic bool app_only;
	pthread_mutex_t lock;
	struct map proofs; /* account → struct proof */
	uint64_t changes;  /* counts changed passwords: what was read before one is not remembered after it */
};
void secrets_forget(struct secrets *s, struct slice account); /* what was proved for it */

/* scram.c */
#define SCRAM_TABLES \
	"CREATE TABLE scram (account TEXT NOT NULL, sha256 INTEGER NOT NULL, salt BLOB NOT NULL, rounds INTEGER NOT " \
	"NULL," \
	" stored BLOB NOT NULL, server BLOB NOT NULL, PRIMARY KEY (account, sha256)) WITHOUT ROWID;" \
	"CREATE TABLE own_key (name TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID;"
struct scram_keys { /* both kinds: SHA-1, SHA-256 */
	unsigned char salt[SCRAM_SALT];
	unsigned char stored[2][SCRAM_KEY_MAX], server[2][SCRAM_KEY_MAX];
};
int scram_open(struct secrets *s);
int scram_make(struct slice password, struct scram_keys *keys);
int scram_put(struct db_conn *tx, struct slice account, const struct scram_keys *keys); /* keys NULL: takes them away */
/* Makes verifiers where there are none, as long as the hash is still this one. */
int scram_learn(struct secrets *s, struct slice account, struct slice password, struct slice hash);

/* app_password.c */
#define APP_TABLES \
	"CREATE TABLE app_password (account TEXT NOT NULL, name TEXT NOT NULL, shown TEXT NOT NULL, hash TEXT NOT " \
	"NULL," \
	" created_us INTEGER NOT NULL, used_us INTEGER NOT NULL, PRIMARY KEY (account, name)) WITHOUT ROWID;"
/* 0: it is one of them; SECRET_WRONG; SECRET_UNKNOWN: there are none. */
int app_verify(struct secrets *s, struct slice account, struct slice password);
int app_forget(struct db_conn *tx, struct slice account);
