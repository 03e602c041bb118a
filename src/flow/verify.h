/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/send.h"
/* Address verification (ADDRESS_VERIFICATION_README, verify(8)): would mail for this address be taken? The address is
 * routed; where that leads to another server it is asked, up to RCPT and never further, and what it said is remembered.
 * Results live in memory and, with verify_params.keep, in the database. Thread-safe. */
struct verifier;
/* settings: a current of struct flow_settings. All outlive the pool. */
struct verifier *verifier_start(struct pool *pool, struct db *db, struct link *relay, struct current *settings);
void verifier_free(struct verifier **v); /* after pool_stop */
/* Never waits: what is not known, or to be refreshed, is asked in the background. */
void verify_address(struct verifier *v, struct slice address, struct arena *mem, struct verify_answer *out);
