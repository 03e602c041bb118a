/* SPDX-License-Identifier: Apache-2.0 */
/* postscreen_… as the tests want them. */
#include "base/fail.h"
#include "base/log.h"
#include "role/routing_settings.h"
#include "role/screen.h"
#include "smtp/server.h"

static struct screen_test test_of(const struct conf_view *v, enum setting_id on, enum setting_id action,
				  enum setting_id ttl) {
	return (struct screen_test){ conf_bool(v, on), conf_enum(v, action), conf_time_ms(v, ttl) / 1000 };
}

static void read_sites(struct screen_params *p, const struct conf_view *v, struct arena *mem) {
	size_t n;
	const struct slice *words = conf_list(v, SET_postscreen_dnsbl_sites, &n);
	p->sites = arena_array(mem, n + 1, sizeof *p->sites);
	for (size_t i = 0; i < n; i++) {
		if (p->site_count == SCREEN_SITES_MAX) {
			say(L_ERROR, "postscreen", "postscreen_dnsbl_sites: more than %d (the rest is not asked)",
			    SCREEN_SITES_MAX);
			break;
		}
		if (dnsbl_zone_parse(words[i], true, &p->sites[p->site_count])) p->site_count++;
		else say(L_ERROR, "postscreen", "postscreen_dnsbl_sites: %s (it is not asked)", fail_text());
	}
	struct slice allow = slice_trim(conf_text(v, SET_postscreen_dnsbl_allowlist_threshold));
	uint64_t number = 0;
	bool minus = slice_starts(allow, S("-"));
	if (!slice_number(minus ? slice_skip(allow, 1) : allow, INT32_MAX, &number) || (number != 0 && !minus)) {
		say(L_ERROR, "postscreen",
		    "postscreen_dnsbl_allowlist_threshold: \"%.*s\" must be a number below zero, or 0 for none (0 is "
		    "used)",
		    SLICE_ARG(allow));
		number = 0;
	}
	p->allow_threshold = -(int)number;
	p->threshold = (int)conf_number(v, SET_postscreen_dnsbl_threshold);
	p->dnsbl_ms = conf_time_ms(v, SET_postscreen_dnsbl_timeout);
	p->min_ttl_s = conf_time_ms(v, SET_postscreen_dnsbl_min_ttl) / 1000;
	p->max_ttl_s = conf_time_ms(v, SET_postscreen_dnsbl_max_ttl) / 1000;
}

static void read_tests(struct screen_params *p, const struct conf_view *v) {
	p->tests[SCREEN_GREET] = (struct screen_test){ p->wait_ms > 0, conf_enum(v, SET_postscreen_greet_action),
						       conf_time_ms(v, SET_postscreen_greet_ttl) / 1000 };
	p->tests[SCREEN_DNSBL] =
		(struct screen_test){ p->site_count != 0, conf_enum(v, SET_postscreen_dnsbl_action), p->max_ttl_s };
	p->tests[SCREEN_PIPELINING] = test_of(v, SET_postscreen_pipelining_enable, SET_postscreen_pipelining_action,
					      SET_postscreen_pipelining_ttl);
	p->tests[SCREEN_NON_SMTP] =
		test_of(v, SET_postscreen_non_smtp_command_enable, SET_postscreen_non_smtp_command_action,
			SET_postscreen_non_smtp_command_ttl);
	p->tests[SCREEN_BARE_NEWLINE] = test_of(v, SET_postscreen_bare_newline_enable,
						SET_postscreen_bare_newline_action, SET_postscreen_bare_newline_ttl);
}

unsigned screen_offer_of(struct slice word) {
	static const struct { const char *word; unsigned offer; } words[] = {
		{ "size", OFFER_SIZE }, { "vrfy", OFFER_VRFY }, { "etrn", OFFER_ETRN }, { "starttls", OFFER_STARTTLS },
		{ "enhancedstatuscodes", OFFER_STATUS_CODES }, { "8bitmime", OFFER_8BITMIME }, { "dsn", OFFER_DSN },
		{ "smtputf8", OFFER_SMTPUTF8 }, { "chunking", OFFER_CHUNKING },
	};
	for (size_t i = 0; i < LEN(words); i++)
		if (slice_same(word, slice_of(words[i].word))) return words[i].offer;
	return 0;
}

