/* SPDX-License-Identifier: Apache-2.0 */
#include "role/edge_settings.h"
#include "base/fail.h"
#include "flow/ask.h"

enum { MEMORY_LIMIT = 128 << 10 };

static void destroy(struct generation *g) {
	struct edge_settings *s = (struct edge_settings *)g;
	tls_server_unref(&s->tls);
	conf_drop(&s->conf);
	arena_done(&s->mem);
	free(s);
}

/* The private keys are vault's: a handshake asks it for each signature. */
static int sign_by_vault(void *ctx, uint64_t key, const struct remote_sign_request *request, struct buf *signature) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf packed = BUF(REMOTE_TBS_MAX * 2);
	remote_sign_request_pack(&packed, request);
	struct sign_answer answer;
	int r = ask_sign(ctx, &(struct sign_ask){ .key = key, .request = buf_slice(&packed) }, &mem, &answer);
	if (r != ASK_OK) return r < 0 ? r : fail("vault does not answer");
	if (answer.signature.len == 0) return fail("vault could not sign");
	return buf_add(signature, answer.signature) ? 0 : fail("signature too long");
}

static enum tls_version version_of(struct slice word) {
	static const struct { struct slice name; enum tls_version version; } names[] = {
		{ S("TLSv1"), TLS_1_0 }, { S("TLSv1.0"), TLS_1_0 }, { S("TLSv1.1"), TLS_1_1 }, { S("TLSv1.2"), TLS_1_2 }, { S("TLSv1.3"), TLS_1_3 },
	};
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_same(word, names[i].name)) return names[i].version;
	return TLS_VERSION_DEFAULT;
}

/* smtpd_tls_protocols: ">=TLSv1.2", "<=TLSv1.3", "!TLSv1"; an exclusion counts when it takes the lowest one away. */
static void protocol_range(const struct conf_view *v, enum setting_id id, struct tls_common *out) {
	size_t n;
	const struct slice *words = conf_list(v, id, &n);
	enum tls_version least = TLS_1_2;
	for (size_t i = 0; i < n; i++) {
		if (slice_starts(words[i], S(">="))) least = version_of(slice_skip(words[i], 2));
		if (slice_starts(words[i], S("<="))) out->max = version_of(slice_skip(words[i], 2));
		if (words[i].at[0] == '!' && version_of(slice_skip(words[i], 1)) == least && least < TLS_1_3) least++;
	}
	out->min = least;
}

static int make_tls(struct edge_settings *s, const struct boot *b, const struct edge_outside *outside) {
	struct tls_identity list[IDENTITIES_MAX] = { 0 };
	for (size_t i = 0; i < b->identity_count; i++) {
		list[i].chain_pem = slice_of(b->identities[i]);
		list[i].remote = (struct remote_key){ .sign = sign_by_vault, .ctx = outside->vault, .id = i };
	}
	struct tls_server_params p = { .identities = list, .identities_count = b->identity_count };
	protocol_range(conf_main(s->conf), SET_smtpd_tls_protocols, &p.common);
	return b->identity_count != 0 ? tls_server_new(&p, &s->tls) : 0;
}

static unsigned number(const struct conf_view *v, enum setting_id id) {
	return (unsigned)conf_number(v, id);
}

static const char *text(const struct conf_view *v, enum setting_id id) {
	struct slice t = conf_text(v, id);
	return t.at != NULL ? t.at : "";
}

static void make_smtp(struct service *sv, const struct conf_view *v, const struct edge_settings *s) {
	int level = conf_enum(v, SET_smtpd_tls_security_level);
	bool tls = s->tls != NULL && level != SERVER_TLS_NONE;
	sv->tls_wrapper = conf_bool(v, SET_smtpd_tls_wrappermode);
	struct smtp_server_params *p = &sv->smtp;
	*p = smtp_server_defaults;
	p->host = text(v, SET_myhostname);
	p->tls_wrapper = sv->tls_wrapper;
	p->offer = OFFER_USUAL;
	if (!conf_bool(v, SET_disable_vrfy_command)) p->offer |= OFFER_VRFY;
	if (!conf_bool(v, SET_smtputf8_enable)) p->offer &= ~(unsigned)OFFER_SMTPUTF8;
	if (tls && !sv->tls_wrapper) p->offer |= OFFER_STARTTLS;
	if (conf_bool(v, SET_smtpd_sasl_auth_enable)) p->offer |= OFFER_AUTH;
	p->tls_required = level == SERVER_TLS_ENCRYPT && !sv->tls_wrapper;
	p->auth_in_clear = !conf_bool(v, SET_smtpd_tls_auth_only);
	p->helo_required = conf_bool(v, SET_smtpd_helo_required);
	p->strict_pipelining = conf_bool(v, SET_smtpd_forbid_unauth_pipelining);
	p->line_limit = (size_t)conf_number(v, SET_line_length_limit);
	p->size_limit = conf_size(v, SET_message_size_limit);
	p->recipient_limit = number(v, SET_smtpd_recipient_limit);
	p->soft_error_limit = number(v, SET_smtpd_soft_error_limit);
	p->hard_error_limit = number(v, SET_smtpd_hard_error_limit);
	p->junk_command_limit = number(v, SET_smtpd_junk_command_limit);
	p->error_delay = conf_time_ms(v, SET_smtpd_error_sleep_time);
	p->timeout = conf_time_ms(v, SET_smtpd_timeout);
}

