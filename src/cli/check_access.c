/* SPDX-License-Identifier: Apache-2.0 */
/* An access(5) table that says OK ends its list. Before the word that refuses strangers' mail, and asked for what the
 * client itself says of itself, that OK is a way to relay for whoever knows it (SMTPD_ACCESS_README, "Dangerous use of
 * smtpd_recipient_restrictions"). One list that is guarded well is enough: mail must pass every list. */
#include "base/fail.h"
#include "cli/checking.h"
#include "conf/table.h"

#define BREAKS ", \t\r\n"

struct access_check {
	struct checking *c;
	const struct conf_view *view;
	const struct conf_service *service;
	struct tables *tables;
	struct arena *mem;
};

enum guard { GUARD_NONE, GUARD_RISKY, GUARD_GOOD };

static bool is_refusal(struct slice word) {
	static const struct slice words[] = {
		S("reject_unauth_destination"), S("defer_unauth_destination"), S("reject"), S("defer"),
		S("defer_if_permit"),           S("check_relay_domains")
	};
	for (size_t i = 0; i < LEN(words); i++)
		if (slice_same(word, words[i])) return true;
	return false;
}

/* What these ask about is the client's own word: its greeting, its sender, the name its own DNS gives it. */
static bool is_clients_word(struct slice word) {
	return slice_ends_same(word, S("_access")) &&
	       (slice_starts_same(word, S("check_helo_")) || slice_starts_same(word, S("check_sender_")) ||
	        slice_starts_same(word, S("check_reverse_client_hostname_")));
}

struct hit {
	struct slice key;
	struct arena *mem;
};

/* OK, a number, permit (access(5), "ACCEPT ACTIONS"). */
static int is_permit(void *ctx, struct slice key, struct slice value) {
	struct hit *h = ctx;
	struct slice word = slice_word(&value, BREAKS);
	uint64_t number;
	if (!slice_same(word, S("OK")) && !slice_same(word, S("permit")) &&
	    !slice_number(word, UINT64_MAX / 16, &number))
		return 0;
	h->key = arena_slice(h->mem, key);
	return 1;
}

enum finding { FOUND_NOTHING, FOUND_PERMIT, FOUND_UNREADABLE };

static enum finding look_into(const struct access_check *a, struct slice name, struct hit *h) {
	struct table *table;
	if (table_open(a->tables, name, 0, &table) == TABLE_BAD) return FOUND_NOTHING; /* told by check_tables */
	int r = table_each(table, is_permit, h);
	return r == 1 ? FOUND_PERMIT : r == TABLE_BAD ? FOUND_UNREADABLE : FOUND_NOTHING;
}

static void tell(const struct access_check *a, enum setting_id list, struct slice word, struct slice table,
		 enum finding what, const struct hit *h) {
	struct place where = a->service->where;
	struct conf_raw r;
	if (a->view == conf_main(a->c->conf) && conf_raw_find(a->c->conf, slice_of(setting_of(list)->name), &r) &&
	    r.is_set)
		where = r.where;
	if (what == FOUND_PERMIT)
		found_at(a->c, PROBLEM_WARNING, where,
			 "%s: %.*s %.*s says OK for \"%.*s\" before strangers' mail is refused: every client that says "
			 "so may send to anywhere "
			 "(put it behind reject_unauth_destination, or let smtpd_relay_restrictions refuse)",
			 setting_of(list)->name, SLICE_ARG(word), SLICE_ARG(table), SLICE_ARG(h->key));
	else
		found_at(a->c, PROBLEM_INFO, where,
			 "%s: %.*s %.*s stands before the word that refuses strangers' mail: if it ever says OK, every "
			 "client that says so may send to anywhere",
			 setting_of(list)->name, SLICE_ARG(word), SLICE_ARG(table));
}

/* GUARD_RISKY has told about it when tell_it. */
static enum guard look_at_list(const struct access_check *a, enum setting_id list, bool tell_it) {
	struct slice text = conf_text(a->view, list), word;
	bool risky = false;
	while ((word = slice_word(&text, BREAKS)).len != 0) {
		if (is_refusal(word)) return risky ? GUARD_RISKY : GUARD_GOOD;
		if (slice_same(word, S("permit"))) return GUARD_NONE;
		if (!is_clients_word(word)) continue;
		struct slice table = slice_word(&text, BREAKS);
		struct hit h = { .mem = a->mem };
		enum finding what = look_into(a, table, &h);
		if (what == FOUND_NOTHING) continue;
		risky = true;
		if (tell_it) tell(a, list, word, table, what, &h);
	}
	return GUARD_NONE;
}

void check_access(struct checking *c, struct tables *tables, struct arena *mem) {
	static const enum setting_id lists[] = { SET_smtpd_relay_restrictions, SET_smtpd_recipient_restrictions };
	size_t count;
	bool main_done = false;
	const struct conf_view *main_view = conf_main(c->conf);
	const struct conf_service *services = conf_services(c->conf, &count);
	for (size_t i = 0; i < count; i++) {
		struct access_check a = { c, conf_service_view(c->conf, &services[i]), &services[i], tables, mem };
		if (services[i].role != SERVICE_SMTPD) continue;
		bool same = true;
		for (size_t k = 0; k < LEN(lists); k++)
			same = same && slice_eq(conf_text(a.view, lists[k]), conf_text(main_view, lists[k]));
		if (same && main_done) continue;
		if (same) a.view = main_view, main_done = true;
		if (look_at_list(&a, lists[0], false) == GUARD_GOOD || look_at_list(&a, lists[1], false) == GUARD_GOOD)
			continue;
		for (size_t k = 0; k < LEN(lists); k++) look_at_list(&a, lists[k], true);
	}
}
