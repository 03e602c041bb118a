/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "store/store.h"
/* What WANT_BRIEF reads of each message of a mailbox, kept in memory for the large mailboxes that were walked over last
 * (40 bytes a message, least recently used ones leave): a client that asks for the flags or dates of all, or for
 * messages that the search index names, so costs no walk over the rows. What happened to the mailbox since it was read
 * is asked for each time (store_changes). Thread-safe. */
struct rows;
struct rows *rows_new(size_t limit /* bytes */);
void rows_free(struct rows **r); /* NULL is fine */

/* The rows of a mailbox as they are in the snapshot c, held until rows_release. NULL: walk over them (store_each), as
 * the mailbox or the set is too small to be worth it, there is no room, or something is not as it should be. may_make:
 * they may be read, or brought up to date; else only what is there counts. r may be NULL. */
struct rows_list;
struct rows_list *rows_of(struct rows *r, struct db_conn *c, struct box box, struct uid_set set, bool may_make);
void rows_release(struct rows *r, struct rows_list **l); /* NULL is fine */
/* Like store_each with WANT_BRIEF, and WANT_SUMMARY, WANT_DIGEST and WANT_BODY as said; blob_id always comes. */
int rows_each(const struct rows_list *l, struct db_conn *c, struct uid_set set, unsigned want,
	      int (*each)(void *ctx, const struct message *m), void *ctx);
