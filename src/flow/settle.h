/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/send.h"
/* Settling: what relay answered about a job becomes rows, log lines and notices to the sender. outcomes: one for each
 * recipient of the job, in order. Failures and what has grown too old go back as a bounce, in the transaction that
 * takes them from the queue. <0: the database failed; what was not recorded is due again. */
int settle_job(struct db *db, struct queue *queue, const struct flow_settings *settings, const struct queue_job *job,
               const struct relay_outcome *outcomes, int64_t started_us);
/* Several jobs at once, all of whose recipients were delivered, and nobody is to be told: one transaction, their lines
 * together. <0: none was recorded; each may be given to settle_job. */
struct settle_one {
	const struct flow_settings *settings;
	const struct queue_job *job;
	const struct relay_outcome *outcomes;
	int64_t started_us;
};
int settle_delivered(struct db *db, struct queue *queue, const struct settle_one *list, size_t count);
