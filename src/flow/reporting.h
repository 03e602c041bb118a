/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/generation.h"
#include "flow/deliver.h"
#include "net/pool.h"
#include "trust/report_write.h"
/* Reports, in and out, done by a task of core's beside everything else:
 *
 *   in    a mail to a report address was delivered as any other, and stands on a list (report/inbox.h). The relay
 * process, which has no access to the store, reads it; what it found is stored in the transaction that takes the mail
 * off the list. out   when a day (UTC) is over, what was found out about the mail of each policy domain becomes an
 * aggregate report. The mail is entered in the transaction that deletes the rows: never lost, never sent twice. From
 * then on it is a mail in the queue.
 *
 * What needs DNS is asked of relay: names of addresses, and whether a stranger wants reports about another's domain. */
struct reporting_params {
	bool send;                       /* dmarc_report_send, and we are somebody who can be answered */
	struct slice why_not;            /* when not */
	enum report_form form;
	struct slice org, contact, sender; /* sender: an address; its domain is the submitter's */
	struct slice discovery;          /* "treewalk", "psl" */
	struct slice host;
	unsigned failures;               /* enum reporting_kind */
	bool failures_on_none;           /* dmarc_failure_reports_on_none */
	struct slice failure_bcc;        /* gets each failure report, too; empty: nobody */
	struct slice signature_bcc, signature_sender; /* the same of those of DKIM, and the address they come from */
	size_t failure_limit;            /* of one domain in an hour, of each kind */
	bool look_named; /* report_addresses_from_dns: our own records name addresses that take reports */
	struct slice
		domains[4]; /* lists of our domains beside the database's; words that are no names are passed over */
	int64_t keep_us;                 /* report_lifetime */
};

struct reporter;
struct sender;
struct reporter *reporter_new(void); /* before the settings, which name it */
/* settings: a current of struct flow_settings. All outlive the pool. */
void reporter_start(struct reporter *r, struct pool *pool, struct db *db, struct link *relay, struct current *settings,
		    struct sender *sender);
void reporter_wake(struct reporter *r); /* NULL is fine; from any thread: a report has come */
void reporter_free(struct reporter **r); /* after pool_stop */

/* A message came that may have failed: failure reports of these kinds may be wanted. */
enum reporting_kind { REPORTING_DMARC = 1 /* dmarc_failure_reports */, REPORTING_DKIM = 2 /* dkim_failure_reports */ };
void reporting_failed(struct reporter *r, const struct evidence_record *e, unsigned kinds);

/* A recipient to whom reports are sent: report_addresses, "name" of any domain of ours or "name@domain". */
bool reporting_takes(const struct deliver_params *p, struct slice address);

/* `hato reports send`: what is due is told in words. now: also what is not due yet, today's too. dry: nothing is sent.
 */
struct reporting_order { struct slice domain; bool now, dry; };
int reporting_send(struct reporter *r, const struct reporting_order *order, struct buf *out);
