/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of restrictions are read as they will be at RCPT, for a few strangers who have nothing in common: where all of
 * them may send mail to domains that are not ours, everybody may. Only what is known without asking anybody counts:
 * tables that are written here or made of patterns. What may still refuse (a policy server, a table of another kind)
 * ends the reading without a verdict. Tables of names are cli/check_access.c's. */
#include "base/fail.h"
#include "conf/lookup.h"
#include "conf/snapshot.h"

#include <arpa/inet.h>

enum { CLASSES_DEEP = 10 };

static void silence(void *ctx, int level, const char *text) { (void)ctx, (void)level, (void)text; } /* told elsewhere */

enum outcome { GOES_ON, MAY_SEND, IS_REFUSED, NOBODY_KNOWS };

struct stranger {
	const char *address, *name, *helo, *sender, *recipient;
};
/* Addresses and names of documentation would be excepted in some lists; these are public. */
static const struct stranger strangers[] = {
	{ "93.184.215.14", "mail.stranger-one.com", "mail.stranger-one.com", "a.b@stranger-one.com",
	  "x@elsewhere-one.com" },
	{ "160.16.0.77", "unknown", "pc-77", "second@stranger-two.jp", "yy@elsewhere-two.net" },
	{ "45.9.20.200", "h200.stranger-three.org", "[45.9.20.200]", "3rd@sub.stranger-three.org",
	  "z.z@elsewhere-three.de" },
};

struct walk {
	const struct conf_view *view;
	const struct stranger *who;
	struct tables *tables;
	struct arena *mem;
	struct open_door *door;
};

static bool is_of_type(struct slice name, const struct slice *types, size_t count) {
	if (slice_starts_same(name, S("proxy:"))) name = slice_skip(name, 6);
	for (size_t i = 0; i < count; i++)
		if (slice_same(slice_head(name, slice_find(name, ':')), types[i])) return true;
	return false;
}

/* Can this table be asked here and now? */
static bool is_local(struct slice name) {
	static const struct slice types[] = { S("static"), S("inline"), S("cidr"), S("regexp"), S("pcre") };
	return is_of_type(name, types, LEN(types));
}

/* Does it name some, and not all? */
static bool is_of_names(struct slice name) {
	static const struct slice types[] = { S("texthash"), S("hash"), S("btree"), S("dbm"),
					      S("sdbm"),     S("lmdb"), S("cdb") };
	return is_of_type(name, types, LEN(types));
}

static struct table *open_table(const struct walk *w, struct slice name) {
	struct table *t;
	return is_local(name) && table_open(w->tables, name, 0, &t) == TABLE_FOUND ? t : NULL;
}

/* Is the client in a list of networks? */
static bool in_networks(const struct walk *w, enum setting_id id) {
	const struct networks *all = conf_networks(w->view, id);
	struct networks known = { arena_array(w->mem, all->count + 1, sizeof *known.at), 0 };
	uint8_t address[16] = { [10] = 0xff, [11] = 0xff };
	must(inet_pton(AF_INET, w->who->address, address + 12) == 1);
	for (size_t i = 0; i < all->count; i++)
		if (all->at[i].table.len == 0 || is_local(all->at[i].table)) known.at[known.count++] = all->at[i];
	return networks_match(networks_open(&known, w->tables, w->mem), address);
}

/* Is the recipient's domain ours? */
static bool is_ours(const struct walk *w) {
	static const enum setting_id lists[] = { SET_mydestination, SET_virtual_alias_domains,
						 SET_virtual_mailbox_domains, SET_relay_domains };
	struct slice domain = slice_of(strchr(w->who->recipient, '@') + 1), value;
	for (size_t i = 0; i < LEN(lists); i++) {
		const struct domains *list = conf_domains(w->view, lists[i]);
		for (size_t k = 0; k < list->count; k++) {
			const struct domain_pattern *p = &list->at[k];
			struct table *t = p->table.len != 0 ? open_table(w, p->table) : NULL;
			bool here = t != NULL ? table_find(t, domain, w->mem, &value) == TABLE_FOUND
					      : domain_pattern_match(p, list->parents, domain);
			if (!here) continue;
			if (p->except) break;
			if (lists[i] == SET_relay_domains) /* what is for the others stays here */
				*w->door = (struct open_door){ lists[i], p->table.len != 0 ? p->table : p->name };
			return true;
		}
	}
	return false;
}

