/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/table.h"
/* A list of this machine's users (authorized_submit_users, authorized_mailq_users, authorized_flush_users;
 * postconf(5)): names, /file with such words, type:table where the name is a key; ! before any of them for "not", and
 * the first that matches decides. Nobody else may. Users are read from the system when the list is made, so that a
 * process without /etc/passwd can ask; one without a name is called unknown. */
struct submitters;
/* words: the setting's list. *problem: a file or table that cannot be used (it matches nobody; fail_text() says why),
 * SLICE_NONE when there is none. The list lives in mem, its tables as long as `tables`. */
const struct submitters *submitters_make(const struct slice *words, size_t count, struct tables *tables,
					 struct arena *mem, struct slice *problem) NONNULL_RESULT;
bool submitters_allow(const struct submitters *s, uid_t uid); /* NULL allows everybody */
/* The name of a user, in mem, where the list knows names. */
struct slice submitters_name(const struct submitters *s, uid_t uid, struct arena *mem);
