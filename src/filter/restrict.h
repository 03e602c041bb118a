/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/dns_filter.h"
#include "conf/network.h"
#include "filter/policy.h"
#include "net/dns.h"
/* Restriction lists: smtpd_client_restrictions and its sisters (SMTPD_ACCESS_README, access(5), compat.md §2.5). A list
 * is parsed once, when settings are loaded, and evaluated many times against what is known of a client, its greeting,
 * the sender and a recipient. Order, results, reply codes and texts are Postfix's.
 *
 * Each list ends at its first permit or reject, and every list must be passed. What others must be asked (core, other
 * servers' DNS, policy servers) waits, within limits. */
struct restrictions;

enum restrict_stage {
	RESTRICT_CLIENT, RESTRICT_HELO, RESTRICT_SENDER, RESTRICT_RELAY, RESTRICT_RECIPIENT, RESTRICT_DATA,
	RESTRICT_END_OF_DATA, RESTRICT_ETRN, RESTRICT_STAGES
};
const char *restrict_parameter(enum restrict_stage stage); /* "smtpd_client_restrictions" */

struct restrict_codes { /* …_reject_code and the like */
	int reject, defer, relay, map_reject, map_defer, rbl, bad_name, non_fqdn, unknown_client, unknown_address,
		unknown_helo, multi_bounce, plaintext, unverified_sender, unverified_recipient,
		unverified_sender_defer, unverified_recipient_defer, unknown_local, unknown_relay, unknown_alias,
		unknown_mailbox;
};
/* All of one service; borrowed for as long as the restrictions live. */
struct restrict_params {
	struct slice lists[RESTRICT_STAGES];     /* the text of each, expanded */
	struct slice classes;                    /* smtpd_restriction_classes */
	struct slice maps_rbl;                   /* maps_rbl_domains */
	/* The text of a parameter that the file defines itself (a class), false when there is none. */
	bool (*text)(void *ctx, struct slice name, struct slice *out);
	/* What is wrong with a list: the parameter, the word and why. fatal: mail that gets there will be answered with
	 * 451 4.3.5, as Postfix does. */
	void (*problem)(void *ctx, bool fatal, const char *text);
	void *ctx;
	struct tables *tables;                   /* NULL: only checked, never evaluated: tables are not opened */
	struct restrict_codes codes;
	bool delay_reject;                       /* smtpd_delay_reject: client, helo and sender only at RCPT */
	bool relay_first;                        /* smtpd_relay_before_recipient_restrictions */
	bool unlisted_recipient, unlisted_sender; /* smtpd_reject_unlisted_… */
	bool soft_bounce;
	bool show_table;                         /* show_user_unknown_table_name */
	bool parents_by_name;                    /* smtpd_access_maps in parent_domain_matches_subdomains */
	bool auth_enabled, ask_certificate;
	struct slice delimiters;                 /* recipient_delimiter */
	struct slice null_key;                   /* smtpd_null_access_lookup_key */
	int helo_tempfail, address_tempfail, sender_tempfail, recipient_tempfail; /* enum tempfail_action */
	const struct networks *networks, *backup_networks; /* mynetworks, permit_mx_backup_networks (NULL: all) */
	const struct addr *own;                  /* addresses of ours: inet_interfaces, proxy_interfaces */
	size_t own_count;
	struct slice rbl_reply;                  /* default_rbl_reply */
	const struct expand_filter *expansion;   /* smtpd_expansion_filter; NULL: all */
	struct dns_filter dns_filter;            /* smtpd_dns_reply_filter */
	struct lookup rbl_replies, login_maps,
		certificates;                    /* rbl_reply_maps, smtpd_sender_login_maps, relay_clientcerts */
	const struct slice *log_permits;         /* smtpd_log_access_permit_actions */
	size_t log_permits_count;
	struct slice unverified_sender_reason, unverified_recipient_reason;
	const char *host, *mail_name;            /* myhostname */
	struct slice origin;                     /* myorigin: the domain of addresses without one */
	struct slice stress, compatibility_level, mail_version; /* told to policy servers */
	struct dns *dns;                         /* NULL: names cannot be looked up now */
	struct policy_params policy;
};
/* Reads the lists; `mem` holds all of it. Cannot fail: what is wrong is told to problem. */
struct restrictions *restrict_new(const struct restrict_params *p, struct arena *mem) NONNULL_RESULT;
void restrict_free(struct restrictions **r); /* closes connections to policy servers */
bool restrict_is_empty(const struct restrictions *r, enum restrict_stage stage);
/* R2: mail for strangers must be refused by the relay or the recipient list (or not be taken from strangers at all).
 * False: fail_text() says so in Postfix's words. */
bool restrict_guards_relay(const struct restrictions *r);

