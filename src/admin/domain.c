/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/inside.h"
#include "user/user.h"

#include <sysexits.h>

static int enter(struct db_conn *tx, void *arg) {
	return user_domain_add(tx, *(const struct slice *)arg);
}

static int leave(struct db_conn *tx, void *arg) {
	return user_domain_delete(tx, *(const struct slice *)arg);
}

int verb_domain_add(struct admin_call *c) {
	struct slice name = c->args[0];
	int r = db_write(c->a->db, enter, &name);
	if (r < 0) return broken(c);
	if (r == USER_EXISTS) return refuse(c, EX_DATAERR, "%.*s: was added before", SLICE_ARG(name));
	if (r != 0) return refuse(c, EX_DATAERR, "%.*s: not a domain (write it as example.com)", SLICE_ARG(name));
	tell(c, "%.*s added", SLICE_ARG(name));
	return EX_OK;
}

int verb_domain_delete(struct admin_call *c) {
	struct slice name = c->args[0];
	int r = db_write(c->a->db, leave, &name);
	if (r < 0) return broken(c);
	if (r == USER_IN_USE)
		return refuse(c, EX_DATAERR,
			      "%.*s: still has accounts or aliases (hato account list %.*s, hato alias list %.*s)",
			      SLICE_ARG(name), SLICE_ARG(name), SLICE_ARG(name));
	if (r != 0) return refuse(c, EX_NOUSER, "%.*s: not a domain of ours (hato domain list)", SLICE_ARG(name));
	tell(c, "%.*s deleted", SLICE_ARG(name));
	return EX_OK;
}

static const struct column columns[] = {
	{ "DOMAIN", "domain", COLUMN_TEXT },
	{ "ACCOUNTS", "accounts", COLUMN_COUNT },
	{ "ALIASES", "aliases", COLUMN_COUNT },
};

struct listing {
	struct table table;
	struct db_conn *conn;
	struct slice last; /* the alias before: its targets are one */
	int64_t count;
};

static int count_account(void *ctx, const struct account *a) {
	(void)a;
	((struct listing *)ctx)->count++;
	return 0;
}

static int count_alias(void *ctx, struct slice address, struct slice target) {
	struct listing *l = ctx;
	(void)target;
	if (slice_eq(address, l->last)) return 0;
	l->last = arena_slice(l->table.mem, address);
	l->count++;
	return 0;
}

static int list_one(void *ctx, struct slice domain) {
	struct listing *l = ctx;
	table_text(&l->table, domain);
	l->count = 0;
	int r = user_account_each(l->conn, domain, count_account, l);
	table_number(&l->table, l->count);
	l->count = 0;
	if (r == 0) r = user_alias_each(l->conn, domain, count_alias, l);
	table_number(&l->table, l->count);
	return r;
}

int verb_domain_list(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct listing l = { .table = { .mem = c->mem, .columns = columns, .width = LEN(columns) }, .conn = conn };
	if (user_domain_each(conn, list_one, &l) < 0) return broken(c);
	return show_table(c, &l.table, "no domains yet (an account makes its domain local)");
}

/* The first of these local parts (or whole addresses) that somebody there reads. */
static struct slice who_reads(struct admin_call *c, struct db_conn *conn, struct slice domain) {
	for (size_t i = 0; i < c->count; i++) {
		struct slice name = c->args[i], address = name;
		struct resolved r;
		if (slice_find(name, '@') == name.len)
			address = arena_fmt(c->mem, "%.*s@%.*s", SLICE_ARG(name), SLICE_ARG(domain));
		int found = user_resolve(conn, c->mem, address, &(struct resolve_params){ 0 }, &r);
		if ((found == USER_ACCOUNT || found == USER_ALIAS) && !r.catch_all) return address;
	}
	return SLICE_NONE;
}

struct naming {
	struct admin_call *call;
	struct db_conn *conn;
};

static int name_one(void *ctx, struct slice domain) {
	struct naming *n = ctx;
	buf_addf(n->call->out, "%.*s %.*s\n", SLICE_ARG(domain), SLICE_ARG(who_reads(n->call, n->conn, domain)));
	return 0;
}

/* "domain address" for the command, which asks DNS: all domains, and where reports about each can be sent. */
int verb_domain_names(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	return user_domain_each(conn, name_one, &(struct naming){ c, conn }) < 0 ? broken(c) : EX_OK;
}
