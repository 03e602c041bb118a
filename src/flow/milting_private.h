/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/header.h"
#include "flow/milting.h"
/* Inside of milting: the answers to what the milter client asks. */
struct milting_path {
	struct slice address, mailer, place;
};
struct milting {
	const struct milting_params *params;
	const struct milting_facts *facts;
	struct milters *milters;
	struct milting_path mail, rcpt; /* while they are told */
	struct slice auth_author;
	bool hold, discard;
	/* while a message is shown */
	struct milting_message *message;
	struct header_list header;
	size_t shown, shown_at;         /* the field that milters know as number `shown` is at[shown_at] */
	bool changed, failed;
};
extern const struct milter_ops milting_ops; /* ctx: a struct milting */