/* What is not expanded at load ($names of its own stand in it) may still be "the same as smtpd's". */
static struct slice raw_of(const struct conf_view *v, enum setting_id id, enum setting_id smtpd) {
	struct slice text = conf_text(v, id), name = slice_of(setting_of(smtpd)->name);
	return slice_starts(text, S("$")) && slice_eq(slice_skip(text, 1), name) ? conf_text(v, smtpd) : text;
}

static void read_talk(struct screen_params *p, const struct conf_view *v) {
	struct slice level = conf_text(v, SET_postscreen_tls_security_level);
	/* the two old settings count where there is no level */
	bool none = slice_same(level, S("none")), offered = slice_same(level, S("may"));
	bool must = level.len != 0 ? !none && !offered : conf_bool(v, SET_postscreen_enforce_tls);
	bool may = must || offered || (level.len == 0 && conf_bool(v, SET_postscreen_use_tls));
	p->host = conf_text(v, SET_myhostname).at;
	p->greeting = conf_text(v, SET_smtpd_banner).at;
	p->size_limit = conf_size(v, SET_message_size_limit);
	p->offer = OFFER_SIZE | OFFER_ETRN | OFFER_STATUS_CODES | OFFER_8BITMIME | OFFER_DSN | OFFER_CHUNKING;
	if (!conf_bool(v, SET_postscreen_disable_vrfy_command)) p->offer |= OFFER_VRFY;
	if (conf_bool(v, SET_smtputf8_enable)) p->offer |= OFFER_SMTPUTF8;
	if (may) p->offer |= OFFER_STARTTLS;
	size_t n;
	const struct slice *discard = conf_list(v, SET_postscreen_discard_ehlo_keywords, &n);
	for (size_t i = 0; i < n; i++) p->offer &= ~screen_offer_of(discard[i]);
	p->old_words = !conf_bool(v, SET_respectful_logging);
	p->footer = raw_of(v, SET_postscreen_reject_footer, SET_smtpd_reject_footer);
	expand_filter_parse(&p->expansion, raw_of(v, SET_postscreen_expansion_filter, SET_smtpd_expansion_filter));
	p->tls_required = must;
	p->helo_required = conf_bool(v, SET_postscreen_helo_required);
	p->forbidden = conf_list(v, SET_postscreen_forbidden_commands, &p->forbidden_count);
	p->command_limit = (unsigned)conf_number(v, SET_postscreen_command_count_limit);
	p->command_ms = conf_time_ms(v, SET_postscreen_command_time_limit);
	p->line_limit = (size_t)conf_number(v, SET_line_length_limit);
}

/* static:all, as by default, stands for everything; else addresses and networks. */
static const struct networks *interfaces_of(const struct conf_view *v, struct tables *tables, struct arena *mem) {
	if (slice_eq(slice_trim(conf_text(v, SET_postscreen_allowlist_interfaces)), S("static:all"))) return NULL;
	return networks_open(conf_networks(v, SET_postscreen_allowlist_interfaces), tables, mem);
}

void screen_settings_make(struct screen_params *out, const struct conf_view *v, struct tables *tables,
			  struct arena *mem) {
	struct slice banner = conf_text(v, SET_postscreen_greet_banner);
	*out = (struct screen_params){
		.on = true,
		.soft = conf_bool(v, SET_soft_bounce),
		.wait_ms = conf_time_ms(v, SET_postscreen_greet_wait),
		.banner = banner.len != 0 ? banner.at : NULL,
		.deny_action = conf_enum(v, SET_postscreen_denylist_action),
		.networks = networks_open(conf_networks(v, SET_mynetworks), tables, mem),
		.interfaces = interfaces_of(v, tables, mem),
		.tables = tables,
		.log_name = "postscreen",
	};
	out->access = conf_list(v, SET_postscreen_access_list, &out->access_count);
	read_sites(out, v, mem);
	read_tests(out, v);
	read_talk(out, v);
	out->replies = tables_of_list(tables, v, SET_postscreen_dnsbl_reply_map, 0, mem);
	out->command_filter = tables_of_list(tables, v, SET_postscreen_command_filter, 0, mem);
	out->ehlo_maps = tables_of_list(tables, v, SET_postscreen_discard_ehlo_keyword_address_maps, 0, mem);
	out->footer_maps = tables_of_list(tables, v, SET_postscreen_reject_footer_maps, 0, mem);
}
