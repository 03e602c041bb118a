/* SPDX-License-Identifier: Apache-2.0 */
/* The order of the functions is that of a message's way: rewriting, classes, transports, hops. */
#include "role/routing_settings.h"
#include "role/settings.h"
#include "base/fail.h"
#include "base/log.h"
#include "conf/bounce.h"
#include "conf/value.h"
#include "role/files.h"
#include "role/srs_settings.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <pwd.h>
#include <sys/stat.h>

/* Tables. */

static struct table *open_or_fail(struct tables *tables, struct slice name, unsigned flags, const char *parameter,
				  struct arena *mem) {
	struct table *t = NULL;
	if (table_open(tables, name, flags, &t) == TABLE_FOUND) return t;
	say(L_ERROR, "core", "%s: %s (mail that needs this table waits)", parameter, fail_text());
	must(table_open(tables, arena_fmt(mem, "fail:%.*s", SLICE_ARG(name)), 0, &t) ==
	     TABLE_FOUND); /* it opens always */
	return t;
}

/* Nobody asked for the aliases of a machine that has none. */
static bool unasked(const struct conf_view *v, struct slice name) {
	(void)v;
	return slice_eq(name, S("hash:/etc/aliases")) && access("/etc/aliases", F_OK) != 0 && errno == ENOENT;
}

/* PostSRSd's two tables, where it does not run: SRS is ours then (srs), for forwarded mail only. */
static bool is_absent_postsrsd(struct slice name) {
	static const struct slice names[] = { S("tcp:localhost:10001"),   S("tcp:127.0.0.1:10001"),
					      S("tcp:[127.0.0.1]:10001"), S("tcp:localhost:10002"),
					      S("tcp:127.0.0.1:10002"),   S("tcp:[127.0.0.1]:10002") };
	bool known = false;
	for (size_t i = 0; i < LEN(names); i++) known = known || slice_same(name, names[i]);
	if (!known) return false;
	AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(slice_ends(name, S("1")) ? 10001 : 10002) };
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0) return false;
	say(L_INFO, "core", "%.*s: nothing listens there: SRS is done by hato (srs, srs_domain, srs_secrets)",
	    SLICE_ARG(name));
	return true;
}

struct lookup tables_of_list(struct tables *tables, const struct conf_view *v, enum setting_id id, unsigned flags,
			     struct arena *mem) {
	size_t n;
	const struct slice *names = conf_list(v, id, &n);
	struct lookup l = { .tables = arena_array(mem, MAX_OF(n, (size_t)1), sizeof *l.tables) };
	for (size_t i = 0; i < n; i++) {
		if (unasked(v, names[i]) || is_absent_postsrsd(names[i])) continue;
		l.tables[l.count++] = open_or_fail(tables, names[i], flags, setting_of(id)->name, mem);
	}
	return l;
}

static struct domain_set domains_of(struct tables *tables, const struct conf_view *v, enum setting_id id,
				    struct arena *mem) {
	const struct domains *list = conf_domains(v, id);
	struct domain_set set = { .list = list };
	for (size_t i = 0; i < list->count; i++) {
		if (list->at[i].table.len == 0) continue;
		if (set.tables == NULL) set.tables = arena_array(mem, list->count, sizeof(struct table *));
		set.tables[i] = open_or_fail(tables, list->at[i].table, 0, setting_of(id)->name, mem);
	}
	return set;
}

/* Rewriting. */

static bool has_word(const struct conf_view *v, enum setting_id id, const char *word) {
	size_t n;
	const struct slice *words = conf_list(v, id, &n);
	for (size_t i = 0; i < n; i++)
		if (slice_same(words[i], slice_of(word))) return true;
	return false;
}

static unsigned classes_of(const struct conf_view *v, enum setting_id id) {
	static const char *const words[] = { "envelope_sender", "envelope_recipient", "header_sender",
					     "header_recipient" };
	unsigned classes = 0;
	for (unsigned i = 0; i < LEN(words); i++)
		if (has_word(v, id, words[i])) classes |= 1u << i;
	return classes;
}

