/* SPDX-License-Identifier: Apache-2.0 */
/* lmtp(8) is smtp(8) with parameters of its own: smtp_connect_timeout is lmtp_connect_timeout there. So every setting
 * is asked for by its smtp name, and `of` finds the other one. */
#include "role/relay_settings.h"
#include "flow/notice.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/log.h"
#include "role/files.h"
#include "role/routing_settings.h"
#include "role/settings.h"

static void destroy(struct generation *g) {
	struct relay_settings *s = (struct relay_settings *)g;
	relay_tls_done(s);
	for (size_t i = 0; i < s->identities_count; i++) {
		free(s->identities[i].name);
		free(s->identities[i].pem);
	}
	free(s->identities);
	pthread_mutex_destroy(&s->contexts_lock);
	tables_free(&s->tables);
	conf_drop(&s->conf);
	bearer_free(&s->bearer);
	arena_done(&s->mem);
	free(s);
}

enum setting_id relay_setting(const struct relay_profile *p, enum setting_id smtp) {
	static const char *const others[][2] = { { "smtp_helo_name", "lmtp_lhlo_name" },
						 { "smtp_helo_timeout", "lmtp_lhlo_timeout" },
						 { "smtp_discard_ehlo_keywords", "lmtp_discard_lhlo_keywords" },
						 { "smtp_discard_ehlo_keyword_address_maps",
						   "lmtp_discard_lhlo_keyword_address_maps" } };
	const char *name = setting_of(smtp)->name;
	AUTO_BUF struct buf own = BUF(256);
	if (!p->lmtp) return smtp;
	buf_addf(&own, "lmtp_%s", name + strlen("smtp_"));
	for (size_t i = 0; i < LEN(others); i++) {
		if (strcmp(others[i][0], name) != 0) continue;
		buf_clear(&own);
		buf_addf(&own, "%s", others[i][1]);
	}
	const struct setting *s = setting_find(buf_slice(&own));
	return s != NULL && s->kind == setting_of(smtp)->kind ? setting_id_of(s) : smtp;
}

static enum setting_id of(const struct relay_profile *p, enum setting_id smtp) {
	return relay_setting(p, smtp);
}

struct slice relay_text(const struct relay_profile *p, enum setting_id smtp) {
	return conf_text(p->view, relay_setting(p, smtp));
}

static struct slice text(const struct relay_profile *p, enum setting_id id) {
	return relay_text(p, id);
}

static bool flag(const struct relay_profile *p, enum setting_id id) {
	return conf_bool(p->view, of(p, id));
}

static int64_t span(const struct relay_profile *p, enum setting_id id) {
	return conf_time_ms(p->view, of(p, id));
}

static int64_t number(const struct relay_profile *p, enum setting_id id) {
	return conf_number(p->view, of(p, id));
}

static const struct slice *list(const struct relay_profile *p, enum setting_id id, size_t *count) {
	return conf_list(p->view, of(p, id), count);
}

static bool has(const struct relay_profile *p, enum setting_id id, const char *word) {
	size_t n;
	const struct slice *words = list(p, id, &n);
	for (size_t i = 0; i < n; i++)
		if (slice_same(words[i], slice_of(word))) return true;
	return false;
}

static struct addr bind_address(const struct relay_profile *p, enum setting_id id) {
	struct addr a = { 0 };
	addr_parse(text(p, id), &a);
	return a;
}

static struct smtp_timeouts timeouts_of(const struct relay_profile *p) {
	return (struct smtp_timeouts){
		.connect = span(p, SET_smtp_connect_timeout),
		.helo = span(p, SET_smtp_helo_timeout),
		.starttls = span(p, SET_smtp_starttls_timeout),
		.mail = span(p, SET_smtp_mail_timeout),
		.rcpt = span(p, SET_smtp_rcpt_timeout),
		.data_init = span(p, SET_smtp_data_init_timeout),
		.data_xfer = span(p, SET_smtp_data_xfer_timeout),
		.data_done = span(p, SET_smtp_data_done_timeout),
		.rset = span(p, SET_smtp_rset_timeout),
		.quit = span(p, SET_smtp_quit_timeout),
		.xforward = span(p, SET_smtp_xforward_timeout),
	};
}

