/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/check.h"
#include "store/search_index.h"
/* Do the counters of mailboxes and accounts say what is there? See db/check.h for how it tells. */
/* Messages whose mailbox has no row: it gets one again, named "Lost and found" and its number. Before the mailboxes,
 * which are counted then. */
int store_check_lost(const struct check *k, struct check_count *out);
int store_check_mailboxes(const struct check *k,
			  struct check_count *out); /* messages, unseen, deleted, bytes, uidnext, highest modseq */
int store_check_accounts(const struct check *k,
			 struct check_count *out); /* messages, bytes, modseq; after the mailboxes */
int store_check_pools(const struct check *k,
		      struct check_count *out); /* of domains with limits: messages, bytes; after the accounts */
/* Does the index hold all it says it does? Mended by making it anew in the background. x may be NULL: nothing is
 * checked. */
int store_check_index(const struct check *k, struct search_index *x, struct check_count *out);
