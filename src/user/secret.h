/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* Passwords. Runs in the vault process, with a database of its own (dir/vault.db, mode 0600) that nobody else opens.
 *
 * New passwords are hashed with yescrypt at a cost of a few milliseconds and 1 to 2 MiB. Verified is whatever
 * crypt(3) knows, and Dovecot's {SCHEME} prefixes: {CRYPT} and its relatives, {PLAIN}, {CLEARTEXT}, {SHA}, {SSHA},
 * {SHA256}, {SSHA256}, {SHA512}, {SSHA512}, with .HEX and .B64. Comparison takes constant time, and an unknown user
 * takes as long as a known one. What was right once is remembered in memory for a minute, as an HMAC under a key of
 * this process: mail programs log in again and again. Thread-safe. */
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
