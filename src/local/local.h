/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/clock.h"
#include "base/wire.h"
/* What is delivered, to whom, and what became of it. */

/* Where the message came from, as programs are told it (local(8), pipe(8)); empty where nobody knows. */
struct local_client {
	struct slice name, address, port, helo, protocol, sasl_method, sasl_username, sasl_sender;
};
struct local_message {
	struct slice queue_id, sender; /* sender empty: the null sender */
	struct slice envid;            /* RFC 3461, decoded; empty: none */
	int fd; /* of the body, read with pread from offset on, size bytes; lines end with CRLF */
	uint64_t offset, size;
	struct local_client client;
};
/* What a recipient of transport local means; core has expanded aliases(5). (flow/ask.h: enum relay_target) */
enum local_kind {
	LOCAL_ADDRESS, /* all of local(8) but aliases */
	LOCAL_MAILBOX, /* the user's own mailbox: his ~/.forward is not asked (again) */
	LOCAL_COMMAND, /* target is a command */
	LOCAL_FILE,    /* target is a path; a Maildir when it ends in / */
};
struct local_recipient {
	struct slice address;          /* user+extension@domain */
	struct slice original;         /* as given to us first; empty: the address */
	uint32_t kind;                 /* enum local_kind */
	struct slice target;
	struct slice rights; /* login name of whose command or file it is: the owner of the alias file, or the user in
			      * whose ~/.forward it stands; empty: default_privs */
	struct slice delivered, below; /* what Delivered-To says, empty: the address; another one below it */
	bool named;                    /* they are in the message already */
};

enum local_fate { LOCAL_LATER, LOCAL_DELIVERED, LOCAL_NEVER, LOCAL_REDIRECTED };
/* Where a redirected message goes instead. */
enum local_target_kind {
	TARGET_ADDRESS,   /* text: an address, perhaps without domain */
	TARGET_MAILBOX,   /* the user's own mailbox, without looking at ~/.forward again */
	TARGET_COMMAND,   /* text: the command; with the user's rights */
	TARGET_FILE,      /* text: the path; with the user's rights */
	TARGET_TRANSPORT, /* text: "transport:nexthop"; the address stays */
};
struct local_target {
	uint32_t kind;
	struct slice text;
};
enum { LOCAL_TARGETS_MAX = 1000, LOCAL_TEXT_MAX = 8192 };
struct local_outcome {
	uint32_t fate;                 /* enum local_fate */
	struct slice status, text;     /* "2.0.0", "delivered to maildir" */
	struct slice rights;           /* LOCAL_REDIRECTED: the user whose commands and files the targets are */
	bool prepend;                  /* LOCAL_REDIRECTED: addresses get the message with a Delivered-To of this one */
	struct local_target *targets;  /* LOCAL_REDIRECTED; TARGET_TRANSPORT stands alone */
	size_t targets_count;
};
WIRE_DECLARE(local_target)
WIRE_DECLARE(local_outcome)
/* An outcome other than LOCAL_REDIRECTED: by its status. Text lives in mem. */
struct local_outcome local_said(struct arena *mem, const char *status, const char *format, ...) PRINTF_LIKE(3, 4);
/* What errno means for a mailbox: "4.3.0" what passes, "5.2.2" what is full; otherwise usual. */
const char *local_status_of(int error, const char *usual);
/* The last part of "user+extension": where the delimiter of the set stands; len when there is none. Special names
 * (owner-list, list-request, mailer-daemon, double-bounce) have none. */
size_t local_extension(struct slice local, struct slice delimiters);
