/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* ETRN (RFC 1985): a host that is seldom on line asks for the mail that waits for its domain. Makes due what waits for
 * the domain, and counts it. <0: the database failed. */
int etrn_flush(struct db *db, struct slice domain, size_t *flushed) MUST_USE;
