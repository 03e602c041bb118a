/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/link.h"
#include "trust/keyring.h"
#include "trust/evidence.h"
#include "trust/report.h"
/* The questions that cross between our processes. Each is a struct made from one field list, used by both ends, and a
 * plain function for the asking end. Who may ask what is the answering role's table of link_rules (role/core.c,
 * role/vault.c, role/relay.c).
 *
 * Text in an answer lives in the arena given. Results: ASK_OK; ASK_LATER, when the other process is not there, was
 * restarted meanwhile or took too long (whether it acted is then not known); below zero fail(). */
enum ask_result { ASK_OK, ASK_LATER };

enum ask_kind {
	ASK_ROUTE = 1,   /* edge → core: where does this address lead? */
	ASK_ACCOUNT,     /* edge → core: may this login come in, and which account is it? */
	ASK_ACCEPT,      /* edge → core: take this message */
	ASK_SESSION,     /* edge → core: go on with this client who has logged in; also of the hato command */
	ASK_REFUSED,     /* edge → core: we refused this (for `hato why`) */
	ASK_PASSWORD,    /* edge → vault: is this password right? */
	ASK_SIGN,        /* edge, relay → vault: sign this with a TLS key */
	ASK_SECRET,      /* core → vault: set or delete a password */
	ASK_RELAY,       /* core → relay: deliver this message to this next hop */
	ASK_FLUSH,       /* edge → core: try what waits for this domain (ETRN) */
	ASK_VERIFY,      /* edge → core: would mail for this address be taken? */
	ASK_ADMIN,       /* the hato command → core: an operator's request */
	ASK_DKIM_KEYS,   /* edge, relay → vault: which keys sign for this author? */
	ASK_DKIM_SIGN,   /* edge, relay → vault: sign this digest with a DKIM key */
	ASK_DKIM_LIST,   /* core, relay → vault: the DKIM keys, without what is secret */
	ASK_DKIM_SEEN,   /* relay → vault: the record of a key that waited is in DNS */
	ASK_DKIM_CHANGE, /* core → vault: make, rotate, import, remove DKIM keys */
	ASK_REPORT, /* core → relay: what does this report mail say? (a stranger's text is not read where the store is)
		     */
	ASK_PERMISSION, /* core → relay: may reports about one domain go to another? */
	ASK_NAME,       /* core → relay: the name of this address */
	ASK_TARGETS,    /* core → relay: where does this domain of ours want its reports? */
	ASK_RECALL,     /* edge → core: what was kept under this key? */
	ASK_KEEP,       /* edge → core: keep this over restarts */
	ASK_SCRAM,      /* edge → vault: the salt of this account, or: is this SCRAM proof right? */
	ASK_TOKEN,      /* edge → relay: whose OAuth 2 token is this? */
	ASK_APP,        /* core → vault: add, delete, list app passwords */
	ASK_EXTRACT,    /* core → agent: the text of this attachment (search_text_program) */
};

/* A list of texts, for use inside the structs below. */
struct ask_text {
	struct slice text;
};
WIRE_DECLARE(ask_text)

struct route_ask {
	struct slice address, sender; /* sender: for sender-dependent tables, in standard form */
};
#define ROUTE_ASK_FIELDS(F) F(text, address) F(text, sender)
enum route_verdict {
	ROUTE_LOCAL,    /* somebody whom we deliver or pass mail to; with class RELAY as well */
	ROUTE_UNKNOWN,  /* a domain of ours, nobody of that name, or one who has moved: status and text say it */
	ROUTE_DISABLED, /* the account is switched off */
	ROUTE_FOREIGN,  /* class DEFAULT: not our domain */
	ROUTE_FULL,     /* the account has no room: status and text say it, and whether for now ("4.2.2") */
	ROUTE_DEFER,    /* a table cannot be asked now: text says which (for the log; strangers hear "Temporary lookup
			   failure") */
};
/* The address classes of ADDRESS_CLASS_README. A domain with an account, alias or entry in hato's database is LOCAL. */
enum route_class {
	ROUTE_CLASS_NONE, /* not said: the address itself is no address */
	ROUTE_CLASS_LOCAL,
	ROUTE_CLASS_VIRTUAL_ALIAS,
	ROUTE_CLASS_VIRTUAL_MAILBOX,
	ROUTE_CLASS_RELAY,
	ROUTE_CLASS_DEFAULT,
};
/* status and text belong to ROUTE_UNKNOWN and ROUTE_DISABLED: "5.1.1" and "User unknown in local recipient table",
 * "5.1.6" and "User has moved to …". The reply code is the door's (unknown_local_recipient_reject_code, …); 450 for a
 * status "4.…". An address of class DEFAULT is ROUTE_UNKNOWN too, when it leads to the error or retry transport. */
