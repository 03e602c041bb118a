/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "store/store.h"
/* The bin: what was expunged, or was in a mailbox that was deleted, can be brought back for a set time. A row of the
 * bin keeps the message's reference to its body, so that nothing is written twice and nothing freed; it counts in no
 * quota. What an account had goes with it. */

/* How long things are kept from now on; 0: expunged mail is freed at once, and what is in the bin by the next purge.
 * Kept in the database, for all who write to it. */
int store_bin_keep(struct db *db, int64_t keep_us);

struct bin_wish {
	int64_t account;
	struct slice mailbox;   /* name, below or above nothing else; empty: of all */
	int64_t since_us;       /* expunged then or later; 0: all */
	struct uid_set uids;    /* as they were; count 0: all */
};
struct bin_row {
	int64_t expunged_us, received_us, blob_id;
	struct slice mailbox;   /* its name when it was expunged */
	uint32_t uid, flags;
	uint64_t size;
	struct slice keywords, summary; /* summary: only for store_bin_each */
	int64_t email_id;
};
struct bin_sum { uint64_t messages, bytes; };
/* In the order in which they were expunged. */
int store_bin_each(struct db_conn *c, const struct bin_wish *wish, int (*each)(void *ctx, const struct bin_row *row),
		   void *ctx);
int store_bin_sum(struct db_conn *c, int64_t account, struct bin_sum *out);
/* Puts back into mailboxes of the old names, which are made when they are gone, with new uids and without \Deleted; in
 * several transactions: when one fails, what came before it stays. STORE_NO_ACCOUNT, STORE_LIMIT, STORE_BAD_NAME. */
int store_bin_restore(struct db *db, const struct bin_wish *wish, struct bin_sum *restored);
/* Frees what was kept long enough, and what accounts left that are gone; in small transactions. */
int store_bin_purge(struct db *db, struct bin_sum *freed);
