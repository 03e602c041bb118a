/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/send.h"
/* Taking up again: recipients of a queued message leave the queue in the transaction that enters what takes their
 * place. For mail that was on hold, for messages an operator requeues, and for what a delivery agent redirected. */

/* numbers: the recipients (of job->message) to be taken up again from the start, with the addresses they have. Returns
 * 0, or <0: nothing has changed. */
int requeue_job(struct db *db, const struct flow_settings *settings, const struct queue_job *job);
/* Recipient `index` of the job is replaced by the redirects of its outcome. REQUEUE_LOOPS: it has been there before;
 * nothing has changed. */
enum { REQUEUE_LOOPS = 1 };
int requeue_redirected(struct db *db, const struct flow_settings *settings, const struct queue_job *job, size_t index,
		       const struct relay_outcome *outcome);
