/* SPDX-License-Identifier: Apache-2.0 */
#include "role/reporting_settings.h"
#include "base/log.h"
#include "mime/address.h"

/* Names that nobody outside can answer to, or that are for tests (RFC 2606, 6761, 6762, 8375). */
static bool is_reserved(struct slice domain) {
	static const char *const ends[] = { "test",     "example", "invalid",   "localhost", "localdomain", "local",
					    "internal", "lan",     "home.arpa", "corp",      "onion" };
	size_t dot = slice_find(domain, '.');
	if (dot == domain.len) return true;
	for (size_t i = 0; i < LEN(ends); i++) {
		struct slice end = slice_of(ends[i]);
		if (slice_same(domain, end)) return true;
		if (domain.len > end.len && domain.at[domain.len - end.len - 1] == '.' && slice_ends_same(domain, end))
			return true;
	}
	return false;
}

/* Why nobody could answer an address that reports come from; at NULL: somebody could. */
static struct slice sender_wrong(const char *setting, struct slice address, struct arena *mem) {
	struct mailbox sender;
	if (address_parse(address, 0, mem, &sender) != ADDRESS_OK)
		return arena_fmt(mem, "%s = %.*s: not an address", setting, SLICE_ARG(address));
	if (is_reserved(sender.domain))
		return arena_fmt(mem, "%.*s is no name others could answer to (set mydomain, or %s)",
				 SLICE_ARG(sender.domain), setting);
	return SLICE_NONE;
}

static struct slice why_not(const struct conf_view *v, const struct reporting_params *p, struct arena *mem) {
	if (!conf_bool(v, SET_dmarc_report_send)) return S("dmarc_report_send = no");
	if (!conf_bool(v, SET_dmarc_check)) return S("dmarc_check = no");
	return sender_wrong("dmarc_report_sender", p->sender, mem);
}

/* Of single messages. */
static void failures_make(const struct conf_view *v, struct reporting_params *p, struct arena *mem) {
	p->signature_sender = conf_text(v, SET_dkim_failure_report_sender);
	p->signature_bcc = conf_text(v, SET_dkim_failure_report_bcc);
	p->failures_on_none = conf_bool(v, SET_dmarc_failure_reports_on_none);
	p->failure_limit = (size_t)conf_number(v, SET_dmarc_failure_report_limit);
	p->failure_bcc = conf_text(v, SET_dmarc_failure_report_bcc);
	if (p->send && conf_bool(v, SET_dmarc_failure_reports)) p->failures |= REPORTING_DMARC;
	if (conf_bool(v, SET_dkim_failure_reports) &&
	    sender_wrong("dkim_failure_report_sender", p->signature_sender, mem).at == NULL)
		p->failures |= REPORTING_DKIM;
}

void reporting_settings_make(const struct conf *conf, struct flow_settings *s, struct arena *mem) {
	const struct conf_view *v = conf_main(conf);
	struct reporting_params *p = &s->reporting;
	*p = (struct reporting_params){
		.form = conf_enum(v, SET_dmarc_report_format) == REPORT_FORMAT_RFC7489 ? REPORT_FORM_RFC7489
										       : REPORT_FORM_RFC9990,
		.org = conf_text(v, SET_dmarc_report_org),
		.contact = conf_text(v, SET_dmarc_report_contact),
		.sender = conf_text(v, SET_dmarc_report_sender),
		.discovery = conf_text(v, SET_dmarc_public_suffix_list).len != 0 ? S("psl") : S("treewalk"),
		.host = conf_text(v, SET_myhostname),
		.keep_us = conf_time_ms(v, SET_report_lifetime) * 1000,
	};
	p->why_not = why_not(v, p, mem);
	p->send = p->why_not.at == NULL;
	s->deliver.report_send = p->send;
	failures_make(v, p, mem);
	s->deliver.report_failures = p->failures;
	s->deliver.history = (struct dmarc_history){ .file = conf_text(v, SET_dmarc_history_file),
						     .all = conf_bool(v, SET_dmarc_history_all),
						     .reporter = conf_text(v, SET_authserv_id) };
	s->deliver.history.exempt = conf_list(v, SET_dmarc_history_exempt_recipients, &s->deliver.history.exempt_count);
	static const enum setting_id lists[] = { SET_mydestination, SET_virtual_alias_domains,
						 SET_virtual_mailbox_domains, SET_mydomain };
	for (size_t i = 0; i < LEN(lists); i++) p->domains[i] = conf_text(v, lists[i]);
	p->look_named = conf_bool(v, SET_report_addresses_from_dns);
	s->deliver.report_addresses = conf_list(v, SET_report_addresses, &s->deliver.report_addresses_count);
}
