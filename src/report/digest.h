/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "report/inbox.h"
/* What the reports about our domains come to: for `hato reports`, its JSON and its HTML page. All text lives in mem and
 * is strangers': whoever prints it cleans or escapes it. */
struct digest_source {
	struct slice source, host;       /* address; its name, empty: none known */
	uint64_t count, pass;            /* messages; those that passed DMARC */
	uint64_t dkim, spf;              /* aligned and passed */
	uint64_t none, quarantine, reject; /* what was done with them */
	uint64_t overridden; /* of the failed: delivered though the policy wanted otherwise (forwarders, lists) */
	int64_t first_us;                /* when it was first reported, ever */
	bool fresh;                      /* that is within the time asked for, and older reports than that exist */
	struct slice spf_domain, spf_result;   /* as last seen, not aligned with us or not passed */
	struct slice dkim_domain, dkim_selector, dkim_result;
};
struct digest_day { int64_t day; uint64_t pass, fail; uint64_t tls_good, tls_bad; }; /* since 1970, UTC */
struct digest_tls { struct slice type, host, info; uint64_t count; };
struct digest_complaint { struct slice type, source, from, subject, failure; int64_t time_us; uint64_t count; };
enum digest_weight { HINT_GOOD, HINT_NOTE, HINT_PROBLEM };
struct digest_hint { enum digest_weight weight; struct slice text; uint64_t count; };
struct digest_domain {
	struct slice domain, policy;     /* policy: as last reported */
	size_t reports, orgs;
	size_t unproved;                 /* of the reports: their mail was not shown to come from who reports */
	uint64_t pass, fail;
	struct digest_source *sources;   /* those with the most failures first */
	size_t sources_count;
	struct digest_day *days;         /* those with something, in order */
	size_t days_count;
	size_t tls_reports;
	uint64_t tls_good, tls_bad;      /* sessions */
	struct digest_tls *tls;
	size_t tls_count;
	struct digest_complaint *complaints; /* ARF, the latest last */
	size_t complaints_count;
	struct digest_hint *hints;       /* the weightiest first */
	size_t hints_count;
	bool cut;                        /* more sources or failures than are kept apart */
};
struct digest {
	struct digest_domain *domains;
	size_t domains_count;
};
struct digest_query {
	struct slice domain;             /* empty: all */
	int64_t since_us;
};
int digest_make(struct db_conn *c, const struct digest_query *q, struct arena *mem, struct digest *out);
/* digest_hints.c: fills hints. */
void digest_hints(struct digest_domain *d, struct arena *mem);
