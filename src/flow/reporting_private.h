/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What reporting.c (in, and the task) and reporting_send.c (out) share. */
#include "flow/reporting.h"
#include "flow/send.h"

#include "base/map.h"
#include "report/outbox.h"

#include <pthread.h>
#include <stdatomic.h>

#define DAY_US ((int64_t)86400 * 1000000)
enum { KEPT_DAYS = 7 }; /* what cannot be sent for so long is forgotten */

/* A failure report that waits, made of the evidence that is about it alone. */
struct failure {
	struct arena mem;
	struct report_failure report;
	struct slice ruf;      /* of DMARC */
	int64_t due;
	int64_t id;            /* its row */
	bool of_none;          /* the policy is none */
};
/* Evidence of one message, cut down to what one report is about. */
enum { FAILURES_MAX = 4 /* of one message */ };
size_t failures_of(const struct evidence_record *e, unsigned kinds, struct evidence_record out[static FAILURES_MAX]);
struct failure *failure_make(const struct evidence_record *e);
bool failure_alike(const struct failure *f, const struct evidence_record *e);

struct reporter {
	struct task task;
	struct pool *pool;
	struct db *db;
	struct link *relay;
	struct current *settings;
	struct sender *sender;
	_Atomic task_ref name;
	pthread_mutex_t sending; /* the task and an operator: one at a time */
	int64_t send_at, purge_at;
	pthread_mutex_t waiting; /* of the failure reports that wait */
	struct failure **failures;
	size_t failure_count;
	struct map told;         /* policy domain: failure reports in this hour */
	int64_t hour;
	int64_t named_at; /* when our own records are asked again; the addresses that they name, under `waiting`: */
	struct arena named_mem;
	struct slice *named;
	size_t named_count;
};
void reporting_look_named(struct reporter *r, const struct flow_settings *s);
bool reporting_is_named(struct reporter *r, struct slice address);
void reporting_load_failures(struct reporter *r);
/* A message of ours is made ready for delivery_enter. sender: of the envelope; message: without Return-Path. */
int reporting_prepare(struct reporter *r, const struct flow_settings *s, struct slice sender, struct slice to,
		      struct slice message, struct delivery **out);
void reporting_send_failures(struct reporter *r, const struct flow_settings *s, bool all);
void reporting_forget_failures(struct reporter *r);
void reporting_send_due(struct reporter *r, const struct flow_settings *s);
