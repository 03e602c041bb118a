/* SPDX-License-Identifier: Apache-2.0 */
/* The table of words is the whole truth about what may stand in a restriction list (SMTPD_ACCESS_README, postconf(5)).
 */
#include "filter/restrict_private.h"

const char *const item_titles[ITEMS] = {
	[ITEM_NONE] = "",
	[ITEM_CLIENT] = "Client host",
	[ITEM_REVERSE] = "Unverified Client host",
	[ITEM_HELO] = "Helo command",
	[ITEM_SENDER] = "Sender address",
	[ITEM_RECIPIENT] = "Recipient address",
	[ITEM_ETRN] = "Etrn command",
	[ITEM_CCERT] = "Client certificate",
	[ITEM_SASL] = "SASL login name",
	[ITEM_DATA] = "Data command",
	[ITEM_END] = "End-of-data",
};

#define ACCESS(name, item) { S("check_" name "_access"), ARG_TABLE, check_table, item, 0, NULL }
#define SERVERS(name, item) \
	{ S("check_" name "_mx_access"), ARG_TABLE, check_servers, item, DNS_MX, NULL }, \
	{ S("check_" name "_ns_access"), ARG_TABLE, check_servers, item, DNS_NS, NULL }, \
	{ S("check_" name "_a_access"), ARG_TABLE, check_servers, item, DNS_A, NULL }
#define PLAIN(name, run, item, how) { S(name), ARG_NONE, run, item, how, NULL }
#define OLD_NAME(name, run, item, how, modern) { S(name), ARG_NONE, run, item, how, modern }
#define ZONE(name, run, item) { S(name), ARG_DOMAIN, run, item, 0, NULL }

