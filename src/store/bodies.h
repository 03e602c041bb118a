/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "store/store.h"
/* Which body each message of a mailbox has, kept in memory for the mailboxes that were searched last (12 bytes a
 * message, least recently used ones leave), so that what the search index names becomes messages without a walk over
 * the mailbox. What happened to the mailbox since it was read is asked for each time (store_changes). Thread-safe. */
struct bodies;
struct bodies *bodies_new(size_t limit /* bytes */);
void bodies_free(struct bodies **b); /* NULL is fine */
/* Each message of the set in the snapshot c, rising, and perhaps some that are gone meanwhile. What each returns other
 * than 0 ends it and is returned; STORE_NO_MAILBOX, <0. */
int bodies_each(struct bodies *b, struct db_conn *c, struct box box, struct uid_set set,
		int (*each)(void *ctx, uint32_t uid, int64_t blob_id), void *ctx);
