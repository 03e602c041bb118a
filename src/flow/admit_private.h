/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "filter/checks.h"
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
	bool deliver, beyond_limits; /* dovecot-lda: into an account, and nowhere else */
	bool verify;               /* sendmail -bv: nobody gets it, the sender is told where it would go */
	uid_t uid;
	int present;               /* a sign of life for core, of who has logged in (SESSION_SMTP); 0: none */
	int fd;                    /* of the client, to see whether it is still there; -1: not known */
	struct smtp_server *server;
	struct admit_access {      /* what restriction lists look at */
		struct restrict_client client;
		struct restrict_state state;
		struct restrict_tls tls;
		bool tls_known;
		struct arena effects;  /* of the transaction, and of what came before it */
		char instance[40];
		unsigned transactions; /* so far */
		struct slice place_of; /* whom `place` is about, while a command is under way */
		struct restrict_place place;
		const struct restrict_facts *facts; /* of the command under way */
		uint64_t size;
		struct slice auth_sender;
		struct relay_client forward; /* XFORWARD */
		struct arena forward_mem;
		bool spoken_for;       /* XCLIENT: by whoever connected */
		bool may_forward;      /* XFORWARD: whoever connected, whomever he speaks for */
	} access;
	struct admit_pause { /* a restriction list waits (sleep, address probes): its stage is asked again from its
				beginning */
		bool again;            /* this is such a time */
		unsigned reached, passed; /* places where a list waits, in this run; those before it that need not be
					     waited at again */
		unsigned logged, told; /* lines this run would have written; those written by the runs before it */
		int64_t until;         /* for address probes */
	} pause;
	bool traced;               /* in debug_peer_list */
	struct admit_talk {        /* what was said, for the postmaster */
		struct buf text;
		size_t lines;
		unsigned troubles; /* enum notice_class */
		const char *reason; /* why the session ended; NULL: as it should */
	} talk;
	/* the transaction */
	char id[QUEUE_ID_ROOM];
	bool open, announced;      /* announced: the queue id stands in the log */
	/* Of the transaction that ended last, for the line about its refusal; empty: it was not announced, had no
	 * recipient or several. */
	struct { char id[QUEUE_ID_ROOM], to[320]; } ended; /* a path of RFC 5321 has 256 bytes */
	struct arena tx;
	struct slice sender, envid, verp;
	uint32_t ret;
	bool utf8, require_tls;
	bool for_here;             /* a recipient may be one of ours */
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
	struct checks *checks;     /* while a message comes in; NULL: no header_checks and the like */
	struct smtp_reply content_reply; /* of the checks, in tx; code 0: none */
	bool pass;                 /* PASS: no milters for this message */
	bool altered;              /* milters changed header or body */
	struct slice filter, redirect; /* FILTER and REDIRECT, of whatever list; in tx */
	bool handed_over;          /* the message was core's to take */
	struct accept_wait asked;  /* core was asked to take it; channel -1: no, or it has answered */
	struct admit_proof {       /* who sent it; of the transaction, in tx */
		bool wanted, in_body, done;
		bool prepended;    /* policyd-spf's Received-SPF */
		struct evidence_client client;
		struct spf_verdict spf, spf_helo; /* asked for before the message came */
		struct buf raw;    /* the header as it came, while it is in pieces */
		size_t line;
		struct slice header;
		struct evidence *evidence;
		struct evidence_verdict verdict; /* once done */
	} proof;
	struct slice check;        /* check@, when it is among the recipients; in tx */
	bool refusal_told;         /* core knows already */
	bool content_noted;        /* the refusal of a message stands in the log */
};
enum { ADMIT_HEADER_MAX = 1 << 20 };


const struct smtp_session *admit_session(const struct admit *a);
bool admit_may_relay(const struct admit *a);
void admit_end_transaction(struct admit *a);

/* admit_name.c: sets name, reverse, client and their states from peer. */
void admit_find_names(struct admit *a);
void admit_set_names(struct admit *a, struct slice name, struct slice reverse);

/* admit_restrict.c: the lists at their stages. Code 0: go on. */
void admit_restrict_reset(struct admit *a); /* a transaction has ended */
void admit_discard_offers(struct admit *a, unsigned *offer);
struct slice admit_footer(void *owner, const struct smtp_reply *reply, struct arena *mem);
struct smtp_reply admit_restrict_connect(struct admit *a, struct arena *mem);
struct smtp_reply admit_restrict_helo(struct admit *a, struct slice name, bool esmtp, struct arena *mem);
struct smtp_reply admit_restrict_mail(struct admit *a, const struct smtp_mail *mail, struct arena *mem);
/* where: "RCPT" or "VRFY" */
struct smtp_reply admit_restrict_rcpt(struct admit *a, struct slice address, const char *where, struct arena *mem);
struct smtp_reply admit_room(struct admit *a, struct slice address,
			     struct arena *mem); /* code 0: the account has room */
struct smtp_reply admit_restrict_data(struct admit *a, struct arena *mem);
struct smtp_reply admit_restrict_end(struct admit *a, uint64_t size, struct arena *mem);
struct smtp_reply admit_restrict_etrn(struct admit *a, struct slice domain, struct arena *mem);

