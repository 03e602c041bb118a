/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* The change hub tells sessions of this process that a mailbox or account changed, after the commit. It carries no
 * details: who is told asks store_changes. Thread-safe. */
struct change_hub;
struct change_watch;
struct change {
	int64_t account, mailbox; /* mailbox 0: the list of mailboxes itself changed */
	uint64_t modseq;
};
/* The hub of db: store functions find it there by themselves. Without a hub nothing is announced. */
struct change_hub *change_hub_open(struct db *db);
void change_hub_close(struct change_hub **hub); /* no watch may be left, no write under way */

/* Account 0 is the server: who shares what with whom, and what is noted for all.
 * fn is called for changes of this mailbox (0: anything in the account), in any thread, under the hub's lock: it must
 * be cheap (wake a task) and must not call the hub or the database. */
struct change_watch *change_watch(struct change_hub *hub, int64_t account, int64_t mailbox,
                                  void (*fn)(void *ctx, const struct change *change), void *ctx);
void change_unwatch(struct change_hub *hub,
                    struct change_watch **watch);                      /* when it returns, fn does not run any more */
void change_announce(struct db_conn *tx, const struct change *change); /* after the commit of tx */
