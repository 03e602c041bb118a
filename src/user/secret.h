/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* Passwords. Runs in the vault process, with a database of its own (dir/vault.db, mode 0600) that nobody else opens.
 *
 * New passwords are hashed with yescrypt at a cost of a few milliseconds and 1 to 2 MiB. Verified is whatever
 * crypt(3) knows, and Dovecot's {SCHEME} prefixes: {CRYPT} and its relatives, {PLAIN}, {CLEARTEXT}, {SHA}, {SSHA},
 * {SHA256}, {SSHA256}, {SHA512}, {SSHA512}, with .HEX and .B64. Comparison takes constant time, and an unknown user
 * takes as long as a known one. What was right once is remembered in memory for a minute, as an HMAC under a key of
 * this process: mail programs log in again and again. Thread-safe.
 *
 * Beside its own password an account can have app passwords: made here, shown once, each with a name, good for reading
 * and sending mail only. Beside the hash lie the verifiers of SCRAM-SHA-1 and -256 (RFC 5802), made when a password is
 * set, or when one whose hash was imported is first proved. SCRAM is about the account's own password. */
struct secrets;
enum secret_answer { SECRET_WRONG = 1, SECRET_UNKNOWN, SECRET_BAD_HASH };

int secrets_open(const char *dir, struct secrets **out);
void secrets_close(struct secrets **s);
/* account is the stored form of an address (lower case). */
int secret_set(struct secrets *s, struct slice account, struct slice password);
/* An imported hash. SECRET_BAD_HASH: unknown scheme. */
int secret_set_hash(struct secrets *s, struct slice account, struct slice hash);
int secret_delete(struct secrets *s, struct slice account);                      /* SECRET_UNKNOWN */
/* 0: right; SECRET_WRONG also for unknown users. */
int secret_verify(struct secrets *s, struct slice account, struct slice password);
int secret_exists(struct secrets *s, struct slice account);                      /* 0 or SECRET_UNKNOWN */
/* The hash as stored, for backup and for SCRAM in the vault; SECRET_UNKNOWN. */
int secret_hash(struct secrets *s, struct slice account, struct buf *out);
/* Does password fit hash? 0, SECRET_WRONG, SECRET_BAD_HASH. No database. */
int secret_check(struct slice hash, struct slice password);

/* SCRAM. The salt and the rounds of an account that has none, or is none, are made up, always the same. */
enum { SCRAM_SALT = 16, SCRAM_ROUNDS = 20000, SCRAM_SIGNATURE_MAX = 32 };
int secret_scram_salt(struct secrets *s, struct slice account, bool sha256, unsigned char salt[static SCRAM_SALT],
		      uint64_t *rounds);
/* message: AuthMessage. 0: right, and the server's signature is added; or SECRET_WRONG. */
int secret_scram_prove(struct secrets *s, struct slice account, bool sha256, struct slice proof, struct slice message,
                       struct buf *signature);

/* App passwords. Names are any text of 1 to 64 bytes, told apart without case. */
enum { APP_NAME_MAX = 64, APP_PASSWORDS_MAX = 64, SECRET_EXISTS = SECRET_BAD_HASH + 1, SECRET_LIMIT };
/* Makes one: its text is added to password. SECRET_UNKNOWN: no such account; SECRET_EXISTS, SECRET_LIMIT. */
int secret_app_add(struct secrets *s, struct slice account, struct slice name, struct buf *password);
int secret_app_delete(struct secrets *s, struct slice account, struct slice name); /* SECRET_UNKNOWN */
struct secret_app { struct slice name; int64_t created_us, used_us; /* 0: never */ };
/* In the order of their names. */
int secret_app_each(struct secrets *s, struct slice account, int (*each)(void *ctx, const struct secret_app *app),
		    void *ctx);
/* app_passwords_required: who has app passwords cannot use his own. */
void secrets_app_only(struct secrets *s, bool on);
