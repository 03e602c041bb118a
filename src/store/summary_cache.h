/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/blob.h"
#include "store/store.h"
/* Copies of the summaries and of the digests of large mailboxes, packed in the order of their uids, in a file of its own
 * (summaries.db) that may be thrown away at any time: beside the bodies they lie all over the database, here a whole
 * mailbox is read in one go.
 * Made in the background; what is not in it comes from the database. A copy counts only where uid and body are
 * still those it was made of, and neither changes: it cannot be wrong, only missing. Digests of another kind
 * (DIGEST_VERSION) make the file anew.
 *
 * The file is made when there is something to put in. One that is damaged, or of another database (origin), is
 * removed. */
struct summary_cache;
/* From now on store_each reads from it, if it is the first of this database. */
struct summary_cache *summary_cache_open(struct db *db, int64_t origin);
void summary_cache_close(struct summary_cache **sc); /* NULL is fine */
/* A part of what is to be done: 1: there is more, 0: not at present, <0. One thread at a time. */
int summary_cache_work(struct summary_cache *sc);
/* The next work looks at once, also for what is gone, which it does every hour. */
void summary_cache_tidy(struct summary_cache *sc);
struct summary_cache_state { uint64_t packs, summaries, bytes; };
/* The last uid in a pack; 0: none. */
uint32_t summary_cache_to(struct db_conn *c, enum blob_kept kind, struct box box);
int summary_cache_state(struct summary_cache *sc, struct summary_cache_state *out);

/* For a walk over messages of a mailbox in the order of their uids. NULL: there is nothing to walk over. */
struct summary_walk;
struct summary_walk *summary_walk(struct db_conn *c, enum blob_kept kind, struct box box); /* BLOB_SUMMARY, BLOB_DIGEST */
struct slice summary_walk_to(struct summary_walk *w, uint32_t uid, int64_t blob_id); /* borrowed; at == NULL: none */
void summary_walk_end(struct summary_walk **w); /* NULL is fine */
