/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/lookup.h"
/* The tables of smtpd_, smtp_ and lmtp_dns_reply_filter: asked about each record as it stands in a zone file,
 * "example.com. 300 IN MX 10 mx.example.com.", they say IGNORE, or nothing. */
struct dns_filter {
	struct lookup tables;             /* empty: everything is kept */
	const char *setting, *service;    /* for the log */
};
/* 0: the record is kept; 1: left out; <0: a table cannot be asked, or says what is no action (logged): the whole answer
 * is of no use now. */
int dns_filter_judge(const struct dns_filter *f, struct slice record, struct arena *mem);