struct route_answer {
	uint32_t verdict, class;
	struct slice status, text;
};
#define ROUTE_ANSWER_FIELDS(F) F(u32, verdict) F(u32, class) F(text, status) F(text, text)
int ask_route(struct link *core, const struct route_ask *ask, struct arena *mem, struct route_answer *answer);

struct account_ask {
	struct slice login;  /* "ann@example.com", or "ann@example.com*admin@example.com" (auth_master_user_separator):
				he acts as ann */
	struct slice act_as; /* whose mail it shall be, when not his own; empty: his own */
};
#define ACCOUNT_ASK_FIELDS(F) F(text, login) F(text, act_as)
struct account_answer {
	bool granted;      /* and he may act as that one */
	struct slice name; /* the account's address: whose password counts; also when not granted, if there is such an
			      account */
	int64_t account;   /* whose mail it will be */
	struct slice as;   /* its address */
};
#define ACCOUNT_ANSWER_FIELDS(F) F(bool_, granted) F(text, name) F(i64, account) F(text, as)
int ask_account(struct link *core, const struct account_ask *ask, struct arena *mem, struct account_answer *answer);

struct accept_recipient {
	struct slice address; /* local@domain as given in RCPT */
	struct slice orcpt;   /* RFC 3461 "type;xtext", or empty */
	uint32_t notify;      /* RFC 3461 bits */
	struct slice original; /* what it was before somebody changed it; empty: the address */
};
#define ACCEPT_RECIPIENT_FIELDS(F) F(text, address) F(text, orcpt) F(u32, notify) F(text, original)
WIRE_DECLARE(accept_recipient)
/* Where a message came from, as milters, pipe(8) and XFORWARD name it; empty where nobody knows. */
struct relay_client {
	struct slice name, address, port, helo, protocol, sasl_method, sasl_username, sasl_sender;
};
#define RELAY_CLIENT_FIELDS(F) \
	F(text, name) F(text, address) F(text, port) F(text, helo) F(text, protocol) F(text, sasl_method) \
	F(text, sasl_username) F(text, sasl_sender)
WIRE_DECLARE(relay_client)
/* A message at the door. The stored body is head, then either body or, for a large one, size bytes of the descriptor
 * that comes along. The first return_path bytes of head are the Return-Path line, which is not sent on to other
 * servers. */
struct accept_ask {
	struct slice queue_id, sender, envid;
	uint32_t ret;
	int64_t arrived_us;
	struct accept_recipient *recipients;
	size_t recipients_count;
	struct slice head, body;
	uint64_t return_path, spooled; /* bytes in the descriptor */
	struct slice summary;          /* packed, of the stored body */
	struct slice message_id, client; /* for log and history: "name[address]" */
	bool eight_bit, utf8;
	uint32_t flags;                /* enum accept_flags */
	struct slice filter; /* "transport:nexthop" for all recipients (FILTER, content_filter); empty: none */
	struct slice redirect;         /* one address instead of all recipients (REDIRECT); empty: none */
	struct relay_client from;      /* for pipe(8) and XFORWARD */
	/* A user here handed it in and may be gone: who cannot be reached is told of in a bounce, never in the answer.
	 * With refusal set, nobody gets it: it is returned to its sender with this reason. */
	bool submitted;
	struct slice refusal_status, refusal;
	struct evidence_record evidence; /* who sent it; not checked for our own users */
};
#define ACCEPT_ASK_FIELDS(F) \
	F(text, queue_id) F(text, sender) F(text, envid) F(u32, ret) F(i64, arrived_us) \
	F(list, recipients, accept_recipient) F(text, head) F(text, body) F(u64, return_path) \
	F(u64, spooled) F(text, summary) F(text, message_id) F(text, client) F(bool_, eight_bit) \
	F(bool_, utf8) F(u32, flags) F(text, filter) F(text, redirect) F(part, from, relay_client) \
	F(bool_, submitted) F(text, refusal_status) F(text, refusal) F(part, evidence, evidence_record)
