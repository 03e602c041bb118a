/* SPDX-License-Identifier: Apache-2.0 */
/* Settings that are each in order and together are not: who gets in, where mail for a domain goes, what stays readable
 * on its way. One table of checks; each looks at one view and says at most one thing about it. */
#include "base/fail.h"
#include "conf/snapshot.h"

static struct place place_of(const struct conf_view *v, enum setting_id id) {
	if (view_raw(v, id)->text.at != NULL) return view_raw(v, id)->where;
	return (struct place){ v->conf->main_path, 0 };
}

static bool is_set(const struct conf_view *v, enum setting_id id) { return conf_text(v, id).len > 0; }

static bool has_word(struct slice list, struct slice word) {
	for (struct slice one; (one = slice_word(&list, ", \t\r\n")).len > 0;)
		if (slice_same(one, word)) return true;
	return false;
}

#define SAY(v, level, id, ...) problem_add(&(v)->conf->problems, level, place_of(v, id), __VA_ARGS__)

/* Networks */

static bool listens_outside(const struct conf_view *v) {
	if (v->service != NULL && v->service->type == SERVICE_INET && v->service->host.len > 0)
		return !slice_eq(v->service->host, S("localhost")) && !slice_starts(v->service->host, S("127.")) &&
		       !slice_eq(v->service->host, S("::1"));
	struct slice list = conf_text(v, SET_inet_interfaces);
	for (struct slice word; (word = slice_word(&list, ", \t\r\n")).len > 0;)
		if (!slice_same(word, S("loopback-only")) && !slice_same(word, S("localhost")) &&
		    !slice_starts(word, S("127.")) && !slice_eq(word, S("::1")) && !slice_eq(word, S("[::1]")))
			return true;
	return false;
}

/* Everybody of IPv4 or IPv6 is at home here. */
static void check_networks(const struct conf_view *v) {
	const struct networks *n = conf_networks(v, SET_mynetworks);
	bool permits = has_word(conf_text(v, SET_smtpd_relay_restrictions), S("permit_mynetworks")) ||
	               has_word(conf_text(v, SET_smtpd_recipient_restrictions), S("permit_mynetworks"));
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	for (size_t i = 0; permits && i < n->count; i++) {
		bool v4 = n->at[i].bits >= 96 && memcmp(n->at[i].address, mapped, sizeof mapped) == 0;
		unsigned bits = v4 ? n->at[i].bits - 96u : n->at[i].bits, wide = v4 ? 8 : 16;
		if (n->at[i].except || n->at[i].table.len > 0 || bits >= wide || !listens_outside(v)) continue;
		SAY(v, bits == 0 ? PROBLEM_ERROR : PROBLEM_WARNING, SET_mynetworks,
		    bits == 0 ? "mynetworks holds every %s address, and permit_mynetworks lets them send to anywhere: "
				"an open relay (name your own networks)"
			      : "mynetworks holds a large part of all %s addresses, and permit_mynetworks lets them "
				"send to anywhere (name your own networks)",
		    v4 ? "IPv4" : "IPv6");
		return;
	}
}

/* An address of every kind in mynetworks is told above. */
static bool told_already(const struct conf_view *v, const struct open_door *door) {
	const struct networks *n = conf_networks(v, SET_mynetworks);
	for (size_t i = 0; door->setting == SET_mynetworks && i < n->count; i++)
		if (!n->at[i].except && n->at[i].table.len == 0 && (n->at[i].bits == 96 || n->at[i].bits == 0))
			return true;
	return false;
}

/* What the lists say in the end, whoever comes. */
static void check_strangers(const struct conf_view *v) {
	AUTO_ARENA struct arena mem = { 0 };
	struct open_door door;
	if (!listens_outside(v)) return;
	if (is_set(v, SET_smtpd_authorized_xclient_hosts) && strangers_in(v, SET_smtpd_authorized_xclient_hosts, &mem))
		SAY(v, PROBLEM_ERROR, SET_smtpd_authorized_xclient_hosts,
		    "smtpd_authorized_xclient_hosts holds everybody: with XCLIENT each client may say that it comes "
		    "from mynetworks, or that it has logged in: an open relay (name the one proxy that may say so)");
	if (!strangers_may_send(v, &mem, &door) || told_already(v, &door)) return;
	const char *setting = setting_of(door.setting)->name;
	if (door.setting == SET_smtpd_relay_restrictions || door.setting == SET_smtpd_recipient_restrictions)
		SAY(v, PROBLEM_ERROR, door.setting,
		    "%s: %.*s says OK to everybody before strangers' mail is refused: an open relay (put "
		    "reject_unauth_destination before it)",
		    setting, SLICE_ARG(door.word));
	else if (door.setting == SET_mynetworks)
		SAY(v, PROBLEM_ERROR, SET_mynetworks,
		    "mynetworks holds everybody, and permit_mynetworks lets them send to anywhere: an open relay (name "
		    "your own networks)");
	else
		SAY(v, PROBLEM_ERROR, door.setting,
		    "%s: %.*s holds every domain, so that everybody may send to anywhere: an open relay (name your own "
		    "domains)",
		    setting, SLICE_ARG(door.word));
}

