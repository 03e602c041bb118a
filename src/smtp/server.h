/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/clock.h"
#include "base/log.h"
#include "mime/address.h"
#include "net/pool.h"
#include "net/sasl.h"
#include "net/stream.h"
#include "smtp/dsn.h"
#include "smtp/reply.h"
/* One SMTP or LMTP session, the server's half (RFC 5321, RFC 2033): words, their order, limits, line endings. Who may
 * do what is not decided here: it is asked of `ops`, which answer with replies. The session is stepped: a step consumes
 * all that has arrived, queues the replies, sends them in one write and never waits for the client.
 *
 *	struct smtp_server *s = smtp_server_new(stream, &params, &ops, owner);
 *	in the task's step:
 *		if (smtp_server_step(s, why) == SMTP_PARK) task_park(t, smtp_server_events(s), 0,
 *smtp_server_deadline(s)); else { smtp_server_free(&s); task_end(t); stream_close(&stream); }
 *
 * Text given to ops is borrowed until they return. */
struct smtp_server;
struct smtp_server_ops;

/* What EHLO announces, in the order in which Postfix does. What is not announced is not accepted either, except
 * PIPELINING (then every early command is improper) and ENHANCEDSTATUSCODES (codes are always given). */
enum smtp_offer {
	OFFER_PIPELINING = 1 << 0,
	OFFER_SIZE = 1 << 1,
	OFFER_VRFY = 1 << 2,     /* without it: 502 VRFY command is disabled */
	OFFER_ETRN = 1 << 3,     /* without it, or without ops->etrn: 502 */
	OFFER_STARTTLS = 1 << 4,
	OFFER_AUTH = 1 << 5,
	OFFER_STATUS_CODES = 1 << 6,
	OFFER_8BITMIME = 1 << 7,
	OFFER_DSN = 1 << 8,
	OFFER_SMTPUTF8 = 1 << 9,
	OFFER_CHUNKING = 1 << 10,
	OFFER_XCLIENT = 1 << 11, /* for those of whom may_forward says so */
	OFFER_XFORWARD = 1 << 12,
	OFFER_XVERP = 1 << 13,   /* for those of whom may_verp says so */
	OFFER_REQUIRETLS = 1 << 14, /* RFC 8689, over TLS only */
	OFFER_USUAL = OFFER_PIPELINING | OFFER_SIZE | OFFER_STATUS_CODES | OFFER_8BITMIME | OFFER_DSN | OFFER_SMTPUTF8 |
	              OFFER_CHUNKING,
};

/* Constant while a session uses it. A limit of 0 means none, where that is said. Milliseconds, bytes. */
struct smtp_server_params {
	const char *host;             /* myhostname: in the EHLO reply and in 421 */
	bool lmtp;                    /* LHLO, and one reply for each recipient */
	bool tls_wrapper;             /* TLS before the greeting (port 465) */
	unsigned offer;               /* enum smtp_offer */
	bool tls_required; /* level encrypt: 530 to all but EHLO HELO LHLO STARTTLS NOOP QUIT HELP before TLS */
	unsigned auth_clear;          /* enum sasl_word: mechanisms without TLS; 0 with smtpd_tls_auth_only */
	unsigned auth_tls;            /* and with it */
	bool auth_any_certificate;    /* EXTERNAL for certificates that lead to no root of ours, too */
	bool auth_tls_only;           /* smtpd_tls_auth_only, for who judges instead (ops->judge) */
	size_t auth_line_limit;       /* smtpd_sasl_response_limit; 0: 12288 */
	bool auth_equals;             /* broken_sasl_auth_clients: also announce "AUTH=PLAIN LOGIN" */
	bool helo_required;           /* smtpd_helo_required; LMTP always wants LHLO */
	bool soft;                    /* soft_bounce: no reply is for good, 4xx is sent for 5xx */
	bool strict_paths;            /* strict_rfc821_envelopes */
	bool strict_pipelining; /* smtpd_forbid_unauth_pipelining: who talks out of turn is cut off (unless logged in)
				 */
	size_t line_limit;            /* of a command line, without its line end: line_length_limit, 2048 */
	size_t text_line_limit; /* of a message's lines, without line end; 0: none (see body.h). Beyond: 554 5.6.0 */
	const bool *stripped, *rejected; /* message_strip_characters, message_reject_characters (body.h) */
	bool dash_user;               /* allow_min_user: addresses may start with a dash */
	bool null_domain;             /* resolve_null_domain: user@ is user@host */
	bool numeric_domain;          /* resolve_numeric_domain: user@192.0.2.1 is user@[192.0.2.1] */
	bool utf8_unasked;            /* UTF-8 in addresses without SMTPUTF8 (strict_smtputf8 = no) */
	uint64_t size_limit;          /* of a message, after un-dot-stuffing; 0: none */
	unsigned recipient_limit;     /* accepted recipients of a message; above: 452 */
	unsigned recipient_overshoot; /* so many of these 452 are no errors (smtpd_recipient_overshoot_limit) */
	unsigned soft_error_limit;    /* from this many errors on every reply is late by error_delay */
	unsigned hard_error_limit;    /* at this many: 421 and out */
	unsigned
		junk_command_limit; /* NOOP, RSET, VRFY, EHLO … beyond this many between two messages count as errors */
	unsigned auth_failure_limit; /* failed log-ins of a session; at this many: 421 and out; 0: only the error limits
				      */
	int64_t error_delay;          /* smtpd_error_sleep_time */
	int64_t timeout; /* smtpd_timeout: from what came last to what comes next, and for a reply to leave */
	bool per_request;             /* smtpd_per_request_deadline: timeout is for a whole request to arrive */
	int64_t starttls_timeout;     /* for the handshake */
	uint64_t
		min_data_rate; /* per_request: N bytes of a message buy N/rate s, up to timeout (smtpd_min_data_rate) */
	const char *verp_delimiters;  /* default_verp_delimiters; NULL: no XVERP */
	const char *verp_filter;      /* verp_delimiter_filter */
	const char *const
		*forbidden; /* smtpd_forbidden_commands, NULL behind the last: words that end the session. NULL:
			     * CONNECT GET POST. A line that starts with no letter, or like a header, always does */
	const char *const *noop;      /* words treated as NOOP: smtpd_noop_commands; may be NULL */
};
/* Postfix's defaults: for tests, and to start from. host is not set. */
extern const struct smtp_server_params smtp_server_defaults;

