/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/deliver.h"
#include "flow/warn_text.h"
/* Sends those that are due (store/quota.h), each in the transaction that writes down that it was told. <0 or 0; sent:
 * how many. */
int warn_all(struct db *db, const struct deliver_params *deliver, const struct warn_params *params, size_t *sent);
