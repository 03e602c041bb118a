/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
#include "base/buf.h"
/* What the postmaster is told (postconf(5), notify_classes). Bounces and delays are flow/return's notices; the others
 * are told with a transcript of the session in which they happened, as smtpd(8) and smtp(8) do: this. */
enum notice_class {
	NOTICE_BOUNCE = 1,
	NOTICE_DOUBLE_BOUNCE = 2,
	NOTICE_DELAY = 4,
	NOTICE_DATA = 8,       /* our own files or log-in secrets could not be used */
	NOTICE_POLICY = 16,    /* a client was refused for what it is or wants */
	NOTICE_PROTOCOL = 32,  /* bad syntax, commands out of order; a server that does not speak SMTP */
	NOTICE_RESOURCE = 64,  /* no room */
	NOTICE_SOFTWARE = 128, /* mail could not be taken for a trouble of ours */
	NOTICE_OF_SESSIONS =
		NOTICE_BOUNCE | NOTICE_DATA | NOTICE_POLICY | NOTICE_PROTOCOL | NOTICE_RESOURCE | NOTICE_SOFTWARE,
};
enum { NOTICE_TALK_MAX = 64 << 10 }; /* bytes of a transcript; what follows is left out */

/* How many were sent lately; of one process, for all its threads. */
struct notice_memory;
struct notice_memory *notice_memory_new(void) NONNULL_RESULT;
void notice_memory_free(struct notice_memory **m);
/* One more? At most `hourly` each hour. *left_out: how many were not, to be told with the first that is. */
bool notice_memory_may(struct notice_memory *m, unsigned hourly, unsigned *left_out);

struct notice_params {
	unsigned classes;            /* enum notice_class; of these, those that a session may have */
	struct slice to;             /* error_notice_recipient */
	struct slice bounce_to;      /* bounce_notice_recipient: where a recipient was not known */
	struct slice from;           /* double_bounce_sender: such mail is never answered */
	struct slice origin;         /* MAILER-DAEMON's domain */
	struct slice host, mail_name;
	unsigned hourly;             /* error_notice_hourly_limit */
	size_t flush_lines;          /* smtpd_history_flush_threshold */
	struct notice_memory *memory;
};

/* The class of one of our own refusals, "554 5.7.1 …"; 0: it is none. By its codes, for each list and command has its
 * own; the exceptions are few: "user unknown" is a bounce, as in Postfix. */
unsigned notice_class_of(struct slice reply);

struct notice {
	unsigned troubles;           /* enum notice_class */
	bool client;                 /* we were the client */
	bool lmtp;
	struct slice peer;           /* "name[address]", a server's with its port */
	struct slice talk;           /* lines "In:  …" and "Out: …", LF behind each */
	bool cut;                    /* some of them are missing at the end */
	struct slice reason;         /* why the session was aborted; empty: it was not */
	unsigned left_out;
};
struct slice notice_recipient(const struct notice_params *p, const struct notice *n);
/* One line of a transcript: control bytes and what no log should show (what follows AUTH and its method) are replaced.
 */
void notice_talk(struct buf *talk, bool leaves, struct slice line);
/* The message, without Return-Path. id: its queue id. */
void notice_compose(struct buf *out, const struct notice_params *p, const struct notice *n, struct slice id);
