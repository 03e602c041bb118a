/* SPDX-License-Identifier: Apache-2.0 */
/* What can only be said about the files as a whole: names nobody knows or uses, settings that wait for a later version,
 * lists with words of no meaning, and restrictions that would make an open relay. */
#include "base/fail.h"
#include "conf/expand.h"
#include "conf/snapshot.h"

#include <arpa/inet.h>

struct mention {
	struct conf *c;
	struct place where;
};

static struct slice did_you_mean(struct conf *c, struct slice name) {
	if (c->problems.count == PROBLEMS_KEPT) return S(""); /* nobody will read it, and looking takes time */
	const struct setting *near = setting_nearest(name);
	return near == NULL ? S("") : arena_fmt(&c->mem, " (did you mean %s?)", near->name);
}

static void mention_name(void *ctx, struct slice name) {
	struct mention *m = ctx;
	struct param *p = param_find(m->c, name);
	if (p != NULL) p->mentioned = true;
	if (p != NULL || m->where.file.len == 0) return;
	struct slice near = did_you_mean(m->c, name);
	problem_add(&m->c->problems, PROBLEM_WARNING, m->where, "undefined parameter: %.*s%.*s", SLICE_ARG(name),
		    SLICE_ARG(near));
}

/* Texts of other programs have $names of their own: unknown ones are no fault there. */
static bool is_expanded(const struct conf *c, struct slice name) {
	const struct param *p = param_find(c, name);
	return p == NULL || p->setting == NULL || p->setting->kind != KIND_RAW;
}

static void mention_all(struct conf *c) {
	for (size_t i = 0; i < c->params_count; i++) {
		const struct raw *raw = &c->main_raws[i];
		bool expanded = c->params[i]->setting == NULL || c->params[i]->setting->kind != KIND_RAW;
		struct mention m = { c, expanded ? raw->where : (struct place){ SLICE_NONE, 0 } };
		if (raw->text.at == NULL) continue;
		expand_names(raw->text, mention_name, &m);
		if (i != SET_smtpd_restriction_classes) continue;
		struct slice rest = raw->text;
		struct mention quiet = { c, { SLICE_NONE, 0 } };
		for (struct slice word; (word = slice_word(&rest, ", \t\r\n")).len > 0;) mention_name(&quiet, word);
	}
	for (size_t i = 0; i < c->services.count; i++) {
		const struct conf_service *s = &c->services.at[i];
		struct mention m = { c, s->where }, quiet = { c, { SLICE_NONE, 0 } };
		for (size_t k = 0; k < s->overrides_count; k++)
			expand_names(s->overrides[k].value, mention_name,
				     is_expanded(c, s->overrides[k].name) ? &m : &quiet);
		for (size_t k = 0; k < s->args_count; k++) expand_names(s->args[k], mention_name, &quiet);
	}
}

/* "yes # always": Postfix knows no comments behind a value, and those who write them do not know that. */
static void check_comment(struct conf *c, const struct param *p, const struct raw *raw) {
	struct slice rest = raw->text;
	if (p->setting == NULL || p->setting->kind == KIND_RAW || slice_find(rest, '{') < rest.len) return;
	for (size_t i = 1; i < rest.len; i++)
		if (rest.at[i] == '#' && ascii_blank(rest.at[i - 1]) &&
		    (i + 1 == rest.len || ascii_blank(rest.at[i + 1]))) {
			problem_add(&c->problems, PROBLEM_WARNING, raw->where,
				    "%s: \"%.*s\" is taken as part of the value: comments need a line of their own",
				    p->setting->name, SLICE_ARG(slice_head(slice_skip(rest, i), 80)));
			return;
		}
}