static unsigned extended_of(const struct conf_view *v) {
	static const char *const words[] = { "canonical", "virtual", "alias", "forward", "include", "generic" };
	unsigned tables = 0;
	for (unsigned i = 0; i < LEN(words); i++)
		if (has_word(v, SET_propagate_unmatched_extensions, words[i])) tables |= 1u << i;
	return tables;
}

struct own {
	struct addr *at;
	size_t count, room;
	struct arena *mem;
};

static void own_add(struct own *own, const struct addr *a) {
	if (own->count == own->room) {
		own->room = MAX_OF(own->room * 2, (size_t)8);
		struct addr *more = arena_array(own->mem, own->room, sizeof *more);
		if (own->count != 0) memcpy(more, own->at, own->count * sizeof *more);
		own->at = more;
	}
	own->at[own->count++] = *a;
}

static void own_interfaces(struct own *own, bool loopback_only) {
	struct ifaddrs *list = NULL;
	struct addr a;
	if (getifaddrs(&list) != 0) return;
	for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
		if (i->ifa_addr == NULL) continue;
		socklen_t len =
			i->ifa_addr->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
		if (!addr_from_sockaddr(i->ifa_addr, len, &a)) continue;
		addr_set_port(&a, 0);
		if (!loopback_only || addr_is_loopback(&a)) own_add(own, &a);
	}
	freeifaddrs(list);
}

static void own_list(struct own *own, const struct conf_view *v, enum setting_id id) {
	size_t n;
	struct addr a;
	const struct slice *words = conf_list(v, id, &n);
	for (size_t i = 0; i < n; i++) {
		if (slice_same(words[i], S("all"))) own_interfaces(own, false);
		else if (slice_same(words[i], S("loopback-only")) || slice_same(words[i], S("localhost")))
			own_interfaces(own, true);
		else if (addr_parse(words[i], &a)) own_add(own, &a);
	}
}

/* masquerade_exceptions: names and tables in one list. */
static void exceptions_of(struct rewrite_params *out, struct tables *tables, const struct conf_view *v,
			  struct arena *mem) {
	size_t n;
	const struct slice *words = conf_list(v, SET_masquerade_exceptions, &n);
	struct slice *names = arena_array(mem, n, sizeof *names);
	out->exceptions.tables = arena_array(mem, n, sizeof *out->exceptions.tables);
	for (size_t i = 0; i < n; i++) {
		if (slice_find(words[i], ':') == words[i].len) names[out->exception_names_count++] = words[i];
		else
			out->exceptions.tables[out->exceptions.count++] =
				open_or_fail(tables, words[i], 0, "masquerade_exceptions", mem);
	}
	out->exception_names = names;
}

static void make_notices(struct deliver_params *out, const struct conf_view *v, struct arena *mem) {
	notices_of(&out->trouble, v, NULL, mem);
	out->notices = out->trouble.classes;
	out->bounce_notice = out->trouble.bounce_to;
	out->double_bounce_notice = whole_address_of(v, SET_2bounce_notice_recipient, mem);
	out->delay_notice = whole_address_of(v, SET_delay_notice_recipient, mem);
	out->double_bounce = out->trouble.from;
	out->delay_digits = (unsigned)conf_number(v, SET_delay_logging_resolution_limit);
}

static void forwards_of(struct forward_params *out, const struct conf_view *v, struct arena *mem) {
	static const enum forward_door doors[] = { [FORWARD_BAD_REJECT] = FORWARD_DOOR_REJECT,
						   [FORWARD_BAD_KEEP] = FORWARD_DOOR_KEEP,
						   [FORWARD_BAD_SEND] = FORWARD_DOOR_SEND };
	static const enum forward_choice choices[] = { [FORWARD_FAILING_SEND] = FORWARD_SEND,
						       [FORWARD_FAILING_KEEP] = FORWARD_KEEP,
						       [FORWARD_FAILING_WRAP] = FORWARD_WRAP };
	out->unauthenticated = doors[conf_enum(v, SET_forward_unauthenticated)];
	out->failing = choices[conf_enum(v, SET_forward_failing)];
	out->keep = whole_address_of(v, SET_forward_keep_recipient, mem);
}

static struct slice bare_bounce_user(const struct conf_view *v) {
	struct slice user = conf_text(v, SET_double_bounce_sender);
	return slice_head(user, slice_find_last(user, '@'));
}