/* Words and settings by which some strangers may send to anywhere, or say that they are none. */
static void check_doubtful(const struct conf_view *v) {
	static const struct { struct slice word; const char *why; } words[] = {
		{ S("permit_naked_ip_address"),
		  "whoever greets with a bare address may send to anywhere (leave it out)" },
		{ S("permit_tls_all_clientcerts"),
		  "whoever has a certificate of any authority in smtpd_tls_CAfile may send to anywhere "
		  "(permit_tls_clientcerts and relay_clientcerts name them one by one)" },
		{ S("permit_mx_backup"),
		  "whoever names this server as an MX of his domain may send through it (name the domains in "
		  "relay_domains)" },
	};
	static const enum setting_id lists[] = { SET_smtpd_relay_restrictions, SET_smtpd_recipient_restrictions };
	if (!listens_outside(v)) return;
	if (is_set(v, SET_smtpd_upstream_proxy_protocol))
		SAY(v, PROBLEM_WARNING, SET_smtpd_upstream_proxy_protocol,
		    "smtpd_upstream_proxy_protocol = %s: whoever reaches this port says himself which address he comes "
		    "from, one of mynetworks too (let nobody but the proxy reach it)",
		    conf_text(v, SET_smtpd_upstream_proxy_protocol).at);
	for (size_t i = 0; i < LEN(lists) * LEN(words); i++) {
		enum setting_id list = lists[i / LEN(words)];
		if (has_word(conf_text(v, list), words[i % LEN(words)].word))
			SAY(v, PROBLEM_WARNING, list, "%s: %.*s: %s", setting_of(list)->name,
			    SLICE_ARG(words[i % LEN(words)].word), words[i % LEN(words)].why);
	}
}

/* Docker takes its networks from 172.16.0.0/12. Where its proxy hands connections on, all the Internet comes from the
 * gateway there. */
static void check_containers(const struct conf_view *v) {
	static const uint8_t mapped[13] = { [10] = 0xff, [11] = 0xff, [12] = 172 };
	const struct networks *n = conf_networks(v, SET_mynetworks);
	if (view_raw(v, SET_mynetworks)->text.at == NULL) return;
	for (size_t i = 0; i < n->count; i++) {
		const struct network *one = &n->at[i];
		bool theirs = memcmp(one->address, mapped, sizeof mapped) == 0 && (one->address[13] & 0xf0) == 16;
		bool wide = one->bits >= 96 + 12 && one->bits <= 96 + 16;
		if (!theirs || one->except || one->table.len > 0 || !wide) continue;
		SAY(v, PROBLEM_WARNING, SET_mynetworks,
		    "mynetworks holds 172.%u.0.0/%u, of which Docker makes its networks: where a proxy of it hands "
		    "connections on, strangers come from there too and may relay (name the one network you mean)",
		    (unsigned)one->address[13], one->bits - 96u);
		return;
	}
}

/* RFC 5321 §4.2: the greeting begins with who greets. */
static void check_banner(const struct conf_view *v) {
	struct slice rest = conf_text(v, SET_smtpd_banner), host = conf_text(v, SET_myhostname);
	struct slice first = slice_word(&rest, " \t");
	if (view_raw(v, SET_smtpd_banner)->text.at == NULL || slice_same(first, host)) return;
	SAY(v, PROBLEM_WARNING, SET_smtpd_banner,
	    "smtpd_banner begins with \"%.*s\" and not with myhostname, %.*s, as clients expect (RFC 5321 4.2)",
	    SLICE_ARG(first), SLICE_ARG(host));
}

/* Log-in and encryption */

