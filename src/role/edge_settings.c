/* SPDX-License-Identifier: Apache-2.0 */
#include "role/edge_settings.h"
#include "base/fail.h"
#include "flow/ask.h"
#include "flow/id.h"
#include "flow/submit_words.h"
#include "net/sasl_dovecot.h"
#include "role/edge_content.h"
#include "role/edge_proving.h"
#include "role/edge_restrict.h"
#include "role/edge_sasl.h"
#include "role/edge_tls.h"
#include "role/files.h"
#include "role/routing_settings.h"
#include "role/settings.h"

enum { MEMORY_LIMIT = 128 << 10, LINE_MOST = 60000 /* fits the input of a visitor */ };

static void destroy(struct generation *g) {
	struct edge_settings *s = (struct edge_settings *)g;
	for (size_t i = 0; i < s->count; i++) restrict_free(&s->services[i].restrictions);
	for (struct tls_variant *t = s->tls; t != NULL; t = t->next) tls_server_unref(&t->server);
	tables_free(&s->tables);
	for (struct edge_dovecot *d = s->dovecots; d != NULL; d = d->next) dovecot_close(&d->dovecot);
	for (struct edge_suffixes *p = s->suffixes; p != NULL; p = p->next) psl_close(&p->psl);
	conf_drop(&s->conf);
	arena_done(&s->mem);
	free(s);
}

static unsigned number(const struct conf_view *v, enum setting_id id) {
	return (unsigned)conf_number(v, id);
}

static const char *text(const struct conf_view *v, enum setting_id id) {
	struct slice t = conf_text(v, id);
	return t.at != NULL ? t.at : "";
}

static void make_smtp(struct service *sv, const struct conf_view *v) {
	int level = conf_enum(v, SET_smtpd_tls_security_level);
	bool tls = sv->tls != NULL && level != SERVER_TLS_NONE;
	struct smtp_server_params *p = &sv->smtp;
	*p = smtp_server_defaults;
	p->host = text(v, SET_myhostname);
	p->tls_wrapper = sv->tls_wrapper;
	p->offer = OFFER_USUAL;
	if (!conf_bool(v, SET_disable_vrfy_command)) p->offer |= OFFER_VRFY;
	p->soft = conf_bool(v, SET_soft_bounce);
	p->strict_paths = conf_bool(v, SET_strict_rfc821_envelopes);
	p->dash_user = conf_bool(v, SET_allow_min_user);
	p->null_domain = conf_bool(v, SET_resolve_null_domain);
	p->numeric_domain = conf_bool(v, SET_resolve_numeric_domain);
	p->utf8_unasked = conf_bool(v, SET_smtputf8_enable) && !conf_bool(v, SET_strict_smtputf8);
	p->offer |= OFFER_ETRN;
	if (slice_trim(conf_text(v, SET_smtpd_authorized_xclient_hosts)).len != 0) p->offer |= OFFER_XCLIENT;
	if (slice_trim(conf_text(v, SET_smtpd_authorized_xforward_hosts)).len != 0) p->offer |= OFFER_XFORWARD;
	if (!conf_bool(v, SET_smtputf8_enable)) p->offer &= ~(unsigned)OFFER_SMTPUTF8;
	if (conf_bool(v, SET_requiretls_enable)) p->offer |= OFFER_REQUIRETLS;
	if (tls && !sv->tls_wrapper) p->offer |= OFFER_STARTTLS;
	if (conf_bool(v, SET_smtpd_sasl_auth_enable)) p->offer |= OFFER_AUTH;
	p->tls_required = level == SERVER_TLS_ENCRYPT && !sv->tls_wrapper;
	p->auth_clear = conf_bool(v, SET_smtpd_tls_auth_only)
				? 0
				: sasl_mechanisms(v, SET_smtpd_sasl_mechanism_filter, SET_smtpd_sasl_security_options);
	p->auth_tls = sasl_mechanisms(v, SET_smtpd_sasl_mechanism_filter, SET_smtpd_sasl_tls_security_options);
	p->auth_line_limit = (size_t)MIN_OF(conf_number(v, SET_smtpd_sasl_response_limit), (int64_t)SASL_LINE_MAX);
	p->auth_equals = conf_bool(v, SET_broken_sasl_auth_clients);
	p->helo_required = conf_bool(v, SET_smtpd_helo_required);
	p->strict_pipelining = conf_bool(v, SET_smtpd_forbid_unauth_pipelining);
	p->line_limit = (size_t)MIN_OF(conf_number(v, SET_line_length_limit), (int64_t)LINE_MOST);
	p->size_limit = conf_size(v, SET_message_size_limit);
	p->recipient_limit = number(v, SET_smtpd_recipient_limit);
	p->soft_error_limit = number(v, SET_smtpd_soft_error_limit);
	p->hard_error_limit = number(v, SET_smtpd_hard_error_limit);
	p->junk_command_limit = number(v, SET_smtpd_junk_command_limit);
	p->error_delay = conf_time_ms(v, SET_smtpd_error_sleep_time);
	p->timeout = conf_time_ms(v, SET_smtpd_timeout);
	p->starttls_timeout = conf_time_ms(v, SET_smtpd_starttls_timeout);
	p->per_request = conf_bool(v, SET_smtpd_per_request_deadline);
	p->min_data_rate = (uint64_t)conf_number(v, SET_smtpd_min_data_rate);
	p->recipient_overshoot = number(v, SET_smtpd_recipient_overshoot_limit);
	p->verp_delimiters = text(v, SET_default_verp_delimiters);
	p->verp_filter = text(v, SET_verp_delimiter_filter);
	if (slice_trim(conf_text(v, SET_smtpd_authorized_verp_clients)).len != 0) p->offer |= OFFER_XVERP;
}

