/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "user/secret.h"
/* Password hashes: making ours, checking everyone's (see secret.h for the list). */
int scheme_hash(struct slice password, struct buf *out); /* yescrypt */
bool scheme_known(struct slice hash);                    /* could scheme_check say more than no? */
