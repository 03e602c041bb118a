/* SPDX-License-Identifier: Apache-2.0 */
#include "role/settings.h"
#include "base/fail.h"
#include "filter/checks.h"
#include "flow/notice.h"
#include "flow/submitters.h"
#include "role/routing_settings.h"

#include <fcntl.h>
#include <syslog.h>

struct dns_params dns_params_of(const struct conf_view *v, struct arena *mem) {
	struct slice resolvers = conf_text(v, SET_dns_resolvers), anchor = conf_text(v, SET_dns_trust_anchor_file);
	/* who names resolvers of his own and no anchor trusts them as they are */
	bool own = resolvers.len != 0 && slice_eq(anchor, S("/usr/share/dns/root.key"));
	return (struct dns_params){ .resolvers = arena_text(mem, resolvers),
				    .trust_anchor_file = own ? "" : arena_text(mem, anchor) };
}

int dns_check(const struct conf_view *v) {
	AUTO_ARENA struct arena mem = { 0 };
	struct dns_params params = dns_params_of(v, &mem);
	struct dns *dns;
	if (dns_open(&params, &dns) < 0) return fail_add("DNS (dns_resolvers, dns_trust_anchor_file)");
	dns_close(&dns);
	return 0;
}

void protocols_of(const struct conf_view *v, bool *ipv4, bool *ipv6) {
	size_t n;
	const struct slice *words = conf_list(v, SET_inet_protocols, &n);
	*ipv4 = *ipv6 = false;
	for (size_t i = 0; i < n; i++) {
		bool all = slice_same(words[i], S("all"));
		*ipv4 = *ipv4 || all || slice_same(words[i], S("ipv4"));
		*ipv6 = *ipv6 || all || slice_same(words[i], S("ipv6"));
	}
}

struct slice whole_address_of(const struct conf_view *v, enum setting_id id, struct arena *mem) {
	struct slice text = conf_text(v, id), origin = conf_text(v, SET_myorigin);
	if (text.len == 0 || slice_find(text, '@') < text.len) return text;
	return arena_fmt(mem, "%.*s@%.*s", SLICE_ARG(text), SLICE_ARG(origin));
}

/* double_bounce_sender is this host's, whatever myorigin is. */
static struct slice double_bounce_of(const struct conf_view *v, struct arena *mem) {
	struct slice text = conf_text(v, SET_double_bounce_sender);
	if (text.len == 0 || slice_find(text, '@') < text.len) return text;
	return arena_fmt(mem, "%.*s@%.*s", SLICE_ARG(text), SLICE_ARG(conf_text(v, SET_myhostname)));
}

struct probe_sender probe_sender_of(const struct conf_view *v, struct arena *mem) {
	bool null = slice_eq(conf_text(v, SET_address_verify_sender), S("<>"));
	return (struct probe_sender){ .base = null ? S("") : whole_address_of(v, SET_address_verify_sender, mem),
				      .ttl_s = conf_time_ms(v, SET_address_verify_sender_ttl) / 1000 };
}

void notices_of(struct notice_params *out, const struct conf_view *v, struct notice_memory *memory, struct arena *mem) {
	static const struct {
		const char *word;
		enum notice_class class;
	} classes[] = { { "bounce", NOTICE_BOUNCE },     { "2bounce", NOTICE_DOUBLE_BOUNCE },
			{ "delay", NOTICE_DELAY },       { "data", NOTICE_DATA },
			{ "policy", NOTICE_POLICY },     { "protocol", NOTICE_PROTOCOL },
			{ "resource", NOTICE_RESOURCE }, { "software", NOTICE_SOFTWARE } };
	size_t n;
	const struct slice *words = conf_list(v, SET_notify_classes, &n);
	*out = (struct notice_params){
		.to = whole_address_of(v, SET_error_notice_recipient, mem),
		.bounce_to = whole_address_of(v, SET_bounce_notice_recipient, mem),
		.from = double_bounce_of(v, mem),
		.origin = conf_text(v, SET_myorigin),
		.host = conf_text(v, SET_myhostname),
		.mail_name = conf_text(v, SET_mail_name),
		.hourly = (unsigned)conf_number(v, SET_error_notice_hourly_limit),
		.flush_lines = (size_t)conf_number(v, SET_smtpd_history_flush_threshold),
		.memory = memory,
	};
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < LEN(classes); k++)
			if (slice_same(words[i], slice_of(classes[k].word))) out->classes |= classes[k].class;
}

/* maillog_file_prefixes keep a log from being written anywhere by mistake; the default is that of a system's own
 * folders, and hato runs in any. So only who asks for them has them. */