enum smtp_body_type { SMTP_BODY_UNSAID, SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };

/* MAIL FROM:<path> and its parameters (RFC 5321 §4.1.1.2, 1870, 6152, 6531, 3461, 4954). */
struct smtp_mail {
	enum address_answer kind;  /* ADDRESS_OK, ADDRESS_EMPTY (<>), ADDRESS_POSTMASTER or ADDRESS_LOCAL_ONLY */
	struct mailbox from;
	struct slice text;         /* mailbox_text(from): "" for <> */
	uint64_t size;             /* SIZE=; 0: unsaid. Never above size_limit */
	enum smtp_body_type body;
	bool utf8;                 /* SMTPUTF8 was given */
	bool require_tls;          /* REQUIRETLS (RFC 8689) */
	enum smtp_ret ret;
	struct slice envid;        /* checked, still in xtext (dsn.h); at == NULL: unsaid */
	struct slice auth;         /* AUTH=, in xtext: "<>" or a mailbox; at == NULL: unsaid */
	struct slice verp;         /* XVERP: two delimiters; empty: unsaid */
};
/* RCPT TO:<path> and its parameters. */
struct smtp_rcpt {
	enum address_answer kind;  /* ADDRESS_OK, ADDRESS_POSTMASTER or ADDRESS_LOCAL_ONLY */
	struct mailbox to;
	struct slice text;         /* mailbox_text(to) */
	unsigned notify;           /* enum smtp_notify; 0: unsaid */
	struct slice orcpt;        /* checked, in xtext: "rfc822;user+2Btag@example.com"; at == NULL: unsaid */
};
/* One of XCLIENT's or XFORWARD's. */
struct smtp_attribute {
	struct slice name, value;  /* value: at == NULL when it said [UNAVAILABLE] or [TEMPUNAVAIL] */
	bool later;                /* [TEMPUNAVAIL] */
};
/* What the message turned out to be, at its end. */
struct smtp_content {
	uint64_t size;             /* bytes given to data_bytes */
	size_t longest_line;       /* without CRLF */
	bool chunked;              /* came by BDAT */
};

/* What is known of the session; within an op, and between steps. */
struct smtp_session {
	struct slice helo;         /* "" before EHLO or HELO */
	const char *proto;         /* "SMTP", "ESMTP" or "LMTP" */
	struct slice login, mechanism; /* of a successful AUTH, else "" */
	struct tls *tls;           /* for tls_info(); NULL: clear text */
	const struct smtp_mail *mail; /* the open transaction's sender, NULL: none is open */
	unsigned rcpts;            /* accepted recipients of it */
	unsigned errors;           /* so far */
};
/* The protocol for Received (RFC 3848, RFC 6531 §4.3): "ESMTPSA", "UTF8SMTPS", "LMTP", … */
const char *smtp_session_with(const struct smtp_session *session);

