/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/client.h"
#include "trust/evidence.h"
/* What was found out about a message, told to whoever sent it: one sentence for each check, and what to do about it.
 * For `hato check-mail` and the answers of check@. */
struct finding_list {                  /* a DNS block list that was asked */
	struct slice zone, text;       /* text: its reason */
	enum { FINDING_LISTED, FINDING_CLEAN, FINDING_UNKNOWN } state;
};
struct findings_facts {
	const struct evidence_client *client;
	struct client_names names;
	struct slice header;           /* the message's */
	bool tls_known;                /* the connection was ours */
	struct slice tls;              /* "TLSv1.3 with cipher …"; empty: none */
	const struct finding_list *lists;
	size_t lists_count;
};
enum finding_mood { FINDING_GOOD, FINDING_NOTE, FINDING_BAD };
struct finding {
	const char *check;             /* "SPF" */
	enum finding_mood mood;
	struct slice word;             /* "pass", "listed", … */
	struct slice text,
		advice; /* whole sentences without the last dot; advice may be empty; UTF-8 without controls */
};
/* In reading order: SPF, DKIM …, DMARC, ARC, PTR, HELO, TLS, FORM, DNSBL …. Text lives in mem. */
struct finding *findings_of(const struct evidence_verdict *v, const struct findings_facts *f, struct arena *mem,
			    size_t *count);
