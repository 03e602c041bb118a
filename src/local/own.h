/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/deliver.h"
#include "local/names.h"
/* A user's own forwarding: the first file of forward_path that is there. It counts when it is a plain file that he or
 * root owns and that not everybody may write. Read in a process with his rights.
 *
 *   LOCAL_REDIRECTED  its targets, each once; the user himself is TARGET_MAILBOX
 *   LOCAL_DELIVERED   there is none that counts, or it is empty; text says why one was left out, for the log, or
 * nothing others            it cannot be read now, or names what settings forbid */
void own_forward(const struct local_params *p, const struct names *names, const struct rights *who, struct arena *mem,
		 struct local_outcome *out);
