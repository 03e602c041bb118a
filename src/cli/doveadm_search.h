/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "cli/doveadm.h"
#include "cli/doveadm_query.h"
/* What search and fetch share. */
int dove_query_of(struct doveadm *d, size_t from, const struct dove_query **out); /* from the words behind from */
/* Enters, and for each mailbox where something fits: it is open (writes: SELECT, and also when nothing was found), uids
 * rise. EX_OK or the last trouble. */
int dove_each_found(struct doveadm *d, const struct dove_query *q, bool writes,
		    int (*each)(struct doveadm *d, const struct dove_box *b, const uint32_t *uids, size_t count,
				void *state),
		    void *state);
/* "1,3:5", as far as a command may be long; how many of them. */
size_t dove_set_put(struct buf *out, const uint32_t *uids, size_t count);