static uint16_t port_of(const struct relay_profile *p) {
	static const struct {
		const char *name;
		uint16_t port;
	} known[] = { { "smtp", 25 }, { "lmtp", 24 }, { "smtps", 465 }, { "submissions", 465 }, { "submission", 587 } };
	struct slice word = text(p, SET_smtp_tcp_port);
	uint64_t n;
	for (size_t i = 0; i < LEN(known); i++)
		if (slice_same(word, slice_of(known[i].name))) return known[i].port;
	return slice_number(word, 65535, &n) ? (uint16_t)n : p->lmtp ? 24 : 25;
}

/* Log-in methods that smtp_sasl_mechanism_filter leaves; an empty filter leaves all. The first word that fits counts.
 */
static unsigned filtered(const struct relay_profile *p) {
	unsigned left = 0;
	size_t n;
	const struct slice *words = list(p, SET_smtp_sasl_mechanism_filter, &n);
	for (unsigned bit = 1; bit <= SMTP_MECHANISMS_ALL; bit <<= 1) {
		bool in = n == 0, met = false;
		for (size_t i = 0; i < n && !met; i++) {
			bool without = words[i].at[0] == '!';
			struct slice word = slice_skip(words[i], without);
			met = slice_same(word, slice_of(smtp_mechanism_name((enum smtp_mechanism)bit))) ||
			      slice_starts(word, S("static:"));
			in = met ? !without : in;
		}
		if (in) left |= bit;
	}
	return left;
}

static void warn_of_filter_tables(const struct relay_profile *p) {
	size_t n;
	const struct slice *words = list(p, SET_smtp_sasl_mechanism_filter, &n);
	for (size_t i = 0; i < n; i++) {
		bool table = slice_find(words[i], ':') < words[i].len || slice_starts(words[i], S("/"));
		if (table && !slice_starts(slice_skip(words[i], words[i].at[0] == '!'), S("static:")))
			say(L_WARN, p->tag,
			    "smtp_sasl_mechanism_filter: %.*s is passed over: tables are not looked into here (write "
			    "the names of the mechanisms)",
			    SLICE_ARG(words[i]));
	}
}

/* What Cyrus SASL's options leave of our methods: none of them lets anybody in without a name, and only SCRAM has what
 * noactive and mutual_auth ask for; nodictionary and forward_secrecy are beyond all of them. */
static unsigned secured(const struct relay_profile *p, enum setting_id options) {
	unsigned plain = SMTP_MECHANISM_PLAIN | SMTP_MECHANISM_LOGIN,
		 scram = SMTP_MECHANISM_SCRAM_SHA_1 | SMTP_MECHANISM_SCRAM_SHA_256;
	unsigned left = filtered(p);
	if (has(p, options, "noplaintext")) left &= ~plain;
	if (has(p, options, "noactive") || has(p, options, "mutual_auth")) left &= scram;
	return has(p, options, "nodictionary") || has(p, options, "forward_secrecy") ? 0 : left;
}

/* DNS can be switched off (smtp_dns_support_level, disable_dns_lookups): names are the system's then. */
static void lookups_of(const struct relay_profile *p, struct smtp_hosts_params *out) {
	bool off = slice_same(text(p, SET_smtp_dns_support_level), S("disabled")) ||
		   conf_bool(p->view, SET_disable_dns_lookups);
	out->native = off || has(p, SET_smtp_host_lookup, "native");
	out->no_dns = off || !has(p, SET_smtp_host_lookup, "dns");
	out->no_mx = off || p->lmtp;
	out->ignore_mx_error = conf_bool(p->view, SET_ignore_mx_lookup_error);
	out->srv_services = off || p->lmtp ? NULL : conf_list(p->view, SET_use_srv_lookup, &out->srv_services_count);
	out->srv_fallback = conf_bool(p->view, SET_allow_srv_lookup_fallback);
	out->ignore_srv_error = conf_bool(p->view, SET_ignore_srv_lookup_error);
	out->defer_no_address = flag(p, SET_smtp_defer_if_no_mx_address_found);
	out->no_balance = !flag(p, SET_smtp_balance_inet_protocols);
}

