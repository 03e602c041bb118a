/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/generation.h"
#include <pthread.h>
#include "conf/dns_filter.h"
#include "flow/outgoing.h"
#include "net/dns.h"
#include "role/boot.h"
#include "role/relay_sign.h"
#include "role/relay_token.h"
#include "smtp/deliver.h"
/* The ways out: one profile for each service of master.cf whose command is smtp or lmtp, with its own -o in effect, and
 * three that are always there: smtp, relay, lmtp. */
struct relay_profile {
	struct slice name;
	const char *tag;                     /* in the log: "smtp", "relay/smtp", "lmtp" */
	bool lmtp;
	const struct conf_view *view;
	struct smtp_target target;           /* what is the same for all messages */
	int level;                           /* enum client_tls */
	bool tls_reuse;                      /* connections with TLS are kept for the next message */
	bool keep_all;                       /* smtp_connection_cache_on_demand: all are; else those of … */
	const struct slice *keep_names;      /* … smtp_connection_cache_destinations */
	struct lookup *keep_tables;          /* parallel; empty: a name */
	size_t keep_count;
	bool final;                          /* lmtp_assume_final: what it takes is delivered, not relayed */
	struct slice best_mx;                /* best_mx_transport */
	struct relay_require *requires;      /* smtp_requiretls_policy, in order; NULL: requiretls_enable = no */
	size_t requires_count;
	bool tls_status;                     /* smtp_log_tls_feature_status */
	bool tls_required_header;            /* "TLS-Required: no" in a message counts (tls_required_enable) */
	struct lookup policies;              /* smtp_tls_policy_maps */
	struct lookup per_site;              /* smtp_tls_per_site, where there are none of those */
	const struct slice *verify_match, *secure_match, *fingerprints;
	size_t verify_match_count, secure_match_count, fingerprints_count;
	const char *digest;
	bool log_in, by_sender;              /* smtp_sasl_auth_enable, smtp_sender_dependent_authentication */
	struct slice login_delimiter;        /* between user and password */
	struct lookup passwords;             /* smtp_sasl_password_maps */
	struct signing_params signing;       /* dkim_…, arc_seal */
	struct outgoing_params outgoing;     /* smtp_header_checks, smtp_generic_maps */
	struct lookup reply_filter, status_filter; /* smtp_reply_filter, smtp_delivery_status_filter */
	struct lookup discard_maps;          /* smtp_discard_ehlo_keyword_address_maps */
	struct dns_filter dns_filter;        /* smtp_dns_reply_filter */
	bool probe_data;                     /* smtp_address_verify_target = data */
	bool tell_postmaster;                /* notify_classes has protocol or data */
	const struct slice *fallback;        /* smtp_fallback_relay */
	size_t fallback_count;
};
/* A table of actions, or an action. */
struct relay_require {
	struct lookup table;                 /* empty: action */
	int action;                          /* enum smtp_require */
};
struct relay_outside;
struct relay_settings {
	struct generation generation;
	struct arena mem;
	struct conf *conf;
	struct tables *tables;
	struct bearer *bearer;               /* OAuth 2 tokens; NULL: not set up */
	struct slice own_name;
	struct rewrite_params rewrite;       /* delimiters and the like */
	struct relay_profile *profiles;
	size_t profiles_count;
	const struct relay_outside *outside;
	struct boot_identity
		*identities; /* the certificates that we can show: file name and chain; the place is vault's number */
	size_t identities_count;
	pthread_mutex_t contexts_lock;
	struct relay_tls_context *contexts;  /* relay_tls.c: what was used last comes first */
};
/* Takes conf and client identities from b. <0: TLS cannot be set up. */
struct relay_outside {
	struct dns *dns;
	struct link *vault;                  /* signs for our certificates */
	struct smtp_refusals *refusals;      /* log-ins that servers refused; kept over reloads */
};
int relay_settings_new(struct boot *b, const struct relay_outside *outside, struct relay_settings **out);
const struct relay_profile *relay_profile_find(const struct relay_settings *s, struct slice transport); /* NULL: none */

/* For smtp_target.login; ctx: struct relay_login. As Postfix looks: the sender first where he counts, then the host,
 * then the next hop as written; and then its host. */
struct relay_login {
	const struct relay_settings *settings;
	const struct relay_profile *profile;
	struct slice hop, sender;
};
bool relay_login(void *ctx, struct slice host, struct arena *mem, struct slice *user, struct slice *password);
/* smtp_delivery_status_filter: another status and text, of the same kind (delivered, or not). */
void relay_filter(const struct relay_profile *p, struct smtp_outcome *o, struct arena *mem);
struct slice relay_filter_reply(void *profile, struct slice line, struct arena *mem); /* smtp_client_params.filter */
/* Is a connection to this next hop kept for the next message? */
bool relay_keeps(const struct relay_profile *p, struct slice hop, struct arena *mem);
bool relay_discard(void *profile, struct slice address, struct arena *mem,
		   struct slice *words);                                      /* smtp_client_params.discard_for */

/* A setting by its smtp_ name: in a profile of LMTP its lmtp_ twin. */
enum setting_id relay_setting(const struct relay_profile *p, enum setting_id smtp);
struct slice relay_text(const struct relay_profile *p, enum setting_id smtp);

/* TLS for a next hop: the profile's level, or what smtp_tls_policy_maps says. waived is asked only where more than
 * TLS_MAY is wanted: does the message say that it may leave without (TLS-Required: no)? 0; 1: a table cannot be asked
 * now; 2: the policy is none that can be kept, fail_text() says why. */
struct relay_tls {
	struct smtp_client_params *client; /* to be filled in */
	struct tls_client *held[2]; /* to be released when client is of no use any more, whatever the answer was */
	bool reuse;
};
int relay_tls(struct relay_settings *s, const struct relay_profile *p, struct slice hop, bool (*waived)(void *ctx),
	      void *ctx, struct arena *mem, struct relay_tls *out);
/* What a message with REQUIRETLS asks of this next hop: enum smtp_require. <0: a table cannot be asked, or says what is
 * no action: everybody waits. */
int relay_require(const struct relay_profile *p, struct slice hop, struct arena *mem);
int relay_require_read(struct relay_settings *s, struct relay_profile *p);
int relay_tls_prepare(struct relay_settings *s,
		      const struct relay_profile *p); /* <0: the settings of TLS cannot be kept */
void relay_tls_done(struct relay_settings *s);
