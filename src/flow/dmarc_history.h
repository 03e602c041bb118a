/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/evidence.h"
/* What was found out about mail, as OpenDMARC's HistoryFile has it (opendmarc.conf(5)), for those who feed
 * opendmarc-import. Each message is a block of "key value" lines, added to the file in one write under the lock that
 * opendmarc-import takes. */
struct dmarc_history {
	struct slice file;             /* empty: none */
	bool all;                      /* also where there is no policy */
	struct slice reporter;         /* authserv_id */
	const struct slice *exempt;    /* recipients' addresses: mail to one of them is left out */
	size_t exempt_count;
};
struct accept_recipient;
/* A failure is told in the log. */
void dmarc_history_add(const struct dmarc_history *p, struct slice queue_id, struct slice sender,
		       const struct accept_recipient *to, size_t count, const struct evidence_record *e);