/* "dane" unless smtp_tls_dane_insecure_mx_policy says less. */
static enum smtp_insecure_mx insecure_mx_of(const struct relay_profile *p) {
	struct slice word = text(p, SET_smtp_tls_dane_insecure_mx_policy);
	return slice_same(word, S("may"))       ? SMTP_INSECURE_MX_MAY
	       : slice_same(word, S("encrypt")) ? SMTP_INSECURE_MX_ENCRYPT
						: SMTP_INSECURE_MX_DANE;
}

/* 0: none. What is folded at less than 100 bytes is folded there. */
static size_t line_limit_of(const struct relay_profile *p) {
	int64_t limit = number(p, SET_smtp_line_length_limit);
	return limit == 0 ? SIZE_MAX : (size_t)MAX_OF(limit, INT64_C(100));
}

static void client_of(const struct relay_profile *p, const struct relay_outside *outside,
		      struct smtp_client_params *out) {
	*out = (struct smtp_client_params){
		.lmtp = p->lmtp,
		.helo_name = text(p, SET_smtp_helo_name),
		.tls_wrapper = flag(p, SET_smtp_tls_wrappermode),
		.dns = outside->dns,
		.insecure_mx = insecure_mx_of(p),
		.insecure_hosts = flag(p, SET_smtp_tls_force_insecure_host_tlsa_lookup),
		.bind4 = bind_address(p, SET_smtp_bind_address),
		.bind6 = bind_address(p, SET_smtp_bind_address6),
		.bind_or_not_at_all = flag(p, SET_smtp_bind_address_enforce),
		.timeouts = timeouts_of(p),
		.ehlo_if_named = !p->lmtp && !conf_bool(p->view, SET_smtp_always_send_ehlo),
		.never_ehlo = !p->lmtp && conf_bool(p->view, SET_smtp_never_send_ehlo),
		.greeting_is_final = !flag(p, SET_smtp_skip_5xx_greeting),
		.xforward = flag(p, SET_smtp_send_xforward_command),
		.mechanisms_clear = secured(p, SET_smtp_sasl_security_options),
		.mechanisms_tls = secured(p, SET_smtp_sasl_tls_security_options),
		.mechanisms_verified = secured(p, SET_smtp_sasl_tls_verified_security_options),
		.auth_refused_is_final = !flag(p, SET_smtp_sasl_auth_soft_bounce),
		.mail_auth = flag(p, SET_smtp_send_dummy_mail_auth),
		.line_limit = line_limit_of(p),
		.quit_waits = !flag(p, SET_smtp_skip_quit_response),
		.unquoted = !flag(p, SET_smtp_quote_rfc821_envelope),
		.min_data_rate =
			flag(p, SET_smtp_per_request_deadline) ? (uint64_t)number(p, SET_smtp_min_data_rate) : 0,
	};
	if (text(p, SET_smtp_sasl_auth_cache_name).len != 0) out->refusals = outside->refusals;
	out->refusals_ms = span(p, SET_smtp_sasl_auth_cache_time);
	out->discard = list(p, SET_smtp_discard_ehlo_keywords, &out->discard_count);
}