static void make_admit(struct service *sv, const struct conf_view *v, struct edge_settings *s, const struct edge_outside *o) {
	sv->admit = (struct admit_params){
		.service = sv->log_name, .host = text(v, SET_myhostname), .banner = text(v, SET_smtpd_banner), .origin = text(v, SET_myorigin),
		.spool_dir = arena_fmt(&s->mem, "%s/spool", o->data_dir).at, .memory_limit = MEMORY_LIMIT,
		.hop_limit = number(v, SET_hopcount_limit), .networks = conf_networks(v, SET_mynetworks),
		.relay_domains = conf_domains(v, SET_relay_domains), .show_login = conf_bool(v, SET_smtpd_sasl_authenticated_header),
		.core = o->core, .vault = o->vault, .known = o->known, .dns = o->dns, .tls = s->tls, .rates = o->rates, .rate_params = &s->rates,
		.rate_exceptions = s->rate_exceptions, .log_tls = conf_number(v, SET_smtpd_tls_loglevel) >= 1,
	};
}

static void make_imap(struct service *sv, const struct conf_view *v, const struct edge_settings *s) {
	int level = conf_enum(v, SET_imapd_tls_security_level);
	sv->log_name = "imap-login";
	sv->tls_wrapper = conf_bool(v, SET_imapd_tls_wrappermode);
	sv->idle_ms = conf_time_ms(v, SET_imapd_idle_timeout);
	sv->user_limit = number(v, SET_imapd_connection_limit_per_user);
	sv->imap = (struct imap_login_params){
		.tls = sv->tls_wrapper || level == SERVER_TLS_NONE ? NULL : s->tls, .clear_text = level == SERVER_TLS_NONE,
		.time_limit = conf_time_ms(v, SET_imapd_login_timeout),
	};
}

/* "smtpd" for port 25; "submission/smtpd" and "smtps/smtpd" as people's log tools know them. */
static const char *log_name(const struct conf_service *cs, const struct conf_view *v) {
	if (conf_bool(v, SET_smtpd_tls_wrappermode)) return "smtps/smtpd";
	return cs->port == 587 || conf_bool(v, SET_smtpd_sasl_auth_enable) ? "submission/smtpd" : "smtpd";
}

int edge_settings_make(struct boot *b, const struct edge_outside *outside, struct edge_settings **out) {
	struct edge_settings *s = mem_get(sizeof *s);
	s->generation.destroy = destroy;
	s->conf = TAKE(b->conf);
	if (make_tls(s, b, outside) < 0) {
		destroy(&s->generation);
		return fail_add("TLS");
	}
	const struct conf_view *main_view = conf_main(s->conf);
	s->rates = (struct rate_params){
		.connections = number(main_view, SET_smtpd_client_connection_count_limit),
		.most = { [RATE_CONNECTION] = number(main_view, SET_smtpd_client_connection_rate_limit),
		          [RATE_MESSAGE] = number(main_view, SET_smtpd_client_message_rate_limit),
		          [RATE_RECIPIENT] = number(main_view, SET_smtpd_client_recipient_rate_limit),
		          [RATE_AUTH] = number(main_view, SET_smtpd_client_auth_rate_limit) },
		.unit_ms = conf_time_ms(main_view, SET_anvil_rate_time_unit),
		.ipv4_bits = number(main_view, SET_smtpd_client_ipv4_prefix_length),
		.ipv6_bits = number(main_view, SET_smtpd_client_ipv6_prefix_length),
	};
	s->rate_exceptions = conf_networks(main_view, SET_smtpd_client_event_limit_exceptions);
	size_t n;
	const struct conf_service *services = conf_services(s->conf, &n);
	s->services = arena_array(&s->mem, n, sizeof *s->services);
	for (size_t i = 0; i < n; i++) {
		const struct conf_view *v = conf_service_view(s->conf, &services[i]);
		struct service *sv = &s->services[i];
		sv->protocol = services[i].role == SERVICE_IMAPD ? SERVES_IMAP : SERVES_SMTP;
		sv->connection_limit = (unsigned)MAX_OF(services[i].maxproc, 0);
		if (sv->protocol == SERVES_IMAP) {
			make_imap(sv, v, s);
		} else if (services[i].role == SERVICE_SMTPD) {
			sv->log_name = log_name(&services[i], v);
			make_smtp(sv, v, s);
			make_admit(sv, v, s, outside);
		}
	}
	*out = s;
	return 0;
}
