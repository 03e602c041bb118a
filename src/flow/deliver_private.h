/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/deliver.h"
#include "store/store.h"
/* Inside of delivery: what is planned (deliver_plan.c), entered (deliver_enter.c) and told (deliver_tell.c). */

struct delivery {
	struct arena mem;
	struct post post;          /* what it points to is borrowed until the report */
	struct routes routes;
	struct blob_draft *draft;
	struct slice summary, digest; /* as they are stored */
	size_t here, out;          /* ends of each kind */
	struct queue_message queued;
	struct delivery *bounce;   /* about recipients that lead nowhere */
	struct delivery *receipt;  /* about mailboxes here, where the sender wanted to know */
	struct delivery *list;     /* the same message from another sender: owner-list (aliases(5)) */
	int64_t blob;
	unsigned delay_digits;     /* deliver_params */
	bool has_report;           /* somebody gets it who reads reports */
	struct reporter *reporter;
	bool report_send;
	uint32_t quota_grace;
	uint8_t quota_levels[2];
	bool autocreate, autosubscribe;
	struct slice public_account;
};

struct delivery **delivery_list_end(struct delivery *d);
