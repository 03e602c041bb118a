/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* Log-ins that servers refused for good (smtp_sasl_auth_cache_name): the same user and password are not tried again on
 * the same server for a while, because many servers lock out who insists. In memory, for all threads; passwords as
 * digests only. */
struct smtp_refusals;
struct smtp_refusals *smtp_refusals_new(void) NONNULL_RESULT;
void smtp_refusals_free(struct smtp_refusals **r);

struct smtp_refused {
	struct slice said;  /* "535 5.7.8 wrong" */
	char status[12];    /* "5.7.8" */
	int code;
};
/* Memory of *out is mem's. */
bool smtp_refusals_find(struct smtp_refusals *r, struct slice host, struct slice user, struct slice password,
			struct arena *mem, struct smtp_refused *out);
void smtp_refusals_keep(struct smtp_refusals *r, struct slice host, struct slice user, struct slice password,
                        const struct smtp_refused *what, int64_t ms);
