/* SPDX-License-Identifier: Apache-2.0 */
/* The rules for splitting off an extension are Postfix's: the leftmost of the delimiters, never at the start, and not
 * for addresses that belong to the mail system or to a mailing list. */
#include "user/inside.h"

struct search {
	struct db_conn *c;
	struct arena *mem;
	const struct resolve_params *params;
	struct parts to;
	struct resolved out;
};

static size_t split_at(const struct resolve_params *params, struct slice local) {
	struct slice bounce = params->bounce_user.len != 0 ? params->bounce_user : S("double-bounce");
	if (slice_same(local, S("postmaster")) || slice_same(local, S("mailer-daemon")) || slice_same(local, bounce))
		return 0;
	bool dash = slice_find(params->delimiters, '-') < params->delimiters.len;
	if (dash && params->owner_request_whole) {
		if (slice_starts(local, S("owner-"))) return 0;
		if (local.len > 8 && slice_ends(local, S("-request"))) return 0;
	}
	for (size_t i = 0; i < local.len; i++)
		if (slice_find(params->delimiters, local.at[i]) < params->delimiters.len) return i;
	return 0;
}

static int find_account(struct search *s, struct slice address) {
	AUTO_STMT struct db_stmt *q =
		db_sql(s->c, "SELECT id, disabled, quota_bytes, quota_messages FROM account WHERE address = ?");
	db_bind_text(q, address);
	int r = db_step(q);
	if (r != DB_ROW) return r < 0 ? r : USER_UNKNOWN;
	s->out.account_id = db_int(q, 0);
	s->out.address = address;
	s->out.quota_bytes = quota_or_default(db_int(q, 2), QUOTA_OF_BYTES);
	s->out.quota_messages = quota_or_default(db_int(q, 3), QUOTA_OF_MESSAGES);
	return db_int(q, 1) != 0 ? USER_DISABLED : USER_ACCOUNT;
}

/* '@other' of a catch-all takes the local part along. */
static struct slice target_for(struct search *s, struct slice target) {
	if (target.at[0] != '@') return arena_slice(s->mem, target);
	return arena_fmt(s->mem, "%.*s%.*s", SLICE_ARG(s->to.local), SLICE_ARG(target));
}

static int find_alias(struct search *s, struct slice address) {
	if (s->params->accounts_only) return USER_UNKNOWN;
	AUTO_STMT struct db_stmt *q = db_sql(
		s->c, "SELECT target, (SELECT COUNT(*) FROM alias WHERE address = ?) FROM alias WHERE address = ?"
		      " ORDER BY target");
	db_bind_text(q, address);
	db_bind_text(q, address);
	size_t count = 0;
	int r;
	while ((r = db_step(q)) == DB_ROW) {
		if (count == 0) s->out.targets = arena_array(s->mem, (size_t)db_int(q, 1), sizeof s->out.targets[0]);
		s->out.targets[count++] = target_for(s, db_text(q, 0));
	}
	if (r < 0 || count == 0) return r < 0 ? r : USER_UNKNOWN;
	s->out.target_count = count;
	s->out.address = address;
	return USER_ALIAS;
}

static int find(struct search *s, struct slice address) {
	if (recall_account(s->c, address, &s->out)) {
		s->out.address = address;
		return USER_ACCOUNT;
	}
	int r = find_alias(s, address);
	if (r == USER_UNKNOWN) r = find_account(s, address);
	if (r == USER_ACCOUNT && !s->params->accounts_only) recall_keep(s->c, address, &s->out);
	return r;
}

static int find_split(struct search *s) {
	size_t at = split_at(s->params, s->to.local);
	if (at == 0) return USER_UNKNOWN;
	int r = find(s, arena_fmt(s->mem, "%.*s@%.*s", (int)at, s->to.local.at, SLICE_ARG(s->to.domain)));
	if (r > 0 && r != USER_UNKNOWN) {
		s->out.detail = arena_slice(s->mem, slice_skip(s->to.written, at + 1));
		s->out.delimiter = s->to.local.at[at];
	}
	return r;
}

static int find_catch_all(struct search *s) {
	int r = find_alias(s, arena_fmt(s->mem, "@%.*s", SLICE_ARG(s->to.domain)));
	s->out.catch_all = r == USER_ALIAS;
	return r;
}

static int find_keeper(struct search *s) {
	if (s->params->accounts_only || (!slice_eq(s->to.local, S("postmaster")) && !slice_eq(s->to.local, S("abuse"))))
		return USER_UNKNOWN;
	int r = user_domain_local(s->c, s->to.domain);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *q = db_sql(
		s->c, "SELECT address FROM account WHERE disabled = 0 ORDER BY domain <> ?, created_us, id LIMIT 1");
	db_bind_text(q, s->to.domain);
	r = db_step(q);
	if (r != DB_ROW) return r < 0 ? r : USER_UNKNOWN;
	s->out.targets = arena_array(s->mem, 1, sizeof s->out.targets[0]);
	s->out.targets[0] = arena_slice(s->mem, db_text(q, 0));
	s->out.target_count = 1;
	s->out.address = s->to.whole;
	return USER_ALIAS;
}

int user_resolve(struct db_conn *c, struct arena *mem, struct slice address, const struct resolve_params *params,
                 struct resolved *out) {
	static int (*const ways[])(struct search *) = { find_split, find_catch_all, find_keeper };
	struct search s = { .c = c, .mem = mem, .params = params };
	int r = parts_of(mem, address, false, &s.to);
	if (r != 0) return r;
	if (recall_foreign(c, s.to.domain)) return USER_NOT_LOCAL;
	r = find(&s, s.to.whole);
	for (size_t i = 0; i < LEN(ways) && r == USER_UNKNOWN; i++) r = ways[i](&s);
	if (r == USER_UNKNOWN) {
		int local = user_domain_local(c, s.to.domain);
		if (local == USER_NOT_LOCAL) recall_keep_foreign(c, s.to.domain);
		return local != 0 ? local : USER_UNKNOWN;
	}
	if (r > 0 && r != USER_NOT_LOCAL) *out = s.out;
	return r;
}