/* admit_session.c: what else a session asks */
bool admit_may_verp(void *owner);
struct smtp_reply admit_refusal(void *owner, const struct smtp_reply *reply, struct arena *mem);
struct smtp_reply admit_tls_session(void *owner, bool made, struct arena *mem);
void admit_came(struct admit *a, const struct sasl_found *who); /* somebody logged in: core is told */
/* Of dovecot-lda: is there such an account, and may this user deliver to it? Code 250, or why not. */
struct smtp_reply admit_final(struct admit *a, struct slice address, struct arena *mem);
bool admit_kicked(const struct admit *a);                       /* an operator wants him gone */
void admit_left(struct admit *a);
void admit_trace(void *owner, bool leaves, struct slice line);
void admit_trace_init(struct admit *a);
bool admit_has_room(const struct admit *a); /* on disk: queue_minfree, and 1.5 times message_size_limit */
const struct sasl_judge *admit_judge(void *owner); /* admit_judge.c */
bool admit_offers_login(const struct admit *a); /* smtpd_sasl_exceptions_networks */

/* admit_proxy.c: the message is whole; the filter's reply */
struct smtp_reply admit_proxy(struct admit *a, struct arena *mem);

/* admit_command.c */
struct slice admit_command(void *owner, struct slice line, struct arena *mem);
bool admit_forbidden(void *owner, struct slice word);

/* admit_etrn.c */
struct smtp_reply admit_etrn(void *owner, struct slice domain, struct arena *mem);

/* admit_forward.c */
void admit_forward_init(struct admit *a);
bool admit_may_forward(void *owner, bool xforward);
struct smtp_reply admit_xclient(void *owner, const struct smtp_attribute *attributes, size_t count, struct arena *mem);
struct smtp_reply admit_xforward(void *owner, const struct smtp_attribute *attributes, size_t count, struct arena *mem);

/* admit_milter.c: the calls at the stages of a session. Code 0: go on. */
void admit_milter_open(struct admit *a);
struct smtp_reply admit_milter_connect(struct admit *a, struct arena *mem);
struct smtp_reply admit_milter_helo(struct admit *a, struct slice name, struct arena *mem);
struct smtp_reply admit_milter_mail(struct admit *a, const struct smtp_mail *mail, struct arena *mem);
struct smtp_reply admit_milter_unknown(void *owner, struct slice line, struct arena *mem);
/* reply: what the recipient gets so far; the answer is what it gets. */
struct smtp_reply admit_milter_rcpt(struct admit *a, const struct smtp_rcpt *rcpt, struct smtp_reply reply,
				    struct arena *mem);

/* admit_checks.c */
void admit_checks_begin(struct admit *a);
void admit_content_hit(void *owner, const struct checks_hit *hit); /* also of milter_header_checks */
void admit_log_content(struct admit *a, const char *word, const char *class, struct slice subject, struct slice text);
void admit_add_recipient(struct admit *a, struct slice address, uint32_t notify);

/* admit_evidence.c: who sent it */
bool admit_is_stranger(const struct admit *a);
void admit_proof_reset(struct admit *a);
void admit_proof_mail(struct admit *a);
struct smtp_reply admit_proof_rcpt(struct admit *a, struct slice recipient, struct arena *mem); /* code 0: go on */
struct slice admit_proof_policy(void *ctx, struct arena *mem); /* in policyd-spf's place: an action */
void admit_proof_bytes(struct admit *a, struct slice bytes); /* as they arrive */
struct smtp_reply admit_proof_end(struct admit *a, struct arena *mem);
void admit_proof_onward(struct admit *a); /* it is as it will be stored: what the next server would find */
void admit_proof_refused(struct admit *a, const struct smtp_reply *r,
			 struct arena *mem); /* by core, who would have to forward it */
/* Something else refused a message that was proved: it counts in its domain's report all the same (RFC 9990 §3.1). */
void admit_proof_blocked(struct admit *a, const struct smtp_reply *r);
struct slice admit_proof_strip(struct admit *a, struct slice header, struct buf *room); /* header, or room's text */

/* admit_sign.c */
bool admit_is_to_be_signed(const struct admit *a);
void admit_sign_here(struct admit *a); /* it is as it will be stored */
bool admit_sign_ignores(const struct sign_clients *p, const struct admit *a,
			struct slice header); /* PeerList, ExemptDomains */

/* admit_check.c: check@ */
bool admit_check_is(struct admit *a, struct slice address,
		    const struct route_answer *route); /* then it is a recipient */
bool admit_check_takes(const struct admit *a, struct slice address);
/* Code 0: go on with the other recipients. */
struct smtp_reply admit_check_answer(struct admit *a, struct arena *mem);

/* admit_own.c: a message of ours to one address. False: not taken, and logged why. */
struct admit_own {
	const char *id;
	struct slice sender, to, message;
	uint32_t flags;            /* enum accept_flags */
};
bool admit_own(struct admit *a, const struct admit_own *own, struct arena *mem);

/* admit_notice.c */
void admit_talk(struct admit *a, bool leaves, struct slice line);
void admit_talk_note(struct admit *a, enum smtp_event event);

/* admit_message.c */
void admit_note_content(struct admit *a, const char *what, const char *where, struct slice text);
struct smtp_reply admit_data_begin(void *owner, struct arena *mem);
void admit_data_bytes(void *owner, struct slice bytes);
void admit_data_end(void *owner, const struct smtp_content *content, struct smtp_reply *replies, size_t count,
		    struct arena *mem);
