/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/clock.h"
#include "net/tls.h"
#include "smtp/client_refused.h"
#include "smtp/client_sasl.h"
#include "smtp/dsn.h"
#include "smtp/hosts.h"
#include "smtp/reply.h"
/* A client: one conversation over one connection, SMTP (RFC 5321) or LMTP (RFC 2033), in straight-line calls that wait.
 * smtp_client_open connects, greets, starts TLS and logs in; smtp_client_send hands over one message, and may be called
 * again; smtp_client_quit ends politely. Who wants hosts tried in turn uses smtp/deliver.h. */

enum smtp_tls_level {
	SMTP_TLS_NONE,     /* clear text, whatever is offered */
	SMTP_TLS_MAY,      /* TLS when it is offered and works */
	SMTP_TLS_ENCRYPT,  /* TLS or not at all; what the certificate must show is in the tls_client */
};

/* What the server's certificate must show; more than SMTP_PROOF_NONE only with SMTP_TLS_ENCRYPT, but for DANE, which
 * makes TLS necessary where there are TLSA records. */
enum smtp_tls_proof {
	SMTP_PROOF_NONE,
	SMTP_PROOF_NAMES,     /* a trusted root, and one of proofs: names, ".example.org" for those below it; empty: the
				 host's name */
	SMTP_PROOF_DIGEST,    /* one of proofs: digests of certificate or public key, as bytes */
	SMTP_PROOF_DANE,      /* RFC 7672; without TLSA records: nothing */
	SMTP_PROOF_DANE_ONLY, /* without them the host is not used */
};
/* What signed TLSA records of a host are worth whose name came from an MX record that DNSSEC does not prove. */
enum smtp_insecure_mx {
	SMTP_INSECURE_MX_DANE,    /* as much as others, but it is not called verified */
	SMTP_INSECURE_MX_ENCRYPT, /* TLS is required, the certificate is not looked at */
	SMTP_INSECURE_MX_MAY,     /* nothing */
};
/* What a message with REQUIRETLS (RFC 8689) asks of a server (smtp_requiretls_policy); it is told so where it can hear.
 */
enum smtp_require {
	SMTP_REQUIRE_NONE,
	SMTP_REQUIRE_IF_OFFERED, /* nothing */
	SMTP_REQUIRE_STARTTLS,   /* TLS */
	SMTP_REQUIRE_ENFORCE,    /* TLS with a certificate that is proved, and REQUIRETLS of its own */
};
/* Milliseconds; 0 in a field: the default, which is Postfix's. */
struct smtp_timeouts {
	int64_t connect;    /* 30 s */
	int64_t helo;       /* 300 s: greeting, EHLO, AUTH */
	int64_t starttls;   /* 300 s: STARTTLS and its handshake */
	int64_t mail, rcpt; /* 300 s each */
	int64_t data_init;  /* 120 s: DATA */
	int64_t data_xfer;  /* 180 s: each piece of the body that we write */
	int64_t data_done;  /* 600 s: the answer to the final dot */
	int64_t rset;       /* 20 s */
	int64_t quit;       /* 5 s: only for sending it, the answer is not waited for */
	int64_t xforward;   /* 300 s */
};

/* What was said, for the postmaster: of one message's deliveries, until something goes wrong in one of them and to its
 * end. The text of messages and what log-in says are left out. */
enum smtp_trouble {
	SMTP_TROUBLE_PROTOCOL =
		1,             /* what the server says is no SMTP, or that what we say is none: 500 to 509 and 555 */
	SMTP_TROUBLE_DATA = 2, /* our own file could not be read */
};
struct smtp_talk {
	struct buf text;               /* lines "Out: …" and "In:  …", LF behind each; BUF(limit) to begin with */
	unsigned troubles;             /* enum smtp_trouble */
	bool over;                     /* nothing more is wanted */
	char with[400];                /* "mx.example.org[192.0.2.1]:25": where the trouble was */
};