enum item { ITEM_CLIENT, ITEM_HELO, ITEM_SENDER, ITEM_RECIPIENT };

static int ask(const struct walk *w, struct table *t, enum item item, struct slice *value) {
	const struct lookup l = { &t, 1 };
	struct lookup_hit hit;
	int r;
	if (item == ITEM_CLIENT) {
		r = lookup_domain(&l, slice_of(w->who->name), true, w->mem, &hit);
		if (r == TABLE_MISSING) r = lookup_ip(&l, slice_of(w->who->address), w->mem, &hit);
	} else if (item == ITEM_HELO) r = lookup_domain(&l, slice_of(w->who->helo), true, w->mem, &hit);
	else
		r = lookup_address(&l, slice_of(item == ITEM_SENDER ? w->who->sender : w->who->recipient),
				   LOOKUP_WHOLE | LOOKUP_DOMAIN | LOOKUP_USER_AT | LOOKUP_DOT_PARENTS, S(""), false,
				   w->mem, &hit);
	if (r == TABLE_FOUND) *value = hit.value;
	return r;
}

static enum outcome read_list(const struct walk *w, struct slice list, enum item own, unsigned depth);

/* access(5) */
static enum outcome act(const struct walk *w, struct slice action, enum item own, unsigned depth) {
	static const struct slice neutral[] = { S("DUNNO"), S("INFO"),	   S("WARN"), S("PREPEND"), S("HOLD"),
						S("BCC"),   S("REDIRECT"), S("FILTER"), S("DELAY") };
	static const struct slice refusals[] = { S("REJECT"), S("DEFER"),  S("DEFER_IF_PERMIT"), S("DEFER_IF_REJECT"),
						 S("HANGUP"), S("DISCARD") };
	struct slice rest = action, word = slice_word(&rest, ", \t\r\n");
	uint64_t number;
	if (slice_number(word, UINT64_MAX / 16, &number) && number >= 400 && number < 600 && rest.len != 0)
		return IS_REFUSED;
	if (slice_same(word, S("OK")) || slice_same(word, S("RELAY")) || slice_number(word, UINT64_MAX / 16, &number))
		return MAY_SEND;
	for (size_t i = 0; i < LEN(neutral); i++)
		if (slice_same(word, neutral[i])) return GOES_ON;
	for (size_t i = 0; i < LEN(refusals); i++)
		if (slice_same(word, refusals[i])) return IS_REFUSED;
	return read_list(w, action, own, depth + 1);
}

static enum outcome look_up(const struct walk *w, struct slice table, enum item item, enum item own, unsigned depth) {
	struct table *t = open_table(w, table);
	struct slice action;
	if (t == NULL) return is_local(table) || is_of_names(table) ? GOES_ON : NOBODY_KNOWS;
	return ask(w, t, item, &action) == TABLE_FOUND ? act(w, action, own, depth) : GOES_ON;
}

/* A word that looks into a table for something that we know of a stranger. */
static bool looks_up(struct slice word, enum item *item) {
	static const struct { struct slice word; enum item item; } words[] = {
		{ S("check_client_access"), ITEM_CLIENT },     { S("check_helo_access"), ITEM_HELO },
		{ S("check_sender_access"), ITEM_SENDER },     { S("check_recipient_access"), ITEM_RECIPIENT },
		{ S("check_reverse_client_hostname_access"), ITEM_CLIENT },
	};
	for (size_t i = 0; i < LEN(words); i++)
		if (slice_same(word, words[i].word)) return *item = words[i].item, true;
	return false;
}

/* The words that decide for themselves; what they do not know goes on. */
static enum outcome decide(const struct walk *w, struct slice word) {
	static const struct slice refusals[] = { S("reject"), S("defer"), S("defer_if_permit") };
	static const struct slice guards[] = { S("reject_unauth_destination"), S("defer_unauth_destination"),
					       S("check_relay_domains") };
	if (slice_same(word, S("permit"))) return MAY_SEND;
	if (slice_same(word, S("permit_mynetworks"))) {
		if (!in_networks(w, SET_mynetworks)) return GOES_ON;
		*w->door = (struct open_door){ SET_mynetworks, S("permit_mynetworks") };
		return MAY_SEND;
	}
	if (slice_same(word, S("permit_auth_destination"))) return is_ours(w) ? MAY_SEND : GOES_ON;
	for (size_t i = 0; i < LEN(refusals); i++)
		if (slice_same(word, refusals[i])) return IS_REFUSED;
	for (size_t i = 0; i < LEN(guards); i++)
		if (slice_same(word, guards[i])) return is_ours(w) ? GOES_ON : IS_REFUSED;
	return slice_same(word, S("check_policy_service")) ? NOBODY_KNOWS : GOES_ON;
}