void rewrite_settings_make(struct rewrite_params *out, struct tables *tables, const struct conf *conf,
			   const struct conf_view *v, struct arena *mem) {
	struct own own = { .mem = mem };
	(void)conf;
	own_list(&own, v, SET_inet_interfaces);
	own_list(&own, v, SET_proxy_interfaces);
	*out = (struct rewrite_params){
		.origin = conf_bool(v, SET_append_at_myorigin) ? conf_text(v, SET_myorigin) : SLICE_NONE,
		.domain = conf_bool(v, SET_append_dot_mydomain) ? conf_text(v, SET_mydomain) : SLICE_NONE,
		.swap_bangpath = conf_bool(v, SET_swap_bangpath),
		.percent_hack = conf_bool(v, SET_allow_percent_hack),
		.keep_quoted = !conf_bool(v, SET_resolve_dequoted_address),
		.delimiters = conf_text(v, SET_recipient_delimiter),
		.owner_request_whole = conf_bool(v, SET_owner_request_special),
		.bounce_user = bare_bounce_user(v),
		.destinations = domains_of(tables, v, SET_mydestination, mem),
		.own_addresses = own.at,
		.own_addresses_count = own.count,
		.extend = extended_of(v),
		.sender_canonical = { tables_of_list(tables, v, SET_sender_canonical_maps, 0, mem),
				      classes_of(v, SET_sender_canonical_classes) },
		.recipient_canonical = { tables_of_list(tables, v, SET_recipient_canonical_maps, 0, mem),
					 classes_of(v, SET_recipient_canonical_classes) },
		.canonical = { tables_of_list(tables, v, SET_canonical_maps, 0, mem),
			       classes_of(v, SET_canonical_classes) },
		.masquerade_classes = classes_of(v, SET_masquerade_classes),
	};
	out->masquerade = conf_list(v, SET_masquerade_domains, &out->masquerade_count);
	exceptions_of(out, tables, v, mem);
}

/* Transports. */

static const struct {
	const char *command;
	enum transport_kind kind;
} commands[] = {
	{ "smtp", TRANSPORT_RELAY },    { "lmtp", TRANSPORT_RELAY }, { "local", TRANSPORT_LOCAL },
	{ "virtual", TRANSPORT_AGENT }, { "pipe", TRANSPORT_AGENT }, { "error", TRANSPORT_ERROR },
	{ "discard", TRANSPORT_DISCARD },
};

/* 0 in main.cf: no limit. */
static size_t limit_of(const struct conf *c, struct slice transport, enum transport_setting which) {
	int64_t n = conf_transport(c, transport, which);
	return n != 0 ? (size_t)n : SIZE_MAX / 2;
}

static struct feedback feedback_of(const struct conf *c, struct slice transport, enum transport_setting which,
				   enum setting_id usual) {
	struct feedback f = { 1, FEEDBACK_FIXED };
	struct slice own = conf_transport_text(c, transport, which);
	if (!feedback_parse(own, &f) && !feedback_parse(conf_text(conf_main(c), usual), &f))
		say(L_WARN, "core",
		    "%s = %.*s: expected a number, number/number, number/concurrency or number/sqrt_concurrency (1 is "
		    "used)",
		    setting_of(usual)->name, SLICE_ARG(own));
	return f;
}

