/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/admit.h"
#include "flow/header.h"
#include "flow/id.h"
#include "flow/intake.h"
#include "flow/milting.h"
/* Inside of admission: the session (admit.c) and the text of its messages (admit_message.c). */
struct admit {
	const struct admit_params *params;
	struct addr peer;
	uint64_t session;
	char ip[ADDR_TEXT_ROOM];
	struct arena mem;          /* the session's */
	struct slice client;       /* "name[address]" */
	struct slice name;         /* "unknown" without a confirmed one */
	bool inside;               /* in mynetworks */
	bool unlimited;            /* rates do not apply */
	bool local;                /* a user of this machine: uid */
	bool gateway;              /* sendmail -G: the header is somebody else's */
	uid_t uid;
	const struct smtp_server *server;
	/* the transaction */
	char id[QUEUE_ID_ROOM];
	bool open, announced;      /* announced: the queue id stands in the log */
	struct arena tx;
	struct slice sender, envid;
	uint32_t ret;
	bool utf8;
	struct accept_recipient *recipients;
	size_t count, room;
	int64_t arrived_us;
	struct intake_params intake_params;
	struct intake intake;
	uint32_t flags;            /* enum accept_flags */
	/* milters and content */
	struct addr daemon;        /* our end of the connection; AF_UNSPEC: not known */
	struct slice reverse;      /* the client's unconfirmed name, "unknown" without */
	bool header_ours;          /* in local_header_rewrite_clients */
	struct milting_facts facts;
	struct milting *milting;   /* NULL: no milters for this client */
	bool by_milter;            /* the reply being given is a milter's */
	bool handed_over;          /* the message was core's to take */
	bool content_noted;        /* the refusal of a message stands in the log */
};
enum { ADMIT_HEADER_MAX = 1 << 20 };


const struct smtp_session *admit_session(const struct admit *a);
bool admit_may_relay(const struct admit *a);
void admit_end_transaction(struct admit *a);

/* admit_milter.c: the calls at the stages of a session. Code 0: go on. */
void admit_milter_open(struct admit *a);
struct smtp_reply admit_milter_connect(struct admit *a, struct arena *mem);
struct smtp_reply admit_milter_helo(struct admit *a, struct slice name, struct arena *mem);
struct smtp_reply admit_milter_mail(struct admit *a, const struct smtp_mail *mail, struct arena *mem);
/* reply: what the recipient gets so far; the answer is what it gets. */
struct smtp_reply admit_milter_rcpt(struct admit *a, const struct smtp_rcpt *rcpt, struct smtp_reply reply,
				    struct arena *mem);

/* admit_message.c */
void admit_note_content(struct admit *a, const char *what, const char *where, struct slice text);
struct smtp_reply admit_data_begin(void *owner, struct arena *mem);
void admit_data_bytes(void *owner, struct slice bytes);
void admit_data_end(void *owner, const struct smtp_content *content, struct smtp_reply *replies, size_t count,
		    struct arena *mem);
