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

static struct slice why_not(const struct conf_view *v, const struct reporting_params *p, struct arena *mem) {
	struct mailbox sender;
	if (!conf_bool(v, SET_dmarc_report_send)) return S("dmarc_report_send = no");
	if (!conf_bool(v, SET_dmarc_check)) return S("dmarc_check = no");
	if (address_parse(p->sender, 0, mem, &sender) != ADDRESS_OK)
		return arena_fmt(mem, "dmarc_report_sender = %.*s: not an address", SLICE_ARG(p->sender));
	if (is_reserved(sender.domain))
		return arena_fmt(mem, "%.*s is no name others could answer to (set mydomain, or dmarc_report_sender)",
				 SLICE_ARG(sender.domain));
	return SLICE_NONE;
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
	p->failures = conf_bool(v, SET_dmarc_failure_reports);
	p->failures_on_none = conf_bool(v, SET_dmarc_failure_reports_on_none);
	p->failure_limit = (size_t)conf_number(v, SET_dmarc_failure_report_limit);
	p->why_not = why_not(v, p, mem);
	p->send = p->why_not.at == NULL;
	s->deliver.report_send = p->send;
	s->deliver.report_failures = p->send && p->failures;
	s->deliver.history = (struct dmarc_history){ .file = conf_text(v, SET_dmarc_history_file),
						     .all = conf_bool(v, SET_dmarc_history_all),
						     .reporter = conf_text(v, SET_authserv_id) };
	s->deliver.history.exempt = conf_list(v, SET_dmarc_history_exempt_recipients, &s->deliver.history.exempt_count);
	static const enum setting_id lists[] = { SET_mydestination, SET_virtual_alias_domains,
						 SET_virtual_mailbox_domains, SET_mydomain };
	for (size_t i = 0; i < LEN(lists); i++) p->domains[i] = conf_text(v, lists[i]);
	p->look_named = conf_bool(v, SET_report_addresses_from_dns);
	p->failure_bcc = conf_text(v, SET_dmarc_failure_report_bcc);
	s->deliver.report_addresses = conf_list(v, SET_report_addresses, &s->deliver.report_addresses_count);
}