enum accept_flags {                     /* the upper 16 bits: VERP's delimiters (verp.h) */
		    ACCEPT_HOLD = 1,    /* queued and stored nowhere until an operator lets it go (HOLD) */
		    ACCEPT_DISCARD = 2, /* thrown away, and logged (DISCARD) */
		    ACCEPT_NO_MAPPINGS =
			    4, /* no canonical, virtual alias, masquerade or bcc maps (no_address_mappings) */
		    ACCEPT_VERIFY =
			    16, /* nobody gets it: the sender is told where each recipient leads (sendmail -bv) */
		    ACCEPT_NO_BCC = 8, /* no always_bcc and bcc maps: they were applied before (a message that comes
					  back from a filter) */
		    ACCEPT_SIGN = 32,  /* of one of our own: signed with the author's key as it leaves */
		    ACCEPT_JUNK = 64,  /* into the mailbox Junk instead of INBOX (DMARC: quarantine) */
		    ACCEPT_FINAL = 256, /* into the account of exactly this address, and envid names the mailbox, in
					   xtext and modified UTF-7: dovecot-lda */
		    ACCEPT_UNLIMITED = 512, /* with ACCEPT_FINAL: whatever the limits of the account */
		    ACCEPT_REQUIRE_TLS = 4096, /* REQUIRETLS (RFC 8689) */
		    /* core's own: what forward_look found, kept for users' .forward */
		    ACCEPT_FORWARD_BAD = 1024,   /* nothing proves its author, and something should */
		    ACCEPT_FORWARD_FAILS = 2048, /* it must fail DMARC where it is forwarded to */
};
enum accept_verdict { ACCEPT_STORED, ACCEPT_LATER, ACCEPT_DISK_FULL, ACCEPT_REFUSED };
struct accept_answer {
	uint32_t verdict;
	struct slice status, text; /* for all but ACCEPT_STORED: "5.2.2", words */
};
#define ACCEPT_ANSWER_FIELDS(F) F(u32, verdict) F(text, status) F(text, text)
/* spool: the descriptor, or -1. */
int ask_accept(struct link *core, const struct accept_ask *ask, int spool, struct arena *mem,
	       struct accept_answer *answer);
/* The same in two parts, for who awaits the channel in between (net/pool.h). The end closes it or gives it back. */
struct accept_wait {
	int channel;
	int64_t until;
};
int ask_accept_begin(struct link *core, const struct accept_ask *ask, int spool, struct accept_wait *wait);
int ask_accept_end(struct link *core, struct accept_wait *wait, struct arena *mem, struct accept_answer *answer);

/* SESSION_IMAP: the client's bytes come over wire. Or, if it is `handed`, his socket does, with one byte, as soon as
 * the answer to this is there (descriptor.h): from then on wire only tells either side that the other one is there.
 * SESSION_SMTP: the session stays in edge. Core writes down who is there; wire is then only a sign of life: edge closes
 * its end when the session is over, and finds it closed when the session shall end (`hato kick`). */
enum session_protocol { SESSION_IMAP, SESSION_POP3, SESSION_SMTP };
struct session_ask {
	uint32_t protocol;
	int64_t account;
	uint64_t session;
	struct slice login, tag, remote;
	bool tls;
	bool utf8;                 /* the client asked for UTF-8 before it logged in (POP3) */
	uint32_t language;         /* enum language, chosen before log-in */
	uint32_t offer;            /* POP3: the SASL mechanisms that CAPA names */
	bool no_uidonly;           /* IMAP: by what the client said of itself before log-in */
	struct slice master;       /* who acts as the account; empty: itself */
	bool handed;               /* IMAP */
};
#define SESSION_ASK_FIELDS(F) \
	F(u32, protocol) F(i64, account) F(u64, session) F(text, login) F(text, tag) F(text, remote) \
	F(bool_, tls) F(bool_, utf8) F(u32, language) F(u32, offer) F(bool_, no_uidonly) F(text, master) \
	F(bool_, handed)
struct session_answer {
	bool open;
};
#define SESSION_ANSWER_FIELDS(F) F(bool_, open)
/* wire: core's end of the socket pair; stays the caller's. */
int ask_session(struct link *core, const struct session_ask *ask, int wire, struct arena *mem,
		struct session_answer *answer);
