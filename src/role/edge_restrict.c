/* SPDX-License-Identifier: Apache-2.0 */
/* Each service has lists of its own (master.cf: -o smtpd_recipient_restrictions=…), made once for each generation of
 * the settings. */
#include "role/edge_restrict.h"
#include "role/settings.h"
#include "base/fail.h"
#include "conf/footer.h"
#include "base/log.h"
#include "role/edge_content.h"
#include "role/routing_settings.h"

struct view_ctx {
	const struct conf_view *view;
	const char *service;
};

static bool text_of(void *ctx, struct slice name, struct slice *out) {
	const struct view_ctx *c = ctx;
	return conf_text_named(c->view, name, out);
}

static void tell(void *ctx, bool fatal, const char *text) {
	const struct view_ctx *c = ctx;
	say(fatal ? L_ERROR : L_WARN, c->service, "%s%s", text, fatal ? " (mail that gets there waits)" : "");
}

static int code(const struct conf_view *v, enum setting_id id) {
	return (int)conf_number(v, id);
}

static struct restrict_codes codes_of(const struct conf_view *v) {
	return (struct restrict_codes){
		.reject = code(v, SET_reject_code),
		.defer = code(v, SET_defer_code),
		.relay = code(v, SET_relay_domains_reject_code),
		.map_reject = code(v, SET_access_map_reject_code),
		.map_defer = code(v, SET_access_map_defer_code),
		.rbl = code(v, SET_maps_rbl_reject_code),
		.bad_name = code(v, SET_invalid_hostname_reject_code),
		.non_fqdn = code(v, SET_non_fqdn_reject_code),
		.unknown_client = code(v, SET_unknown_client_reject_code),
		.unknown_address = code(v, SET_unknown_address_reject_code),
		.unknown_helo = code(v, SET_unknown_hostname_reject_code),
		.multi_bounce = code(v, SET_multi_recipient_bounce_reject_code),
		.plaintext = code(v, SET_plaintext_reject_code),
		.unverified_sender = code(v, SET_unverified_sender_reject_code),
		.unverified_recipient = code(v, SET_unverified_recipient_reject_code),
		.unverified_sender_defer = code(v, SET_unverified_sender_defer_code),
		.unverified_recipient_defer = code(v, SET_unverified_recipient_defer_code),
		.unknown_local = code(v, SET_unknown_local_recipient_reject_code),
		.unknown_relay = code(v, SET_unknown_relay_recipient_reject_code),
		.unknown_alias = code(v, SET_unknown_virtual_alias_reject_code),
		.unknown_mailbox = code(v, SET_unknown_virtual_mailbox_reject_code),
	};
}

static int tempfail(const struct conf_view *v, enum setting_id id) {
	return slice_same(conf_text(v, id), S("defer")) ? TEMPFAIL_DEFER : TEMPFAIL_DEFER_IF_PERMIT;
}

static bool in_list(const struct conf_view *v, enum setting_id id, struct slice word) {
	size_t n;
	const struct slice *words = conf_list(v, id, &n);
	for (size_t i = 0; i < n; i++)
		if (slice_same(words[i], word)) return true;
	return false;
}

static struct policy_params policy_of(const struct conf_view *v, struct edge_settings *s, struct dns *dns) {
	return (struct policy_params){
		.timeout = conf_time_ms(v, SET_smtpd_policy_service_timeout),
		.max_idle = conf_time_ms(v, SET_smtpd_policy_service_max_idle),
		.max_ttl = conf_time_ms(v, SET_smtpd_policy_service_max_ttl),
		.retry_delay = conf_time_ms(v, SET_smtpd_policy_service_retry_delay),
		.request_limit = (unsigned)conf_number(v, SET_smtpd_policy_service_request_limit),
		.try_limit = (unsigned)conf_number(v, SET_smtpd_policy_service_try_limit),
		.default_action = conf_text(v, SET_smtpd_policy_service_default_action),
		.context = conf_text(v, SET_smtpd_policy_service_policy_context),
		.queue_directory = arena_text(&s->mem, conf_text(v, SET_queue_directory)),
		.dns = dns,
	};
}

