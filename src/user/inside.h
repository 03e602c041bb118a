/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "user/user.h"
/* What the files of this room share. An address in stored form, in two parts; whole is local@domain. */
struct parts {
	struct slice whole, local, domain;
	struct slice written; /* the local part as it was written */
};
/* empty_local: "@domain" is allowed. 0 or USER_BAD_ADDRESS. */
int parts_of(struct arena *mem, struct slice address, bool empty_local, struct parts *out);

/* recall.c: addresses that lead straight to an account, no alias before it, and domains in which nothing of ours lives.
 * Every change of accounts, aliases and domains ends the epoch (db_epoch_end). */
bool recall_account(const struct db_conn *c, struct slice address, struct resolved *out);
void recall_keep(const struct db_conn *c, struct slice address, const struct resolved *account);
bool recall_foreign(const struct db_conn *c, struct slice domain);
void recall_keep_foreign(const struct db_conn *c, struct slice domain);
void recall_forget(void);

enum quota_kind { QUOTA_OF_BYTES, QUOTA_OF_MESSAGES };
uint64_t quota_or_default(int64_t stored, enum quota_kind kind); /* account.c: the limit that counts; 0: none */