/* One parameter set in a file: what does this version do about it? */
static void check_name(struct conf *c, const struct param *p, struct slice value, struct place where) {
	const struct setting *s = p->setting;
	if (s == NULL) {
		if (p->mentioned) return;
		problem_add(&c->problems, PROBLEM_WARNING, where, "unused parameter: %.*s=%.*s%.*s", SLICE_ARG(p->name),
		            SLICE_ARG(slice_head(value, 200)), SLICE_ARG(did_you_mean(c, p->name)));
	} else if (s->state == NOT_YET) {
		struct slice usual = slice_of(s->fallback != NULL ? s->fallback : "yes");
		bool off = slice_eq(usual, S("no")) || usual.len == 0; /* without it: that is what hato does */
		if (!off || !slice_eq(slice_trim(value), usual))
			problem_add(&c->problems, PROBLEM_WARNING, where,
				    "%s is understood but not acted on by this version (%s)", s->name, s->doc);
	} else if (s->state == UNNEEDED)
		problem_add(&c->problems, PROBLEM_INFO, where, "%s has no effect: hato does not need it (%s)", s->name,
			    s->doc);
	else if (s->state == OLD || s->state == GONE)
		problem_add(&c->problems, PROBLEM_WARNING, where, "%s is an old setting: %s", s->name, s->doc);
}

/* Is a setting of this service's own line looked at? Much of the way out has one form for all. */
static bool acts_in_service(const struct conf_service *s, const struct param *p) {
	static const enum setting_id of_clients[] = {
		SET_ignore_mx_lookup_error,  SET_use_srv_lookup,      SET_allow_srv_lookup_fallback,
		SET_ignore_srv_lookup_error, SET_tls_required_enable, SET_disable_dns_lookups,
		SET_inet_protocols,          SET_myhostname
	};
	for (size_t i = 0; i < LEN(of_clients) && s->role == SERVICE_CLIENT; i++)
		if (p->id == of_clients[i]) return true;
	if (s->role != SERVICE_CLIENT || p->id == SET_syslog_name) return true;
	if (p->id >= SETTINGS_COUNT) return false; /* <transport>_destination_…: the queue reads main.cf alone */
	return slice_starts(p->name, S("smtp_")) || slice_starts(p->name, S("lmtp_"));
}

static void check_service(struct conf *c, const struct conf_service *s) {
	for (size_t i = 0; i < s->overrides_count; i++) {
		const struct param *p = param_find(c, s->overrides[i].name);
		check_name(c, p, s->overrides[i].value, s->where);
		if (p->setting != NULL && p->setting->state == ACTED && !acts_in_service(s, p))
			problem_add(&c->problems, PROBLEM_WARNING, s->where,
				    "-o %.*s: only its value in main.cf is acted on by this version",
				    SLICE_ARG(p->name));
	}
	if (s->role == SERVICE_LISTENER)
		problem_add(&c->problems, PROBLEM_WARNING, s->where,
			    "the command %.*s of %.*s/%s is understood but not acted on by this version",
			    SLICE_ARG(s->command), SLICE_ARG(s->name), service_type_word(s->type));
}

void check_names(struct conf *c) {
	if (!c->main_is_embedded && c->main_raws[SET_compatibility_level].text.at == NULL)
		problem_add(
			&c->problems, c->main_raws[SET_data_directory].text.at != NULL ? PROBLEM_INFO : PROBLEM_WARNING,
			(struct place){ c->main_path, 0 }, /* a file made for Postfix has no data_directory of ours */
			"compatibility_level is not set: the defaults of level 0 apply "
			"(for those of today: compatibility_level = 3.11)");
	mention_all(c);
	for (size_t i = 0; i < c->params_count; i++)
		if (c->main_raws[i].text.at != NULL) {
			check_name(c, c->params[i], c->main_raws[i].text, c->main_raws[i].where);
			check_comment(c, c->params[i], &c->main_raws[i]);
		}
	for (size_t i = 0; i < c->services.count; i++) check_service(c, &c->services.at[i]);
}

/* Lists that hold words of a fixed set; prefixes may stand before a word. */
static const struct word_list {
	enum setting_id id;
	const char *prefixes, *words;
} word_lists[] = {
	{ SET_inet_protocols, "", "all ipv4 ipv6" },
	{ SET_notify_classes, "", "bounce 2bounce data delay policy protocol resource software" },
	{ SET_smtp_address_verify_target, "", "rcpt data" },
	{ SET_lmtp_address_verify_target, "", "rcpt data" },
	{ SET_smtp_sasl_security_options, "",
	  "noplaintext noactive nodictionary noanonymous forward_secrecy mutual_auth" },
	{ SET_smtpd_tls_protocols, "!<>=", "SSLv2 SSLv3 TLSv1 TLSv1.1 TLSv1.2 TLSv1.3" },
	{ SET_smtpd_tls_mandatory_protocols, "!<>=", "SSLv2 SSLv3 TLSv1 TLSv1.1 TLSv1.2 TLSv1.3" },
};

