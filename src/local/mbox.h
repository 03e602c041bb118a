/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/copy.h"
/* A mailbox file: one message after the other, each begun by a From_ line. It is locked, the message appended and
 * synced; when something fails the file is cut back to what it was. */
struct mbox_locks { /* mailbox_delivery_lock, deliver_lock_attempts, deliver_lock_delay, stale_lock_time */
	bool fcntl, flock, dotlock;
	unsigned attempts;
	int64_t delay_ms, stale_s;
};
struct mbox {
	const char *path;
	struct mbox_locks locks;
	bool dotlock_may_fail;     /* a destination of a user's own: its folder need not be writable */
	bool may_be_special;       /* /dev/null and the like, which are not locked */
	bool chown;                /* a file that is made is given to uid and gid: we are root, in root's folder */
	uid_t uid;                 /* whose it must be (strict_mailbox_ownership) */
	gid_t gid;
	bool strict;
};
/* In the process that has the rights for it. 0, or an outcome's status with fail_text(): usual is what an error of no
 * special kind means ("5.2.0"). */
const char *mbox_append(const struct mbox *box, const struct copy *c, const char *usual);
