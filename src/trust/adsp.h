/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/dns.h"
/* Author Domain Signing Practices (RFC 5617, historic since 2013): before DMARC a domain could say in
 * _adsp._domainkey.DOMAIN that all its mail is signed. Looked up only to be reported as dkim-adsp (RFC 8601 §2.7.8: the
 * registered words of the method); nothing is ever decided by it. */
enum adsp_result {
	ADSP_NONE,      /* no record */
	ADSP_PASS,      /* signed by the author's domain */
	ADSP_UNKNOWN,   /* not signed; the record says unknown, or a word nobody knows */
	ADSP_FAIL,      /* not signed, dkim=all */
	ADSP_DISCARD,   /* not signed, dkim=discardable */
	ADSP_NXDOMAIN,  /* there is no such domain */
	ADSP_TEMPERROR,
	ADSP_PERMERROR, /* several records */
};
const char *adsp_word(enum adsp_result r);
/* author: the domain in From, ASCII. signed_by_author: a signature of exactly this domain passed. */
enum adsp_result adsp_check(struct dns *dns, struct slice author, bool signed_by_author, int64_t deadline,
			    struct arena *mem);
