/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
#include "trust/report.h"
/* Reports that came in. Mail to a report address is put on a list in the transaction that stores it; what reads it
 * later takes it from there, and stores what it says in the transaction that takes it off: nothing is lost and nothing
 * counted twice. */

/* The list. */
/* Takes a reference to the blob. proof: the domains that are proved to have sent it, with blanks between; "*":
 * ourselves. */
int inbox_put(struct db_conn *tx, int64_t blob_id, int64_t received_us, struct slice proof);
struct inbox_mail { int64_t id, blob_id, received_us; char proof[1024]; };
enum { INBOX_EMPTY = 1, INBOX_HOPELESS = 2 };
/* The oldest one, and counts the try, so that a mail that ends the process which reads it is not tried for ever: after
 * three it is taken off (INBOX_HOPELESS, *out is set). INBOX_EMPTY: nothing waits. */
int inbox_next(struct db *db, struct inbox_mail *out);
int inbox_done(struct db_conn *tx, const struct inbox_mail *m);

/* What a report says. INBOX_KNOWN: it was there already. A kind other than REPORT_REFUSED. ahead: from
 * inbox_store_ahead, or 0. */
enum { INBOX_KNOWN = 1 };
int inbox_store(struct db_conn *tx, const struct report *r, const struct inbox_mail *mail, int64_t ahead);
/* Mail must not wait for the rows of a large report: they are written before, in small transactions, and nobody sees
 * them until inbox_store. *ahead: 0 when there was no need. */
int inbox_store_ahead(struct db *db, const struct report *r, int64_t *ahead);

/* Addresses whose PTR name nobody has looked up. INBOX_EMPTY: none. */
int inbox_unnamed(struct db_conn *c, struct arena *mem, struct slice *source);
int inbox_name(struct db_conn *tx, struct slice source, struct slice host); /* host empty: it has none */

struct inbox_report {
	int64_t id;
	uint32_t kind;
	struct slice domain, org, name, policy;
	int64_t begin_us, end_us, received_us;
	bool proved;                     /* SPF, DKIM or DMARC proved its mail to come from the domain that reports */
};
struct inbox_query {
	struct slice domain;             /* empty: all */
	int64_t since_us;                /* reports that end after */
};
/* Every report with every row; data is unpacked by kind. Borrowed for the call. Ordered by domain, then time. */
int inbox_each(struct db_conn *c, const struct inbox_query *q,
	       int (*each)(void *ctx, const struct inbox_report *r, struct slice data), void *ctx);
struct inbox_source { struct slice domain, source, host; int64_t first_us; };
int inbox_sources(struct db_conn *c, struct slice domain, int (*each)(void *ctx, const struct inbox_source *s),
		  void *ctx);
/* Forgets reports that ended before. */
int inbox_purge(struct db *db, int64_t before_us);