/* What sendmail is to do otherwise than usual. */
static const char *submit_wishes(const struct conf_view *v, struct arena *mem) {
	static const char *const ends[] = {
		[LINE_ENDS_ALWAYS] = "", [LINE_ENDS_STRICT] = SUBMIT_SAYS_STRICT, [LINE_ENDS_NEVER] = SUBMIT_SAYS_NEVER
	};
	const char *from = conf_enum(v, SET_header_from_format) == FROM_OBSOLETE ? SUBMIT_SAYS_OBSOLETE : "";
	struct slice charset = conf_text(v, SET_full_name_encoding_charset);
	bool usual = slice_same(charset, S("utf-8"));
	return arena_fmt(mem, "%s%s%.*s%s", from, usual ? "" : SUBMIT_SAYS_CHARSET, usual ? 0 : (int)charset.len,
			 charset.at, ends[conf_enum(v, SET_sendmail_fix_line_endings)]).at;
}

static void make_admit(struct service *sv, const struct conf_view *v, struct edge_settings *s,
		       const struct edge_outside *o) {
	sv->admit = (struct admit_params){
		.service = sv->log_name,
		.host = text(v, SET_myhostname),
		.mail_name = text(v, SET_mail_name),
		.banner = text(v, SET_smtpd_banner),
		.origin = text(v, SET_myorigin),
		.spool_dir = arena_fmt(&s->mem, "%s/spool", o->data_dir).at,
		.memory_limit = MEMORY_LIMIT,
		.hop_limit = number(v, SET_hopcount_limit),
		.networks = networks_open(conf_networks(v, SET_mynetworks), s->tables, &s->mem),
		.relay_domains = conf_domains(v, SET_relay_domains),
		.show_login = conf_bool(v, SET_smtpd_sasl_authenticated_header),
		.show_tls = conf_bool(v, SET_smtpd_tls_received_header),
		.note_require_tls = conf_bool(v, SET_requiretls_enable) && conf_bool(v, SET_requiretls_esmtp_header),
		.hide_session = conf_bool(v, SET_smtpd_hide_client_session),
		.core = o->core,
		.vault = o->vault,
		.relay = o->relay,
		.known = o->known,
		.elsewhere = o->elsewhere,
		.dns = o->dns,
		.tls = sv->tls,
		.rates = o->rates,
		.rate_params = &sv->rates,
		.rate_exceptions = sv->rate_exceptions,
		.size_limit = sv->smtp.size_limit,
		.submit_wishes = submit_wishes(v, &s->mem),
		.min_free = conf_size(v, SET_queue_minfree),
		.login_domain = conf_text(v, SET_smtpd_sasl_local_domain),
		.trust_routes = conf_bool(v, SET_allow_untrusted_routing),
		.log_tls = conf_number(v, SET_smtpd_tls_loglevel) >= 1,
	};
}