static void check_login(const struct conf_view *v) {
	bool login = conf_bool(v, SET_smtpd_sasl_auth_enable), wrapper = conf_bool(v, SET_smtpd_tls_wrappermode);
	int level = conf_enum(v, SET_smtpd_tls_security_level);
	bool only = conf_bool(v, SET_smtpd_tls_auth_only);
	if (!login || wrapper || level == SERVER_TLS_ENCRYPT) return;
	if (level == SERVER_TLS_NONE && only && listens_outside(v)) /* filters hand mail back without a log-in */
		SAY(v, PROBLEM_WARNING, SET_smtpd_tls_security_level,
		    "smtpd_sasl_auth_enable = yes without TLS: nobody can log in here, for smtpd_tls_auth_only = yes "
		    "offers log-in over TLS only "
		    "(smtpd_tls_security_level = may)");
	else if (!only)
		SAY(v, PROBLEM_WARNING, SET_smtpd_tls_auth_only,
		    "smtpd_sasl_auth_enable = yes with smtpd_tls_auth_only = no: passwords may cross the network for "
		    "everybody to read");
}

static void check_client_login(const struct conf_view *v) {
	bool login = conf_bool(v, SET_smtp_sasl_auth_enable), maps = is_set(v, SET_smtp_sasl_password_maps);
	int level = conf_enum(v, SET_smtp_tls_security_level);
	if (login && !maps)
		SAY(v, PROBLEM_WARNING, SET_smtp_sasl_auth_enable,
		    "smtp_sasl_auth_enable = yes, but smtp_sasl_password_maps is empty: hato logs in nowhere");
	else if (!login && maps)
		SAY(v, PROBLEM_WARNING, SET_smtp_sasl_password_maps,
		    "smtp_sasl_password_maps is set, but smtp_sasl_auth_enable is not yes: hato logs in nowhere");
	else if (login && level <= CLIENT_TLS_MAY && !conf_bool(v, SET_smtp_tls_wrappermode) &&
		 is_set(v, SET_relayhost) && !has_word(conf_text(v, SET_smtp_sasl_security_options), S("noplaintext")))
		SAY(v, PROBLEM_WARNING, SET_smtp_sasl_security_options,
		    "smtp_sasl_security_options without noplaintext, and smtp_tls_security_level = %s: the password "
		    "may go to relayhost unencrypted "
		    "(smtp_tls_security_level = encrypt)",
		    level == CLIENT_TLS_MAY ? "may" : "none");
}

static void check_public_tls(const struct conf_view *v) {
	if (v->service != NULL && v->service->type == SERVICE_INET && v->service->port == 25 &&
	    conf_enum(v, SET_smtpd_tls_security_level) == SERVER_TLS_ENCRYPT && listens_outside(v))
		SAY(v, PROBLEM_WARNING, SET_smtpd_tls_security_level,
		    "smtpd_tls_security_level = encrypt on port 25: servers that cannot encrypt can send no mail here "
		    "(RFC 3207 asks public servers not to demand it)");
}

/* Domains */

static void one_class(const struct conf_view *v, enum setting_id a, enum setting_id b) {
	struct slice left = conf_text(v, a), word;
	while ((word = slice_word(&left, ", \t\r\n")).len > 0) {
		if (slice_find(word, ':') < word.len || word.at[0] == '/' || word.at[0] == '!') continue;
		if (!has_word(conf_text(v, b), word)) continue;
		SAY(v, PROBLEM_WARNING, b, "do not list domain %.*s in BOTH %s and %s", SLICE_ARG(word),
		    setting_of(a)->name, setting_of(b)->name);
		return;
	}
}

static void check_domains(const struct conf_view *v) {
	static const enum setting_id pairs[][2] = {
		{ SET_mydestination, SET_virtual_alias_domains },    { SET_mydestination, SET_virtual_mailbox_domains },
		{ SET_relay_domains, SET_virtual_alias_domains },    { SET_relay_domains, SET_virtual_mailbox_domains },
		{ SET_virtual_alias_domains, SET_virtual_mailbox_domains },
	};
	for (size_t i = 0; i < LEN(pairs); i++) one_class(v, pairs[i][0], pairs[i][1]);
	if (view_raw(v, SET_relay_domains)->text.at != NULL &&
	    slice_find(view_raw(v, SET_relay_domains)->text, '$') == view_raw(v, SET_relay_domains)->text.len)
		one_class(v, SET_mydestination, SET_relay_domains);
}