/* The operator's: channel is a connected control socket, and `login` says whose mail it shall be. Not open: there is no
 * such account. */
int ask_session_at(int channel, const struct session_ask *ask, int wire, struct arena *mem,
		   struct session_answer *answer);

struct refused_ask {
	struct slice sender, recipient, peer, status, text;
	struct slice queue_id;           /* with evidence */
	struct evidence_record evidence; /* checked: a message was refused for it, told once for all its recipients */
};
#define REFUSED_ASK_FIELDS(F) \
	F(text, sender) \
	F(text, recipient) F(text, peer) F(text, status) F(text, text) F(text, queue_id) \
		F(part, evidence, evidence_record)
struct empty_answer {
	bool done;
};
#define EMPTY_ANSWER_FIELDS(F) F(bool_, done)
int ask_refused(struct link *core, const struct refused_ask *ask, struct arena *mem);

struct flush_ask {
	struct slice domain;
};
#define FLUSH_ASK_FIELDS(F) F(text, domain)
int ask_flush(struct link *core, const struct flush_ask *ask, struct arena *mem);

struct verify_ask {
	struct slice address;
};
#define VERIFY_ASK_FIELDS(F) F(text, address)
enum verify_verdict { VERIFY_GOOD, VERIFY_BAD, VERIFY_LATER, VERIFY_UNDER_WAY };
struct verify_answer {
	uint32_t verdict;
	struct slice text; /* why */
};
#define VERIFY_ANSWER_FIELDS(F) F(u32, verdict) F(text, text)
int ask_verify(struct link *core, const struct verify_ask *ask, struct arena *mem, struct verify_answer *answer);

/* Small facts of edge's that shall outlive it. */
enum keep_kind { KEEP_SCREEN, KEEP_RATES, KEEP_KINDS };
struct recall_ask {
	uint32_t kind;
	struct slice key;
};
#define RECALL_ASK_FIELDS(F) F(u32, kind) F(text, key)
struct recall_answer {
	bool found;
	struct slice value;
};
#define RECALL_ANSWER_FIELDS(F) F(bool_, found) F(text, value)
int ask_recall(struct link *core, const struct recall_ask *ask, struct arena *mem, struct recall_answer *answer);
struct keep_ask {
	uint32_t kind;
	struct slice key, value;
	int64_t until_us;
};
#define KEEP_ASK_FIELDS(F) F(u32, kind) F(text, key) F(text, value) F(i64, until_us)
int ask_keep(struct link *core, const struct keep_ask *ask, struct arena *mem);

struct password_ask {
	struct slice login, password;
};
#define PASSWORD_ASK_FIELDS(F) F(text, login) F(text, password)
struct password_answer {
	bool right;
};
#define PASSWORD_ANSWER_FIELDS(F) F(bool_, right)
int ask_password(struct link *vault, const struct password_ask *ask, struct arena *mem, struct password_answer *answer);

struct scram_ask {
	struct slice account, proof, message; /* proof empty: the salt is asked for */
	bool sha256;
};
#define SCRAM_ASK_FIELDS(F) F(text, account) F(text, proof) F(text, message) F(bool_, sha256)
struct scram_answer {
	bool right;
	struct slice salt, signature;
	uint64_t rounds;
};
#define SCRAM_ANSWER_FIELDS(F) F(bool_, right) F(text, salt) F(text, signature) F(u64, rounds)
int ask_scram(struct link *vault, const struct scram_ask *ask, struct arena *mem, struct scram_answer *answer);

/* bearer.h. What a refused client is told comes along. */
struct token_ask {
	struct slice token;
};
#define TOKEN_ASK_FIELDS(F) F(text, token)
struct token_answer {
	uint32_t verdict;          /* enum bearer_verdict */
	struct slice user, status, scope, discovery;
};
#define TOKEN_ANSWER_FIELDS(F) F(u32, verdict) F(text, user) F(text, status) F(text, scope) F(text, discovery)
int ask_token(struct link *relay, const struct token_ask *ask, struct arena *mem, struct token_answer *answer);