static bool is_allowed(const struct conf_view *v, struct slice file) {
	size_t n;
	const struct slice *prefixes = conf_list(v, SET_maillog_file_prefixes, &n);
	if (slice_trim(conf_text(v, SET_maillog_file)).len == 0 ||
	    slice_eq(conf_text(v, SET_maillog_file_prefixes),
		     slice_of(setting_of(SET_maillog_file_prefixes)->fallback)))
		return true;
	for (size_t i = 0; i < n; i++) {
		struct slice p = prefixes[i];
		while (slice_ends(p, S("/")) && p.len > 1) p.len--;
		if (slice_starts(file, p) && (file.len == p.len || file.at[p.len] == '/')) return true;
	}
	return false;
}

int log_target_of(const struct conf_view *v, const char *dir, bool foreground, struct log_target *out) {
	static const int facilities[] = { LOG_MAIL,   LOG_AUTH,   LOG_AUTHPRIV, LOG_CRON,   LOG_DAEMON, LOG_FTP,
					  LOG_KERN,   LOG_LPR,    LOG_NEWS,     LOG_AUTH,   LOG_SYSLOG, LOG_USER,
					  LOG_UUCP,   LOG_LOCAL0, LOG_LOCAL1,   LOG_LOCAL2, LOG_LOCAL3, LOG_LOCAL4,
					  LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7 };
	struct log_target t = { .fd = -1,
				.form = conf_enum(v, SET_log_format) == LOG_FORMAT_JSON ? LOG_FORM_JSON : LOG_FORM_TEXT,
				.least = (enum log_level)conf_enum(v, SET_log_level) };
	t.bare_addresses = slice_same(conf_text(v, SET_info_log_address_format), S("internal"));
	t.facility = facilities[conf_enum(v, SET_syslog_facility)];
	snprintf(t.name, sizeof t.name, "%.*s", SLICE_ARG(conf_text(v, SET_syslog_name)));
	snprintf(t.host, sizeof t.host, "%.*s",
		 SLICE_ARG(slice_head(conf_text(v, SET_myhostname), slice_find(conf_text(v, SET_myhostname), '.'))));
	struct slice file = conf_text(v, SET_maillog_file);
	AUTO_BUF struct buf fallback = BUF(PATH_MAX);
	bool no_syslog = file.len == 0 && !foreground && access("/dev/log", W_OK) != 0;
	bool before_all = no_syslog && access(dir, F_OK) != 0; /* a tool, and the server was never started here */
	if (no_syslog && !before_all) {
		buf_addf(&fallback, "%s/mail.log", dir);
		buf_text(&fallback);
		file = buf_slice(&fallback);
	}
	if (!is_allowed(v, file))
		return fail("maillog_file = %s: must begin with one of maillog_file_prefixes", file.at);
	struct slice said = conf_text(v, SET_maillog_file_permissions);
	mode_t mode = slice_eq(said, S("0644")) ? 0644 : slice_eq(said, S("0640")) ? 0640 : 0600;
	if (mode == 0600 && !slice_eq(said, S("0600")))
		return fail("maillog_file_permissions = %s: must be 0600, 0640 or 0644", said.at);
	if (file.len != 0 && !slice_eq(file, S("/dev/stdout"))) {
		t.fd = open(file.at, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, mode);
		if (t.fd < 0) return fail_errno("maillog_file = %s", file.at);
	} else if (before_all) {
		t.fd = STDERR_FILENO; /* as it is: the server must not keep a copy */
	} else if (file.len != 0 || foreground) {
		t.fd = dup(STDOUT_FILENO);
	}
	*out = t;
	return 0;
}

const struct submitters *submitters_of(const struct conf_view *v, enum setting_id id, struct tables *tables,
				       struct arena *mem) {
	size_t n;
	const struct slice *words = conf_list(v, id, &n);
	struct slice problem;
	const struct submitters *s = submitters_make(words, n, tables, mem, &problem);
	if (problem.at != NULL)
		say(L_WARN, "master", "%s: %.*s: %s (it matches nobody)", setting_of(id)->name, SLICE_ARG(problem),
		    fail_text());
	return s;
}

void outgoing_checks_make(const struct conf_view *v, const enum setting_id ids[4], struct tables *tables,
			  struct arena *mem, struct checks_params *out) {
	*out = (struct checks_params){
		.header = tables_of_list(tables, v, ids[0], TABLE_PATTERNS_ONLY, mem),
		.mime = tables_of_list(tables, v, ids[1], TABLE_PATTERNS_ONLY, mem),
		.nested = tables_of_list(tables, v, ids[2], TABLE_PATTERNS_ONLY, mem),
		.body = tables_of_list(tables, v, ids[3], TABLE_PATTERNS_ONLY, mem),
		.header_limit = (size_t)conf_number(v, SET_header_size_limit),
		.line_limit = (size_t)conf_number(v, SET_line_length_limit),
		.body_limit = conf_size(v, SET_body_checks_size_limit),
		.boundary_limit = (size_t)conf_number(v, SET_mime_boundary_length_limit),
		.outgoing = true,
	};
}