static struct transport transport_of(const struct conf *conf, struct slice name, struct slice command,
				     enum transport_kind kind, struct arena *mem) {
	const struct conf_view *v = conf_main(conf);
	if (kind == TRANSPORT_ERROR && slice_eq(name, S("retry"))) kind = TRANSPORT_RETRY;
	struct transport t = {
		.name = name,
		.kind = kind,
		.tag = slice_eq(name, S("relay")) ? arena_fmt(mem, "relay/%.*s", SLICE_ARG(command)).at
						  : arena_text(mem, command),
		.recipient_limit = limit_of(conf, name, TRANSPORT_DESTINATION_RECIPIENT_LIMIT),
		.concurrency_limit = limit_of(conf, name, TRANSPORT_CONCURRENCY_LIMIT),
		.first_concurrency = limit_of(conf, name, TRANSPORT_INITIAL_CONCURRENCY),
		.gain = feedback_of(conf, name, TRANSPORT_POSITIVE_FEEDBACK,
				    SET_default_destination_concurrency_positive_feedback),
		.loss = feedback_of(conf, name, TRANSPORT_NEGATIVE_FEEDBACK,
				    SET_default_destination_concurrency_negative_feedback),
		.failed_cohort_limit = (double)conf_transport(conf, name, TRANSPORT_FAILED_COHORT_LIMIT),
		.rate_delay_us = conf_transport(conf, name, TRANSPORT_DESTINATION_RATE_DELAY) * 1000,
		.all_delay_us = conf_transport(conf, name, TRANSPORT_TRANSPORT_RATE_DELAY) * 1000,
	};
	size_t n;
	const struct slice *deferred = conf_list(v, SET_defer_transports, &n);
	for (size_t i = 0; i < n; i++) t.deferred = t.deferred || slice_eq(deferred[i], name);
	return t;
}

/* master.cf's, and those that every Postfix has. */
static void transports_of(struct transports *out, const struct conf *conf, struct arena *mem) {
	size_t n, count = 0;
	const struct conf_service *services = conf_services(conf, &n);
	struct transport *list = arena_array(mem, n + LEN(usual_transports) + 1, sizeof *list);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < LEN(commands) && services[i].type == SERVICE_UNIX; k++)
			if (slice_eq(services[i].command, slice_of(commands[k].command)))
				list[count++] = transport_of(conf, services[i].name, services[i].command,
							     commands[k].kind, mem);
	*out = (struct transports){ list, count };
	for (size_t i = 0; i < LEN(usual_transports); i++) {
		const struct usual_transport *usual = &usual_transports[i];
		if (transport_find(out, usual->name) != NULL) continue;
		for (size_t k = 0; k < LEN(commands); k++)
			if (slice_eq(usual->command, slice_of(commands[k].command)))
				list[out->count++] =
					transport_of(conf, usual->name, usual->command, commands[k].kind, mem);
	}
	list[out->count++] = transport_of(conf, S(TRANSPORT_REQUEUE_NAME), S("requeue"), TRANSPORT_REQUEUE, mem);
}

/* Routing. */

/* Address probes may go another way than mail does (address_verify_…). */
struct hop_names {
	enum setting_id transport_maps, sender_relayhost, sender_transport, local, virtual_, relay, other, relayhost;
};
static const struct hop_names hops_of_mail = {
	SET_transport_maps, SET_sender_dependent_relayhost_maps, SET_sender_dependent_default_transport_maps,
	SET_local_transport, SET_virtual_transport, SET_relay_transport, SET_default_transport, SET_relayhost,
};
static const struct hop_names hops_of_probes = {
	SET_address_verify_transport_maps, SET_address_verify_sender_dependent_relayhost_maps,
	SET_address_verify_sender_dependent_default_transport_maps, SET_address_verify_local_transport,
	SET_address_verify_virtual_transport, SET_address_verify_relay_transport, SET_address_verify_default_transport,
	SET_address_verify_relayhost,
};

static void hops_of(struct hop_params *out, const struct hop_names *n, struct tables *tables, const struct conf *conf,
		    struct arena *mem) {
	const struct conf_view *v = conf_main(conf);
	*out = (struct hop_params){
		.transport_maps = tables_of_list(tables, v, n->transport_maps, 0, mem),
		.transport_dots = !has_word(v, SET_parent_domain_matches_subdomains, "transport_maps"),
		.relocated_whole = !conf_bool(v, SET_relocated_prefix_enable),
		.relocated = tables_of_list(tables, v, SET_relocated_maps, 0, mem),
		.sender_relayhost = tables_of_list(tables, v, n->sender_relayhost, 0, mem),
		.relayhost_nobody = conf_text(v, SET_empty_address_relayhost_maps_lookup_key),
		.transport_nobody = conf_text(v, SET_empty_address_default_transport_maps_lookup_key),
		.sender_transport = tables_of_list(tables, v, n->sender_transport, 0, mem),
		.local = conf_text(v, n->local),
		.virtual_ = conf_text(v, n->virtual_),
		.relay = conf_text(v, n->relay),
		.other = conf_text(v, n->other),
		.relayhost = conf_text(v, n->relayhost),
		.hide_table = !conf_bool(v, SET_show_user_unknown_table_name),
	};
	transports_of(&out->transports, conf, mem);
}