static void check_words(const struct conf_view *v, const struct word_list *l) {
	struct conf *c = v->conf;
	const struct raw *raw = view_raw(v, l->id);
	if (raw->text.at == NULL || (v->service != NULL && !view_is_own(v, l->id))) return;
	struct slice text = conf_text(v, l->id);
	for (struct slice given; (given = slice_word(&text, ", \t\r\n:")).len > 0;) {
		struct slice word = given, rest = slice_of(l->words);
		while (word.len > 0 && l->prefixes[0] != '\0' && strchr(l->prefixes, word.at[0]) != NULL &&
		       word.at[0] != '\0')
			word = slice_skip(word, 1);
		bool known = false;
		for (struct slice one; !known && (one = slice_word(&rest, " ")).len > 0;) known = slice_same(one, word);
		if (!known)
			problem_add(&c->problems, PROBLEM_ERROR, raw->where,
				    "invalid %s value: %.*s (expected words of: %s)", setting_of(l->id)->name,
				    SLICE_ARG(given), l->words);
	}
}

#define CLASS_DEPTH 10

/* Does a list of restrictions refuse strangers for certain? (Postfix's rule: one of these words before any `permit`.)
 */
static bool refuses(const struct conf_view *v, struct slice list, unsigned depth) {
	static const char *const refusals[] = {
		"reject_unauth_destination", "defer_unauth_destination", "reject", "defer",
		"defer_if_permit",           "check_relay_domains",
	};
	for (struct slice word; (word = slice_word(&list, ", \t\r\n")).len > 0;) {
		if (slice_same(word, S("permit"))) return false;
		if (slice_same(word, S("warn_if_reject"))) {
			slice_word(&list, ", \t\r\n");
			continue;
		}
		for (size_t i = 0; i < LEN(refusals); i++)
			if (slice_same(word, slice_of(refusals[i]))) return true;
		struct slice class;
		bool own = setting_find(word) == NULL && conf_text_named(v, word, &class);
		if (own && depth < CLASS_DEPTH && refuses(v, class, depth + 1)) return true;
	}
	return false;
}

static void check_relay(const struct conf_view *v, struct place where) {
	static const enum setting_id lists[] = { SET_smtpd_relay_restrictions, SET_smtpd_recipient_restrictions };
	for (size_t i = 0; i < LEN(lists); i++) {
		if (refuses(v, conf_text(v, lists[i]), 0)) return;
		if (view_raw(v, lists[i])->text.at != NULL && view_raw(v, lists[i])->where.line > 0)
			where = view_raw(v, lists[i])->where;
	}
	problem_add(
		&v->conf->problems, PROBLEM_ERROR, where,
		"in parameter smtpd_relay_restrictions or smtpd_recipient_restrictions, specify at least one working "
		"instance of: reject_unauth_destination, defer_unauth_destination, reject, defer, defer_if_permit or "
		"check_relay_domains");
}

static void check_numbers(const struct conf_view *v) {
	struct conf *c = v->conf;
	struct raw *raws = v->raws;
	if (conf_time_ms(v, SET_minimal_backoff_time) > conf_time_ms(v, SET_maximal_backoff_time))
		problem_add(&c->problems, PROBLEM_WARNING, raws[SET_minimal_backoff_time].where,
		            "minimal_backoff_time is larger than maximal_backoff_time");
	size_t count;
	const struct slice *hops = conf_list(v, SET_relayhost, &count);
	for (size_t i = 0; i < count; i++)
		if ((slice_ends(hops[i], S(":465")) || slice_ends(hops[i], S(":smtps"))) &&
		    !conf_bool(v, SET_smtp_tls_wrappermode))
			problem_add(&c->problems, PROBLEM_WARNING, raws[SET_relayhost].where,
			            "relayhost %.*s: port 465 needs smtp_tls_wrappermode = yes", SLICE_ARG(hops[i]));
}

