/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/dns.h"
#include "net/stream.h"
#include "smtp/client.h"
#include "smtp/client_reply.h"
/* What the client's own files share: the connection, and how an event on it becomes an outcome in words. */
enum smtp_offer {
	SMTP_OFFERS_PIPELINING = 1,
	SMTP_OFFERS_SIZE = 2,
	SMTP_OFFERS_8BITMIME = 4,
	SMTP_OFFERS_SMTPUTF8 = 8,
	SMTP_OFFERS_DSN = 16,
	SMTP_OFFERS_STARTTLS = 32,
	SMTP_OFFERS_AUTH = 64,
	SMTP_OFFERS_XFORWARD_NAME = 128,
	SMTP_OFFERS_XFORWARD_ADDR = 256,
	SMTP_OFFERS_XFORWARD_PORT = 512,
	SMTP_OFFERS_XFORWARD_PROTO = 1024,
	SMTP_OFFERS_XFORWARD_HELO = 2048,
	SMTP_OFFERS_XFORWARD_IDENT = 4096,
	SMTP_OFFERS_XFORWARD_SOURCE = 8192,
	SMTP_OFFERS_REQUIRETLS = 16384,
};

struct smtp_client {
	struct arena mem;              /* lives as long as the connection */
	struct smtp_client_params params;
	struct smtp_host host;
	struct stream *stream;         /* NULL: not connected */
	struct slice who, relay;       /* "mx.example.org[192.0.2.1]", the same with ":25" */
	unsigned offers;
	unsigned mechanisms;           /* enum smtp_mechanism, of those that are offered */
	bool extended;                 /* the greeting asks for EHLO */
	bool logged_in;
	int64_t since;                 /* when the connection was begun, on the clock of clock_ms */
	struct slice discard;          /* EHLO keywords that are not believed of this server */
	bool discard_own;              /* … instead of params.discard */
	uint64_t size_limit;           /* 0: none named */
	struct smtp_reply_reader reader;
	unsigned uses;
	bool begun;                    /* a transaction is open: RSET before the next */
	bool over;                     /* nothing more can be said or heard */
	struct slice tls;
	struct dns_tlsa *tlsa;         /* SMTP_PROOF_DANE: what DNS says of this host */
	size_t tlsa_count;
	bool tlsa_found;               /* TLS is necessary, and params.tls_dane is for it */
	struct slice dane_name;        /* under which name they were found; empty: the host's */
	bool half_proved;
	bool no_starttls;              /* it was not offered, or refused */
	const char *required;          /* what REQUIRETLS came to: "requiretls", "!requiretls:none"; NULL: undecided */
	struct smtp_talk *talk;        /* of the message under way; NULL: nobody listens */
	bool hushed;                   /* what is said now is not for the postmaster: a message, a password */
	struct slice lost; /* why nothing can be heard: "lost connection with …", "conversation with … timed out" */
};

/* What we are doing when something happens, in Postfix's words. */
enum smtp_stage {
	SMTP_STAGE_CONNECT,
	SMTP_STAGE_GREETING,
	SMTP_STAGE_EHLO,
	SMTP_STAGE_HELO,
	SMTP_STAGE_LHLO,
	SMTP_STAGE_STARTTLS,
	SMTP_STAGE_AUTH,
	SMTP_STAGE_XFORWARD,
	SMTP_STAGE_RSET,
	SMTP_STAGE_MAIL,
	SMTP_STAGE_RCPT,
	SMTP_STAGE_DATA,
	SMTP_STAGE_BODY,
	SMTP_STAGE_DOT,
};
const char *smtp_stage_doing(enum smtp_stage s);    /* "sending RCPT TO" */
const char *smtp_stage_reply_to(enum smtp_stage s); /* "RCPT TO command" */

/* Saying and hearing. Both return false when the connection is over; c->lost then says why. */
bool smtp_client_flush(struct smtp_client *c, int64_t timeout);
bool smtp_client_hear(struct smtp_client *c, int64_t timeout, struct arena *mem, struct smtp_heard *out);
/* Says one line, which gets its CRLF here, and hears the answer. */
bool smtp_client_ask(struct smtp_client *c, int64_t timeout, struct arena *mem, struct smtp_heard *out,
	const char *format, ...) PRINTF_LIKE(5, 6);
void smtp_client_lose(struct smtp_client *c, int stream_result); /* what a waiting stream call returned */

/* client_talk.c: what the postmaster will read. */
void smtp_talk_begin(struct smtp_client *c, struct smtp_talk *talk); /* a session is opened, or a message sent */
void smtp_talk_end(struct smtp_client *c);
void smtp_talk_said(struct smtp_client *c, struct slice lines);
void smtp_talk_heard(struct smtp_client *c, struct slice line);
void smtp_talk_trouble(struct smtp_client *c, enum smtp_trouble trouble);
void smtp_talk_code(struct smtp_client *c, int code); /* of a refusal that counts */

/* Steps of the opening that have files of their own. */
enum smtp_client_result smtp_client_check_host(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why);
enum smtp_client_result smtp_client_find_tlsa(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why);
int smtp_client_demand(struct smtp_client *c, struct tls *t); /* what the certificate must show, before the handshake */
/* client_require.c: REQUIRETLS (RFC 8689), before there is a connection, and when it is ready. */
enum smtp_client_result smtp_client_may_require(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why);
enum smtp_client_result smtp_client_require(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why);
/* TLS cannot be had, whatever the words are: what REQUIRETLS makes of it. */
void smtp_client_required_tls(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why, const char *status);
void smtp_client_tls_status(const struct smtp_client *c, struct arena *mem, struct slice *out);
enum smtp_client_result smtp_client_connect(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why);
enum smtp_client_result smtp_client_log_in(struct smtp_client *c, struct arena *mem, struct smtp_outcome *why);

/* XFORWARD, before MAIL. False: the connection is over. */
bool smtp_client_forward(struct smtp_client *c, const struct smtp_message *m, struct arena *mem);

/* Outcomes. Each fills *o but its times. The words of _of and _heard: what stands in brackets in the log. */
void smtp_outcome_of(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_fate fate,
                     const char *status, const char *format, ...) PRINTF_LIKE(6, 7);
/* "host … said: … (in reply to …)", or "250 2.0.0 Ok" for a 2xx after the final dot. The reply's class makes the fate.
 */
/* RCPT of a probe. */
void smtp_outcome_accepted(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o,
                           const struct smtp_heard *heard);
void smtp_outcome_said(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_stage stage,
                       const struct smtp_heard *heard);
/* A reply with words of our own; later: whatever the class, it is later. */
void smtp_outcome_heard(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_stage stage,
                        const struct smtp_heard *heard, bool later, const char *format, ...) PRINTF_LIKE(7, 8);
/* "lost connection with … while …" */
void smtp_outcome_lost(const struct smtp_client *c, struct arena *mem, struct smtp_outcome *o, enum smtp_stage stage);
