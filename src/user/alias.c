/* SPDX-License-Identifier: Apache-2.0 */
/* Targets keep the case of their local part: it may be another server's, and there it may matter. */
#include "user/inside.h"

static int target_of(struct arena *mem, struct slice target, bool catch_all, struct slice *out) {
	struct parts p;
	int r = parts_of(mem, target, catch_all, &p);
	if (r == 0) *out = arena_fmt(mem, "%.*s@%.*s", SLICE_ARG(p.written), SLICE_ARG(p.domain));
	return r;
}

int user_alias_add(struct db_conn *tx, struct slice address, struct slice target) {
	AUTO_ARENA struct arena mem = {0};
	struct parts p;
	struct slice to;
	int r = parts_of(&mem, address, true, &p);
	if (r == 0) r = target_of(&mem, target, p.local.len == 0, &to);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO alias (address, target, domain) VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
	db_bind_text(s, p.whole);
	db_bind_text(s, to);
	db_bind_text(s, p.domain);
	r = db_run(s);
	db_epoch_end(tx);
	return r < 0 ? r : db_changed(tx) == 0 ? USER_EXISTS : 0;
}

int user_alias_delete(struct db_conn *tx, struct slice address, struct slice target) {
	AUTO_ARENA struct arena mem = {0};
	struct parts p;
	struct slice to = S("");
	if (parts_of(&mem, address, true, &p) != 0) return USER_UNKNOWN;
	if (target.len != 0 && target_of(&mem, target, true, &to) != 0) return USER_UNKNOWN;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "DELETE FROM alias WHERE address = ? AND (? = '' OR lower(target) = ?)");
	db_bind_text(s, p.whole);
	db_bind_text(s, to);
	db_bind_text(s, arena_lower(&mem, to));
	int r = db_run(s);
	db_epoch_end(tx);
	return r < 0 ? r : db_changed(tx) == 0 ? USER_UNKNOWN : 0;
}

int user_alias_each(struct db_conn *c, struct slice domain,
                    int (*each)(void *ctx, struct slice address, struct slice target), void *ctx) {
	AUTO_ARENA struct arena mem = {0};
	struct slice name = S("");
	if (domain.len != 0 && user_domain(&mem, domain, &name) != 0) return 0;
	AUTO_STMT struct db_stmt *s = db_sql(
		c, domain.len != 0 ? "SELECT address, target FROM alias WHERE domain = ? ORDER BY address, target"
				   : "SELECT address, target FROM alias WHERE ? = '' ORDER BY address, target");
	db_bind_text(s, name);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = each(ctx, db_text(s, 0), db_text(s, 1));
		if (r != 0) return r;
	}
	return r;
}

int user_forward_choose(struct db_conn *tx, struct slice address, int choice) {
	AUTO_ARENA struct arena mem = {0};
	struct parts p;
	if (parts_of(&mem, address, true, &p) != 0) return USER_BAD_ADDRESS;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, choice < 0 ? "DELETE FROM forward_choice WHERE address = ?"
				      : "INSERT INTO forward_choice (address, choice) VALUES (?, ?) ON CONFLICT "
					"(address) DO UPDATE SET choice = excluded.choice");
	db_bind_text(s, p.whole);
	if (choice >= 0) db_bind_int(s, choice);
	return db_run(s);
}

int user_forward_choice(struct db_conn *c, struct slice address, int *choice) {
	AUTO_ARENA struct arena mem = {0};
	struct parts p;
	if (parts_of(&mem, address, true, &p) != 0) return USER_UNKNOWN;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT choice FROM forward_choice WHERE address = ?");
	db_bind_text(s, p.whole);
	int r = db_step(s);
	if (r == DB_ROW) *choice = (int)db_int(s, 0);
	return r < 0 ? r : r == DB_ROW ? 0 : USER_UNKNOWN;
}

int user_forward_each(struct db_conn *c, int (*each)(void *ctx, struct slice address, int choice), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT address, choice FROM forward_choice ORDER BY address");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = each(ctx, db_text(s, 0), (int)db_int(s, 1));
		if (r != 0) return r;
	}
	return r;
}
