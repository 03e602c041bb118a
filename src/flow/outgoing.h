/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "filter/checks.h"
#include "flow/rewrite.h"
#include "smtp/client.h"
/* What is changed in mail as it leaves (smtp(8)): smtp_header_checks and its like, then smtp_generic_maps, in envelope
 * and header. What lies in the queue stays as it is. */
struct outgoing_params {
	struct checks_params checks;   /* outgoing is set */
	struct rewrite_params generic; /* as canonical_maps, for all four classes, as_is; without tables: nothing */
	const char *tag;               /* in the log */
};
/* recipients: those of m, whose addresses may change. *body_fd: a descriptor that m's body now needs, the caller's to
 * close, or -1. 0, or <0: a table cannot be asked now, or the message not be read. */
int outgoing_change(const struct outgoing_params *p, struct smtp_message *m, struct smtp_recipient *recipients,
		    struct arena *mem, int *body_fd);
