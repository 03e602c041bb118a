/* SPDX-License-Identifier: Apache-2.0 */
/* lmtp(8) is smtp(8) with parameters of its own: smtp_connect_timeout is lmtp_connect_timeout there. So every setting is asked for
 * by its smtp name, and `of` finds the other one. */
#include "role/relay_settings.h"
#include "base/encode.h"
#include "base/fail.h"
#include "base/log.h"
#include "role/routing_settings.h"
#include "role/settings.h"

static void destroy(struct generation *g) {
	struct relay_settings *s = (struct relay_settings *)g;
	for (size_t i = 0; i < s->profiles_count; i++)
		for (size_t k = 0; k < TLS_CONTEXTS; k++) tls_client_unref(&s->profiles[i].tls[k]);
	tables_free(&s->tables);
	conf_drop(&s->conf);
	if (s->logins != NULL) mem_wipe(s->logins, strlen(s->logins));
	free(s->logins);
	arena_done(&s->mem);
	free(s);
}

static enum setting_id of(const struct relay_profile *p, enum setting_id smtp) {
	static const char *const others[][2] = { { "smtp_helo_name", "lmtp_lhlo_name" },
						 { "smtp_helo_timeout", "lmtp_lhlo_timeout" },
						 { "smtp_discard_ehlo_keywords", "lmtp_discard_lhlo_keywords" } };
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

static struct slice text(const struct relay_profile *p, enum setting_id id) {
	return conf_text(p->view, of(p, id));
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

/* Log-in methods that smtp_sasl_mechanism_filter leaves out; an empty filter leaves all. */
static unsigned without(const struct relay_profile *p) {
	static const struct {
		const char *name;
		unsigned bit;
	} all[] = { { "plain", SMTP_MECHANISM_PLAIN }, { "login", SMTP_MECHANISM_LOGIN } };
	unsigned no = 0;
	size_t n;
	const struct slice *words = list(p, SET_smtp_sasl_mechanism_filter, &n);
	for (size_t k = 0; k < LEN(all) && n != 0; k++) {
		bool named = false, excluded = false;
		for (size_t i = 0; i < n; i++) {
			named = named || slice_same(words[i], slice_of(all[k].name)) || slice_starts(words[i], S("static:"));
			excluded = excluded || (words[i].at[0] == '!' && slice_same(slice_skip(words[i], 1), slice_of(all[k].name)));
			if (excluded) break;
		}
		if (excluded || !named) no |= all[k].bit;
	}
	return no;
}

/* DNS can be switched off (smtp_dns_support_level, disable_dns_lookups): names are the system's then. */
static void lookups_of(const struct relay_profile *p, struct smtp_hosts_params *out) {
	bool off = slice_same(text(p, SET_smtp_dns_support_level), S("disabled")) || conf_bool(p->view, SET_disable_dns_lookups);
	out->native = off || has(p, SET_smtp_host_lookup, "native");
	out->no_dns = off || !has(p, SET_smtp_host_lookup, "dns");
	out->no_mx = off || p->lmtp;
}

static void target_of(struct relay_profile *p, struct relay_settings *s, struct dns *dns) {
	static const enum smtp_address_preference preferences[] = {
		[ADDRESS_PREFERENCE_ANY] = SMTP_PREFER_ANY,
		[ADDRESS_PREFERENCE_IPV4] = SMTP_PREFER_IPV4,
		[ADDRESS_PREFERENCE_IPV6] = SMTP_PREFER_IPV6,
	};
	bool ipv4, ipv6;
	protocols_of(p->view, &ipv4, &ipv6);
	size_t reuse = (size_t)number(p, SET_smtp_connection_reuse_count_limit);
	p->target = (struct smtp_target){
		.hosts = { .dns = dns,
			   .port = port_of(p),
			   .no_ipv4 = !ipv4,
			   .no_ipv6 = !ipv6,
			   .preference = preferences[conf_enum(p->view, of(p, SET_smtp_address_preference))],
			   .keep_order = !flag(p, SET_smtp_randomize_addresses),
			   .address_limit = (unsigned)number(p, SET_smtp_mx_address_limit),
			   .own_names = &s->own_name,
			   .own_names_count = p->lmtp ? 0 : 1 },
		.client = { .lmtp = p->lmtp,
			    .helo_name = text(p, SET_smtp_helo_name),
			    .tls_wrapper = flag(p, SET_smtp_tls_wrappermode),
			    .dns = dns,
			    .bind4 = bind_address(p, SET_smtp_bind_address),
			    .bind6 = bind_address(p, SET_smtp_bind_address6),
			    .timeouts = timeouts_of(p),
			    .no_pipelining = has(p, SET_smtp_discard_ehlo_keywords, "pipelining"),
			    .no_mechanisms = without(p),
			    .line_limit = (size_t)number(p, SET_smtp_line_length_limit) },
		.session_limit = (unsigned)number(p, SET_smtp_mx_session_limit),
		.recipient_limit = (unsigned)MIN_OF(conf_number(p->view, SET_default_destination_recipient_limit), (int64_t)100000),
		.keep_ms = flag(p, SET_smtp_connection_cache_on_demand) ? span(p, SET_smtp_connection_cache_time_limit) : -1,
		.keep_uses = (unsigned)reuse,
		.service = p->tag,
		.log_tls = number(p, SET_smtp_tls_loglevel) >= 1,
	};
	lookups_of(p, &p->target.hosts);
	if (p->target.hosts.address_limit == 0) p->target.hosts.address_limit = UINT_MAX;
	if (p->target.session_limit == 0) p->target.session_limit = UINT_MAX;
}

/* TLS. */

static struct tls_common range_of(const struct relay_profile *p, enum setting_id id) {
	unsigned versions = conf_tls_versions(p->view, of(p, id));
	struct tls_common range = { 0 };
	for (enum tls_version version = TLS_1_0; version <= TLS_1_3; version++) {
		if ((versions & 1u << (version - TLS_1_0)) == 0) continue;
		if (range.min == 0) range.min = version;
		range.max = version;
	}
	return range;
}

/* One table in a setting that is no list; empty: none. */
static struct lookup table_of(struct relay_settings *s, const struct relay_profile *p, enum setting_id id) {
	struct lookup l = { 0 };
	struct slice name = text(p, id);
	if (name.len == 0) return l;
	l.tables = arena_array(&s->mem, 1, sizeof *l.tables);
	if (table_open(s->tables, name, 0, &l.tables[0]) == TABLE_FOUND) l.count = 1;
	else say(L_ERROR, p->tag, "%s: %s (it has no effect)", setting_of(of(p, id))->name, fail_text());
	return l;
}

/* Contexts cost memory: services with the same wishes share them. */
static int tls_of(struct relay_settings *s, struct relay_profile *p) {
	static const enum setting_id versions[] = { SET_smtp_tls_protocols, SET_smtp_tls_mandatory_protocols };
	struct slice file = text(p, SET_smtp_tls_CAfile), path = text(p, SET_smtp_tls_CApath);
	for (size_t k = 0; k < TLS_CONTEXTS; k++) {
		struct tls_client_params params = { .common = range_of(p, versions[k]),
						    .ca_file = file.len != 0 ? file.at : NULL,
						    .ca_path = path.len != 0 ? path.at : NULL };
		for (const struct relay_profile *other = s->profiles; other <= p && p->tls[k] == NULL; other++)
			for (size_t i = 0; i < TLS_CONTEXTS && other->view != NULL && p->tls[k] == NULL; i++) {
				struct tls_common theirs = range_of(other, versions[i]);
				if (other->tls[i] != NULL && theirs.min == params.common.min &&
				    theirs.max == params.common.max && slice_eq(text(other, SET_smtp_tls_CAfile), file) &&
				    slice_eq(text(other, SET_smtp_tls_CApath), path))
					p->tls[k] = tls_client_ref(other->tls[i]);
			}
		if (p->tls[k] == NULL && tls_client_new(&params, &p->tls[k]) < 0) return fail_add("TLS");
	}
	return 0;
}

/* Profiles. */

/* generic(5) works as canonical(5) does, on whatever leaves. */
static void generic_of(struct relay_settings *s, struct relay_profile *p) {
	const struct rewrite_params *r = &s->rewrite;
	p->outgoing.generic = (struct rewrite_params){
		.as_is = true,
		.origin = r->origin,
		.delimiters = r->delimiters,
		.owner_request_whole = r->owner_request_whole,
		.bounce_user = r->bounce_user,
		.destinations = r->destinations,
		.own_addresses = r->own_addresses,
		.own_addresses_count = r->own_addresses_count,
		.extend = (r->extend & REWRITE_EXTEND_GENERIC) != 0 ? (unsigned)REWRITE_EXTEND_CANONICAL : 0u,
		.canonical = { tables_of_list(s->tables, p->view, of(p, SET_smtp_generic_maps), 0, &s->mem),
			       REWRITE_ENVELOPE_SENDER | REWRITE_ENVELOPE_RECIPIENT | REWRITE_HEADER_SENDER |
				       REWRITE_HEADER_RECIPIENT },
	};
}

static void checks_of(struct relay_settings *s, struct relay_profile *p) {
	const struct conf_view *v = p->view;
	p->outgoing.tag = p->tag;
	p->outgoing.checks = (struct checks_params){
		.header = tables_of_list(s->tables, v, of(p, SET_smtp_header_checks), TABLE_PATTERNS_ONLY, &s->mem),
		.mime = tables_of_list(s->tables, v, of(p, SET_smtp_mime_header_checks), TABLE_PATTERNS_ONLY, &s->mem),
		.nested = tables_of_list(s->tables, v, of(p, SET_smtp_nested_header_checks), TABLE_PATTERNS_ONLY, &s->mem),
		.body = tables_of_list(s->tables, v, of(p, SET_smtp_body_checks), TABLE_PATTERNS_ONLY, &s->mem),
		.header_limit = (size_t)conf_number(v, SET_header_size_limit),
		.line_limit = (size_t)conf_number(v, SET_line_length_limit),
		.body_limit = conf_size(v, SET_body_checks_size_limit),
		.nesting_limit = (unsigned)conf_number(v, SET_mime_nesting_limit),
		.outgoing = true,
	};
}

static int profile_make(struct relay_settings *s, struct relay_profile *p, struct dns *dns) {
	target_of(p, s, dns);
	p->level = conf_enum(p->view, of(p, SET_smtp_tls_security_level));
	p->policies = tables_of_list(s->tables, p->view, of(p, SET_smtp_tls_policy_maps), 0, &s->mem);
	p->verify_match = list(p, SET_smtp_tls_verify_cert_match, &p->verify_match_count);
	p->secure_match = list(p, SET_smtp_tls_secure_cert_match, &p->secure_match_count);
	p->fingerprints = list(p, SET_smtp_tls_fingerprint_cert_match, &p->fingerprints_count);
	p->digest = text(p, SET_smtp_tls_fingerprint_digest).at;
	p->log_in = flag(p, SET_smtp_sasl_auth_enable);
	p->by_sender = flag(p, SET_smtp_sender_dependent_authentication);
	p->plain_in_clear = !has(p, SET_smtp_sasl_security_options, "noplaintext");
	p->plain_in_tls = !has(p, SET_smtp_sasl_tls_security_options, "noplaintext");
	p->status_filter = table_of(s, p, SET_smtp_delivery_status_filter);
	p->reply_filter = table_of(s, p, SET_smtp_reply_filter);
	if (p->reply_filter.count != 0) {
		p->target.client.filter = relay_filter_reply;
		p->target.client.filter_ctx = p;
	}
	generic_of(s, p);
	checks_of(s, p);
	p->fallback = list(p, SET_smtp_fallback_relay, &p->fallback_count);
	return tls_of(s, p);
}

static bool is_way_out(const struct conf_service *service) {
	return service->type == SERVICE_UNIX &&
	       (slice_eq(service->command, S("smtp")) || slice_eq(service->command, S("lmtp")));
}

static const char *tag_of(struct arena *mem, struct slice name, bool lmtp) {
	const char *command = lmtp ? "lmtp" : "smtp";
	return slice_eq(name, S("relay")) ? arena_fmt(mem, "relay/%s", command).at : command;
}

static int profiles_make(struct relay_settings *s, struct dns *dns) {
	static const char *const always[] = { "smtp", "relay", "lmtp" };
	size_t n;
	const struct conf_service *services = conf_services(s->conf, &n);
	s->profiles = arena_array(&s->mem, n + LEN(always), sizeof *s->profiles);
	for (size_t i = 0; i < n; i++) {
		if (!is_way_out(&services[i])) continue;
		bool lmtp = slice_eq(services[i].command, S("lmtp"));
		s->profiles[s->profiles_count++] =
			(struct relay_profile){ .name = services[i].name, .tag = tag_of(&s->mem, services[i].name, lmtp),
						.lmtp = lmtp, .view = conf_service_view(s->conf, &services[i]) };
	}
	for (size_t i = 0; i < LEN(always); i++) {
		struct slice name = slice_of(always[i]);
		bool lmtp = slice_eq(name, S("lmtp"));
		if (relay_profile_find(s, name) == NULL)
			s->profiles[s->profiles_count++] = (struct relay_profile){
				.name = name, .tag = tag_of(&s->mem, name, lmtp), .lmtp = lmtp, .view = conf_main(s->conf) };
	}
	for (size_t i = 0; i < s->profiles_count; i++)
		if (profile_make(s, &s->profiles[i], dns) < 0) return -1;
	return 0;
}

const struct relay_profile *relay_profile_find(const struct relay_settings *s, struct slice transport) {
	for (size_t i = 0; i < s->profiles_count; i++)
		if (slice_eq(s->profiles[i].name, transport)) return &s->profiles[i];
	return NULL;
}

/* Master reads the files that are root's; every other table is asked here. */
static void open_passwords(struct relay_settings *s) {
	for (size_t i = 0; i < s->profiles_count; i++) {
		struct relay_profile *p = &s->profiles[i];
		bool given = !p->lmtp && s->logins != NULL && s->logins[0] != '\0';
		if (!given && p->log_in)
			p->passwords = tables_of_list(s->tables, p->view, of(p, SET_smtp_sasl_password_maps), 0, &s->mem);
	}
}

int relay_settings_new(struct boot *b, struct dns *dns, struct relay_settings **out) {
	struct relay_settings *s = mem_get(sizeof *s);
	s->generation.destroy = destroy;
	s->conf = TAKE(b->conf);
	s->logins = TAKE(b->logins);
	const struct conf_view *v = conf_main(s->conf);
	s->own_name = conf_text(v, SET_myhostname);
	struct table_params params = { .queue_directory = conf_text(v, SET_queue_directory).at, .service = "smtp" };
	s->tables = tables_new(&params);
	rewrite_settings_make(&s->rewrite, s->tables, s->conf, v, &s->mem);
	if (profiles_make(s, dns) < 0) {
		destroy(&s->generation);
		return -1;
	}
	open_passwords(s);
	*out = s;
	return 0;
}