static void target_of(struct relay_profile *p, struct relay_settings *s) {
	static const enum smtp_address_preference preferences[] = {
		[ADDRESS_PREFERENCE_ANY] = SMTP_PREFER_ANY,
		[ADDRESS_PREFERENCE_IPV4] = SMTP_PREFER_IPV4,
		[ADDRESS_PREFERENCE_IPV6] = SMTP_PREFER_IPV6,
	};
	bool ipv4, ipv6;
	protocols_of(p->view, &ipv4, &ipv6);
	size_t reuse = (size_t)number(p, SET_smtp_connection_reuse_count_limit);
	p->target = (struct smtp_target){
		.hosts = { .dns = s->outside->dns,
			   .port = port_of(p),
			   .no_ipv4 = !ipv4,
			   .no_ipv6 = !ipv6,
			   .preference = preferences[conf_enum(p->view, of(p, SET_smtp_address_preference))],
			   .keep_order = !flag(p, SET_smtp_randomize_addresses),
			   .address_limit = (unsigned)number(p, SET_smtp_mx_address_limit),
			   .own_names = &s->own_name,
			   .own_names_count = p->lmtp ? 0 : 1 },
		.session_limit = (unsigned)number(p, SET_smtp_mx_session_limit),
		.recipient_limit = (unsigned)MIN_OF(conf_number(p->view, SET_default_destination_recipient_limit),
						    (int64_t)100000),
		.keep_ms = span(p, SET_smtp_connection_cache_time_limit),
		.keep_uses = (unsigned)(reuse != 0 ? reuse + 1 : 0), /* used again so often */
		.reuse_ms = span(p, SET_smtp_connection_reuse_time_limit),
		.service = p->tag,
		.log_tls = number(p, SET_smtp_tls_loglevel) >= 1,
		.note_starttls = flag(p, SET_smtp_tls_note_starttls_offer),
	};
	client_of(p, s->outside, &p->target.client);
	lookups_of(p, &p->target.hosts);
	if (p->target.hosts.address_limit == 0) p->target.hosts.address_limit = UINT_MAX;
	if (p->target.session_limit == 0) p->target.session_limit = UINT_MAX;
}

/* Postfix's default is not to use them again, because its ordinary client cannot; ours can, and does unless it is told
 * not to. */
static bool reuses_tls(const struct relay_settings *s, const struct relay_profile *p) {
	struct conf_raw raw;
	bool said = conf_raw_find(s->conf, slice_of(setting_of(of(p, SET_smtp_tls_connection_reuse))->name), &raw) &&
		    raw.is_set;
	return !said || flag(p, SET_smtp_tls_connection_reuse);
}

/* Profiles. */

static void generic_of(struct relay_settings *s, struct relay_profile *p) {
	enum setting_id id = of(p, SET_smtp_generic_maps);
	generic_settings_make(&p->outgoing.generic, &s->rewrite, tables_of_list(s->tables, p->view, id, 0, &s->mem),
			      setting_of(id)->name);
}

static void checks_of(struct relay_settings *s, struct relay_profile *p) {
	p->outgoing.tag = p->tag;
	const enum setting_id ids[] = { of(p, SET_smtp_header_checks), of(p, SET_smtp_mime_header_checks),
					of(p, SET_smtp_nested_header_checks), of(p, SET_smtp_body_checks) };
	outgoing_checks_make(p->view, ids, s->tables, &s->mem, &p->outgoing.checks);
}

/* smtp_connection_cache_destinations: names and tables, each a table to ask. A file of names is a table, too. */
static int keep_list_make(struct relay_settings *s, struct relay_profile *p) {
	p->keep_names = list(p, SET_smtp_connection_cache_destinations, &p->keep_count);
	p->keep_tables = arena_array(&s->mem, p->keep_count + 1, sizeof *p->keep_tables);
	for (size_t i = 0; i < p->keep_count; i++) {
		bool table = slice_find(p->keep_names[i], ':') < p->keep_names[i].len || p->keep_names[i].at[0] == '/';
		if (table &&
		    lookup_open(s->tables, &p->keep_names[i], 1, 0, &s->mem, &p->keep_tables[i]) != TABLE_FOUND)
			return fail_add("%s", setting_of(of(p, SET_smtp_connection_cache_destinations))->name);
	}
	return 0;
}

bool relay_keeps(const struct relay_profile *p, struct slice hop, struct arena *mem) {
	struct smtp_next_hop parts = { 0 };
	struct lookup_hit hit;
	if (p->keep_all) return true;
	if (!smtp_next_hop_parse(hop, &parts)) return false;
	struct slice name = parts.path.len != 0 ? parts.path : parts.host;
	for (size_t i = 0; i < p->keep_count; i++) {
		if (slice_same(p->keep_names[i], name)) return true;
		if (p->keep_tables[i].count != 0 && lookup_key(&p->keep_tables[i], name, mem, &hit) == TABLE_FOUND)
			return true;
	}
	return false;
}

