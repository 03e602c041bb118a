/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/dkim.h"
/* Who wants to hear of signatures that failed (RFC 6651): a signature says r=y, and the TXT record
 * _report._domainkey.DOMAIN of its d= says where to and of what. */
struct dkim_report_record {
	struct slice local;        /* ra=: what stands before "@DOMAIN"; empty: nobody wants a report */
	unsigned percent;          /* rp=: how many of a hundred are wanted */
	struct slice wanted;       /* rr=: "v:x", "all" */
	struct slice text;         /* rs=: for the reply when such mail is refused; printable ASCII, may be empty */
};
/* False: no such record, or nothing is wanted; without ra=, rp= and rr= say nothing (§3.2). Slices point into text or
 * mem. */
bool dkim_report_parse(struct slice text, struct arena *mem, struct dkim_report_record *out);
/* Does rr= name that fault? */
bool dkim_report_wants(const struct dkim_report_record *r, enum dkim_fault fault);
/* That, and is this one of the rp= of a hundred? Drawn anew for each question (§3.3, steps 6 and 7). */
bool dkim_report_due(const struct dkim_report_record *r, enum dkim_fault fault);
/* Asks DNS for the record of a domain (ASCII or UTF-8). 0; DNS_NODATA: nothing is wanted, or several records say what
 * (§3.3, step 3); DNS_LATER, or <0: not now. */
int dkim_report_look(struct dns *dns, struct slice domain, int64_t deadline, struct arena *mem,
		     struct dkim_report_record *out);