/* Aliases. */

/* The user who owns the file of a table, unless it is root. */
static struct slice owner_of(const struct table *t, struct arena *mem) {
	struct slice name = slice_of(table_name(t));
	struct stat st;
	struct passwd entry, *user = NULL;
	char room[4096];
	name = slice_skip(name, slice_find(name, ':') + 1);
	if (name.len == 0 || name.at[0] != '/' || stat(arena_text(mem, name), &st) != 0 || st.st_uid == 0)
		return SLICE_NONE;
	if (getpwuid_r(st.st_uid, &entry, room, sizeof room, &user) != 0 || user == NULL) return SLICE_NONE;
	return arena_slice(mem, slice_of(user->pw_name));
}

static struct alias_params *aliases_of(struct tables *tables, const struct conf_view *v, struct arena *mem) {
	struct alias_params *a = arena_get(mem, sizeof *a);
	*a = (struct alias_params){
		.maps = tables_of_list(tables, v, SET_alias_maps, TABLE_ALIASES, mem),
		.expand_owner = conf_bool(v, SET_expand_owner_alias),
		.frozen = conf_bool(v, SET_frozen_delivered_to),
		.reset_owner = conf_bool(v, SET_reset_owner_alias),
		.commands = has_word(v, SET_allow_mail_to_commands, "alias"),
		.files = has_word(v, SET_allow_mail_to_files, "alias"),
		.include_commands = has_word(v, SET_allow_mail_to_commands, "include"),
		.include_files = has_word(v, SET_allow_mail_to_files, "include"),
	};
	struct slice *rights = arena_array(mem, a->maps.count, sizeof *rights);
	for (size_t i = 0; i < a->maps.count; i++) rights[i] = owner_of(a->maps.tables[i], mem);
	a->rights = rights;
	return a;
}

/* From: "name <address>", "address (name)" or "address" (bounce(5)). */
static void split_from(struct slice from, struct return_words *out) {
	size_t angle = slice_find(from, '<'), round = slice_find(from, '(');
	out->from = from;
	if (angle < from.len) {
		struct slice rest = slice_skip(from, angle + 1);
		out->from_name = slice_head(from, angle);
		out->from = slice_cut(&rest, '>');
	} else if (round < from.len) {
		struct slice rest = slice_skip(from, round + 1);
		out->from = slice_head(from, round);
		out->from_name = slice_cut(&rest, ')');
	}
	out->from = slice_trim(out->from);
	out->from_name = slice_trim(out->from_name);
	if (out->from_name.len > 1 && out->from_name.at[0] == '"')
		out->from_name = slice_from(out->from_name.at + 1, out->from_name.len - 2);
}

static struct return_words words_of(const struct conf *conf, enum bounce_kind kind, struct arena *mem) {
	const struct bounce_template *t = conf_bounce(conf, kind);
	struct return_words w = { .subject = t->subject, .copy_subject = t->postmaster_subject };
	AUTO_BUF struct buf text = BUF(MIB(1));
	if (bounce_expand(conf_main(conf), t->text, &text) < 0)
		buf_clear(&text); /* tried when the settings were loaded */
	w.text = arena_slice(mem, buf_slice(&text));
	split_from(t->from, &w);
	return w;
}

struct tables *routing_tables(const struct conf *conf) {
	const struct conf_view *v = conf_main(conf);
	return tables_new(&(struct table_params){
		.queue_directory = conf_text(v, SET_queue_directory).at,
		.socketmap_most = (size_t)conf_number(v, SET_socketmap_max_reply_size),
		.open = files_open,
		.service = "core" });
}