/* Things to be written into the log, or counted. */
enum smtp_event {
	SMTP_TLS_STARTED,    /* the handshake is over: session->tls */
	SMTP_TLS_FAILED,     /* text: why */
	SMTP_AUTH_FAILED,    /* text: the mechanism, to: the user (may be empty), reply */
	SMTP_REJECT,         /* reply; to: the recipient when it was RCPT. From ops and from the session itself */
	SMTP_PIPELINING,     /* talked out of turn after `where`; text: what it sent, printable, shortened */
	SMTP_FORBIDDEN,      /* not SMTP; text: the line, printable, shortened */
	SMTP_BAD_ADDRESS,    /* `where` named no address; text: what it named, printable, shortened */
	SMTP_TOO_MANY_ERRORS,
	SMTP_LOST,           /* the client went away without QUIT */
	SMTP_TIMEOUT,
	SMTP_DISCONNECT,     /* always the last; text: the statistics "ehlo=1 auth=0/1 … commands=1/2" */
};
struct smtp_note {
	enum smtp_event event;
	const struct smtp_session *session;
	const char *where;         /* Postfix's words: "CONNECT", "EHLO", "RCPT", "DATA", "END-OF-MESSAGE", "UNKNOWN" */
	const struct smtp_reply *reply;
	struct slice to, text;
};
/* The log line in Postfix's form, without "NOQUEUE: " or queue id; client is "name[address]". Level by
 * smtp_note_level. */
struct buf;
void smtp_note_add(struct buf *out, const struct smtp_note *note, struct slice client);
enum log_level smtp_note_level(const struct smtp_note *note);

/* The questions. Every op may wait for our own side (DNS, another process). `mem` lives until the reply was queued.
 * Texts start without code and status: { 554, "5.7.1", "<c@d>: Relay access denied" }; several lines separated by LF.
 * 421 and 521 end the session after the reply, whoever gave them. ops is constant and shared. */
