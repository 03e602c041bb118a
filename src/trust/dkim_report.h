/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "trust/dkim.h"
/* Who wants to hear of signatures that failed (RFC 6651): a signature says r=y, and the TXT record
 * _report._domainkey.DOMAIN of its d= says where to and of what. */
struct dkim_report_record {
	struct slice local;        /* ra=: what stands before "@DOMAIN" */
	unsigned percent;          /* rp=: how many of a hundred are wanted */
	struct slice wanted;       /* rr=: "v:x", "all" */
	struct slice text;         /* rs=: for the reply when such mail is refused; printable ASCII, may be empty */
};
/* False: no such record, or nothing is wanted. Slices point into text or mem. */
bool dkim_report_parse(struct slice text, struct arena *mem, struct dkim_report_record *out);
/* Does rr= name that fault? */
bool dkim_report_wants(const struct dkim_report_record *r, enum dkim_fault fault);
/* Asks DNS for the record of a domain. 0; DNS_NODATA: nothing is wanted; DNS_LATER, or <0: not now. */
int dkim_report_look(struct dns *dns, struct slice domain, int64_t deadline, struct arena *mem,
		     struct dkim_report_record *out);