struct smtp_client_params {
	struct smtp_talk *talk;        /* while the session is opened; NULL: nobody wants it */
	bool lmtp;
	struct slice helo_name;
	enum smtp_tls_level tls;
	enum smtp_require require;
	const char *level;             /* what tls and proof are called in the log: "may", "dane"; NULL: not told */
	bool tls_wrapper;              /* TLS from the first byte (port 465) */
	struct tls_client *tls_client; /* may be NULL with SMTP_TLS_NONE */
	struct tls_client *tls_dane;   /* SMTP_PROOF_DANE, where there are TLSA records; NULL: tls_client */
	const char *tls_name;          /* sent as SNI and compared with the certificate; NULL: the host's name */
	enum smtp_tls_proof proof;
	const struct slice *proofs;
	size_t proofs_count;
	const char *digest;            /* SMTP_PROOF_DIGEST: "sha256" */
	struct dns *dns;               /* SMTP_PROOF_DANE */
	enum smtp_insecure_mx insecure_mx;
	bool insecure_hosts; /* SMTP_PROOF_DANE: hosts whose address DNSSEC does not prove may have TLSA records, too */
	struct slice anchors; /* SMTP_PROOF_NAMES: certificates and public keys (PEM), the only ones to be trusted */
	const struct slice
		*mx_patterns; /* MX hosts that none of these names are not used: "mx.example.org", "*.example.org" */
	size_t mx_patterns_count;
	struct slice user, password;   /* user empty: no AUTH */
	/* What is allowed (enum smtp_mechanism): without TLS, with it, and with it and a certificate that was proved.
	 */
	unsigned mechanisms_clear, mechanisms_tls, mechanisms_verified;
	bool auth_refused_is_final;    /* a 5xx to AUTH is SMTP_NEVER */
	struct smtp_refusals
		*refusals; /* where log-ins are remembered that a 5xx refused; NULL: nowhere. Outlives all clients */
	int64_t refusals_ms;           /* for so long */
	bool mail_auth;                /* AUTH=<> with MAIL, after log-in (RFC 4954 §5) */
	struct addr bind4, bind6;      /* AF_UNSPEC: as the system chooses */
	bool bind_or_not_at_all;       /* an address that cannot be used is no reason to use another one */
	struct smtp_timeouts timeouts;
	const struct slice *discard;   /* EHLO keywords that are not believed ("pipelining") */
	size_t discard_count;
	/* The same for one server, by its address: false: nothing special; words part at commas and blanks and live in
	 * mem. */
	bool (*discard_for)(void *ctx, struct slice address, struct arena *mem, struct slice *words);
	void *discard_ctx;
	bool ehlo_if_named;            /* EHLO only where the greeting says "ESMTP" (smtp_always_send_ehlo = no) */
	bool never_ehlo;
	bool greeting_is_final;        /* a 5xx greeting is SMTP_NEVER (smtp_skip_5xx_greeting = no) */
	bool xforward;                 /* tells a server that offers XFORWARD where messages come from */
	/* Each line of a reply before it is read (smtp_reply_filter); NULL: as it comes. The result lives in mem. */
	struct slice (*filter)(void *ctx, struct slice line, struct arena *mem);
	void *filter_ctx;
	bool quit_waits;               /* for the answer to QUIT (smtp_skip_quit_response = no) */
	bool unquoted;                 /* local parts go out without quotes (smtp_quote_rfc821_envelope = no) */
	/* Time limits are those of a whole reply and of the whole text, of which each byte buys 1/min_data_rate s, up
	 * to the whole (smtp_per_request_deadline); 0: those of each piece. */
	uint64_t min_data_rate;
	size_t line_limit;             /* longer lines of the body are folded (smtp_line_length_limit); 0: 998 */
	const struct slice *own_names; /* a host that answers EHLO with one of these is ourselves, unless named_port */
	size_t own_names_count;
};


struct smtp_recipient {
	struct slice address;          /* local@domain, as it goes between < and > */
	struct slice orcpt;            /* ORCPT as received, in xtext: "rfc822;user+2Btag@example.com"; empty: none */
	unsigned notify;               /* smtp_notify bits; 0: not said */
};

/* head, then size bytes of text or fd from offset on. Line ends are repaired on the way: LF alone becomes CRLF, CR
 * alone a blank. */
struct smtp_body {
	struct slice head;
	int fd;                        /* read with pread, never moved; -1: none */
	uint64_t offset, size;
	struct slice text;             /* SLICE_NONE: fd counts */
};
uint64_t smtp_body_size(const struct smtp_body *b); /* behind head */
/* What stands behind head from `at` on: up to len bytes, of text or read into room. <0: fail(), also when fd ends too
 * early; 0: nothing is left. */
ssize_t smtp_body_read(const struct smtp_body *b, uint64_t at, char *room, size_t len, struct slice *out);

/* Where a message came from, for XFORWARD (XFORWARD_README); what is empty is not known. */
struct smtp_origin {
	struct slice name, address, port, helo, protocol;
	bool local;                    /* from a user of this machine or one who logged in, not from a stranger */
};