/* What differs between IMAP and POP3 is only the names of the settings. */
static const struct gate_settings {
	enum setting_id level, wrapper, auth_only, mechanisms, idle, user_limit, login_timeout;
} gate_settings[] = {
	[SERVES_IMAP] = { SET_imapd_tls_security_level, SET_imapd_tls_wrappermode, SET_imapd_tls_auth_only,
			  SET_imapd_sasl_mechanism_filter, SET_imapd_idle_timeout, SET_imapd_connection_limit_per_user,
			  SET_imapd_login_timeout },
	[SERVES_POP3] = { SET_pop3d_tls_security_level, SET_pop3d_tls_wrappermode, SET_pop3d_tls_auth_only,
			  SET_pop3d_sasl_mechanism_filter, SET_pop3d_idle_timeout, SET_pop3d_connection_limit_per_user,
			  SET_pop3d_login_timeout },
};

static void make_gate(struct service *sv, const struct conf_view *v) {
	const struct gate_settings *g = &gate_settings[sv->protocol];
	bool no_tls = conf_enum(v, g->level) == SERVER_TLS_NONE;
	sv->idle_ms = conf_time_ms(v, g->idle);
	sv->user_limit = number(v, g->user_limit);
	sv->gate = (struct gate_params){
		.tls = sv->tls_wrapper || no_tls ? NULL : sv->tls,
		.clear_text = no_tls || !conf_bool(v, g->auth_only),
		.mechanisms = sasl_mechanisms(v, g->mechanisms, SETTINGS_COUNT),
		.time_limit = conf_time_ms(v, g->login_timeout),
		.login_delay_s =
			sv->protocol == SERVES_POP3 ? (unsigned)(conf_time_ms(v, SET_pop3d_login_delay) / 1000) : 0,
	};
}

static void make_rates(struct service *sv, struct slice name, const struct conf_view *v, struct edge_settings *s) {
	sv->rates = (struct rate_params){
		.service = name,
		.connections = number(v, SET_smtpd_client_connection_count_limit),
		.most = { [RATE_CONNECTION] = number(v, SET_smtpd_client_connection_rate_limit),
			  [RATE_MESSAGE] = number(v, SET_smtpd_client_message_rate_limit),
			  [RATE_RECIPIENT] = number(v, SET_smtpd_client_recipient_rate_limit),
			  [RATE_AUTH] = number(v, SET_smtpd_client_auth_rate_limit),
			  [RATE_TLS] = number(v, SET_smtpd_client_new_tls_session_rate_limit) },
		.unit_ms = conf_time_ms(v, SET_anvil_rate_time_unit),
		.ipv4_bits = number(v, SET_smtpd_client_ipv4_prefix_length),
		.ipv6_bits = number(v, SET_smtpd_client_ipv6_prefix_length),
	};
	sv->rate_exceptions =
		networks_open(conf_networks(v, SET_smtpd_client_event_limit_exceptions), s->tables, &s->mem);
}

/* "smtpd" for port 25; "submission/smtpd" and "smtps/smtpd" as people's log tools know them, unless the service has a
 * syslog_name of its own (Debian's master.cf: -o syslog_name=postfix/submission). */
