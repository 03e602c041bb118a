/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/network.h"
#include "filter/checks.h"
#include "filter/rate.h"
#include "filter/restrict.h"
#include "flow/ask.h"
#include "flow/check_answer.h"
#include "flow/known.h"
#include "flow/header.h"
#include "flow/milting.h"
#include "flow/notice.h"
#include "flow/probe_sender.h"
#include "flow/proving.h"
#include "flow/rewrite.h"
#include "flow/signing.h"
#include "flow/submitters.h"
#include "net/dns.h"
#include "smtp/server.h"
/* Admission: what edge decides while a stranger, or a user of ours, speaks SMTP to it. The conversation itself is
 * smtp's; this answers its questions, takes the message in, and hands it to core. */

/* One listening service; constant while sessions use it. */
struct admit_params {
	const char *service;             /* for the log: "smtpd", "submission/smtpd" */
	const char *host;                /* myhostname */
	const char *mail_name;           /* in Received */
	const char *banner;              /* text of the greeting */
	const char *origin;              /* myorigin: the domain of addresses without one */
	const char *spool_dir;
	size_t memory_limit;             /* larger contents are spooled to a file */
	unsigned hop_limit;              /* hopcount_limit */
	const struct networks *networks; /* mynetworks: may relay without log-in */
	const struct domains *relay_domains;
	bool show_login;                 /* smtpd_sasl_authenticated_header */
	bool hide_session;               /* smtpd_hide_client_session */
	bool show_tls;                   /* smtpd_tls_received_header */
	bool note_require_tls;           /* REQUIRETLS is noted in a header, and believed where one notes it */
	struct link *core, *vault, *relay;
	struct known *known;             /* addresses that core just said are ours */
	struct known *elsewhere;         /* "sender\naddress": that lead elsewhere, for who may relay */
	struct dns *dns;
	struct tls_server *tls;          /* NULL: no TLS */
	struct rates *rates;             /* what each client did lately */
	const struct rate_params *rate_params;
	const struct networks *rate_exceptions;
	const struct restrictions *restrictions;
	const struct networks *xclient, *xforward; /* smtpd_authorized_…_hosts */
	const char *digest;              /* smtpd_tls_fingerprint_digest */
	bool note_header_end;            /* non_empty_end_of_header_action = add_header */
	struct probe_sender probe;       /* mail from and for it is no mail: probes of who we probe */
	unsigned verify_polls;           /* address_verify_poll_count */
	int64_t verify_delay;            /* address_verify_poll_delay, ms */
	bool look_up_names;              /* smtpd_peername_lookup */
	bool log_port;                   /* smtpd_client_port_logging */
	struct slice footer;             /* smtpd_reject_footer, unexpanded */
	struct lookup footer_maps;
	const struct expand_filter *expansion; /* smtpd_expansion_filter; NULL: all */
	struct lookup ehlo_maps;         /* smtpd_discard_ehlo_keyword_address_maps */
	const struct slice *flush;       /* fast_flush_domains: names; its tables: */
	size_t flush_count;
	struct lookup flush_tables;
	bool flush_parents;              /* parent_domain_matches_subdomains */
	bool six;                        /* inet_protocols: IPv6 is spoken */
	struct lookup command_filter;    /* smtpd_command_filter */
	const struct slice *forbidden;   /* smtpd_forbidden_commands: words; its tables: */
	size_t forbidden_count;
	struct lookup forbidden_tables;
	const struct rewrite_params *rewrite;
	const struct slice *ehlo_discard; /* smtpd_discard_ehlo_keywords */
	size_t ehlo_discard_count;
	const struct header_params *header;
	struct slice content_filter;     /* "transport:nexthop" for all mail, unless a table says FILTER; empty: none */
	const struct sign_clients {      /* whose mail is signed (DKIM), and whose is none of its business */
		const struct networks *networks;      /* dkim_sign_networks; NULL: nothing is signed */
		const struct domains *hosts;          /* the same by confirmed name */
		const struct slice *daemons;          /* services, by the name that milters are told: */
		size_t daemons_count;
		struct slice daemon_name;             /* this one's */
		const struct slice *macros;           /* "name" or "name=value|value", as milters know them */
		size_t macros_count;
		const struct slice *exempt_recipients; /* patterns with *: mail to any of them is not signed */
		size_t exempt_recipients_count;
		const struct networks *ignored;       /* neither signed nor verified: clients, */
		const struct domains *ignored_hosts, *ignored_authors; /* their names, and authors */
		bool log_why;
		/* Copies that stay here are signed as they come in (dkim_sign_local); NULL: no. here_all: not only
		 * those of clients who logged in. */
		const struct signing_params *here;
		struct signing *signing;
		bool here_all;
	} *sign;                         /* NULL: nothing is signed, nobody ignored */
	uint32_t accept_flags;           /* of every message: ACCEPT_NO_MAPPINGS (receive_override_options) */
	const struct checks_params *checks; /* header_checks and the like; NULL: none */
	struct header_clients {          /* local_header_rewrite_clients */
		bool interfaces, networks, logged_in, certified;
		const struct addr *own;  /* our addresses */
		size_t own_count;
		struct lookup maps;      /* check_address_map */
	} header_clients;
	const struct milting_params *milters, *other_milters; /* smtpd_milters; non_smtpd_milters. NULL: none */
	const struct proving_params *proving; /* who sent it: asked of strangers. NULL: never */
	const struct check_params *check; /* check@; NULL: there is none */
	bool log_tls;                    /* smtpd_tls_loglevel >= 1 */
	uint64_t size_limit;             /* message_size_limit */
	const char *submit_wishes;       /* flow/submit_words.h */
	uint64_t min_free;               /* queue_minfree */
	const struct networks *verp;     /* smtpd_authorized_verp_clients; NULL: nobody */
	const struct networks *no_login; /* smtpd_sasl_exceptions_networks; NULL: nobody */
	struct slice login_domain;       /* smtpd_sasl_local_domain */
	struct dovecot *dovecot;         /* judges log-ins while it is there; NULL: we do */
	const struct dovecot_wish *dovecot_clear, *dovecot_tls;
	const struct certificate_map *certificates; /* sasl_external_cert_maps; NULL: none */
	struct lookup refusal_maps;      /* smtpd_reject_filter_maps */
	const struct slice *peers;       /* debug_peer_list; its tables, in order: */
	size_t peers_count;
	struct lookup peer_tables;
	bool trust_routes;               /* allow_untrusted_routing */
	const struct smtp_target *proxy; /* smtpd_proxy_filter; NULL: none */
	const struct notice_params *notices; /* troubles of sessions that the postmaster hears of; NULL: none */
	const struct submitters *submitters; /* authorized_submit_users; NULL: everybody */
	struct lookup login_senders;         /* local_login_sender_maps; count 0: any sender */
	struct slice login_nobody;           /* what it calls the empty sender */
	struct slice login_delimiters;       /* recipient_delimiter: extensions do not count */
	const struct submitters *logins;     /* knows their names */
	const struct submitters *deliverers; /* authorized_deliver_users, of dovecot-lda */
};

struct admit;
/* A user of this machine, who hands mail in through the submission socket (role/maildrop.h): known by his user id,
 * may send anywhere, is not restricted, and gets what cannot be delivered as a bounce. host is his address in
 * everything that asks for one: localhost. */
struct admit *admit_new_local(const struct admit_params *params, uid_t uid, uint64_t session) NONNULL_RESULT;
/* peer: the client; session: a number unique among live sessions, for the log. Looks the client's name up (may wait for
 * DNS some seconds). */
struct admit *admit_new(const struct admit_params *params, const struct addr *peer, uint64_t session) NONNULL_RESULT;
void admit_daemon(struct admit *a, const struct addr *own); /* our end of its connection; before its first step */
void admit_socket(struct admit *a, int fd); /* the connection itself, borrowed */
void admit_attach(struct admit *a, struct smtp_server *server); /* the session it serves; before its first step */
void admit_free(struct admit **a);
extern const struct smtp_server_ops admit_ops; /* owner: a struct admit */
