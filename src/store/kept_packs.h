/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/blob.h"
#include "store/store.h"
/* Packs of summary_cache.h as they are unpacked, kept in memory to a limit: to unpack them was a third of a FETCH of
 * envelopes. Those of other mailboxes than the newest leave first, the least recently used of them; where all are of
 * one mailbox, which is larger than the limit and is walked over from its begin, the most recently used leaves, so that
 * the next walk finds the others. Thread-safe. */
struct kept_packs;
struct kept_packs *kept_packs_new(size_t limit /* bytes */);
void kept_packs_free(struct kept_packs **k); /* NULL is fine; nobody holds a pack any more */

struct kept_pack {
	unsigned holders;
	enum blob_kept kind;
	struct box box;
	uint32_t first, last;   /* uids */
	size_t count;           /* of entries in plain */
	struct buf plain;
};
/* Held, with uid between first and last; NULL: none is kept. */
struct kept_pack *kept_packs_find(struct kept_packs *k, enum blob_kept kind, struct box box, uint32_t uid);
/* p is a new one with one holder, the caller, who still holds it afterwards. */
void kept_packs_keep(struct kept_packs *k, struct kept_pack *p);
void kept_packs_release(struct kept_packs *k, struct kept_pack **p); /* NULL is fine */