static int filter_dns(void *ctx, struct slice record, struct arena *mem) {
	return dns_filter_judge(ctx, record, mem);
}

static int profile_make(struct relay_settings *s, struct relay_profile *p) {
	target_of(p, s);
	p->level = conf_enum(p->view, of(p, SET_smtp_tls_security_level));
	p->policies = tables_of_list(s->tables, p->view, of(p, SET_smtp_tls_policy_maps), 0, &s->mem);
	if (p->policies.count == 0)
		p->per_site = tables_of_list(s->tables, p->view, of(p, SET_smtp_tls_per_site), 0, &s->mem);
	p->verify_match = list(p, SET_smtp_tls_verify_cert_match, &p->verify_match_count);
	p->secure_match = list(p, SET_smtp_tls_secure_cert_match, &p->secure_match_count);
	p->fingerprints = list(p, SET_smtp_tls_fingerprint_cert_match, &p->fingerprints_count);
	p->digest = text(p, SET_smtp_tls_fingerprint_digest).at;
	p->log_in = flag(p, SET_smtp_sasl_auth_enable);
	warn_of_filter_tables(p);
	p->probe_data = slice_same(text(p, SET_smtp_address_verify_target), S("data"));
	p->by_sender = flag(p, SET_smtp_sender_dependent_authentication);
	p->login_delimiter = text(p, SET_smtp_sasl_password_result_delimiter);
	p->tls_reuse = reuses_tls(s, p);
	p->keep_all = flag(p, SET_smtp_connection_cache_on_demand);
	if (keep_list_make(s, p) < 0) return -1;
	p->tls_required_header = conf_bool(p->view, SET_tls_required_enable);
	p->final = conf_bool(p->view, SET_lmtp_assume_final);
	p->best_mx = conf_text(p->view, SET_best_mx_transport);
	p->tls_status = flag(p, SET_smtp_log_tls_feature_status);
	if (relay_require_read(s, p) < 0) return -1;
	p->status_filter = tables_of_list(s->tables, p->view, of(p, SET_smtp_delivery_status_filter), 0, &s->mem);
	p->reply_filter = tables_of_list(s->tables, p->view, of(p, SET_smtp_reply_filter), 0, &s->mem);
	if (p->reply_filter.count != 0) {
		p->target.client.filter = relay_filter_reply;
		p->target.client.filter_ctx = p;
	}
	if (p->log_in)
		p->passwords = tables_of_list(s->tables, p->view, of(p, SET_smtp_sasl_password_maps), 0, &s->mem);
	p->discard_maps =
		tables_of_list(s->tables, p->view, of(p, SET_smtp_discard_ehlo_keyword_address_maps), 0, &s->mem);
	if (p->discard_maps.count != 0) {
		p->target.client.discard_for = relay_discard;
		p->target.client.discard_ctx = p;
	}
	size_t words;
	const struct slice *word = list(p, SET_smtp_dns_resolver_options, &words);
	for (size_t i = 0; i < words; i++) {
		if (slice_eq(word[i], S("res_defnames"))) p->target.hosts.default_domain = true;
		else if (slice_eq(word[i], S("res_dnsrch"))) p->target.hosts.search_domains = true;
		else
			say(L_WARN, p->tag,
			    "smtp_dns_resolver_options: unknown option \"%.*s\" (res_defnames, res_dnsrch)",
			    SLICE_ARG(word[i]));
	}
	p->target.hosts.search = dns_search_list(s->outside->dns, &p->target.hosts.search_count);
	enum setting_id filter = of(p, SET_smtp_dns_reply_filter);
	p->dns_filter = (struct dns_filter){ tables_of_list(s->tables, p->view, filter, 0, &s->mem),
					     setting_of(filter)->name, p->tag };
	if (p->dns_filter.tables.count != 0) {
		p->target.hosts.ignore_record = filter_dns;
		p->target.hosts.ignore_ctx = &p->dns_filter;
	}
	signing_settings_make(p->view, p->target.client.line_limit, p->tag, &s->mem, &p->signing);
	generic_of(s, p);
	checks_of(s, p);
	p->fallback = list(p, SET_smtp_fallback_relay, &p->fallback_count);
	return relay_tls_prepare(s, p);
}

