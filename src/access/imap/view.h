/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/set.h"
/* A view is the client's list of messages: which UID stands at which sequence number. It is kept as runs of consecutive
 * UIDs, 8 bytes each, so that a million messages without holes cost nothing, and it need not be loaded at all as long
 * as only the number of messages matters: SELECT does not load it. Numbers count from 1. */
struct view_run { uint32_t uid, number; }; /* the run's first message; it ends where the next run's numbers begin */
struct view {
	bool loaded;
	uint32_t count, recent;  /* of messages; true even when not loaded */
	uint32_t uidnext;        /* every UID in it is smaller */
	struct view_run *runs;
	size_t run_count, room;
};
void view_done(struct view *v);                        /* frees and empties */
void view_append(struct view *v, uint32_t uid);        /* uids rising; counts it, also when not loaded */
uint32_t view_uid(const struct view *v, uint32_t number);  /* 1 <= number <= count; loaded */
uint32_t view_number(const struct view *v, uint32_t uid);  /* 0: not in it */
uint32_t view_number_from(const struct view *v,
			  uint32_t uid); /* of the first message with that UID or a larger one; count + 1: none */
/* The message with the largest UID; 0 when it is empty. */
uint32_t view_last_uid(const struct view *v);
/* Adds to out what of the range is in the view, as ranges whose ends are known UIDs. */
void view_known(const struct view *v, struct imap_range range, struct imap_set_builder *out);
/* Takes out the UIDs of the settled set. Each removal is told with the number the message had at that moment (RFC 3501
 * §7.4.1), in rising order. */
void view_remove(struct view *v, const struct imap_set *uids, uint32_t recent_from,
		 void (*told)(void *ctx, uint32_t number), void *ctx);
