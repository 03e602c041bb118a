/* SPDX-License-Identifier: Apache-2.0 */
/* Milters and header settings may differ from service to service (master.cf: -o smtpd_milters=…), so each has its own. */
#include "role/edge_content.h"
#include "base/fail.h"

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
	if (slice_trim(conf_text(v, list)).len == 0) return 0;
	if (milter_defaults(v, &defaults) < 0) return -1;
	const char *folder = arena_text(&s->mem, conf_text(v, SET_queue_directory));
	if (milter_set_parse(conf_text(v, list), &defaults, folder, &s->mem, set) < 0) return fail_add("%s", setting_of(list)->name);
	*p = (struct milting_params){
		.set = set,
		.client = { .dns = o->dns, .service = service },
		.host = conf_text(v, SET_myhostname),
		.daemon_name = conf_text(v, SET_milter_macro_daemon_name),
		.version = conf_text(v, SET_milter_macro_v),
		.origin = conf_text(v, SET_myorigin),
		.defaults = conf_list(v, SET_milter_macro_defaults, &p->defaults_count),
	};
	conf_list(v, SET_milter_macro_defaults, &p->defaults_count);
	for (size_t i = 0; i < MILTER_STAGES; i++) p->client.macros[i] = conf_text(v, macros[i]);
	*out = p;
	return 0;
}

static void make_header(struct edge_settings *s, struct service *sv, const struct conf_view *v) {
	struct header_params *p = arena_get(&s->mem, sizeof *p);
	*p = (struct header_params){
		.host = arena_text(&s->mem, conf_text(v, SET_myhostname)),
		.always_complete = conf_bool(v, SET_always_add_missing_headers),
		.undisclosed = conf_text(v, SET_undisclosed_recipients_header),
		.token_limit = 10240,
	};
	p->drop = conf_list(v, SET_message_drop_headers, &p->drop_count);
	sv->admit.header = p;
}

int edge_content_make(struct edge_settings *s, struct service *sv, const struct conf_view *v,
		      const struct edge_outside *o) {
	make_header(s, sv, v);
	if (make_milters(s, v, SET_smtpd_milters, sv->log_name, o, &sv->admit.milters) < 0) return -1;
	return make_milters(s, v, SET_non_smtpd_milters, "cleanup", o, &sv->admit.other_milters);
}