static bool is_way_out(const struct conf_service *service) {
	return service->type == SERVICE_UNIX &&
	       (slice_eq(service->command, S("smtp")) || slice_eq(service->command, S("lmtp")));
}

static const char *tag_of(struct arena *mem, struct slice name, bool lmtp) {
	const char *command = lmtp ? "lmtp" : "smtp";
	return slice_eq(name, S("relay")) ? arena_fmt(mem, "relay/%s", command).at : command;
}

static int profiles_make(struct relay_settings *s) {
	static const char *const always[] = { "smtp", "relay", "lmtp" };
	size_t n;
	const struct conf_service *services = conf_services(s->conf, &n);
	s->profiles = arena_array(&s->mem, n + LEN(always), sizeof *s->profiles);
	for (size_t i = 0; i < n; i++) {
		if (!is_way_out(&services[i])) continue;
		bool lmtp = slice_eq(services[i].command, S("lmtp"));
		s->profiles[s->profiles_count++] =
			(struct relay_profile){ .name = services[i].name,
						.tag = tag_of(&s->mem, services[i].name, lmtp),
						.lmtp = lmtp,
						.view = conf_service_view(s->conf, &services[i]) };
	}
	for (size_t i = 0; i < LEN(always); i++) {
		struct slice name = slice_of(always[i]);
		bool lmtp = slice_eq(name, S("lmtp"));
		if (relay_profile_find(s, name) == NULL)
			s->profiles[s->profiles_count++] = (struct relay_profile){ .name = name,
										   .tag = tag_of(&s->mem, name, lmtp),
										   .lmtp = lmtp,
										   .view = conf_main(s->conf) };
	}
	struct notice_params notices;
	notices_of(&notices, conf_main(s->conf), NULL, &s->mem);
	for (size_t i = 0; i < s->profiles_count; i++) {
		s->profiles[i].tell_postmaster = (notices.classes & (NOTICE_PROTOCOL | NOTICE_DATA)) != 0;
		if (profile_make(s, &s->profiles[i]) < 0) return -1;
	}
	return 0;
}

const struct relay_profile *relay_profile_find(const struct relay_settings *s, struct slice transport) {
	for (size_t i = 0; i < s->profiles_count; i++)
		if (slice_eq(s->profiles[i].name, transport)) return &s->profiles[i];
	return NULL;
}

static void take_identities(struct relay_settings *s, struct boot *b) {
	s->identities_count = b->client_identity_count;
	s->identities = mem_array(s->identities_count, sizeof *s->identities);
	for (size_t i = 0; i < s->identities_count; i++) s->identities[i] = b->client_identities[i];
	b->client_identity_count = 0;
}

int relay_settings_new(struct boot *b, const struct relay_outside *outside, struct relay_settings **out) {
	struct relay_settings *s = mem_get(sizeof *s);
	pthread_mutex_init(&s->contexts_lock, NULL);
	s->outside = outside;
	take_identities(s, b);
	s->generation.destroy = destroy;
	s->conf = TAKE(b->conf);
	const struct conf_view *v = conf_main(s->conf);
	s->own_name = conf_text(v, SET_myhostname);
	struct table_params params = { .queue_directory = conf_text(v, SET_queue_directory).at,
				       .socketmap_most = (size_t)conf_number(v, SET_socketmap_max_reply_size),
				       .open = files_open,
				       .service = "smtp" };
	s->tables = tables_new(&params);
	rewrite_settings_make(&s->rewrite, s->tables, s->conf, v, &s->mem);
	if (profiles_make(s) < 0 || relay_token_settings(v, b->oauth2_secret, &s->mem, &s->bearer) < 0) {
		destroy(&s->generation);
		return -1;
	}
	*out = s;
	return 0;
}
