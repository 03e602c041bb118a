/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "store/store.h"
/* Messages that leave a mailbox by themselves, some time after they came into it: by the rule of its special use, or by
 * its own, which is the annotation below and goes first. */
#define AUTOEXPUNGE_ENTRY "/shared/vendor/hato/autoexpunge"
/* "30d", "12h", "2w", a number of days, "never" (0). False: something else. */
bool autoexpunge_read(struct slice text, int64_t *age_us);

struct autoexpunge_rule { uint32_t special_use; int64_t age_us; };
/* Does it, in small transactions, oldest first; *gone: messages. 0 or <0. */
int store_autoexpunge(struct db *db, const struct autoexpunge_rule *rules, size_t count, uint64_t *gone);
