/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/session.h"
#include "access/present.h"
#include "admin/admin.h"
#include "net/link.h"
/* Core's part in who is logged in: the operator's questions about it, and the session an operator may have himself. */

/* ASK_SESSION over the control socket: an IMAP session in the name of the account that `login` names, whether it may
 * log in or not, without a password: who may speak there may do anything. `account` is not looked at. */
int present_answer_operator(struct db *db, struct pool *pool, const struct imap_context *context,
			    struct link_question *q);

/* admin_ops: sessions as the operator sees them. */
void present_who(struct presence *p, void (*each)(void *ctx, const struct admin_session *s), void *ctx);
size_t present_kick(struct presence *p, bool (*chosen)(void *ctx, const struct admin_session *s), void *ctx);
