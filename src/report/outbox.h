/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
#include "trust/evidence.h"
#include "trust/report.h"
/* What we owe others: DMARC aggregate reports (RFC 9990). Each message from outside leaves its evidence here, in the
 * transaction of its acceptance; messages with the same address and results are one row with a count, so that a million
 * mails stay small. A day (UTC) and a policy domain make a report; its rows go in the transaction that enters the
 * report mail. */

/* 0 also when there is nothing to report: not checked, no policy, nobody to tell (no rua=), or a client of a loopback,
 * private or link-local network. */
/* A client of such a network (net/addr.h, addr_is_public), or no address. */
bool outbox_is_private(struct slice address);
int outbox_add(struct db_conn *tx, const struct evidence_record *e, int64_t now_us);

enum { OUTBOX_EMPTY = 1 };
struct outbox_due {
	int64_t day;                     /* since 1970, UTC */
	struct slice domain;
	struct evidence_dmarc policy;    /* as last seen */
	uint64_t lost;                   /* messages that are not in the rows, which are limited */
};
/* The oldest that is due and of a day before `day` and, with domain, of this one. OUTBOX_EMPTY. now_us: NEVER: whenever
 * it is due. */
int outbox_next(struct db_conn *c, int64_t day, int64_t now_us, struct slice domain, struct arena *mem,
		struct outbox_due *out);
/* All of them, whenever they are due. */
int outbox_each(struct db_conn *c, struct slice domain, struct arena *mem,
		int (*each)(void *ctx, const struct outbox_due *d), void *ctx);
/* The report: policy and records. Metadata is the caller's. */
int outbox_report(struct db_conn *c, const struct outbox_due *d, struct arena *mem, struct report_dmarc *out);
int outbox_delete(struct db_conn *tx, const struct outbox_due *d);
int outbox_postpone(struct db_conn *tx, const struct outbox_due *d, int64_t due_us);
/* Not sent in time, or switched off: forgotten. */
int outbox_purge(struct db *db, int64_t before_day);