/* App passwords (user/secret.h). */
enum app_want { APP_ADD, APP_DELETE, APP_LIST };
struct app_ask {
	uint32_t want;
	struct slice account, name;
};
#define APP_ASK_FIELDS(F) F(u32, want) F(text, account) F(text, name)
struct app_row {
	struct slice name;
	int64_t created_us, used_us;
};
#define APP_ROW_FIELDS(F) F(text, name) F(i64, created_us) F(i64, used_us)
WIRE_DECLARE(app_row)
struct app_answer {
	int answer;            /* enum secret_answer and its like, 0: done; below zero: */
	struct slice why;
	struct slice password; /* APP_ADD */
	struct app_row *rows;  /* APP_LIST */
	size_t rows_count;
};
#define APP_ANSWER_FIELDS(F) F(int_, answer) F(text, why) F(text, password) F(list, rows, app_row)
int ask_app(struct link *vault, const struct app_ask *ask, struct arena *mem, struct app_answer *answer);

struct sign_ask {
	uint64_t key;
	struct slice request; /* packed remote_sign_request */
};
#define SIGN_ASK_FIELDS(F) F(u64, key) F(text, request)
struct sign_answer {
	struct slice signature;
};
#define SIGN_ANSWER_FIELDS(F) F(text, signature)
int ask_sign(struct link *vault, const struct sign_ask *ask, struct arena *mem, struct sign_answer *answer);

struct secret_ask {
	struct slice account;
	struct slice password; /* empty: delete */
	bool is_hash;          /* password is a hash with its scheme */
};
#define SECRET_ASK_FIELDS(F) F(text, account) F(text, password) F(bool_, is_hash)
struct secret_answered {
	int answer;        /* enum secret_answer, 0: done */
};
#define SECRET_ANSWERED_FIELDS(F) F(int_, answer)
int ask_secret(struct link *vault, const struct secret_ask *ask, struct arena *mem, struct secret_answered *answer);

/* DKIM's keys (trust/keyring.h). */
struct dkim_keys_ask {
	struct slice author;       /* "user@example.org", or "@example.org"; lower case */
	bool subdomains;           /* the keys of a domain sign for those below it */
};
#define DKIM_KEYS_ASK_FIELDS(F) F(text, author) F(bool_, subdomains)
struct dkim_keys_key {
	uint64_t id;
	struct slice domain, selector;
	uint32_t algorithm;        /* enum dkim_algorithm */
};
#define DKIM_KEYS_KEY_FIELDS(F) F(u64, id) F(text, domain) F(text, selector) F(u32, algorithm)
WIRE_DECLARE(dkim_keys_key)
struct dkim_keys_answer {
	struct dkim_keys_key *keys; /* none: such mail is not signed */
	size_t keys_count;
};
#define DKIM_KEYS_ANSWER_FIELDS(F) F(list, keys, dkim_keys_key)
int ask_dkim_keys(struct link *vault, const struct dkim_keys_ask *ask, struct arena *mem,
		  struct dkim_keys_answer *answer);

struct dkim_sign_one {
	uint64_t key;
	struct slice digest;       /* SHA-256 */
};
#define DKIM_SIGN_ONE_FIELDS(F) F(u64, key) F(text, digest)
WIRE_DECLARE(dkim_sign_one)
enum { DKIM_SIGN_MOST = 32 };
struct dkim_sign_ask {             /* all signatures of a message in one question */
	struct dkim_sign_one *wanted;
	size_t wanted_count;       /* at most DKIM_SIGN_MOST */
};
#define DKIM_SIGN_ASK_FIELDS(F) F(list, wanted, dkim_sign_one)
struct dkim_signed {
	struct slice signature;    /* empty: it cannot be made */
	struct slice reason;
};
#define DKIM_SIGNED_FIELDS(F) F(text, signature) F(text, reason)
WIRE_DECLARE(dkim_signed)
struct dkim_sign_answer {
	struct dkim_signed *made;  /* in the same order */
	size_t made_count;
};
#define DKIM_SIGN_ANSWER_FIELDS(F) F(list, made, dkim_signed)
int ask_dkim_sign(struct link *vault, const struct dkim_sign_ask *ask, struct arena *mem,
		  struct dkim_sign_answer *answer);

struct dkim_list_ask {
	struct slice domain;       /* empty: all */
	bool waiting;              /* only those that wait for their record */
};
#define DKIM_LIST_ASK_FIELDS(F) F(text, domain) F(bool_, waiting)
struct dkim_list_answer {
	struct keyring_key *keys;
	size_t keys_count;
};
#define DKIM_LIST_ANSWER_FIELDS(F) F(list, keys, keyring_key)
int ask_dkim_list(struct link *vault, const struct dkim_list_ask *ask, struct arena *mem,
		  struct dkim_list_answer *answer);