static void read_lists(struct restrict_params *p, const struct conf_view *v) {
	static const enum setting_id ids[RESTRICT_STAGES] = {
		[RESTRICT_CLIENT] = SET_smtpd_client_restrictions,
		[RESTRICT_HELO] = SET_smtpd_helo_restrictions,
		[RESTRICT_SENDER] = SET_smtpd_sender_restrictions,
		[RESTRICT_RELAY] = SET_smtpd_relay_restrictions,
		[RESTRICT_RECIPIENT] = SET_smtpd_recipient_restrictions,
		[RESTRICT_DATA] = SET_smtpd_data_restrictions,
		[RESTRICT_END_OF_DATA] = SET_smtpd_end_of_data_restrictions,
		[RESTRICT_ETRN] = SET_smtpd_etrn_restrictions,
	};
	for (size_t i = 0; i < RESTRICT_STAGES; i++) p->lists[i] = conf_text(v, ids[i]);
	p->classes = conf_text(v, SET_smtpd_restriction_classes);
	p->maps_rbl = conf_text(v, SET_maps_rbl_domains);
}

static void read_tables(struct restrict_params *p, struct edge_settings *s, const struct conf_view *v) {
	p->tables = s->tables;
	p->dns_filter = (struct dns_filter){ tables_of_list(s->tables, v, SET_smtpd_dns_reply_filter, 0, &s->mem),
					     "smtpd_dns_reply_filter", "smtpd" };
	p->rbl_replies = tables_of_list(s->tables, v, SET_rbl_reply_maps, 0, &s->mem);
	p->login_maps = tables_of_list(s->tables, v, SET_smtpd_sender_login_maps, 0, &s->mem);
	p->certificates = tables_of_list(s->tables, v, SET_relay_clientcerts, 0, &s->mem);
}

static void read_names(struct restrict_params *p, struct edge_settings *s, const struct conf_view *v,
		       const struct rewrite_params *rewrite) {
	p->own = rewrite->own_addresses;
	p->own_count = rewrite->own_addresses_count;
	p->origin = conf_text(v, SET_myorigin);
	p->host = arena_text(&s->mem, conf_text(v, SET_myhostname));
	p->mail_name = arena_text(&s->mem, conf_text(v, SET_mail_name));
	p->stress = conf_text(v, SET_stress);
	p->compatibility_level = conf_text(v, SET_compatibility_level);
	p->mail_version = conf_text(v, SET_mail_version);
}

static const struct expand_filter *expansion_of(struct edge_settings *s, const struct conf_view *v) {
	struct expand_filter *filter = arena_get(&s->mem, sizeof *filter);
	expand_filter_parse(filter, conf_text(v, SET_smtpd_expansion_filter));
	return filter;
}

