/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "store/store.h"
/* How much may be kept: by an account (its limits are user's to know and are handed in), and by a pool of accounts,
 * which is a domain with limits (kept here). Both are compared with counters that every change brings along; nothing is
 * ever walked.
 *
 * store_append looks at both itself; who copies asks store_quota_fits first and tells store_quota_grown afterwards. */
enum { QUOTA_LEVELS = 2 };
struct quota {
	uint64_t bytes, messages;        /* 0: no limit */
	uint8_t levels[QUOTA_LEVELS];    /* percent at which the owner is warned, rising; 0: never */
};
/* Would so much more fit? 0 or STORE_OVER_QUOTA. */
int store_quota_fits(struct db_conn *c, int64_t account, const struct quota *q, uint64_t bytes, uint64_t messages);
/* How much a copy of these would be. */
int store_quota_of(struct db_conn *c, struct box box, struct uid_set set, uint64_t *bytes, uint64_t *messages);
/* So much was added: where a level of q was passed a warning becomes due, once a day for each. */
int store_quota_grown(struct db_conn *tx, int64_t account, const struct quota *q, uint64_t bytes, uint64_t messages);
/* Bytes of the messages flagged \Deleted: a walk over the mailbox, if it has any. */
int store_deleted_bytes(struct db_conn *c, struct box box, uint64_t *bytes);

struct quota_pool { struct slice name; uint64_t limit_bytes, limit_messages, bytes, messages; };
int store_pool(struct db_conn *c, struct arena *mem, struct slice name,
	       struct quota_pool *out); /* STORE_NO_MAILBOX: none */
int store_pool_of(struct db_conn *c, struct arena *mem, int64_t account,
		  struct quota_pool *out); /* STORE_NO_MAILBOX: in none */
/* Makes it or changes its limits; both 0: there is none any more. Then store_pool_join for each account. */
int store_pool_set(struct db_conn *tx, struct slice name, uint64_t limit_bytes, uint64_t limit_messages);
int store_pool_join(struct db_conn *tx, struct slice name,
		    int64_t account); /* adds what it keeps; nothing where there is no pool */

/* Warnings that are due, the oldest first; told: they are not due any more. */
struct quota_warning { int64_t account; uint8_t level; int64_t crossed_us; };
int store_quota_warnings(struct db_conn *c, int (*each)(void *ctx, const struct quota_warning *w), void *ctx);
int store_quota_told(struct db_conn *tx, const struct quota_warning *w);
