/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "user/user.h"

#include <sysexits.h>

struct change {
	struct slice address;
	const struct slice *targets;
	size_t count, added;
	bool hides_account; /* there is an account of that name, which no target leads to */
};

static int check_names(struct admin_call *c) {
	bool catch_all = c->args[0].len != 0 && c->args[0].at[0] == '@';
	for (size_t i = 0; i < c->count; i++) {
		struct slice stored;
		if (!name_address(c->mem, c->args[i], i == 0 || catch_all, &stored))
			return refuse(c, EX_DATAERR, "%.*s: not a mail address (%s)", SLICE_ARG(c->args[i]),
				      i == 0 ? "write it as sales@example.com, or @example.com for everyone else there"
					     : "write it as ann@example.com");
	}
	return EX_OK;
}

static int only_itself(void *ctx, struct slice address, struct slice target) {
	struct change *w = ctx;
	if (slice_same(address, w->address) && slice_same(target, w->address)) w->hides_account = false;
	return 0;
}

static int enter(struct db_conn *tx, void *arg) {
	struct change *w = arg;
	struct account account;
	w->added = 0;
	for (size_t i = 0; i < w->count; i++) {
		int r = user_alias_add(tx, w->address, w->targets[i]);
		if (r != 0 && r != USER_EXISTS) return r;
		w->added += r == 0;
	}
	int r = user_account_find(tx, db_memory(tx), w->address, &account);
	w->hides_account = r == 0;
	return r < 0 ? r : w->added == 0 ? USER_EXISTS : user_alias_each(tx, S(""), only_itself, w);
}

int verb_alias_add(struct admin_call *c) {
	struct change w = { .address = c->args[0], .targets = c->args + 1, .count = c->count - 1 };
	int code = check_names(c);
	if (code != EX_OK) return code;
	int r = db_write(c->a->db, enter, &w);
	if (r < 0) return broken(c);
	if (r == USER_EXISTS)
		return refuse(c, EX_DATAERR, "%.*s: leads there already (hato alias list)", SLICE_ARG(w.address));
	if (r != 0) return refuse(c, EX_DATAERR, "%.*s: not possible as an alias", SLICE_ARG(w.address));
	tell(c, "%.*s added", SLICE_ARG(w.address));
	if (w.hides_account)
		remark(c,
		       "the account %.*s gets no more mail: the alias goes first (hato alias add %.*s %.*s keeps a "
		       "copy there)",
		       SLICE_ARG(w.address), SLICE_ARG(w.address), SLICE_ARG(w.address));
	return EX_OK;
}

static int leave(struct db_conn *tx, void *arg) {
	const struct change *w = arg;
	return user_alias_delete(tx, w->address, w->count != 0 ? w->targets[0] : S(""));
}

int verb_alias_delete(struct admin_call *c) {
	struct change w = { .address = c->args[0], .targets = c->args + 1, .count = c->count - 1 };
	int r = db_write(c->a->db, leave, &w);
	if (r < 0) return broken(c);
	if (r != 0 && w.count != 0)
		return refuse(c, EX_NOUSER, "%.*s: does not lead to %.*s (hato alias list)", SLICE_ARG(w.address),
			      SLICE_ARG(w.targets[0]));
	if (r != 0) return refuse(c, EX_NOUSER, "%.*s: no such alias (hato alias list)", SLICE_ARG(w.address));
	tell(c, "%.*s deleted", SLICE_ARG(w.address));
	return EX_OK;
}

/* The list: rows come ordered by address, those of one address are one line. */

static const struct column columns[] = { { "ALIAS", "address", COLUMN_TEXT }, { "TARGETS", "targets", COLUMN_TEXT } };

struct listing {
	struct admin_call *c;
	struct table table;
	struct json json;
	struct slice address; /* of the rows being gathered; at == NULL: none yet */
	struct buf targets;
};

static void end_alias(struct listing *l) {
	if (l->address.at == NULL) return;
	if (l->c->json) {
		json_close(&l->json, ']');
		json_close(&l->json, '}');
		return;
	}
	table_text(&l->table, l->address);
	table_text(&l->table, buf_slice(&l->targets));
	buf_clear(&l->targets);
}

static int list_one(void *ctx, struct slice address, struct slice target) {
	struct listing *l = ctx;
	bool first = l->address.at == NULL || !slice_eq(address, l->address);
	if (first) {
		end_alias(l);
		l->address = arena_slice(l->c->mem, address);
	}
	if (!l->c->json) {
		buf_addf(&l->targets, "%s%.*s", first ? "" : ", ", SLICE_ARG(target));
		return 0;
	}
	if (first) {
		json_open(&l->json, NULL, '{');
		json_text(&l->json, "address", address);
		json_open(&l->json, "targets", '[');
	}
	json_text(&l->json, NULL, target);
	return 0;
}

int verb_alias_list(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct listing l = { .c = c,
			     .table = { .mem = c->mem, .columns = columns, .width = LEN(columns) },
			     .json = { .out = c->out },
			     .targets = BUF(MIB(16)) };
	if (c->json) json_open(&l.json, NULL, '[');
	int r = user_alias_each(conn, c->count != 0 ? c->args[0] : S(""), list_one, &l);
	end_alias(&l);
	buf_done(&l.targets);
	if (r < 0) return broken(c);
	if (!c->json) return show_table(c, &l.table, "no aliases");
	json_close(&l.json, ']');
	return EX_OK;
}
