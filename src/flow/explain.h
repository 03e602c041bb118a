/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/deliver.h"
/* What a message is that comes to an end of a way (route_end.source): itself, or a copy of it. */
enum explain_source { EXPLAIN_ITSELF, EXPLAIN_ALWAYS_BCC, EXPLAIN_SENDER_BCC, EXPLAIN_RECIPIENT_BCC };
/* The way of an address, told: what each table says of the sender and of the recipient, and where all ends, the copies
 * of always_bcc and the bcc tables too. 0 or ROUTE_LATER (the steps so far were told), <0. The ends are in `out`, whose
 * mem the caller sets; *sender becomes what the message leaves with. */
int route_explain(struct db_conn *c, const struct deliver_params *params, struct slice address, struct slice *sender,
		  const struct route_trace *trace, struct routes *out);
/* "mailbox", "returned", "waits" or "delivered", with the words for a person in *text. */
const char *route_end_words(const struct transports *transports, const struct route_end *end, struct arena *mem,
			    struct slice *text);
