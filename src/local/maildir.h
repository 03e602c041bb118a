/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/copy.h"
/* A Maildir: each message a file of its own, written in tmp/, synced, and then put into new/ under a name that no other
 * has (maildir(5)): "seconds.VdeviceIinodeMmicroseconds.host,S=bytes". The folders are made when missing. */
struct maildir {
	const char *path;     /* the Maildir itself, with a / at its end */
	const char *host;     /* myhostname */
	bool make_parents;    /* virtual(8): also the folders above */
};
/* The same results as mbox_append. */
const char *maildir_add(const struct maildir *dir, const struct copy *c, const char *usual);
