/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/generation.h"
#include "flow/outgoing.h"
#include "net/dns.h"
#include "role/boot.h"
#include "smtp/deliver.h"
/* The ways out: one profile for each service of master.cf whose command is smtp or lmtp, with its own -o in effect, and three that
 * are always there: smtp, relay, lmtp. */
enum { TLS_OFFERED, TLS_REQUIRED, TLS_CONTEXTS };
struct relay_profile {
	struct slice name;
	const char *tag;                     /* in the log: "smtp", "relay/smtp", "lmtp" */
	bool lmtp;
	const struct conf_view *view;
	struct smtp_target target;           /* what is the same for all messages */
	int level;                           /* enum client_tls */
	struct tls_client *tls[TLS_CONTEXTS]; /* with the versions and ciphers for TLS that is offered, or required */
	struct lookup policies;              /* smtp_tls_policy_maps */
	const struct slice *verify_match, *secure_match, *fingerprints;
	size_t verify_match_count, secure_match_count, fingerprints_count;
	const char *digest;
	bool log_in, by_sender;              /* smtp_sasl_auth_enable, smtp_sender_dependent_authentication */
	bool plain_in_clear, plain_in_tls;   /* whether passwords may be sent as they are */
	struct lookup passwords;             /* smtp_sasl_password_maps, where it is no file of root's: see logins */
	struct outgoing_params outgoing;     /* smtp_header_checks, smtp_generic_maps */
	const struct slice *fallback;        /* smtp_fallback_relay */
	size_t fallback_count;
};
struct relay_settings {
	struct generation generation;
	struct arena mem;
	struct conf *conf;
	struct tables *tables;
	char *logins;                        /* "destination user:password" lines */
	struct slice own_name;
	struct rewrite_params rewrite;       /* delimiters and the like */
	struct relay_profile *profiles;
	size_t profiles_count;
};
/* Takes conf and logins from b. <0: TLS cannot be set up. */
int relay_settings_new(struct boot *b, struct dns *dns, struct relay_settings **out);
const struct relay_profile *relay_profile_find(const struct relay_settings *s, struct slice transport); /* NULL: none */

/* user:password for a next hop and a sender: as Postfix looks, the sender first where he counts, then the next hop as written,
 * then its host. 0, or 1: a table cannot be asked now. Nothing found: user stays empty. */
int relay_login(const struct relay_settings *s, const struct relay_profile *p, struct slice hop, struct slice sender,
		struct arena *mem, struct slice *user, struct slice *password);
/* TLS for a next hop: the profile's level, or what smtp_tls_policy_maps says. 0; 1: a table cannot be asked now; 2: the policy is
 * none that can be kept, fail_text() says why. */
int relay_tls(const struct relay_profile *p, struct slice hop, struct arena *mem, struct smtp_client_params *client);
