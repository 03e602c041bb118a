/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/text_index.h"
#include "store/extract.h"
/* The search index: which messages may hold a word. It is kept beside the store in a file of its own (db/text_index.h),
 * shared by all accounts, filled in the background from the bodies (blobs) that are there, and may be missing, behind
 * or thrown away at any time: then there is more to scan, and nothing else is different. Delivery writes nothing to it.
 *
 * How to search for a folded needle: ask search_index_find; a message whose blob id is not above known_to and not among
 * ids does not hold the needle, anywhere in its header or body (store/text.h); all others have to be looked at.
 * Thread-safe. */
struct search_index;
int search_index_open(struct db *db, struct search_index **out);
void search_index_close(struct search_index **x); /* stops the thread; NULL is fine */

/* What makes text of attachments before they are indexed, from now on; NULL: nothing. Borrowed while it is set. Not
 * while the background runs. */
void search_index_extractor(struct search_index *x, const struct extractor *e);

/* 0, or TEXT_CANNOT: nothing is known, look at all. x may be NULL. */
int search_index_find(struct search_index *x, struct slice needle, struct arena *mem, struct text_found *out);
/* Does what is known exclude this blob? */
bool search_index_excludes(const struct text_found *f, int64_t blob_id);

/* The background: a thread of low priority that looks for new bodies every few seconds and indexes them in transactions
 * of some thousand; while the rest of the process is busy it waits (for up to a minute). When more than a third of what
 * is indexed is gone a new file is made beside the old one. */
/* words: false: only the packs of summary_cache.h are kept up to date. One that runs so already runs on. */
int search_index_start(struct search_index *x, bool words);
void search_index_stop(struct search_index *x);   /* at the next message; may be started again */
/* Throw away what is there and begin again, in the background, or in the next search_index_work. */
void search_index_rebuild(struct search_index *x);
/* One slice of work in the caller's thread, for where no background runs. 1: there is more to do; 0: all is done; <0.
 */
int search_index_work(struct search_index *x);

struct search_index_status {
	struct text_index_state index;
	uint64_t waiting;       /* bodies that are not indexed yet */
	uint64_t bodies;        /* that there are */
	bool rebuilding;        /* a new one is being made; waiting is of that one */
};
int search_index_status(struct search_index *x, struct search_index_status *out);
/* Messages of an account, and how many of them are not indexed yet. */
int search_index_account(struct search_index *x, int64_t account, uint64_t *messages, uint64_t *waiting);
/* Bodies below the mark that are missing in the index (0, unless something went wrong). */
int search_index_missing(struct search_index *x, uint64_t *missing);