static const char *log_name(const struct conf_service *cs, const struct conf_view *v, struct edge_settings *s) {
	const struct conf_view *all = conf_main(s->conf);
	const char *plain = cs->role == SERVICE_IMAPD   ? "imap-login"
			    : cs->role == SERVICE_POP3D ? "pop3-login"
							: "smtpd";
	struct slice own = conf_text(v, SET_syslog_name);
	if (!slice_eq(own, conf_text(all, SET_syslog_name)))
		return arena_fmt(&s->mem, "/%.*s/%s", SLICE_ARG(own), plain).at;
	if (cs->role != SERVICE_SMTPD) return plain;
	if (conf_bool(v, SET_smtpd_tls_wrappermode)) return "smtps/smtpd";
	bool of_users = conf_bool(v, SET_smtpd_sasl_auth_enable) && !conf_bool(all, SET_smtpd_sasl_auth_enable);
	return cs->port == 587 || of_users ? "submission/smtpd" : "smtpd";
}

/* Only the listener that has it, so that nobody else can claim to be somebody. */
static int make_proxy(struct service *sv, const struct conf_view *v, bool screen) {
	enum setting_id id = screen ? SET_postscreen_upstream_proxy_protocol : SET_smtpd_upstream_proxy_protocol;
	struct slice protocol = slice_trim(conf_text(v, id));
	if (protocol.len == 0) return 0;
	if (!slice_same(protocol, S("haproxy")))
		return fail("%s: unknown protocol \"%.*s\" (haproxy is the only one)", setting_of(id)->name,
			    SLICE_ARG(protocol));
	sv->proxy = true;
	sv->proxy_ms =
		conf_time_ms(v, screen ? SET_postscreen_upstream_proxy_timeout : SET_smtpd_upstream_proxy_timeout);
	return 0;
}

static int make_service(struct edge_settings *s, const struct conf_service *cs, const struct boot *b,
			const struct edge_outside *outside) {
	const struct conf_view *v = conf_service_view(s->conf, cs);
	struct service *sv = &s->services[cs->index];
	if (cs->role != SERVICE_IMAPD && cs->role != SERVICE_POP3D && cs->role != SERVICE_SMTPD) return 0;
	sv->protocol = cs->role == SERVICE_IMAPD ? SERVES_IMAP : cs->role == SERVICE_POP3D ? SERVES_POP3 : SERVES_SMTP;
	bool smtp = sv->protocol == SERVES_SMTP;
	sv->log_name = log_name(cs, v, s);
	bool screen =
		slice_eq(cs->command, S("postscreen")); /* its maxproc is that of a process that serves everybody */
	sv->connection_limit = screen ? 0 : (unsigned)MAX_OF(cs->maxproc, 0);
	sv->tls_wrapper = conf_bool(v, smtp ? SET_smtpd_tls_wrappermode : gate_settings[sv->protocol].wrapper);
	int level = conf_enum(v, smtp ? SET_smtpd_tls_security_level : gate_settings[sv->protocol].level);
	if (edge_tls_choose(s, sv, v, sv->tls_wrapper || level == SERVER_TLS_ENCRYPT, b, outside) < 0)
		return fail_add("TLS");
	make_rates(sv, cs->name, v, s);
	uint64_t most;
	struct slice limit = slice_trim(conf_text(v, SET_postscreen_client_connection_count_limit));
	if (screen && !slice_number(limit, UINT32_MAX, &most))
		return fail("postscreen_client_connection_count_limit: \"%.*s\" is no number", SLICE_ARG(limit));
	if (screen && most != 0 && (sv->rates.connections == 0 || most < sv->rates.connections))
		sv->rates.connections = (unsigned)most;
	if (!smtp) {
		make_gate(sv, v);
	} else {
		make_smtp(sv, v);
		if (make_proxy(sv, v, screen) < 0) return -1;
		sv->smtp.lmtp = slice_eq(cs->command, S("lmtpd"));
		if (screen) {
			screen_settings_make(&sv->screen, v, s->tables, &s->mem);
			sv->screen.dns = outside->dns;
			sv->screen.tls = sv->tls;
		}
		make_admit(sv, v, s, outside);
		struct notice_params *notices = arena_get(&s->mem, sizeof *notices);
		notices_of(notices, v, outside->notices, &s->mem);
		sv->admit.notices = notices;
		if (edge_restrict_make(s, sv, v, outside) < 0) return -1;
		if (edge_content_make(s, sv, v, outside) < 0) return -1;
		if (edge_proving_make(s, sv, v, outside) < 0) return -1;
	}
	return edge_sasl_make(s, sv, v, outside);
}

