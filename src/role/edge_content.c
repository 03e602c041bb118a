/* SPDX-License-Identifier: Apache-2.0 */
/* Milters and header settings may differ from service to service (master.cf: -o smtpd_milters=…), so each has its own.
 */
#include "role/edge_content.h"
#include "role/relay_sign.h"
#include "base/fail.h"
#include "role/routing_settings.h"
#include "smtp/deliver.h"

static int milter_defaults(const struct conf_view *v, struct milter_spec *out) {
	static const enum milter_default actions[] = {
		[MILTER_TEMPFAIL] = MILTER_DEFAULT_TEMPFAIL,     [MILTER_ACCEPT] = MILTER_DEFAULT_ACCEPT,
		[MILTER_REJECT] = MILTER_DEFAULT_REJECT,         [MILTER_QUARANTINE] = MILTER_DEFAULT_QUARANTINE,
		[MILTER_SHUTDOWN] = MILTER_DEFAULT_SHUTDOWN,
	};
	*out = (struct milter_spec){
		.connect_ms = conf_time_ms(v, SET_milter_connect_timeout),
		.command_ms = conf_time_ms(v, SET_milter_command_timeout),
		.content_ms = conf_time_ms(v, SET_milter_content_timeout),
		.action = actions[conf_enum(v, SET_milter_default_action)],
	};
	return milter_protocol_parse(conf_text(v, SET_milter_protocol), &out->version, &out->no_header_reply);
}

/* The sockets of OpenDKIM and OpenDMARC in Debian, docker-mailserver and the usual how-tos: where nobody listens, we do
 * it. */
static bool is_built_in(const struct conf_view *v, const struct milter_spec *m) {
	static const struct { const char *name; uint16_t port; enum setting_id check; } known[] = {
		{ "opendkim", 8891, SET_dkim_verify }, { "opendkim", 12301, SET_dkim_verify },
		{ "opendmarc", 8893, SET_dmarc_check }, { "opendmarc", 54321, SET_dmarc_check },
	};
	bool here = m->path == NULL && (slice_same(m->host, S("localhost")) || slice_eq(m->host, S("127.0.0.1")) ||
					slice_eq(m->host, S("::1")));
	for (size_t i = 0; i < LEN(known); i++) {
		if (!conf_bool(v, known[i].check)) continue;
		if (m->path != NULL ? strstr(m->path, known[i].name) != NULL : here && m->port == known[i].port)
			return true;
	}
	return false;
}

/* NULL in *out: no milters. */
static int make_milters(struct edge_settings *s, const struct conf_view *v, enum setting_id list, const char *service,
			const struct edge_outside *o, const struct milting_params **out) {
	static const enum setting_id macros[MILTER_STAGES] = {
		[MILTER_AT_CONNECT] = SET_milter_connect_macros,     [MILTER_AT_HELO] = SET_milter_helo_macros,
		[MILTER_AT_MAIL] = SET_milter_mail_macros,           [MILTER_AT_RCPT] = SET_milter_rcpt_macros,
		[MILTER_AT_DATA] = SET_milter_data_macros,           [MILTER_AT_END] = SET_milter_end_of_data_macros,
		[MILTER_AT_END_HEADER] = SET_milter_end_of_header_macros,
		[MILTER_AT_UNKNOWN] = SET_milter_unknown_command_macros,
	};
	struct milter_spec defaults;
	struct milting_params *p = arena_get(&s->mem, sizeof *p);
	struct milter_set *set = arena_get(&s->mem, sizeof *set);
	*out = NULL;
	struct lookup maps = { 0 };
	if (list == SET_smtpd_milters) maps = tables_of_list(s->tables, v, SET_smtpd_milter_maps, 0, &s->mem);
	if (slice_trim(conf_text(v, list)).len == 0 && maps.count == 0) return 0;
	if (milter_defaults(v, &defaults) < 0) return -1;
	const char *folder = arena_text(&s->mem, conf_text(v, SET_queue_directory));
	if (milter_set_parse(conf_text(v, list), &defaults, folder, &s->mem, set) < 0)
		return fail_add("%s", setting_of(list)->name);
	for (size_t i = 0; i < set->count; i++)
		set->specs[i].stand_in =
			is_built_in(v, &set->specs[i]) || conf_replaces_milter(s->conf, slice_of(set->specs[i].name));
	*p = (struct milting_params){
		.set = set,
		.client = { .dns = o->dns, .service = service },
		.host = conf_text(v, SET_myhostname),
		.daemon_name = conf_text(v, SET_milter_macro_daemon_name),
		.version = conf_text(v, SET_milter_macro_v),
		.origin = conf_text(v, SET_myorigin),
		.header_checks = tables_of_list(s->tables, v, SET_milter_header_checks, TABLE_PATTERNS_ONLY, &s->mem),
		.maps = maps,
		.spec = defaults,
		.queue_directory = folder,
	};
	p->defaults = conf_list(v, SET_milter_macro_defaults, &p->defaults_count);
	for (size_t i = 0; i < MILTER_STAGES; i++) p->client.macros[i] = conf_text(v, macros[i]);
	*out = p;
	return 0;
}

