/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/blob.h"
#include "flow/ask.h"
#include "flow/dmarc_history.h"
#include "flow/forward.h"
#include "flow/notice.h"
#include "flow/route.h"
#include "mime/summary.h"
#include "queue/queue.h"
/* Delivery: a message becomes rows. Everything that is not disk is done before the transaction, everything that can be
 * seen after it:
 *
 *	d = delivery_new();
 *	delivery_prepare(d, db, …);                  routes the recipients, compresses and syncs the body
 *	db_write(db, … delivery_enter(tx, d) …);     local mailboxes, queue, history: one transaction, alone or with
 *others' rows delivery_report(d);                          log lines delivery_done(&d);
 *
 * Recipients that lead nowhere are answered with a bounce, which is entered in the same transaction. */
/* The words of a notice (bounce(5)), $names replaced. */
struct return_words {
	struct slice from_name, from; /* "Mail Delivery System", "MAILER-DAEMON": without a domain, origin is added */
	struct slice subject, text;
	struct slice copy_subject;           /* of the postmaster's copy */
};
struct deliver_params {
	const struct route_params *route;
	struct slice origin;                 /* myorigin: MAILER-DAEMON's domain */
	size_t bounce_size;                  /* bounce_size_limit: larger originals return as headers only */
	unsigned notices;                    /* notify_classes: enum notice_class */
	struct slice bounce_notice, double_bounce_notice, delay_notice; /* …_notice_recipient */
	struct notice_params trouble;        /* what relay tells of servers */
	struct slice double_bounce;          /* double_bounce_sender with its domain: what comes back to it ends */
	unsigned delay_digits;               /* delay_logging_resolution_limit */
	struct slice always_bcc;             /* empty: nobody */
	struct lookup sender_bcc, recipient_bcc;
	bool verp_bounces;                   /* not disable_verp_bounces */
	bool redact_required_tls;            /* requiretls_redact_dsn */
	struct forward_params forward;
	bool threaded_bounces;               /* notices refer to the message */
	struct return_words failed, delayed, succeeded, verified;
	bool report_send;                    /* evidence is kept for the reports that others get */
	unsigned report_failures;            /* enum reporting_kind: of what failure reports are sent at once */
	struct dmarc_history history;        /* for opendmarc-import */
	const struct slice *report_addresses; /* whose mail is looked into for reports */
	size_t report_addresses_count;
	bool autocreate, autosubscribe;      /* deliver_mailbox_…: the mailbox of a detail */
	struct slice public_account;         /* whose mailboxes take mail only with the right p */
	uint32_t quota_grace;                /* percent */
	uint8_t quota_levels[2];             /* store/quota.h */
	bool full_reject;                    /* quota_full_reject */
	struct reporter *reporter;           /* woken when some came; NULL: nobody */
};

/* A recipient whose end is known already: "transport:nexthop", and what relay_recipient says of commands and files. hop
 * empty: the address is routed. */
struct post_target {
	struct slice hop;
	uint32_t kind;
	struct slice target, rights;
	bool named;
};
struct post { /* what is handed in */
	struct slice queue_id, sender, envid, message_id, client;
	uint32_t ret;
	int64_t arrived_us;
	const struct accept_recipient *recipients;
	size_t count;
	struct blob_source body;             /* the stored body */
	uint64_t return_path;                /* its first bytes, which are not sent on */
	struct slice summary;                /* packed */
	bool eight_bit, utf8;
	uint32_t flags;                      /* ACCEPT_… */
	bool rewritten;                      /* canonical_maps and masquerading have been done */
	bool redirected;                     /* by a user's .forward */
	struct slice filter, redirect;       /* as in accept_ask */
	struct relay_client from;
	bool submitted; /* whoever handed it in is gone: never DELIVER_NO_RECIPIENT, but a bounce */
	struct slice refusal_status, refusal; /* accept_ask */
	const struct evidence_record *evidence; /* NULL: none */
	const struct route_end *mailbox;     /* of redirected mail: the user's own mailbox; NULL: none */
	const struct post_target *targets;   /* one for each recipient, or NULL */
};

/* What the queue keeps for flow beside its own columns (queue_message.extra). */
struct queue_extra {
	uint64_t return_path;
	bool eight_bit, utf8;
	uint32_t flags;                      /* ACCEPT_…, for what is taken up again */
	struct relay_client from;
};
WIRE_DECLARE(queue_extra)
/* And about a recipient who is more than an address (queue_recipient.target): as in relay_recipient. */
struct queue_target {
	uint32_t kind;
	struct slice target, rights;
	bool aliased;                        /* an alias of ours led there: Delivered-To goes along */
	bool fixed; /* the hop was chosen by somebody (FILTER, mailbox_transport): it stays when tables change */
	bool forwarded;                      /* route_end.forwarded */
	struct slice delivered, below;       /* and the other fields of route_end */
	bool named;
};
WIRE_DECLARE(queue_target)

struct flow_settings;
struct sender;
struct delivery;
enum deliver_answer {
	DELIVER_OVER_QUOTA = 1, /* delivery_enter: a mailbox is full; nothing was entered */
	DELIVER_NO_RECIPIENT,   /* delivery_prepare: the only recipient leads nowhere: see delivery_refusal */
	DELIVER_LATER,          /* delivery_prepare: a table cannot be asked now; fail_text() says which */
	DELIVER_ENDLESS,        /* delivery_prepare: virtual aliases beyond a limit */
};
struct delivery *delivery_new(void) NONNULL_RESULT;
struct arena *
delivery_memory(struct delivery *d); /* lives as long as d: for what post points to and nobody else keeps */
int delivery_prepare(struct delivery *d, struct db *db, const struct deliver_params *params, const struct post *post);
int delivery_enter(struct db_conn *tx, struct delivery *d);
/* more is entered, reported and freed with d. */
void delivery_join(struct delivery *d, struct delivery *more);
void delivery_report(struct delivery *d);
void delivery_done(struct delivery **d); /* takes NULL */
struct slice delivery_id(const struct delivery *d); /* its queue id */
bool delivery_queued(const struct delivery *d); /* there is something for the scheduler */
/* After DELIVER_NO_RECIPIENT. */
struct route_end delivery_refusal(const struct delivery *d);

/* The answering side of ASK_ACCEPT: all four steps, and what is queued is sent off. body_fd: the spool file, or -1.
 * Text of the answer lives in mem. */
struct deliver_into {
	struct db *db;
	struct flow_settings *settings;
	struct sender *sender; /* NULL: nobody sends */
};
void deliver_accept(const struct deliver_into *into, const struct accept_ask *ask, int body_fd, struct arena *mem,
		    struct accept_answer *answer);