static struct restrict_params params_of(struct edge_settings *s, const struct conf_view *v,
					const struct edge_outside *o, const struct rewrite_params *rewrite) {
	struct restrict_params p = {
		.text = text_of,
		.problem = tell,
		.codes = codes_of(v),
		.delay_reject = conf_bool(v, SET_smtpd_delay_reject),
		.relay_first = conf_bool(v, SET_smtpd_relay_before_recipient_restrictions),
		.unlisted_recipient = conf_bool(v, SET_smtpd_reject_unlisted_recipient) &&
				      !edge_overridden(v, "no_unknown_recipient_checks"),
		.unlisted_sender = conf_bool(v, SET_smtpd_reject_unlisted_sender),
		.soft_bounce = conf_bool(v, SET_soft_bounce),
		.show_table = conf_bool(v, SET_show_user_unknown_table_name),
		.parents_by_name = in_list(v, SET_parent_domain_matches_subdomains, S("smtpd_access_maps")),
		.auth_enabled = conf_bool(v, SET_smtpd_sasl_auth_enable),
		.ask_certificate = conf_bool(v, SET_smtpd_tls_ask_ccert),
		.delimiters = conf_text(v, SET_recipient_delimiter),
		.null_key = conf_text(v, SET_smtpd_null_access_lookup_key),
		.helo_tempfail = tempfail(v, SET_unknown_helo_hostname_tempfail_action),
		.address_tempfail = tempfail(v, SET_unknown_address_tempfail_action),
		.sender_tempfail = tempfail(v, SET_unverified_sender_tempfail_action),
		.recipient_tempfail = tempfail(v, SET_unverified_recipient_tempfail_action),
		.networks = networks_open(conf_networks(v, SET_mynetworks), s->tables, &s->mem),
		.rbl_reply = conf_text(v, SET_default_rbl_reply),
		.expansion = expansion_of(s, v),
		.unverified_sender_reason = conf_text(v, SET_unverified_sender_reject_reason),
		.unverified_recipient_reason = conf_text(v, SET_unverified_recipient_reject_reason),
		.dns = o->dns,
		.policy = policy_of(v, s, o->dns),
	};
	if (slice_trim(conf_text(v, SET_permit_mx_backup_networks)).len != 0)
		p.backup_networks = networks_open(conf_networks(v, SET_permit_mx_backup_networks), s->tables, &s->mem);
	p.log_permits = conf_list(v, SET_smtpd_log_access_permit_actions, &p.log_permits_count);
	read_lists(&p, v);
	read_tables(&p, s, v);
	read_names(&p, s, v, rewrite);
	return p;
}

/* Names and tables in one list. */
static void read_mixed(struct edge_settings *s, const struct conf_view *v, enum setting_id id,
		       const struct slice **names, size_t *names_count, struct lookup *tables) {
	size_t n, count = 0;
	const struct slice *words = conf_list(v, id, &n);
	struct slice *plain = arena_array(&s->mem, n + 1, sizeof *plain),
		     *others = arena_array(&s->mem, n + 1, sizeof *others);
	*names_count = 0;
	for (size_t i = 0; i < n; i++) {
		if (slice_find(words[i], ':') == words[i].len) plain[(*names_count)++] = words[i];
		else others[count++] = words[i];
	}
	*names = plain;
	if (lookup_open(s->tables, others, count, 0, &s->mem, tables) != TABLE_FOUND)
		say(L_ERROR, "smtpd", "%s: %s", setting_of(id)->name, fail_text());
}

static void read_peers(struct admit_params *a, struct edge_settings *s, const struct conf_view *v) {
	size_t tables = 0;
	a->peers = conf_list(v, SET_debug_peer_list, &a->peers_count);
	struct slice *names = arena_array(&s->mem, a->peers_count + 1, sizeof *names);
	for (size_t i = 0; i < a->peers_count; i++) {
		struct addr net;
		struct slice word = slice_starts(a->peers[i], S("!")) ? slice_skip(a->peers[i], 1) : a->peers[i];
		bool plain = slice_starts(word, S("[")) || addr_parse(slice_head(word, slice_find(word, '/')), &net);
		if (!plain && slice_find(word, ':') < word.len) names[tables++] = word;
	}
	if (lookup_open(s->tables, names, tables, 0, &s->mem, &a->peer_tables) == TABLE_FOUND) return;
	say(L_ERROR, "smtpd", "debug_peer_list: %s", fail_text());
	a->peers_count = 0;
}