/* Users of this machine: neither TLS nor log-in, and no limits but that of the size. */
static int make_submit(struct edge_settings *s, const struct edge_outside *outside) {
	enum { NO_LIMIT = 1000000, AT_ONCE = 1000 };
	struct service *sv = &s->submit;
	const struct conf_view *v = conf_main(s->conf);
	size_t n;
	const struct conf_service *services = conf_services(s->conf, &n);
	for (size_t i = 0; i < n; i++) /* its line may have -o content_filter= and the like */
		if (slice_eq(services[i].command, S("pickup"))) v = conf_service_view(s->conf, &services[i]);
	*sv = (struct service){ .protocol = SERVES_SMTP, .log_name = "pickup", .connection_limit = AT_ONCE };
	make_smtp(sv, v);
	make_admit(sv, v, s, outside);
	sv->smtp.offer = OFFER_USUAL | OFFER_XVERP;
	sv->smtp.soft = false; /* sendmail(1) is to know what will never be taken */
	sv->smtp.tls_required = sv->smtp.helo_required = sv->smtp.strict_pipelining = false;
	sv->smtp.recipient_limit = sv->smtp.soft_error_limit = sv->smtp.hard_error_limit = NO_LIMIT;
	sv->smtp.junk_command_limit = NO_LIMIT;
	sv->smtp.error_delay = 0;
	if (!slice_eq(slice_trim(conf_text(v, SET_local_login_sender_maps)), S("static:*"))) {
		struct slice any_name = S("root"), problem; /* a list with a name in it knows them all */
		sv->admit.login_senders = tables_of_list(s->tables, v, SET_local_login_sender_maps, 0, &s->mem);
		sv->admit.logins = submitters_make(&any_name, 1, s->tables, &s->mem, &problem);
	}
	sv->admit.login_delimiters = conf_text(v, SET_recipient_delimiter);
	sv->admit.login_nobody = conf_text(v, SET_empty_address_local_login_sender_maps_lookup_key);
	sv->admit.submitters = submitters_of(v, SET_authorized_submit_users, s->tables, &s->mem);
	sv->admit.deliverers = submitters_of(v, SET_authorized_deliver_users, s->tables, &s->mem);
	if (edge_content_make(s, sv, v, outside) < 0) return -1;
	sv->admit.proxy = NULL; /* smtpd's alone */
	return edge_proving_make(s, sv, v, outside);
}

int edge_settings_make(struct boot *b, const struct edge_outside *outside, struct edge_settings **out) {
	struct edge_settings *s = mem_get(sizeof *s);
	s->generation.destroy = destroy;
	s->conf = TAKE(b->conf);
	queue_id_form(conf_bool(conf_main(s->conf), SET_enable_long_queue_ids));
	size_t n;
	const struct conf_service *services = conf_services(s->conf, &n);
	s->services = arena_array(&s->mem, n, sizeof *s->services);
	s->count = n;
	s->tables = tables_new(
		&(struct table_params){ .queue_directory = conf_text(conf_main(s->conf), SET_queue_directory).at,
					.socketmap_most = (size_t)conf_number(conf_main(s->conf),
									      SET_socketmap_max_reply_size),
					.open = files_open,
					.service = "smtpd" });
	for (size_t i = 0; i < n; i++)
		if (make_service(s, &services[i], b, outside) < 0) {
			destroy(&s->generation);
			return -1;
		}
	if (make_submit(s, outside) < 0) {
		destroy(&s->generation);
		return -1;
	}
	*out = s;
	return 0;
}