static void check_recipients(const struct conf_view *v) {
	if (view_raw(v, SET_local_recipient_maps)->text.at != NULL && !is_set(v, SET_local_recipient_maps) &&
	    is_set(v, SET_mydestination) && slice_starts(conf_text(v, SET_local_transport), S("local")))
		SAY(v, PROBLEM_WARNING, SET_local_recipient_maps,
		    "local_recipient_maps is empty: mail for unknown users is accepted and bounces to senders who are "
		    "often forged");
	if (view_raw(v, SET_relay_domains)->text.at != NULL && is_set(v, SET_relay_domains) &&
	    !is_set(v, SET_relay_recipient_maps))
		SAY(v, PROBLEM_INFO, SET_relay_domains,
		    "relay_recipient_maps is empty: mail for unknown users of relay_domains is accepted and may bounce "
		    "to forged senders");
}

/* Transports: "name:nexthop", where name is a line of master.cf */

static bool is_transport(const struct conf *c, struct slice name) {
	static const char *const built_in[] = {
		"local", "virtual", "smtp", "lmtp", "relay", "error", "retry", "discard"
	};
	for (size_t i = 0; i < LEN(built_in); i++)
		if (slice_eq(name, slice_of(built_in[i]))) return true;
	for (size_t i = 0; i < c->services.count; i++)
		if (c->services.at[i].type != SERVICE_INET && c->services.at[i].type != SERVICE_PASS &&
		    slice_eq(c->services.at[i].name, name))
			return true;
	return false;
}

static void check_transports(const struct conf_view *v) {
	static const enum setting_id ids[] = {
		SET_default_transport, SET_relay_transport,    SET_local_transport,    SET_virtual_transport,
		SET_best_mx_transport, SET_mailbox_transport,  SET_fallback_transport, SET_content_filter,
	};
	for (size_t i = 0; i < LEN(ids); i++) {
		struct slice text = conf_text(v, ids[i]), name = slice_cut(&text, ':');
		if (name.len == 0 || is_transport(v->conf, name) || (v->service != NULL && !view_is_own(v, ids[i])))
			continue;
		SAY(v, PROBLEM_WARNING, ids[i], "%s = %.*s: master.cf has no transport \"%.*s\": its mail will wait",
		    setting_of(ids[i])->name, SLICE_ARG(conf_text(v, ids[i])), SLICE_ARG(name));
	}
	struct slice list = conf_text(v, SET_defer_transports);
	for (struct slice word; (word = slice_word(&list, ", \t\r\n")).len > 0;)
		if (!is_transport(v->conf, word))
			SAY(v, PROBLEM_WARNING, SET_defer_transports,
			    "defer_transports: master.cf has no transport \"%.*s\"", SLICE_ARG(word));
}

/* Sizes */

static void check_sizes(const struct conf_view *v) {
	static const enum setting_id limits[] = { SET_mailbox_size_limit, SET_virtual_mailbox_limit };
	uint64_t message = conf_size(v, SET_message_size_limit);
	for (size_t i = 0; i < LEN(limits); i++) {
		uint64_t limit = conf_size(v, limits[i]);
		if (view_raw(v, limits[i])->text.at != NULL && limit > 0 && (message == 0 || message > limit))
			SAY(v, PROBLEM_WARNING, limits[i],
			    "%s (%llu) is smaller than message_size_limit (%llu): large messages are accepted and "
			    "cannot be delivered",
			    setting_of(limits[i])->name, (unsigned long long)limit, (unsigned long long)message);
	}
}

/* Debian's master.cf has syslog_name=postfix/submission in its lines, which is half of what such tools look for. */
static void check_log_names(const struct conf_view *v) {
	struct slice own = conf_text(&v->conf->main, SET_syslog_name), here = conf_text(v, SET_syslog_name);
	if (slice_starts(here, S("postfix/")) && slice_eq(own, S("hato")))
		SAY(v, PROBLEM_INFO, SET_syslog_name,
		    "log lines of this service begin with %.*s, those of the others with hato: pflogsumm and fail2ban "
		    "look for postfix (in main.cf: syslog_name = postfix)",
		    SLICE_ARG(here));
}

static void check_soft_bounce(const struct conf_view *v) {
	if (conf_bool(v, SET_soft_bounce))
		SAY(v, PROBLEM_WARNING, SET_soft_bounce,
		    "soft_bounce = yes: nothing is refused for good and nothing bounces; meant for trials only");
}

/* Who sent it */

static bool was_set(const struct conf_view *v, enum setting_id id) { return view_raw(v, id)->text.at != NULL; }

