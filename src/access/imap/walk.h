/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/state.h"
/* A walk over the rows of messages in pages: between two pages no snapshot of the database is held, so that a client
 * that reads slowly, or a search that takes long, costs nobody else anything. */
enum { WALK_PAGE_FULL = 1000 };
struct imap_walk {
	unsigned want;           /* WANT_SUMMARY */
	/* 0: go on; WALK_PAGE_FULL: this was the page's last row; anything else ends the walk with that result. */
	int (*each)(void *ctx, struct db_conn *c, const struct message *m);
	/* After each page, without a snapshot. Other than 0 ends the walk. May be NULL. */
	int (*page)(void *ctx);
	void *ctx;
	bool changed; /* all of them, just now: what is kept of their rows is of no use */
};
int imap_walk(struct imap_session *s, const struct imap_set *uids, const struct imap_walk *walk);
/* The message numbers of UIDs that are all in the view. */
void imap_view_numbers(const struct imap_session *s, const struct imap_set *uids, struct imap_set_builder *out);
/* How many messages of the client's view a set of UIDs holds. */
uint32_t imap_view_count(const struct imap_session *s, const struct imap_set *uids);