static void check_versions(const struct conf_view *v) {
	static const enum setting_id lists[] = { SET_smtpd_tls_protocols, SET_smtpd_tls_mandatory_protocols,
						 SET_smtp_tls_protocols,  SET_smtp_tls_mandatory_protocols,
						 SET_lmtp_tls_protocols,  SET_lmtp_tls_mandatory_protocols };
	for (size_t i = 0; i < LEN(lists); i++)
		if ((v->service == NULL || view_is_own(v, lists[i])) && conf_tls_versions(v, lists[i]) == 0)
			problem_add(&v->conf->problems, PROBLEM_ERROR, view_raw(v, lists[i])->where,
				    "%s leaves no version: %s", setting_of(lists[i])->name, conf_text(v, lists[i]).at);
}

static bool is_host_name(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_alpha(s.at[i]) && !ascii_digit(s.at[i]) && strchr(".-_", s.at[i]) == NULL) return false;
	return s.len != 0 && s.at[0] != '.' && s.at[0] != '-';
}

static bool is_address(struct slice s) {
	char text[INET6_ADDRSTRLEN] = "";
	uint8_t address[16];
	if (slice_starts(s, S("[")) && slice_ends(s, S("]"))) s = slice_head(slice_skip(s, 1), s.len - 2);
	if (s.len == 0 || s.len >= sizeof text) return false;
	memcpy(text, s.at, s.len);
	return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

/* Names and addresses that every process needs to be right. */
static void check_own_names(const struct conf_view *v) {
	static const enum setting_id hosts[] = { SET_myhostname, SET_mydomain };
	static const enum setting_id addresses[] = { SET_smtp_bind_address, SET_smtp_bind_address6,
						     SET_lmtp_bind_address, SET_lmtp_bind_address6 };
	for (size_t i = 0; i < LEN(hosts); i++) {
		const struct raw *raw = view_raw(v, hosts[i]);
		if (raw->text.at == NULL || (v->service != NULL && !view_is_own(v, hosts[i]))) continue;
		struct slice name = conf_text(v, hosts[i]);
		if (!is_host_name(name))
			problem_add(&v->conf->problems, PROBLEM_ERROR, raw->where,
				    "bad parameter value: %s = %.*s (expected a host name, such as mail.example.com)",
				    setting_of(hosts[i])->name, SLICE_ARG(name));
		else if (i == 0 && slice_find(name, '.') == name.len)
			problem_add(&v->conf->problems, PROBLEM_WARNING, raw->where,
				    "myhostname = %.*s: is no full name, such as mail.example.com: other servers "
				    "refuse mail from who greets so",
				    SLICE_ARG(name));
	}
	for (size_t i = 0; i < LEN(addresses); i++) {
		struct slice address = conf_text(v, addresses[i]);
		if (address.len == 0 || (v->service != NULL && !view_is_own(v, addresses[i]))) continue;
		if (!is_address(address))
			problem_add(&v->conf->problems, PROBLEM_WARNING, view_raw(v, addresses[i])->where,
				    "bad parameter value: %s = %.*s (expected an address of this machine; without one "
				    "mail leaves from any of them)",
				    setting_of(addresses[i])->name, SLICE_ARG(address));
	}
}

void check_values(struct conf *c) {
	check_versions(&c->main);
	check_own_names(&c->main);
	for (size_t i = 0; i < LEN(word_lists); i++) check_words(&c->main, &word_lists[i]);
	check_numbers(&c->main);
	bool any = false, main_checked = false;
	for (size_t k = 0; k < c->services.count; k++) {
		const struct conf_service *s = &c->services.at[k];
		const struct conf_view *v = c->views[k];
		if (v->service != NULL) {
			check_versions(v);
			check_own_names(v);
			for (size_t i = 0; i < LEN(word_lists); i++) check_words(v, &word_lists[i]);
		}
		if (s->role != SERVICE_SMTPD) continue;
		any = true;
		bool own = view_is_own(v, SET_smtpd_relay_restrictions) ||
			   view_is_own(v, SET_smtpd_recipient_restrictions);
		if (own) check_relay(v, s->where);
		else if (!main_checked) check_relay(&c->main, (struct place){ c->main_path, 0 }), main_checked = true;
	}
	if (!any)
		problem_add(&c->problems, PROBLEM_INFO, (struct place){ c->master_path, 0 },
			    "no service takes mail by SMTP");
}