/* local_header_rewrite_clients: words, and "check_address_map type:table". */
static int make_header_clients(struct edge_settings *s, struct service *sv, const struct conf_view *v,
			       const struct rewrite_params *rewrite) {
	struct header_clients *h = &sv->admit.header_clients;
	size_t n;
	const struct slice *words = conf_list(v, SET_local_header_rewrite_clients, &n);
	*h = (struct header_clients){ .own = rewrite->own_addresses, .own_count = rewrite->own_addresses_count };
	h->maps.tables = arena_array(&s->mem, MAX_OF(n, (size_t)1), sizeof *h->maps.tables);
	for (size_t i = 0; i < n; i++) {
		if (slice_same(words[i], S("permit_inet_interfaces"))) h->interfaces = true;
		else if (slice_same(words[i], S("permit_mynetworks"))) h->networks = true;
		else if (slice_same(words[i], S("permit_sasl_authenticated"))) h->logged_in = true;
		else if (slice_same(words[i], S("permit_tls_clientcerts")) ||
			 slice_same(words[i], S("permit_tls_all_clientcerts")))
			h->certified = true;
		else if (slice_same(words[i], S("check_address_map"))) continue;
		else if (table_open(s->tables, words[i], 0, &h->maps.tables[h->maps.count]) == TABLE_FOUND)
			h->maps.count++;
		else return fail_add("local_header_rewrite_clients");
	}
	return 0;
}

static int make_header(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		       const struct conf_view *cleanup) {
	struct header_params *p = arena_get(&s->mem, sizeof *p);
	struct rewrite_params *local = arena_get(&s->mem, sizeof *local), *remote = arena_get(&s->mem, sizeof *remote);
	rewrite_settings_make(local, s->tables, s->conf, cleanup, &s->mem);
	*remote = *local; /* no domain is completed, and no $myorigin added, in headers of others */
	remote->origin = conf_text(v, SET_remote_header_rewrite_domain);
	remote->domain = SLICE_NONE;
	*p = (struct header_params){
		.host = arena_text(&s->mem, conf_text(v, SET_myhostname)),
		.always_complete = conf_bool(cleanup, SET_always_add_missing_headers),
		.undisclosed = conf_text(cleanup, SET_undisclosed_recipients_header),
		.local = local,
		.remote = remote->origin.len != 0 ? remote : NULL,
		.token_limit = (size_t)conf_number(cleanup, SET_header_address_token_limit),
	};
	p->drop = conf_list(cleanup, SET_message_drop_headers, &p->drop_count);
	sv->admit.header = p;
	return make_header_clients(s, sv, v, local);
}