struct dkim_seen_ask {
	uint64_t key;
	uint32_t dns;              /* enum keyring_dns */
};
#define DKIM_SEEN_ASK_FIELDS(F) F(u64, key) F(u32, dns)
int ask_dkim_seen(struct link *vault, const struct dkim_seen_ask *ask, struct arena *mem);

enum dkim_change {
	DKIM_MAKE, /* keys for those of the domains that have none; now: before the answer, else when there is time */
	DKIM_ROTATE,
	DKIM_SWITCH, /* those that wait sign from now on, whatever DNS says */
	DKIM_IMPORT,
	DKIM_REMOVE,
	DKIM_TIDY, /* what retired before `before_s` is deleted */
};
struct dkim_change_ask {
	uint32_t what;
	struct ask_text *domains;
	size_t domains_count;
	struct slice selector;     /* of MAKE and ROTATE: the form of keyring_wish; empty: the setting's */
	struct slice pem;
	bool now;
	int64_t before_s;
};
#define DKIM_CHANGE_ASK_FIELDS(F) \
	F(u32, what) F(list, domains, ask_text) F(text, selector) F(text, pem) F(bool_, now) F(i64, before_s)
struct dkim_change_answer {
	int answer;                /* 0, an enum keyring_answer, or <0: reason */
	struct slice reason;
};
#define DKIM_CHANGE_ANSWER_FIELDS(F) F(int_, answer) F(text, reason)
int ask_dkim_change(struct link *vault, const struct dkim_change_ask *ask, struct arena *mem,
		    struct dkim_change_answer *answer);

/* What a recipient means to the agent process, which delivers with the rights of Unix users. Core expands aliases(5):
 * what is left are names, commands and files. */
enum relay_target {
	RELAY_ADDRESS, /* the address: for transport local all of local(8) but aliases: .forward, mailbox_transport, …
			*/
	RELAY_MAILBOX, /* transport local: the user's mailbox, without looking at ~/.forward (again) */
	RELAY_COMMAND, /* transport local: target is the command */
	RELAY_FILE,    /* transport local: target is the path */
};
struct relay_recipient {
	struct slice address, orcpt;
	uint32_t notify;
	struct slice original;     /* as it came to us first, for X-Original-To; empty: the address */
	uint32_t kind;             /* enum relay_target */
	struct slice target;
	struct slice rights;       /* the Unix user whose command or file it is; empty: default_privs */
	struct slice delivered, below; /* as in route_end */
	bool named;
};
#define RELAY_RECIPIENT_FIELDS(F) \
	F(text, address) F(text, orcpt) F(u32, notify) F(text, original) F(u32, kind) F(text, target) F(text, rights) \
	F(text, delivered) F(text, below) F(bool_, named)
WIRE_DECLARE(relay_recipient)
/* One message to one next hop; the body is text, or the descriptor where text is empty, from offset on, size bytes,
 * with head before it. Asked of relay, and of the agent (never with text) for the transports whose command in master.cf
 * is local, virtual or pipe. */
struct relay_ask {
	struct slice queue_id;
	bool sign;                 /* DKIM: ACCEPT_SIGN */
	struct slice seal;         /* ARC: the domain of the alias that sends a stranger's mail on; empty: none */
	struct slice
		srs; /* of forwarded mail: the sender instead of `sender`, if that does not pass SPF; empty: none */
	bool srs_always;           /* whatever SPF says */
	struct slice transport;    /* the service in master.cf: "smtp", "relay", "local", "maildrop" */
	struct slice
		hop; /* the next hop: "example.com", "[host]:587, [other]:587", "unix:path", what pipe calls nexthop */
	struct slice sender, envid, head;
	struct slice text;         /* a small message */
	uint32_t ret;
	bool eight_bit, utf8;
	bool require_tls;          /* RFC 8689 */
	bool probe;                /* only RCPT is asked, nothing is delivered */
	uint64_t offset, size;
	int64_t arrived_us;
	struct relay_client client;
	struct relay_recipient *recipients;
	size_t recipients_count;
};
#define RELAY_ASK_FIELDS(F) \
	F(text, queue_id) \
	F(text, srs) \
	F(bool_, srs_always) F(text, transport) F(text, hop) F(text, sender) F(text, envid) F(text, head) \
		F(text, text) F(u32, ret) F(bool_, eight_bit) F(bool_, utf8) F(bool_, require_tls) \
			F(bool_, probe) F(u64, offset) \
			F(u64, size) F(i64, arrived_us) F(part, client, relay_client) F(bool_, sign) F(text, seal) \
				F(list, recipients, relay_recipient)
