/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/lookup.h"
#include "local/place.h"
/* virtual(8): the mailbox that a table names, with the numbers of a user that tables give. Tables are asked for the
 * whole address, the address without extension, and @domain. */
struct virtual_params {
	struct slice host, delimiters; /* myhostname, recipient_delimiter */
	struct slice base;             /* virtual_mailbox_base */
	struct lookup mailboxes, uids, gids;
	uint64_t least_uid, size_limit; /* virtual_minimum_uid, virtual_mailbox_limit */
	struct mbox_locks locks;       /* virtual_mailbox_lock */
	bool original_header, owner_needed;
};
void virtual_deliver(const struct virtual_params *p, const struct local_message *m, const struct local_recipient *to,
		     struct arena *mem, struct local_outcome *out);