static void make_checks(struct edge_settings *s, struct service *sv, const struct conf_view *v) {
	struct checks_params *p = arena_get(&s->mem, sizeof *p);
	bool flat = conf_bool(v, SET_disable_mime_input_processing);
	*p = (struct checks_params){
		.header = tables_of_list(s->tables, v, SET_header_checks, TABLE_PATTERNS_ONLY, &s->mem),
		.mime = tables_of_list(s->tables, v, SET_mime_header_checks, TABLE_PATTERNS_ONLY, &s->mem),
		.nested = tables_of_list(s->tables, v, SET_nested_header_checks, TABLE_PATTERNS_ONLY, &s->mem),
		.body = tables_of_list(s->tables, v, SET_body_checks, TABLE_PATTERNS_ONLY, &s->mem),
		.header_limit = (size_t)conf_number(v, SET_header_size_limit),
		.line_limit = (size_t)conf_number(v, SET_line_length_limit),
		.body_limit = conf_size(v, SET_body_checks_size_limit),
		.strict_header = !flat && (conf_bool(v, SET_strict_7bit_headers) || conf_bool(v, SET_strict_8bitmime)),
		.strict_body = !flat && (conf_bool(v, SET_strict_8bitmime_body) || conf_bool(v, SET_strict_8bitmime)),
		.strict_encoding = !flat && conf_bool(v, SET_strict_mime_encoding_domain),
		.strict_end = conf_enum(v, SET_non_empty_end_of_header_action) == HEADER_END_REJECT,
		.boundary_limit = (size_t)conf_number(v, SET_mime_boundary_length_limit),
		.flat = flat,
		.convert = !flat && conf_bool(v, SET_force_mime_input_conversion),
	};
	sv->admit.note_header_end = conf_enum(v, SET_non_empty_end_of_header_action) == HEADER_END_ADD;
	if (checks_wanted(p)) sv->admit.checks = p;
}

/* The set that a text with C's escapes names; NULL: none. Line ends are no characters of a text. */
static const bool *characters(const struct conf_view *v, enum setting_id id, struct arena *mem) {
	static const char letters[] = "abfnrtv", codes[] = "\a\b\f\n\r\t\v";
	struct slice text = conf_text(v, id);
	bool *set = arena_array(mem, 256, sizeof *set);
	for (size_t i = 0; i < text.len; i++) {
		unsigned c = (unsigned char)text.at[i];
		if (c == '\\' && i + 1 < text.len) {
			c = (unsigned char)text.at[++i];
			const char *letter = strchr(letters, (int)c);
			if (letter != NULL) c = (unsigned char)codes[letter - letters];
			else if (c >= '0' && c <= '7') {
				c -= '0';
				for (int n = 1;
				     n < 3 && i + 1 < text.len && text.at[i + 1] >= '0' && text.at[i + 1] <= '7'; n++)
					c = (c * 8 + (unsigned)(text.at[++i] - '0')) & 255;
			}
		}
		set[c] = c != '\r' && c != '\n';
	}
	return text.len != 0 ? set : NULL;
}

bool edge_overridden(const struct conf_view *v, const char *word) {
	size_t n;
	const struct slice *words = conf_list(v, SET_receive_override_options, &n);
	for (size_t i = 0; i < n; i++)
		if (slice_same(words[i], slice_of(word))) return true;
	return false;
}

/* The cleanup service of master.cf that this service's mail goes through, as cleanup_service_name says: header_checks
 * and the like are its parameters. Without such an entry the service's own. */
static const struct conf_view *cleanup_of(struct edge_settings *s, const struct conf_view *v) {
	size_t n;
	const struct conf_service *services = conf_services(s->conf, &n);
	struct slice name = conf_text(v, SET_cleanup_service_name);
	for (size_t i = 0; i < n; i++)
		if (slice_eq(services[i].name, name) && slice_eq(services[i].command, S("cleanup")))
			return conf_service_view(s->conf, &services[i]);
	return v;
}