static enum outcome read_word(const struct walk *w, struct slice word, struct slice *rest, enum item own,
			      unsigned depth) {
	struct slice argument, class;
	enum item item = own;
	bool table = slice_find(word, ':') < word.len;
	if (table || looks_up(word, &item)) {
		if (table) argument = word;
		else if (!value_word(rest, &argument)) return NOBODY_KNOWS;
		enum outcome o = look_up(w, argument, item, own, depth);
		if (o == MAY_SEND && table) w->door->word = word;
		else if (o == MAY_SEND)
			w->door->word = arena_fmt(w->mem, "%.*s %.*s", SLICE_ARG(word), SLICE_ARG(argument));
		return o;
	}
	if (slice_starts_same(word, S("check_")) && slice_ends_same(word, S("_access"))) {
		value_word(rest, &argument); /* of a certificate, a log-in, what DNS says: not everybody's */
		return GOES_ON;
	}
	if (setting_find(word) == NULL && conf_text_named(w->view, word, &class)) {
		if (depth >= CLASSES_DEEP) return NOBODY_KNOWS;
		enum outcome o = read_list(w, class, own, depth + 1);
		if (o == MAY_SEND) w->door->word = word;
		return o;
	}
	return decide(w, word);
}

static enum outcome read_list(const struct walk *w, struct slice list, enum item own, unsigned depth) {
	struct slice word, rest = list;
	while (rest.len != 0 && value_word(&rest, &word)) {
		bool only_warns = slice_same(word, S("warn_if_reject"));
		if (only_warns && !value_word(&rest, &word)) break;
		enum outcome o = word.len != 0 ? read_word(w, word, &rest, own, depth) : GOES_ON;
		if (o != GOES_ON && !(only_warns && o == IS_REFUSED)) return o;
	}
	return GOES_ON;
}

static bool may_send(const struct walk *w) {
	static const struct { enum setting_id id; enum item own; } lists[] = {
		{ SET_smtpd_client_restrictions, ITEM_CLIENT }, { SET_smtpd_helo_restrictions, ITEM_HELO },
		{ SET_smtpd_sender_restrictions, ITEM_SENDER }, { SET_smtpd_relay_restrictions, ITEM_RECIPIENT },
		{ SET_smtpd_recipient_restrictions, ITEM_RECIPIENT },
	};
	struct open_door by = { SETTINGS_COUNT, SLICE_NONE };
	for (size_t i = 0; i < LEN(lists); i++) {
		struct open_door door = { lists[i].id, SLICE_NONE };
		struct walk one = *w;
		one.door = &door;
		enum outcome o = read_list(&one, conf_text(w->view, lists[i].id), lists[i].own, 0);
		if (o == IS_REFUSED || o == NOBODY_KNOWS) return false;
		if (lists[i].own == ITEM_RECIPIENT && door.word.len != 0 && by.word.len == 0) by = door;
	}
	*w->door = by;
	return by.word.len != 0;
}

bool strangers_may_send(const struct conf_view *v, struct arena *mem, struct open_door *out) {
	struct tables *tables = tables_new(&(struct table_params){
		.queue_directory = conf_text(v, SET_queue_directory).at, .tell = silence });
	bool all = true;
	for (size_t i = 0; i < LEN(strangers) && all; i++) {
		struct walk w = { v, &strangers[i], tables, mem, out };
		all = may_send(&w);
	}
	tables_free(&tables);
	return all;
}

bool strangers_in(const struct conf_view *v, enum setting_id networks, struct arena *mem) {
	struct tables *tables = tables_new(&(struct table_params){
		.queue_directory = conf_text(v, SET_queue_directory).at, .tell = silence });
	bool all = true;
	for (size_t i = 0; i < LEN(strangers) && all; i++) {
		struct walk w = { .view = v, .who = &strangers[i], .tables = tables, .mem = mem };
		all = in_networks(&w, networks);
	}
	tables_free(&tables);
	return all;
}
