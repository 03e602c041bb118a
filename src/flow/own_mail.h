/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/deliver.h"
/* Mail that core itself writes: notices, reports. */
struct own_mail {
	const char *id;                /* its queue id; in its Message-ID as well */
	struct slice sender, to;
	struct slice message;          /* without Return-Path */
	struct slice client;           /* who made it, for the log: "bounce" */
	uint32_t flags;                /* enum accept_flags, beside those of all own mail */
	bool submitted;                /* whoever does not exist is told of in a bounce */
};
/* A delivery to be entered (deliver.h); *out only then. 0, enum deliver_answer, or <0. The message is copied. */
int own_mail_prepare(struct db *db, const struct deliver_params *params, const struct own_mail *mail,
		     struct delivery **out);
/* What relay answered may hold something that the postmaster wants to know (flow/notice.h): then it is entered. Errors
 * are logged. True: something was queued. */
bool own_mail_tell_postmaster(struct db *db, const struct deliver_params *params, const struct relay_answer *answer);
