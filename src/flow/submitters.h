/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* A list of this machine's users (authorized_submit_users, authorized_mailq_users, authorized_flush_users; postconf(5)):
 * names, !names, and static:anyone; the first that matches decides, and nobody else may. Names are turned into user ids
 * when the list is made, so that a process without /etc/passwd can ask. root is always allowed by his own name only. */
struct submitters;
/* words: the setting's list. A word that is none of these (a table, a file) matches nobody; *problem names it, SLICE_NONE
 * when there is none. The list lives in mem. */
const struct submitters *submitters_make(const struct slice *words, size_t count, struct arena *mem,
					 struct slice *problem) NONNULL_RESULT;
bool submitters_allow(const struct submitters *s, uid_t uid); /* NULL allows everybody */
