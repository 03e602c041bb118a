/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "admin/admin.h"
#include "role/routing_settings.h"
/* admin_ops.forward: input: packed forward_facts. What the next server will see of that message, and what becomes of
 * it. */
int forward_tell(const struct routing_settings *s, bool srs_always, struct db *db, struct slice address,
		 struct slice input, const struct admin_way *way);
