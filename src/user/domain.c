/* SPDX-License-Identifier: Apache-2.0 */
/* A domain needs no entry when something lives in it: accounts and aliases make their domain local. */
#include "user/inside.h"
#include "base/clock.h"

int user_domain_add(struct db_conn *tx, struct slice domain) {
	AUTO_ARENA struct arena mem = {0};
	struct slice name;
	int r = user_domain(&mem, domain, &name);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO domain (name, created_us) VALUES (?, ?) ON CONFLICT DO NOTHING");
	db_bind_text(s, name);
	db_bind_int(s, wall_us());
	r = db_run(s);
	db_epoch_end(tx);
	return r < 0 ? r : db_changed(tx) == 0 ? USER_EXISTS : 0;
}

static int in_use(struct db_conn *c, struct slice name) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT 1 FROM account WHERE domain = ? UNION ALL SELECT 1 FROM alias WHERE domain = ? LIMIT 1");
	db_bind_text(s, name);
	db_bind_text(s, name);
	return db_step(s);
}

int user_domain_delete(struct db_conn *tx, struct slice domain) {
	AUTO_ARENA struct arena mem = {0};
	struct slice name;
	if (user_domain(&mem, domain, &name) != 0) return USER_UNKNOWN;
	int r = in_use(tx, name);
	if (r != 0) return r < 0 ? r : USER_IN_USE;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM domain WHERE name = ?");
	db_bind_text(s, name);
	r = db_run(s);
	db_epoch_end(tx);
	return r < 0 ? r : db_changed(tx) == 0 ? USER_UNKNOWN : 0;
}

int user_domain_each(struct db_conn *c, int (*each)(void *ctx, struct slice domain), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c,
		"SELECT name FROM domain UNION SELECT domain FROM account UNION SELECT domain FROM alias ORDER BY 1");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = each(ctx, db_text(s, 0));
		if (r != 0) return r;
	}
	return r;
}

int user_domain_local(struct db_conn *c, struct slice domain) {
	AUTO_ARENA struct arena mem = {0};
	struct slice name;
	if (user_domain(&mem, domain, &name) != 0) return USER_NOT_LOCAL;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT 1 FROM domain WHERE name = ?");
	db_bind_text(s, name);
	int r = db_step(s);
	if (r == 0) r = in_use(c, name);
	return r < 0 ? r : r == 0 ? USER_NOT_LOCAL : 0;
}