void routing_settings_make(struct routing_settings *out, const struct conf *conf, struct arena *mem) {
	const struct conf_view *v = conf_main(conf);
	struct tables *t = routing_tables(conf);
	*out = (struct routing_settings){ .tables = t, .conf = conf };
	struct route_params *r = &out->route;
	rewrite_settings_make(&r->rewrite, t, conf, v, mem);
	r->resolve = (struct resolve_params){ .delimiters = r->rewrite.delimiters,
					      .owner_request_whole = r->rewrite.owner_request_whole,
					      .bounce_user = r->rewrite.bounce_user };
	r->classes = (struct class_params){
		.virtual_alias_domains = domains_of(t, v, SET_virtual_alias_domains, mem),
		.virtual_mailbox_domains = domains_of(t, v, SET_virtual_mailbox_domains, mem),
		.relay_domains = domains_of(t, v, SET_relay_domains, mem),
	};
	hops_of(&r->hops, &hops_of_mail, t, conf, mem);
	r->virtual_alias = tables_of_list(t, v, SET_virtual_alias_maps, 0, mem);
	r->expansion_limit = (size_t)conf_number(v, SET_virtual_alias_expansion_limit);
	r->recursion_limit = (size_t)conf_number(v, SET_virtual_alias_recursion_limit);
	r->length_limit = (size_t)conf_number(v, SET_virtual_alias_address_length_limit);
	r->local_recipients = tables_of_list(t, v, SET_local_recipient_maps, TABLE_ALIASES, mem);
	r->virtual_mailbox = tables_of_list(t, v, SET_virtual_mailbox_maps, 0, mem);
	r->relay_recipients = tables_of_list(t, v, SET_relay_recipient_maps, 0, mem);
	r->aliases = aliases_of(t, v, mem);
	r->srs = srs_settings_make(v, mem);
	r->host = conf_text(v, SET_myhostname);
	r->to_detail = conf_bool(v, SET_deliver_to_detail_mailbox);
	r->full_reject = conf_bool(v, SET_quota_full_reject);
	r->empty_recipient = conf_text(v, SET_empty_address_recipient);
	r->filter_next_hop = conf_text(v, SET_default_filter_nexthop);
	out->probe_route = *r;
	hops_of(&out->probe_route.hops, &hops_of_probes, t, conf, mem);
	out->deliver = (struct deliver_params){
		.route = r,
		.origin = conf_text(v, SET_myorigin),
		.bounce_size = (size_t)conf_size(v, SET_bounce_size_limit),
		.always_bcc = conf_text(v, SET_always_bcc),
		.sender_bcc = tables_of_list(t, v, SET_sender_bcc_maps, 0, mem),
		.recipient_bcc = tables_of_list(t, v, SET_recipient_bcc_maps, 0, mem),
		.verp_bounces = !conf_bool(v, SET_disable_verp_bounces),
		.redact_required_tls = conf_bool(v, SET_requiretls_redact_dsn),
		.threaded_bounces = conf_bool(v, SET_enable_threaded_bounces),
		.failed = words_of(conf, BOUNCE_FAILURE, mem),
		.delayed = words_of(conf, BOUNCE_DELAY, mem),
		.succeeded = words_of(conf, BOUNCE_SUCCESS, mem),
		.verified = words_of(conf, BOUNCE_VERIFY, mem),
	};
	make_notices(&out->deliver, v, mem);
	forwards_of(&out->deliver.forward, v, mem);
}

void generic_settings_make(struct rewrite_params *out, const struct rewrite_params *ours, struct lookup maps,
			   const char *maps_name) {
	*out = (struct rewrite_params){
		.as_is = true,
		.origin = ours->origin,
		.delimiters = ours->delimiters,
		.owner_request_whole = ours->owner_request_whole,
		.bounce_user = ours->bounce_user,
		.destinations = ours->destinations,
		.own_addresses = ours->own_addresses,
		.own_addresses_count = ours->own_addresses_count,
		.extend = (ours->extend & REWRITE_EXTEND_GENERIC) != 0 ? (unsigned)REWRITE_EXTEND_CANONICAL : 0u,
		.canonical = { maps, REWRITE_ENVELOPE_SENDER | REWRITE_ENVELOPE_RECIPIENT | REWRITE_HEADER_SENDER |
					     REWRITE_HEADER_RECIPIENT },
		.canonical_name = maps_name,
	};
}

void routing_settings_done(struct routing_settings *s) {
	tables_free(&s->tables);
}