struct smtp_server_ops {
	/* 220 and the banner; 421 or 521: refused and gone; any other 4xx/5xx: refused, everything but QUIT gets 503.
	 * Asked after the handshake in wrapper mode. */
	struct smtp_reply (*connect)(void *owner, struct arena *mem);
	/* Any code from 200 to 299 accepts (the text of the reply is the session's own). offer: what will be announced
	 * to this client, set from params and the session's state; may be made less. NULL: all accepted. */
	struct smtp_reply (*helo)(void *owner, struct slice name, bool esmtp, unsigned *offer, struct arena *mem);
	/* net/sasl.h. NULL: no AUTH. */
	enum sasl_verdict (*auth)(void *owner, const struct sasl_ask *ask, struct arena *mem, struct sasl_found *found);
	/* Who judges log-ins instead; NULL, or giving NULL: auth and params->auth_… */
	const struct sasl_judge *(*judge)(void *owner);
	/* 2xx begins a transaction. From then on exactly one of data_end and reset follows, whatever happens. */
	struct smtp_reply (*mail)(void *owner, const struct smtp_mail *mail, struct arena *mem);
	/* 2xx accepts the recipient. */
	struct smtp_reply (*rcpt)(void *owner, const struct smtp_rcpt *rcpt, struct arena *mem);
	/* At DATA or the first BDAT, with at least one recipient. 354 goes on; anything else refuses, the transaction
	 * stays. */
	struct smtp_reply (*data_begin)(void *owner, struct arena *mem);
	/* Some of the message: lines end with CRLF, dots are unstuffed, no NUL, no bare CR or LF. Pieces are cut
	 * anywhere. What goes wrong (disk full) is told by data_end. */
	void (*data_bytes)(void *owner, struct slice bytes);
	/* The message is whole: replies[0 … count-1] is to be set: one for SMTP, one for each accepted recipient, in
	 * order, for LMTP. Only called for a message that keeps all rules; for another one, reset is. */
	void (*data_end)(void *owner, const struct smtp_content *content, struct smtp_reply *replies, size_t count,
	                 struct arena *mem);
	void (*reset)(void *owner); /* the transaction is given up */
	/* A word that is no command; code 0: the usual 500. NULL: always that. */
	struct smtp_reply (*unknown)(void *owner, struct slice line, struct arena *mem);
	/* VRFY with OFFER_VRFY. NULL: 252. */
	struct smtp_reply (*vrfy)(void *owner, struct slice what, struct arena *mem);
	/* ETRN with OFFER_ETRN. NULL: 502. */
	struct smtp_reply (*etrn)(void *owner, struct slice domain, struct arena *mem);
	/* May this client use XCLIENT (XFORWARD)? */
	bool (*may_forward)(void *owner, bool xforward);
	bool (*may_verp)(void *owner); /* may it use XVERP? NULL: no */
	/* Code 0: taken; then the client is greeted anew, with connect. HELO, PROTO and LOGIN are the session's matter.
	 */
	struct smtp_reply (*xclient)(void *owner, const struct smtp_attribute *attributes, size_t count,
				     struct arena *mem);
	struct smtp_reply (*xforward)(void *owner, const struct smtp_attribute *attributes, size_t count,
				      struct arena *mem);
	/* The command line as it is to be understood (smtpd_command_filter). NULL: as it came. */
	struct slice (*command)(void *owner, struct slice line, struct arena *mem);
	/* Does this word, which is no command, end the session? NULL: see params->forbidden. */
	bool (*forbidden)(void *owner, struct slice word);
	/* "name[address]", for replies. NULL: not named. */
	struct slice (*client)(void *owner);
	/* Every reply of 4xx and 5xx before it is sent: what stands behind it (smtpd_reject_footer); \\c in
	 * front: in its last line. NULL: nothing. */
	struct slice (*footer)(void *owner, const struct smtp_reply *reply, struct arena *mem);
	/* Every reply of 4xx and 5xx before it is sent: what is sent instead (smtpd_reject_filter_maps). NULL: itself.
	 */
	struct smtp_reply (*refusal)(void *owner, const struct smtp_reply *reply, struct arena *mem);
	/* A new TLS session: asked at STARTTLS (made false), and when the handshake is over and nothing was resumed.
	 * Code 0: go on. NULL: always. */
	struct smtp_reply (*tls_session)(void *owner, bool made, struct arena *mem);
	/* Each line, as it came or leaves (debug_peer_list). NULL: nobody listens. */
	void (*trace)(void *owner, bool leaves, struct slice line);
	/* For STARTTLS and wrapper mode: a borrowed reference; NULL: none now (454). */
	struct tls_server *(*tls)(void *owner);
	void (*note)(void *owner, const struct smtp_note *note);
};

/* The stream is borrowed and must be fresh, with room for max(line_limit, 12288) + 2 bytes of input (32 KiB serve
 * well) and for 16 KiB of output; for LMTP, 512 bytes more for each allowed recipient. */
struct smtp_server *smtp_server_new(struct stream *stream, const struct smtp_server_params *params,
                                    const struct smtp_server_ops *ops, void *owner) NONNULL_RESULT;
void smtp_server_free(struct smtp_server **s); /* gives an open transaction up with reset; notes nothing */

enum smtp_next {
	SMTP_PARK, /* wait for smtp_server_events() until smtp_server_deadline() */
	SMTP_OVER, /* replies are sent (or cannot be): free and close */
};
/* From within an op whose reply is SMTP_PAUSE: the session parks for so long, then asks the same again. connect, helo,
 * mail, rcpt, data_begin, data_end (in its first reply), vrfy and etrn may do that. */
void smtp_server_pause(struct smtp_server *s, int64_t ms);
/* The same until fd can be read, or the time is over: an answer that the owner waits for comes there. */
void smtp_server_wait(struct smtp_server *s, int fd, int64_t ms);
/* Parked for that? The descriptor, to be awaited in place of what smtp_server_events says (net/pool.h); else -1. */
int smtp_server_awaits(const struct smtp_server *s);
/* The first step, with WAKE_CALL, greets. WAKE_STOP: 421 4.3.2 and over. */
enum smtp_next smtp_server_step(struct smtp_server *s, enum wake why);
/* What to park for. Not simply stream_events(): while a reply is held back or waits to be sent, no input is read. */
uint32_t smtp_server_events(const struct smtp_server *s);
/* May be in the past: a step reads a bounded amount, so that one busy client does not keep a worker for itself. */
int64_t smtp_server_deadline(const struct smtp_server *s);
const struct smtp_session *smtp_server_session(const struct smtp_server *s);
/* Has the client talked out of turn, or is it talking right now while it should wait? Reads what is there. */
bool smtp_server_early(struct smtp_server *s);