/* Settings that wait for a check which is switched off. */
static void check_proofs(const struct conf_view *v) {
	static const struct { enum setting_id set, needs; } pairs[] = {
		{ SET_spf_fail_action, SET_spf_check },         { SET_spf_header, SET_spf_check },
		{ SET_spf_helo_check, SET_spf_check },          { SET_arc_trusted_sealers, SET_arc_verify },
		{ SET_dmarc_trusted_lists, SET_dmarc_check },   { SET_dmarc_trusted_forwarders, SET_dmarc_check },
		{ SET_dmarc_quarantine, SET_dmarc_check },      { SET_dmarc_reject, SET_dmarc_check },
		{ SET_dmarc_required_headers, SET_dmarc_check }, { SET_dkim_on_bad_signature, SET_dkim_verify },
		{ SET_dkim_unprotected_key, SET_dkim_verify },
		{ SET_dkim_on_key_not_found, SET_dkim_verify },  { SET_dkim_on_no_signature, SET_dkim_verify },
		{ SET_dkim_on_dns_error, SET_dkim_verify },      { SET_dkim_redirect_failures_to, SET_dkim_verify },
	};
	for (size_t i = 0; i < LEN(pairs); i++)
		if (was_set(v, pairs[i].set) && !conf_bool(v, pairs[i].needs))
			SAY(v, PROBLEM_WARNING, pairs[i].set, "%s has no effect: %s = no",
			    setting_of(pairs[i].set)->name, setting_of(pairs[i].needs)->name);
	if (conf_bool(v, SET_dmarc_check) && !conf_bool(v, SET_dkim_verify))
		SAY(v, PROBLEM_WARNING, SET_dkim_verify,
		    "dmarc_check = yes with dkim_verify = no: forwarded mail of honest senders will be refused for "
		    "failing DMARC");
	if (conf_bool(v, SET_dmarc_check) && !conf_bool(v, SET_spf_check))
		SAY(v, PROBLEM_WARNING, SET_spf_check,
		    "dmarc_check = yes with spf_check = no: mail of domains that do not sign will be refused for "
		    "failing DMARC");
	if (slice_search(conf_text(v, SET_dmarc_reject_text), S("%s")) == conf_text(v, SET_dmarc_reject_text).len)
		SAY(v, PROBLEM_INFO, SET_dmarc_reject_text,
		    "dmarc_reject_text names no domain (%%s): senders will not know whose policy it was");
}

/* Signatures break on the way, and much honest mail has none. */
static void check_dkim_alone(const struct conf_view *v) {
	static const enum setting_id ids[] = { SET_dkim_on_bad_signature, SET_dkim_on_key_not_found,
					       SET_dkim_on_no_signature, SET_dkim_on_dns_error };
	for (size_t i = 0; i < LEN(ids); i++) {
		int action = conf_enum(v, ids[i]);
		if (action != DKIM_ACTION_REJECT && action != DKIM_ACTION_DISCARD) continue;
		SAY(v, PROBLEM_WARNING, ids[i],
		    "%s = %s: mailing lists and forwarders break signatures, and much honest mail has none that can be "
		    "verified (RFC 6376, 6.3, advises against it; dmarc_reject does what a domain asks for)",
		    setting_of(ids[i])->name, action == DKIM_ACTION_REJECT ? "reject" : "discard");
	}
}

/* Where each looks: at main.cf, or at every view that takes mail by SMTP. */
static const struct {
	void (*check)(const struct conf_view *v);
	bool of_servers;
} checks[] = {
	{ check_networks, true },      { check_login, true },    { check_public_tls, true },
	{ check_client_login, false }, { check_domains, false }, { check_recipients, false },
	{ check_transports, false },   { check_sizes, false },   { check_soft_bounce, false },
	{ check_proofs, false },       { check_dkim_alone, false },
	{ check_banner, true },        { check_containers, true },
	{ check_log_names, true },    { check_strangers, true },    { check_doubtful, true },
};

void check_dangers(struct conf *c) {
	size_t before = c->problems.count;
	for (size_t i = 0; i < LEN(checks); i++) {
		if (!checks[i].of_servers) checks[i].check(&c->main);
		for (size_t k = 0; checks[i].of_servers && k < c->services.count; k++) {
			struct conf_view seen = *c->views[k]; /* a view that is main.cf's own has no service */
			seen.service = &c->services.at[k];
			if (c->services.at[k].role == SERVICE_SMTPD && c->services.at[k].type != SERVICE_PASS)
				checks[i].check(&seen);
		}
	}
	problems_once(&c->problems, before);
}