static void read_session(struct admit_params *a, struct edge_settings *s, const struct conf_view *v) {
	a->xclient = networks_open(conf_networks(v, SET_smtpd_authorized_xclient_hosts), s->tables, &s->mem);
	a->xforward = networks_open(conf_networks(v, SET_smtpd_authorized_xforward_hosts), s->tables, &s->mem);
	a->verp = networks_open(conf_networks(v, SET_smtpd_authorized_verp_clients), s->tables, &s->mem);
	if (slice_trim(conf_text(v, SET_smtpd_sasl_exceptions_networks)).len != 0)
		a->no_login = networks_open(conf_networks(v, SET_smtpd_sasl_exceptions_networks), s->tables, &s->mem);
	a->refusal_maps = tables_of_list(s->tables, v, SET_smtpd_reject_filter_maps, 0, &s->mem);
	read_peers(a, s, v);
	a->digest = arena_text(&s->mem, conf_text(v, SET_smtpd_tls_fingerprint_digest));
	a->six = !in_list(v, SET_inet_protocols, S("ipv4")) || in_list(v, SET_inet_protocols, S("ipv6"));
	a->flush_parents = in_list(v, SET_parent_domain_matches_subdomains, S("fast_flush_domains"));
	read_mixed(s, v, SET_fast_flush_domains, &a->flush, &a->flush_count, &a->flush_tables);
	read_mixed(s, v, SET_smtpd_forbidden_commands, &a->forbidden, &a->forbidden_count, &a->forbidden_tables);
	a->command_filter = tables_of_list(s->tables, v, SET_smtpd_command_filter, 0, &s->mem);
	a->probe = probe_sender_of(v, &s->mem);
	a->verify_polls = (unsigned)conf_number(v, SET_address_verify_poll_count);
	a->verify_delay = conf_time_ms(v, SET_address_verify_poll_delay);
	a->look_up_names = conf_bool(v, SET_smtpd_peername_lookup);
	a->log_port = conf_bool(v, SET_smtpd_client_port_logging);
	a->footer = conf_text(v, SET_smtpd_reject_footer);
	a->expansion = expansion_of(s, v);
	a->footer_maps = tables_of_list(s->tables, v, SET_smtpd_reject_footer_maps, 0, &s->mem);
	a->ehlo_maps = tables_of_list(s->tables, v, SET_smtpd_discard_ehlo_keyword_address_maps, 0, &s->mem);
	a->ehlo_discard = conf_list(v, SET_smtpd_discard_ehlo_keywords, &a->ehlo_discard_count);
}

static void read_noop(struct smtp_server_params *p, struct edge_settings *s, const struct conf_view *v) {
	size_t n;
	const struct slice *words = conf_list(v, SET_smtpd_noop_commands, &n);
	const char **list = arena_array(&s->mem, n + 1, sizeof *list);
	for (size_t i = 0; i < n; i++) list[i] = arena_text(&s->mem, words[i]);
	p->noop = n != 0 ? list : NULL;
}

/* Postfix puts strangers' mail off by default, so that who upgraded could see his mistake in time. Where nobody wrote
 * the list, we say no at once. */
static bool is_default_relay_list(const struct conf *conf, struct slice text) {
	struct conf_raw raw;
	return conf_raw_find(conf, S("smtpd_relay_restrictions"), &raw) && !raw.is_set && slice_eq(text, raw.fallback);
}

int edge_restrict_make(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		       const struct edge_outside *o) {
	struct view_ctx *ctx = arena_get(&s->mem, sizeof *ctx);
	*ctx = (struct view_ctx){ v, sv->log_name };
	struct rewrite_params *rewrite = arena_get(&s->mem, sizeof *rewrite);
	rewrite_settings_make(rewrite, s->tables, s->conf, v, &s->mem);
	sv->admit.rewrite = rewrite;
	struct restrict_params p = params_of(s, v, o, rewrite);
	p.ctx = ctx;
	if (is_default_relay_list(s->conf, p.lists[RESTRICT_RELAY]))
		p.lists[RESTRICT_RELAY] = S("permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination");
	sv->restrictions = restrict_new(&p, &s->mem);
	if (!restrict_guards_relay(sv->restrictions)) return -1;
	sv->admit.restrictions = sv->restrictions;
	read_session(&sv->admit, s, v);
	read_noop(&sv->smtp, s, v);
	return 0;
}