struct smtp_message {
	const struct smtp_origin *origin; /* NULL: nothing is known */
	const char *id;                /* queue id for the log, or NULL */
	struct slice sender;           /* empty: the null reverse-path */
	/* Another sender, chosen when there is a connection, by the address that we have on it (NULL: none is known, as
	 * on local sockets). NULL: the sender. */
	struct slice (*sender_from)(void *ctx, const struct addr *ours, struct arena *mem);
	void *sender_ctx;
	struct slice envid;            /* ENVID as received, in xtext */
	enum smtp_ret ret;
	/* 8-bit text goes out as it is even where 8BITMIME is not offered: every server of our day takes it, and a
	 * rewritten body breaks signatures. */
	bool eight_bit;
	bool utf8;                     /* needs SMTPUTF8: 5.6.7 where it is not offered */
	struct smtp_talk *talk;        /* NULL: nobody wants it */
	bool probe;                    /* ends behind RCPT: an accepted recipient is SMTP_DELIVERED, nothing is */
	bool probe_data; /* … behind DATA, for servers that refuse recipients there; its connection is cut */
	const struct smtp_recipient *recipients;
	size_t count;
	struct smtp_body body;
};

enum smtp_fate { SMTP_LATER, SMTP_DELIVERED, SMTP_NEVER };

/* What became of one recipient. Slices live in the arena given. */
struct smtp_outcome {
	enum smtp_fate fate;
	bool never_if_last; /* LATER only: never, when there is no other host */
	bool settled; /* LATER only: another host must not be tried now (the final dot went out unanswered) */
	char status[12];               /* "2.0.0", "4.4.1" */
	struct slice text; /* what Postfix logs in brackets: "host mx[192.0.2.1] said: 550 … (in reply to …)" */
	const char *stage;             /* "RCPT TO command", "end of DATA command"; NULL: no reply was involved */
	int code;                      /* 550; 0: no reply was involved */
	struct slice diagnostic;       /* the reply as received, for Diagnostic-Code; empty: no reply was involved */
	struct slice host;             /* the server's name, for Remote-MTA; empty: none was reached */
	struct slice relay;            /* "mx.example.org[192.0.2.1]:25" for the log, "none" */
	bool dsn;                      /* DELIVERED only: the server offers DSN, success reports are its business */
	unsigned uses;                 /* how many messages went over this connection, this one included */
	struct slice tls;              /* "TLSv1.3 with cipher …"; empty: clear text */
	struct slice tls_status;       /* "may", "dane/requiretls": postconf(5), smtp_log_tls_feature_status */
	int64_t setup_us, send_us;     /* delays c and d: look-up to log-in, MAIL to the last answer */
};

struct smtp_client;
enum smtp_client_result {
	SMTP_CLIENT_OK,
	SMTP_CLIENT_OVER,  /* the connection cannot be used again */
	SMTP_CLIENT_STALE, /* over, and before MAIL was accepted (lost, or 421): a reused connection that grew old */
	SMTP_CLIENT_TLS_BROKEN, /* only from open under SMTP_TLS_MAY: offered and failed; SMTP_TLS_NONE may work */
};
/* SMTP_CLIENT_OK and a client that waits for its first message; or OVER or TLS_BROKEN with *why telling what each
 * recipient would be told (all but the times). params and host are copied, with what they point to. */
enum smtp_client_result smtp_client_open(const struct smtp_client_params *params, const struct smtp_host *host,
                                         struct arena *mem, struct smtp_client **out, struct smtp_outcome *why);
/* One transaction for those recipients whose indexes are listed, each at most once. Fills outcomes[which[i]] whatever
 * happens. OK, OVER or STALE. */
enum smtp_client_result smtp_client_send(struct smtp_client *c, const struct smtp_message *m, const size_t *which,
                                         size_t count, struct arena *mem, struct smtp_outcome *outcomes);
/* Nothing has arrived and the peer has not gone: a message may be tried. */
bool smtp_client_alive(struct smtp_client *c);
void smtp_client_quit(struct smtp_client **c);  /* QUIT if it can still be said, then close */
void smtp_client_close(struct smtp_client **c); /* without a word */

/* What is known of the connection. */
const struct smtp_client_params *smtp_client_params(const struct smtp_client *c);
const struct smtp_host *smtp_client_host(const struct smtp_client *c);
int64_t smtp_client_age_ms(const struct smtp_client *c);
unsigned smtp_client_uses(const struct smtp_client *c); /* messages handed over, or tried */
struct slice smtp_client_relay(const struct smtp_client *c); /* "mx.example.org[192.0.2.1]:25" */
struct tls *smtp_client_tls(const struct smtp_client *c); /* NULL: clear text */
bool smtp_client_half_proved(
	const struct smtp_client *c); /* by DANE, but the host's name came from an MX that is not proved */
bool smtp_client_offers_tls(const struct smtp_client *c);  /* and it is not used */
