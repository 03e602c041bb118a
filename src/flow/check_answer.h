/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "mime/address.h"
#include "trust/findings.h"
/* check@: a message to it is answered with what was found out about it (setting check_address). An answer goes only to
 * where SPF or DKIM proves that the message comes from, never to machines, and not often (RFC 3834). */
struct check_memory; /* who got answers lately; of one process, for all its threads */
struct check_memory *check_memory_new(void) NONNULL_RESULT;
void check_memory_free(struct check_memory **m);
/* One more for this domain? At most `hourly` each hour, and CHECK_ANSWERS_MAX for all domains together. */
enum { CHECK_ANSWERS_MAX = 500 };
bool check_memory_may(struct check_memory *m, struct slice domain, unsigned hourly);

struct check_params {
	struct slice name;           /* the local part; empty: nobody is answered */
	const struct slice *lists;   /* DNS block lists */
	size_t lists_count;
	struct check_memory *memory;
	unsigned hourly;
};
/* Why this message is not to be answered; empty: it is. sender: of the envelope. */
struct slice check_unwanted(const struct evidence_params *p, struct slice sender, struct slice header,
			    const struct evidence_verdict *v, struct arena *mem);

struct check_answer {
	struct mailbox from, to;
	struct slice message_id, host;
	struct slice header;         /* of the message that is answered */
	const struct finding *findings;
	size_t count;
	struct slice results;        /* our Authentication-Results */
};
/* A whole message: plain text and HTML. */
void check_answer_compose(struct buf *out, const struct check_answer *a);
