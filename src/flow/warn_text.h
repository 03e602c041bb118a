/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* The text of the mail that tells somebody how full his account is. */
struct warn_params {
	struct slice sender;        /* quota_warning_sender */
	struct slice subject, text; /* $percent, $used, $limit, $messages, $message_limit, $account; text empty: ours */
};
struct warn_facts {
	struct slice account;
	unsigned level;             /* percent */
	uint64_t bytes, byte_limit, messages, message_limit;
	struct slice host;
};
/* Header and body; *id: its Message-ID, in mem. */
void warn_compose(struct buf *out, const struct warn_params *params, const struct warn_facts *w, struct arena *mem,
		  struct slice *id);
