/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Dates of mail. Times are seconds since 1970, UTC; zones are minutes east of Greenwich (+0900: 540). Years 1 to 9999.
 */
struct date {
	int64_t utc;
	int zone;
};
enum date_answer { DATE_OK, DATE_BAD };

/* The Date field, RFC 5322 §3.3 and §4.3: weekday and seconds may be missing, years may have 2 or 3 digits, zones may
 * be names; comments, folds and odd punctuation are skipped. An unknown or missing zone is +0000, a time that is none
 * 00:00:00 (RFC 5256 §2.2). Leap second 60 counts as 59. */
enum date_answer date_parse(struct slice value, struct date *out);
/* IMAP INTERNALDATE, RFC 3501 date-time without its quotes: "22-Nov-2026 04:31:39 +0000" */
enum date_answer date_parse_internal(struct slice text, struct date *out);
/* IMAP search date, "22-Nov-2026" or "1-Nov-2026": the second at which that day starts, read as UTC. */
enum date_answer date_parse_day(struct slice text, int64_t *out);

void date_add(struct buf *out, struct date d);               /* Sun, 22 Nov 2026 13:31:39 +0900 */
void date_add_utc(struct buf *out, int64_t utc);             /* Sun, 22 Nov 2026 04:31:39 +0000 (UTC) */
/* 22-Nov-2026 13:31:39 +0900; a day of one digit has a blank before it */
void date_add_internal(struct buf *out, struct date d);
void date_add_day(struct buf *out, int64_t utc);             /* 22-Nov-2026 */
/* The moment with the zone this machine is in (TZ, /etc/localtime). */
struct date date_local(int64_t utc);

/* The calendar itself, proleptic Gregorian, for who needs fields: days since 1970 and back. */
int64_t days_of(int year, int month, int day); /* month 1 to 12 */
void days_split(int64_t days, int *year, int *month, int *day);
