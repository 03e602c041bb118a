/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* Conversations (RFC 8474, THREADID). Of which one a message is part says its digest: the same base subject, and the
 * same first message. Clients that name in In-Reply-To what they answer, and nothing before it, do not know that first
 * message; for them it is remembered of each answer, for two months, where its conversation began. What is once said of
 * a message stands in its digest and never changes.
 *
 * Stores the digest beside the blob (blob_digest), with the beginning of the conversation where that is known better
 * than by what the message says. */
int store_digest(struct db_conn *tx, int64_t blob_id, struct slice digest);
