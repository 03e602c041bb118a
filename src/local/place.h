/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/command.h"
#include "local/maildir.h"
#include "local/mbox.h"
#include "local/rights.h"
/* One message into one place, with somebody's rights. Each runs in a process of its own (rights_run); what becomes of
 * the message is *out, in the words of Postfix. */
struct placing {
	const struct rights *who;
	struct copy copy;
	const char *root;     /* chroot first; NULL: no */
	uint64_t file_limit;  /* of the mailbox (mailbox_size_limit, virtual_mailbox_limit); 0: none */
	struct slice trouble; /* what stands before the reason of a failure: "maildir delivery failed: " */
	struct slice done;    /* "delivered to maildir" */
};
/* box->path and dir->path are as for mbox_append and maildir_add. */
void place_mbox(const struct placing *p, const struct mbox *box, struct arena *mem, struct local_outcome *out);
void place_maildir(const struct placing *p, const struct maildir *dir, struct arena *mem, struct local_outcome *out);
/* c without its copy: that is p's. done is put before what a program printed: "delivered to command: /usr/bin/x". */
void place_command(const struct placing *p, const struct command *c, struct arena *mem, struct local_outcome *out);
