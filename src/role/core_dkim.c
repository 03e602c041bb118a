/* SPDX-License-Identifier: Apache-2.0 */
#include "role/core_dkim.h"
#include "base/fail.h"
#include "base/map.h"
#include "user/user.h"

struct collecting {
	struct arena *mem;
	struct map seen;
	struct ask_text *at;
	size_t count, room;
};

bool domain_of_this_machine(struct slice name) {
	static const char *const ends[] = { ".local", ".localdomain", ".lan", ".home", ".internal", ".localhost" };
	for (size_t i = 0; i < LEN(ends); i++)
		if (slice_ends_same(name, slice_of(ends[i]))) return true;
	return slice_starts_same(name, S("localhost"));
}

static void collect(struct collecting *c, struct slice name) {
	struct slice lower = arena_lower(c->mem, name);
	if (!keyring_name(lower) || slice_find(lower, '.') == lower.len || domain_of_this_machine(lower) ||
	    map_get(&c->seen, lower) != NULL)
		return;
	if (c->count == c->room) {
		size_t room = c->room == 0 ? 64 : c->room * 2;
		struct ask_text *at = arena_array(c->mem, room, sizeof *at);
		if (c->count != 0) memcpy(at, c->at, c->count * sizeof *at);
		c->at = at;
		c->room = room;
	}
	map_put(&c->seen, lower, c);
	c->at[c->count++].text = lower;
}

static int collect_stored(void *ctx, struct slice domain) {
	collect(ctx, domain);
	return 0;
}

/* Words that are names, and no tables or files. */
static void collect_words(struct collecting *c, struct slice list) {
	for (struct slice word; (word = slice_word(&list, " \t\r\n,")).len != 0;) collect(c, word);
}

static bool has_above(const struct collecting *c, struct slice name) {
	while (slice_find(name, '.') < name.len) {
		slice_cut(&name, '.');
		if (map_get(&c->seen, name) != NULL) return true;
	}
	return false;
}

int dkim_domains_of(struct db_conn *conn, const struct conf_view *v, struct arena *mem, struct dkim_domains *out) {
	static const enum setting_id lists[] = { SET_mydestination, SET_virtual_alias_domains,
						 SET_virtual_mailbox_domains, SET_mydomain };
	struct collecting c = { .mem = mem };
	int r = user_domain_each(conn, collect_stored, &c);
	for (size_t i = 0; i < LEN(lists); i++) collect_words(&c, conf_text(v, lists[i]));
	bool subdomains = conf_bool(v, SET_dkim_subdomains);
	size_t kept = 0;
	for (size_t i = 0; i < c.count; i++)
		if (!subdomains || !has_above(&c, c.at[i].text)) c.at[kept++] = c.at[i];
	*out = (struct dkim_domains){ c.at, kept };
	map_done(&c.seen, NULL);
	return r < 0 ? r : 0;
}

int dkim_list_by(struct link *vault, struct slice domain, struct arena *mem, struct keyring_key **out, size_t *count) {
	struct dkim_list_answer answer;
	int r = ask_dkim_list(vault, &(struct dkim_list_ask){ .domain = domain }, mem, &answer);
	if (r != ASK_OK) return r < 0 ? r : fail("the vault process does not answer (try again)");
	*out = answer.keys;
	*count = answer.keys_count;
	return 0;
}

struct dkim_change_ask dkim_ask_of(const struct admin_dkim *what, struct ask_text *domain) {
	static const enum dkim_change kinds[] = {
		[ADMIN_DKIM_MAKE] = DKIM_MAKE,     [ADMIN_DKIM_ROTATE] = DKIM_ROTATE, [ADMIN_DKIM_SWITCH] = DKIM_SWITCH,
		[ADMIN_DKIM_IMPORT] = DKIM_IMPORT, [ADMIN_DKIM_REMOVE] = DKIM_REMOVE,
	};
	domain->text = what->domain;
	return (struct dkim_change_ask){ .what = kinds[what->what],
					 .domains = domain,
					 .domains_count = 1,
					 .selector = what->selector,
					 .pem = what->pem,
					 .now = true };
}

int dkim_change_by(struct link *vault, const struct admin_dkim *what) {
	AUTO_ARENA struct arena mem = { 0 };
	struct ask_text domain;
	struct dkim_change_answer answer;
	struct dkim_change_ask ask = dkim_ask_of(what, &domain);
	int r = ask_dkim_change(vault, &ask, &mem, &answer);
	if (r != ASK_OK) return r < 0 ? r : fail("the vault process does not answer (try again)");
	return answer.answer < 0 ? fail("%.*s", SLICE_ARG(answer.reason)) : answer.answer;
}