/* Further fates beside enum smtp_fate. */
enum {
	RELAY_REDIRECTED = 3, /* replaced by the targets (.forward, mailbox_transport, luser_relay) */
	RELAY_UNTRIED         /* relay ends, and no server was spoken to: this counts as no try */
};
enum redirect_kind {
	REDIRECT_ADDRESS, /* text: an address, perhaps without domain; goes through all of core's rewriting and routing
			   */
	REDIRECT_MAILBOX, /* the user's own mailbox: RELAY_MAILBOX of the same address */
	REDIRECT_COMMAND, /* text: the command */
	REDIRECT_FILE,    /* text: the path */
	REDIRECT_TRANSPORT, /* text: "transport:nexthop"; the address stays. Stands alone */
};
struct relay_redirect {
	uint32_t kind;
	struct slice text;
};
#define RELAY_REDIRECT_FIELDS(F) F(u32, kind) F(text, text)
WIRE_DECLARE(relay_redirect)
enum { REDIRECTS_MAX = 1000 };
struct relay_outcome {
	uint32_t fate;             /* enum smtp_fate, or RELAY_… */
	struct slice status, text, diagnostic, host, relay, tls;
	struct slice tls_status;   /* "may", "dane/requiretls": how what was asked of TLS was kept; empty: not told */
	bool dsn;                  /* the next server takes care of success reports */
	uint32_t uses;
	int64_t setup_us, send_us; /* delays c and d */
	struct relay_redirect *redirects;
	size_t redirects_count;
	struct slice rights;       /* of redirected commands and files */
	bool prepend;              /* redirected addresses get the message with a Delivered-To of this one */
	bool final;                /* delivered into a mailbox, not passed on (RFC 3464 "delivered", not "relayed") */
};
#define RELAY_OUTCOME_FIELDS(F) \
	F(u32, fate) \
	F(text, status) F(text, text) F(text, diagnostic) F(text, host) F(text, relay) F(text, tls) \
		F(text, tls_status) F(bool_, dsn) F(u32, uses) F(i64, setup_us) F(i64, send_us) \
			F(list, redirects, relay_redirect) F(text, rights) F(bool_, prepend) F(bool_, final)
WIRE_DECLARE(relay_outcome)
struct relay_answer {
	struct relay_outcome *outcomes; /* one for each recipient, in order */
	size_t outcomes_count;
	uint32_t troubles;         /* enum smtp_trouble, with whom, and what was said (flow/notice.h) */
	struct slice trouble_with, talk;
	bool lmtp, cut;            /* cut: the end of talk is missing */
};
#define RELAY_ANSWER_FIELDS(F) \
	F(list, outcomes, relay_outcome) \
	F(u32, troubles) F(text, trouble_with) F(text, talk) F(bool_, lmtp) F(bool_, cut)
/* Asked by a task that parks on its channel until the answer can be read: two halves instead of one call. */
int ask_relay_send(int channel, const struct relay_ask *ask, int body);
int ask_relay_receive(int channel, struct arena *mem, struct relay_answer *answer);

/* body: the mail, from its start. */
int ask_report(struct link *relay, int body, struct arena *mem, struct report_list *answer);

struct permission_ask {
	struct slice domain, host; /* of the policy; of the address that wants reports */
	bool failure;              /* ruf=, not rua= */
	uint32_t fault;            /* enum dkim_fault of a signature of domain (RFC 6651): host is empty, the answer
				      names the address */
};
#define PERMISSION_ASK_FIELDS(F) F(text, domain) F(text, host) F(bool_, failure) F(u32, fault)
enum permission_verdict { PERMISSION_NO, PERMISSION_YES, PERMISSION_LATER };
struct permission_answer {
	uint32_t verdict;
	struct ask_text *addresses; /* instead of the one in the policy; none: that one */
	size_t addresses_count;
};
#define PERMISSION_ANSWER_FIELDS(F) F(u32, verdict) F(list, addresses, ask_text)
int ask_permission(struct link *relay, const struct permission_ask *ask, struct arena *mem,
		   struct permission_answer *answer);

