/* SPDX-License-Identifier: Apache-2.0 */
#include "role/settings.h"
#include "base/fail.h"
#include "flow/submitters.h"

#include <fcntl.h>
#include <syslog.h>

struct dns_params dns_params_of(const struct conf_view *v, struct arena *mem) {
	struct slice resolvers = conf_text(v, SET_dns_resolvers), anchor = conf_text(v, SET_dns_trust_anchor_file);
	/* who names resolvers of his own and no anchor trusts them as they are */
	bool own = resolvers.len != 0 && slice_eq(anchor, S("/usr/share/dns/root.key"));
	return (struct dns_params){ .resolvers = arena_text(mem, resolvers),
				    .trust_anchor_file = own ? "" : arena_text(mem, anchor) };
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

int log_target_of(const struct conf_view *v, const char *dir, bool foreground, struct log_target *out) {
	static const int facilities[] = { LOG_MAIL,   LOG_AUTH,   LOG_AUTHPRIV, LOG_CRON,   LOG_DAEMON, LOG_FTP,
					  LOG_KERN,   LOG_LPR,    LOG_NEWS,     LOG_AUTH,   LOG_SYSLOG, LOG_USER,
					  LOG_UUCP,   LOG_LOCAL0, LOG_LOCAL1,   LOG_LOCAL2, LOG_LOCAL3, LOG_LOCAL4,
					  LOG_LOCAL5, LOG_LOCAL6, LOG_LOCAL7 };
	struct log_target t = { .fd = -1,
				.form = conf_enum(v, SET_log_format) == LOG_FORMAT_JSON ? LOG_FORM_JSON : LOG_FORM_TEXT,
				.least = (enum log_level)conf_enum(v, SET_log_level) };
	t.facility = facilities[conf_enum(v, SET_syslog_facility)];
	snprintf(t.name, sizeof t.name, "%.*s", SLICE_ARG(conf_text(v, SET_syslog_name)));
	snprintf(t.host, sizeof t.host, "%.*s",
		 SLICE_ARG(slice_head(conf_text(v, SET_myhostname), slice_find(conf_text(v, SET_myhostname), '.'))));
	struct slice file = conf_text(v, SET_maillog_file);
	AUTO_BUF struct buf fallback = BUF(PATH_MAX);
	if (file.len == 0 && !foreground && access("/dev/log", W_OK) != 0) {
		buf_addf(&fallback, "%s/mail.log", dir); /* nobody listens to syslog here */
		buf_text(&fallback);
		file = buf_slice(&fallback);
	}
	if (file.len != 0 && !slice_eq(file, S("/dev/stdout"))) {
		t.fd = open(file.at, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
		if (t.fd < 0) return fail_errno("maillog_file = %s", file.at);
	} else if (file.len != 0 || foreground) {
		t.fd = dup(STDOUT_FILENO);
	}
	*out = t;
	return 0;
}

const struct submitters *submitters_of(const struct conf_view *v, enum setting_id id, struct tables *tables, struct arena *mem) {
	size_t n;
	const struct slice *words = conf_list(v, id, &n);
	struct slice problem;
	const struct submitters *s = submitters_make(words, n, tables, mem, &problem);
	if (problem.at != NULL) say(L_WARN, "master", "%s: %.*s: %s (it matches nobody)", setting_of(id)->name, SLICE_ARG(problem), fail_text());
	return s;
}