static const struct word words[] = {
	PLAIN("warn_if_reject", NULL, ITEM_NONE, 0),
	PLAIN("permit", check_permit, ITEM_NONE, 0),
	PLAIN("reject", check_reject, ITEM_NONE, 0),
	PLAIN("defer", check_defer, ITEM_NONE, 0),
	PLAIN("defer_if_permit", check_defer_if_permit, ITEM_NONE, 0),
	PLAIN("defer_if_reject", check_defer_if_reject, ITEM_NONE, 0),
	{ S("sleep"), ARG_NUMBER, check_sleep, ITEM_NONE, 0, NULL },
	{ S("check_policy_service"), ARG_SERVER, check_policy, ITEM_NONE, 0, NULL },
	PLAIN("reject_unauth_pipelining", check_pipelining, ITEM_NONE, 0),
	PLAIN("reject_plaintext_session", check_plaintext, ITEM_NONE, 0),
	PLAIN("reject_multi_recipient_bounce", check_multi_bounce, ITEM_NONE, 0),

	PLAIN("permit_mynetworks", check_permit_networks, ITEM_CLIENT, 0),
	PLAIN("permit_inet_interfaces", check_permit_interfaces, ITEM_CLIENT, 0),
	PLAIN("permit_sasl_authenticated", check_permit_sasl, ITEM_NONE, 0),
	PLAIN("permit_tls_clientcerts", check_permit_certificate, ITEM_NONE, 0),
	PLAIN("permit_tls_all_clientcerts", check_permit_certificate, ITEM_NONE, 1),
	PLAIN("reject_unknown_client_hostname", check_unknown_client, ITEM_CLIENT, 0),
	PLAIN("reject_unknown_reverse_client_hostname", check_unknown_reverse, ITEM_CLIENT, 0),
	PLAIN("reject_unknown_forward_client_hostname", check_unknown_forward, ITEM_CLIENT, 0),
	PLAIN("reject_invalid_helo_hostname", check_helo_valid, ITEM_HELO, 0),
	PLAIN("reject_non_fqdn_helo_hostname", check_helo_fqdn, ITEM_HELO, 0),
	PLAIN("reject_unknown_helo_hostname", check_helo_known, ITEM_HELO, 0),
	PLAIN("reject_non_fqdn_sender", check_address_fqdn, ITEM_SENDER, 0),
	PLAIN("reject_non_fqdn_recipient", check_address_fqdn, ITEM_RECIPIENT, 0),
	PLAIN("reject_unknown_sender_domain", check_address_known, ITEM_SENDER, 0),
	PLAIN("reject_unknown_recipient_domain", check_address_known, ITEM_RECIPIENT, 0),
	PLAIN("reject_unlisted_sender", check_unlisted, ITEM_SENDER, 0),
	PLAIN("reject_unlisted_recipient", check_unlisted, ITEM_RECIPIENT, 0),
	PLAIN("reject_unverified_sender", check_verified, ITEM_SENDER, 0),
	PLAIN("reject_unverified_recipient", check_verified, ITEM_RECIPIENT, 0),
	PLAIN("reject_sender_login_mismatch", check_login, ITEM_SENDER, LOGIN_OF_USERS | LOGIN_OF_STRANGERS),
	PLAIN("reject_authenticated_sender_login_mismatch", check_login, ITEM_SENDER, LOGIN_OF_USERS),
	PLAIN("reject_unauthenticated_sender_login_mismatch", check_login, ITEM_SENDER, LOGIN_OF_STRANGERS),
	PLAIN("reject_known_sender_login_mismatch", check_login, ITEM_SENDER,
	      LOGIN_OF_USERS | LOGIN_OF_STRANGERS | LOGIN_KNOWN_ONLY),
	PLAIN("permit_auth_destination", check_destination, ITEM_RECIPIENT, DESTINATION_PERMIT),
	PLAIN("reject_unauth_destination", check_destination, ITEM_RECIPIENT, DESTINATION_REJECT),
	PLAIN("defer_unauth_destination", check_destination, ITEM_RECIPIENT, DESTINATION_DEFER),
	PLAIN("permit_mx_backup", check_backup, ITEM_RECIPIENT, 0),

	ACCESS("client", ITEM_CLIENT),
	ACCESS("reverse_client_hostname", ITEM_REVERSE),
	ACCESS("helo", ITEM_HELO),
	ACCESS("sender", ITEM_SENDER),
	ACCESS("recipient", ITEM_RECIPIENT),
	ACCESS("etrn", ITEM_ETRN),
	ACCESS("ccert", ITEM_CCERT),
	ACCESS("sasl", ITEM_SASL),
	SERVERS("client", ITEM_CLIENT),
	SERVERS("reverse_client_hostname", ITEM_REVERSE),
	SERVERS("helo", ITEM_HELO),
	SERVERS("sender", ITEM_SENDER),
	SERVERS("recipient", ITEM_RECIPIENT),

	ZONE("reject_rbl_client", check_rbl_client, ITEM_CLIENT),
	ZONE("reject_rhsbl_client", check_rbl_domain, ITEM_CLIENT),
	ZONE("reject_rhsbl_reverse_client", check_rbl_domain, ITEM_REVERSE),
	ZONE("reject_rhsbl_helo", check_rbl_domain, ITEM_HELO),
	ZONE("reject_rhsbl_sender", check_rbl_domain, ITEM_SENDER),
	ZONE("reject_rhsbl_recipient", check_rbl_domain, ITEM_RECIPIENT),
	ZONE("permit_dnswl_client", check_white_client, ITEM_CLIENT),
	ZONE("permit_rhswl_client", check_white_domain, ITEM_CLIENT),

	OLD_NAME("reject_unknown_client", check_unknown_client, ITEM_CLIENT, 0, "reject_unknown_client_hostname"),
	OLD_NAME("reject_unknown_hostname", check_helo_known, ITEM_HELO, 0, "reject_unknown_helo_hostname"),
	OLD_NAME("reject_invalid_hostname", check_helo_valid, ITEM_HELO, 0, "reject_invalid_helo_hostname"),
	OLD_NAME("reject_non_fqdn_hostname", check_helo_fqdn, ITEM_HELO, 0, "reject_non_fqdn_helo_hostname"),
	OLD_NAME("reject_unknown_address", check_address_known, ITEM_SENDER, 0, "reject_unknown_sender_domain"),
	OLD_NAME("check_recipient_maps", check_unlisted, ITEM_RECIPIENT, 0, "reject_unlisted_recipient"),
	OLD_NAME("check_relay_domains", check_destination, ITEM_RECIPIENT, DESTINATION_RELAY,
		 "reject_unauth_destination"),
	{ S("reject_rbl"), ARG_DOMAIN, check_rbl_client, ITEM_CLIENT, 0, "reject_rbl_client" },
	{ S("check_address_map"), ARG_TABLE, check_table, ITEM_RECIPIENT, 0, "check_recipient_access" },
	PLAIN("reject_maps_rbl", check_maps_rbl, ITEM_CLIENT, 0),
	PLAIN("permit_naked_ip_address", check_naked_address, ITEM_HELO, 0),
};

const struct word *word_find(struct slice name) {
	for (size_t i = 0; i < LEN(words); i++)
		if (slice_same(words[i].name, name)) return &words[i];
	return NULL;
}
