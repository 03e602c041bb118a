/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "filter/checks.h"
#include "filter/milter.h"
#include "flow/ask.h"
#include "flow/intake.h"
#include "smtp/server.h"
/* The milters of one SMTP session, and what they do to its messages: SMTP's words and replies on one side,
 * filter/milter.h on the other. Mail that does not come by SMTP is shown to them as by a client localhost[127.0.0.1],
 * as Postfix does. */

struct milting_params {          /* constant */
	struct milter_set *set;
	struct milter_params client;
	struct slice host, daemon_name, version; /* myhostname, milter_macro_daemon_name, milter_macro_v */
	struct slice origin;         /* completes addresses that milters give without a domain */
	const struct slice *defaults; /* milter_macro_defaults: "name=value" */
	size_t defaults_count;
	struct lookup header_checks; /* milter_header_checks */
	struct lookup maps;          /* smtpd_milter_maps: another list for a client's address, or DISABLE */
	struct milter_spec spec;     /* what entries of such a list do not say */
	const char *queue_directory; /* where their relative paths start */
};

/* What is known of the client; borrowed for as long as the session lasts, read when a macro is asked for. */
struct milting_facts {
	struct slice name, reverse;  /* the confirmed name, and the unconfirmed; "unknown" without */
	const char *ip;
	const struct addr *peer;
	const struct addr *daemon;   /* our end of the connection; NULL: not known */
	const struct smtp_session *session; /* NULL: no SMTP */
	const char *(*queue_id)(void *ctx); /* NULL or "" until a message has one */
	/* Where mail to that address goes ("smtp", "example.com"), for {rcpt_mailer}, {rcpt_host} and those of the
	 * sender. */
	void (*route)(void *ctx, struct slice address, struct arena *mem, struct slice *mailer, struct slice *place);
	/* milter_header_checks found something that is the message's fate. */
	void (*content)(void *ctx, const struct checks_hit *hit);
	void *ctx;
};

struct milting;
struct milting *milting_new(const struct milting_params *params, const struct milting_facts *facts) NONNULL_RESULT;
void milting_free(struct milting **m);

/* The steps. Code 0: go on, else what is to be answered. 421 closes the session. */
struct smtp_reply milting_connect(struct milting *m, struct arena *mem);
struct smtp_reply milting_helo(struct milting *m, struct slice name, struct arena *mem);
struct smtp_reply milting_mail(struct milting *m, const struct smtp_mail *mail, struct arena *mem);
/* refusal: why the recipient was refused before, or NULL; then the answer does not count. */
struct smtp_reply milting_rcpt(struct milting *m, const struct smtp_rcpt *rcpt, const struct smtp_reply *refusal,
			       struct arena *mem);
struct smtp_reply milting_data(struct milting *m, struct arena *mem);
struct smtp_reply milting_unknown(struct milting *m, struct slice line, struct arena *mem);

/* The message is whole: it is shown to all, and changed. */
struct milting_message {
	struct intake *intake;
	size_t return_path;          /* bytes of its line, the first of intake's trace: not part of the header */
	struct slice sender, envid;
	uint32_t ret;
	struct accept_recipient *recipients; /* replaced by a longer list when some are added; texts in mem */
	size_t count;
	struct arena *mem;           /* of the transaction */
	/* out */
	bool new_sender;             /* the Return-Path in intake's trace is no longer right */
	bool hold, discard;
	bool changed;                /* its header or body */
};
struct smtp_reply milting_message(struct milting *m, struct milting_message *message, struct arena *mem);
void milting_abort(struct milting *m); /* the transaction is over */
