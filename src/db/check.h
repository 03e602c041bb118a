/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* Is what is kept whole? Each check tells what is wrong, a line each, and counts. With mend it puts right what it can.
 */
struct check_count { uint64_t checked, wrong, mended; };
struct check {
	struct db *db;
	bool mend;
	void (*tell)(void *ctx, const char *text); /* without a line end */
	void *ctx;
};
void check_tell(const struct check *k, const char *format, ...) PRINTF_LIKE(2, 3);
/* The file of the database, as the engine sees it. Nothing that could be mended. */
int check_engine(const struct check *k, struct check_count *out);
/* Are the references of each body as many as the rows that use it, and is there a body for each of them? */
int check_references(const struct check *k, struct check_count *out);
/* Rows that are kept beside bodies and belong to none: removed. */
int check_beside(const struct check *k, struct check_count *out);
/* Every body is read: there, of the right length, and as it was written (checksums). What is damaged only a backup
 * mends. */
int check_bodies(const struct check *k, struct check_count *out);