/* What is known. Slices with at == NULL: not known yet. */
enum restrict_name { NAME_KNOWN, NAME_LATER, NAME_NONE, NAME_FORGED };
struct restrict_client {
	struct addr addr;
	struct slice ip, port, name, reverse;    /* "unknown" without */
	struct slice shown;                      /* "name[ip]" */
	enum restrict_name name_state, reverse_state;
	struct slice server_ip, server_port;     /* our end */
};
struct restrict_tls {
	struct slice protocol, cipher, subject, issuer, certificate, key, sni; /* certificate, key: fingerprints */
	int bits;
	bool has_certificate, trusted;
};
struct restrict_facts {
	const struct restrict_client *client;
	const char *where;                       /* "RCPT", for policy servers and the log */
	const char *proto;
	struct slice helo, sender, recipient, etrn;
	unsigned recipients;                     /* accepted so far */
	uint64_t size;                           /* as declared, then as it was */
	struct slice login, mechanism, auth_sender;
	bool utf8, early;                        /* early: it talked out of turn */
	const struct restrict_tls *tls;          /* NULL: clear text */
	struct slice queue_id, instance;
};

/* A reply to refuse with. */
struct restrict_reply {
	int code;
	char status[12];
	struct slice text; /* in the arena given */
};
/* Where an address leads, as far as a restriction wants to know. */
struct restrict_place {
	enum { PLACE_ELSEWHERE, PLACE_LOCAL, PLACE_ALIAS, PLACE_MAILBOX, PLACE_RELAY } domain_class;
	bool listed;       /* somebody, or as much as is known */
	bool routed;       /* has a route in it (user@there@here): not to be trusted */
	bool full;         /* listed, but there is no room: for who accepts mail, not for restrictions */
	int code;          /* of the refusal; 0: by the class */
	struct slice status, text; /* of the refusal; empty: "User unknown in … table" */
};
/* VERIFIED_WAIT: not known yet, the caller wants to be asked again. */
enum restrict_verified {
	VERIFIED_GOOD,
	VERIFIED_BAD,
	VERIFIED_LATER,
	VERIFIED_UNDER_WAY,
	VERIFIED_BROKEN,
	VERIFIED_WAIT
};
enum {
	RESTRICT_WAIT = 2
}; /* a code: the stage is to be run again later, from its beginning and with its first state */
struct restrict_ops {
	/* False: cannot be said now. */
	bool (*place)(void *ctx, struct slice address, struct arena *mem, struct restrict_place *out);
	/* Whose a sender address is: user@dom, user where dom is a local domain, @dom. enum table_answer. */
	int (*owners)(void *ctx, const struct lookup *login_maps, struct slice address, struct arena *mem,
		      struct lookup_hit *hit);
	/* Address verification; why in mem. NULL: none. */
	enum restrict_verified (*verify)(void *ctx, struct slice address, struct arena *mem, struct slice *why);
	/* "reject_warning", "hold", …: a line in the form of a rejection. */
	void (*log)(void *ctx, const char *what, struct slice text);
	void (*warn)(void *ctx, const char *text); /* a plain warning */
	bool (*sleep)(void *ctx, unsigned seconds); /* false: it has not been slept yet: RESTRICT_WAIT */
	/* What policyd-spf would answer, where that is named and nobody listens. NULL: not known. */
	struct slice (*spf)(void *ctx, struct arena *mem);
	bool (*early)(void *ctx); /* has the client talked out of turn by now? */
};

/* What goes on from one stage to the next; the caller keeps it with the session. */
struct restrict_deferral {
	bool active;
	int code;
	char status[12], text[512]; /* of the first reason */
};
enum { EFFECTS_MAX = 1000 }; /* of each kind */
struct restrict_effects { /* of one transaction; texts in the arena of the stage that set them */
	bool hold, discard;
	struct slice filter, redirect;
	struct slice *bcc, *prepend;
	size_t bcc_count, prepend_count;
};
struct restrict_state {
	struct restrict_deferral if_permit, if_reject;
	bool permit_client, permit_helo, permit_sender; /* if_permit was active behind these stages */
	bool sender_checked, recipient_checked;
	bool asked_ahead; /* block lists */
	struct restrict_effects effects;
};
void restrict_state_reset(struct restrict_state *s); /* at MAIL and when a transaction ends: the effects are gone */

struct restrict_run {
	const struct restrictions *rules;
	struct restrict_state *state;
	const struct restrict_facts *facts;
	const struct restrict_ops *ops;
	void *ctx;
	struct arena *mem;      /* for replies */
	struct arena *tx;       /* for effects: lives as long as the transaction */
};
/* One stage of the dialogue, with whatever is delayed to it. True: go on; else *out is the refusal; code 0 there: hang
 * up without a word (HANGUP). */
bool restrict_connect(const struct restrict_run *run, struct restrict_reply *out);
bool restrict_helo(const struct restrict_run *run, struct restrict_reply *out);
bool restrict_mail(const struct restrict_run *run, struct restrict_reply *out);
bool restrict_rcpt(const struct restrict_run *run, struct restrict_reply *out);
bool restrict_data(const struct restrict_run *run, struct restrict_reply *out);
bool restrict_end(const struct restrict_run *run, struct restrict_reply *out);
bool restrict_etrn(const struct restrict_run *run, struct restrict_reply *out);
