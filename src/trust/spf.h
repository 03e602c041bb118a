/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/dns.h"
#include "trust/result.h"
/* Sender Policy Framework (RFC 7208): may this address send mail for that domain? */
struct spf_params {
	struct dns *dns;
	const char *receiver;  /* our host name, for the macro r; NULL: "unknown" */
	int timeout_ms;        /* of one check, all look-ups together (§4.6.4); 0: 20 s. Over it: temperror */
	int64_t deadline;      /* and never later; 0: only the time-out counts */
};
struct spf_question {
	const struct addr *client;
	struct slice helo;
	struct slice sender;   /* the reverse-path without <>; empty: postmaster@helo (§2.4) */
	bool of_helo;          /* check the HELO identity instead (§2.3) */
};
enum { SPF_SOURCES_MAX = 11 }; /* the domain's own, and one for each look-up */
struct spf_verdict {
	enum trust_result result;
	struct slice domain;      /* whose record was asked */
	struct slice identity;    /* "mailfrom" or "helo" */
	struct slice mechanism;   /* what matched, as in the record: "ip4:192.0.2.0/24", "-all"; "default" when nothing
				     did; empty without a record */
	struct slice explanation; /* exp= of the domain, only for fail; a stranger's words, ASCII; may be empty */
	struct slice reason;      /* for people: "192.0.2.1 is not among the senders of example.org (-all)" */
	unsigned lookups, voids;  /* spent of 10 and 2 */
	struct spf_source { struct slice domain, record; } sources[SPF_SOURCES_MAX]; /* the records that were read */
	size_t sources_count;
};
/* Never fails: what goes wrong is temperror or permerror with its reason. Text lives in mem. */
void spf_check(const struct spf_params *p, const struct spf_question *q, struct arena *mem, struct spf_verdict *out);
/* A whole Received-SPF field with its CRLF (§9.1). */
void spf_received_add(struct buf *out, const struct spf_params *p, const struct spf_question *q,
		      const struct spf_verdict *v);