/* NULL: no filter. "host:port", "inet:host:port" or "unix:path". */
static const struct smtp_target *make_proxy(struct edge_settings *s, const struct conf_view *v,
					    const struct edge_outside *o, const char *service) {
	struct slice where = slice_trim(conf_text(v, SET_smtpd_proxy_filter));
	if (where.len == 0) return NULL;
	struct smtp_target *t = arena_get(&s->mem, sizeof *t);
	int64_t patience = conf_time_ms(v, SET_smtpd_proxy_timeout);
	if (slice_starts(where, S("unix:")) && !slice_starts(where, S("unix:/")))
		where = arena_fmt(&s->mem, "unix:%.*s/%.*s", SLICE_ARG(conf_text(v, SET_queue_directory)),
				  SLICE_ARG(slice_skip(where, 5)));
	if (slice_find(where, ':') == where.len) where = arena_fmt(&s->mem, "[127.0.0.1]:%.*s", SLICE_ARG(where));
	*t = (struct smtp_target){
		.next_hop = where,
		.hosts = { .dns = o->dns, .no_mx = true, .native = true },
		.client = { .helo_name = conf_text(v, SET_smtpd_proxy_ehlo),
			    .xforward = true,
			    .timeouts = { patience, patience, patience, patience, patience, patience, patience,
					  patience, patience, patience, patience } },
		.session_limit = 1,
		.recipient_limit = UINT32_MAX, /* one message, one answer */
		.service = service,
	};
	return t;
}

static void make_sign(struct edge_settings *s, struct service *sv, const struct conf_view *v, struct signing *signing) {
	struct sign_clients *p = arena_get(&s->mem, sizeof *p);
	*p = (struct sign_clients){
		.hosts = conf_domains(v, SET_dkim_sign_hosts),
		.daemon_name = conf_text(v, SET_milter_macro_daemon_name),
		.ignored = networks_open(conf_networks(v, SET_dkim_exempt_networks), s->tables, &s->mem),
		.ignored_hosts = conf_domains(v, SET_dkim_exempt_hosts),
		.ignored_authors = conf_domains(v, SET_dkim_exempt_authors),
		.log_why = conf_bool(v, SET_dkim_log_why),
	};
	p->daemons = conf_list(v, SET_dkim_sign_daemon_names, &p->daemons_count);
	p->macros = conf_list(v, SET_dkim_sign_macros, &p->macros_count);
	p->exempt_recipients = conf_list(v, SET_dkim_exempt_recipients, &p->exempt_recipients_count);
	if (conf_bool(v, SET_dkim_sign))
		p->networks = networks_open(conf_networks(v, SET_dkim_sign_networks), s->tables, &s->mem);
	int here = conf_enum(v, SET_dkim_sign_local);
	if (p->networks != NULL && here != DKIM_LOCAL_NO) {
		struct signing_params *form = arena_get(&s->mem, sizeof *form);
		signing_settings_make(v, SIZE_MAX, sv->log_name, &s->mem, form);
		form->seal = form->unsigned_if_late = form->remove_old = form->log_why = false;
		p->here = form;
		p->here_all = here == DKIM_LOCAL_YES;
		p->signing = signing;
	}
	sv->admit.sign = p;
}

int edge_content_make(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		      const struct edge_outside *o) {
	const struct conf_view *cleanup = cleanup_of(s, v);
	sv->admit.proxy = make_proxy(s, v, o, sv->log_name);
	sv->admit.content_filter = conf_text(v, SET_content_filter);
	if (make_header(s, sv, v, cleanup) < 0) return -1;
	if (!edge_overridden(v, "no_header_body_checks")) {
		make_checks(s, sv, cleanup);
		sv->smtp.stripped = characters(cleanup, SET_message_strip_characters, &s->mem);
		sv->smtp.rejected = characters(cleanup, SET_message_reject_characters, &s->mem);
	}
	if (edge_overridden(v, "no_address_mappings")) sv->admit.accept_flags |= ACCEPT_NO_MAPPINGS;
	if (edge_overridden(v, "no_milters")) return 0;
	make_sign(s, sv, v, o->signing);
	if (make_milters(s, v, SET_smtpd_milters, sv->log_name, o, &sv->admit.milters) < 0) return -1;
	return make_milters(s, v, SET_non_smtpd_milters, "cleanup", o, &sv->admit.other_milters);
}
