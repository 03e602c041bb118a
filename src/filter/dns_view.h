/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/dns_filter.h"
#include "net/dns.h"
/* DNS answers as smtpd_dns_reply_filter leaves them: as net/dns.h, with one more result. */
enum { DNS_FILTERED = 100 /* there were records, and all were left out */ };
struct dns_view {
	struct dns *dns;
	const struct dns_filter *filter; /* NULL: none */
};
int dns_view_mx(const struct dns_view *v, struct slice domain, int64_t deadline, struct arena *mem, struct dns_mx **out,
		size_t *count);
int dns_view_addresses(const struct dns_view *v, struct slice host, int64_t deadline, struct arena *mem,
		       struct addr **out, size_t *count); /* of both families */
int dns_view_ipv4(const struct dns_view *v, struct slice name, int64_t deadline, struct arena *mem, struct slice **out,
		  size_t *count); /* four bytes each */
int dns_view_txt(const struct dns_view *v, struct slice name, int64_t deadline, struct arena *mem, struct slice **out,
		 size_t *count);