struct extract_ask {
	struct slice type, name;   /* of the file: "application/pdf", "Rechnung.pdf" */
};
#define EXTRACT_ASK_FIELDS(F) F(text, type) F(text, name)
struct extract_answer {
	uint32_t fate;             /* enum smtp_fate: delivered, never (it has no text), later (no program runs) */
	struct slice text, why;
};
#define EXTRACT_ANSWER_FIELDS(F) F(u32, fate) F(text, text) F(text, why)
/* file: its bytes, from where the descriptor stands */
int ask_extract(struct link *agent, const struct extract_ask *ask, int file, struct arena *mem,
		struct extract_answer *answer);

struct name_ask {
	struct slice address;
};
#define NAME_ASK_FIELDS(F) F(text, address)
struct name_answer {
	struct slice name;         /* that leads back to the address; empty: none, or nobody knows now */
};
#define NAME_ANSWER_FIELDS(F) F(text, name)
int ask_name(struct link *relay, const struct name_ask *ask, struct arena *mem, struct name_answer *answer);

struct targets_ask {
	struct slice domain;
};
#define TARGETS_ASK_FIELDS(F) F(text, domain)
struct targets_answer {
	struct ask_text *addresses; /* of rua and ruf of its DMARC record, and rua of its TLSRPT record */
	size_t addresses_count;
};
#define TARGETS_ANSWER_FIELDS(F) F(list, addresses, ask_text)
int ask_targets(struct link *relay, const struct targets_ask *ask, struct arena *mem, struct targets_answer *answer);

struct admin_ask {
	struct ask_text *args;
	size_t args_count;
	struct slice input; /* what came on standard input */
};
#define ADMIN_ASK_FIELDS(F) F(list, args, ask_text) F(text, input)
struct admin_answer {
	int code;           /* sysexits(3) */
	struct slice out, err;
};
#define ADMIN_ANSWER_FIELDS(F) F(int_, code) F(text, out) F(text, err)
/* channel: a connected control socket. */
int ask_admin(int channel, const struct admin_ask *ask, struct arena *mem, struct admin_answer *answer);

WIRE_DECLARE(token_ask)
WIRE_DECLARE(token_answer)
WIRE_DECLARE(recall_ask)
WIRE_DECLARE(recall_answer) WIRE_DECLARE(keep_ask) WIRE_DECLARE(route_ask) WIRE_DECLARE(route_answer) WIRE_DECLARE(
	account_ask) WIRE_DECLARE(account_answer) WIRE_DECLARE(accept_ask) WIRE_DECLARE(accept_answer)
	WIRE_DECLARE(session_ask) WIRE_DECLARE(session_answer) WIRE_DECLARE(refused_ask) WIRE_DECLARE(
		flush_ask) WIRE_DECLARE(verify_ask) WIRE_DECLARE(verify_answer) WIRE_DECLARE(empty_answer)
		WIRE_DECLARE(password_ask) WIRE_DECLARE(password_answer) WIRE_DECLARE(scram_ask) WIRE_DECLARE(
			scram_answer) WIRE_DECLARE(app_ask) WIRE_DECLARE(app_answer) WIRE_DECLARE(sign_ask)
			WIRE_DECLARE(sign_answer) WIRE_DECLARE(secret_ask) WIRE_DECLARE(secret_answered) WIRE_DECLARE(
				relay_ask) WIRE_DECLARE(relay_answer) WIRE_DECLARE(admin_ask) WIRE_DECLARE(admin_answer)
				WIRE_DECLARE(dkim_keys_ask) WIRE_DECLARE(dkim_keys_answer) WIRE_DECLARE(dkim_sign_ask)
					WIRE_DECLARE(dkim_sign_answer) WIRE_DECLARE(dkim_list_ask)
						WIRE_DECLARE(dkim_list_answer) WIRE_DECLARE(dkim_seen_ask) WIRE_DECLARE(
							dkim_change_ask) WIRE_DECLARE(dkim_change_answer)
							WIRE_DECLARE(extract_ask) WIRE_DECLARE(extract_answer)
							WIRE_DECLARE(permission_ask) WIRE_DECLARE(permission_answer)
								WIRE_DECLARE(name_ask) WIRE_DECLARE(name_answer)
									WIRE_DECLARE(targets_ask)
										WIRE_DECLARE(targets_answer)
