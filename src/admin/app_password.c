/* SPDX-License-Identifier: Apache-2.0 */
/* A password for one program on one device: shown once, taken back without disturbing the others. */
#include "admin/inside.h"
#include "base/fail.h"
#include "user/secret.h"
#include "user/user.h"

#include <sysexits.h>

static const struct column columns[] = {
	{ "NAME", "name", COLUMN_TEXT }, { "CREATED", "created", COLUMN_TIME }, { "LAST USED", "used", COLUMN_TIME },
};

static void add_row(void *ctx, struct slice name, int64_t created_us, int64_t used_us) {
	struct table *t = ctx;
	table_text(t, name);
	table_number(t, created_us);
	table_number(t, used_us);
}

static int refused(struct admin_call *c, int r, struct slice account, struct slice name) {
	switch (r) {
	case SECRET_UNKNOWN:
		return refuse(c, EX_NOUSER, "%.*s: %s", SLICE_ARG(account),
			      slice_eq(c->args[0], S("delete"))
				      ? "no app password of that name (hato account app-password list)"
				      : "the account has no password of its own (hato account password)");
	case SECRET_EXISTS:
		return refuse(c, EX_DATAERR, "%.*s: there is an app password %.*s already (delete it first)",
			      SLICE_ARG(account), SLICE_ARG(name));
	case SECRET_LIMIT:
		return refuse(c, EX_DATAERR, "%.*s: there are %d app passwords already (delete one)",
			      SLICE_ARG(account), APP_PASSWORDS_MAX);
	default: return refuse(c, EX_TEMPFAIL, "%.*s: %s", SLICE_ARG(account), r < 0 ? fail_text() : "refused");
	}
}

int verb_account_app_password(struct admin_call *c) {
	bool adds = slice_eq(c->args[0], S("add")),
	     deletes = slice_eq(c->args[0], S("delete")) || slice_eq(c->args[0], S("del"));
	if (!adds && !deletes && !slice_eq(c->args[0], S("list"))) return refuse(c, EX_USAGE, "add, list or delete?");
	if ((adds || deletes) && c->count != 3)
		return refuse(c, EX_USAGE, "which name? (%.*s ACCOUNT NAME)", SLICE_ARG(c->args[0]));
	if (c->count == 3 && !adds && !deletes) return refuse(c, EX_USAGE, "list takes an account and nothing else");
	struct account account;
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	int r = user_account_find(conn, c->mem, c->args[1], &account);
	if (r < 0) return broken(c);
	if (r == USER_UNKNOWN)
		return refuse(c, EX_NOUSER, "%.*s: no such account (hato account list)", SLICE_ARG(c->args[1]));
	db_release(&conn);
	struct table table = { .mem = c->mem, .columns = columns, .width = LEN(columns) };
	struct slice name = c->count == 3 ? c->args[2] : S(""), password = SLICE_NONE;
	struct admin_app ask = { adds      ? ADMIN_APP_ADD
				 : deletes ? ADMIN_APP_DELETE
					   : ADMIN_APP_LIST,
				 account.address, name };
	r = c->a->ops->app_password(c->a->ctx, &ask, c->mem, &password, add_row, &table);
	if (r != 0) return refused(c, r, account.address, name);
	if (deletes) {
		tell(c, "app password %.*s of %.*s is gone", SLICE_ARG(name), SLICE_ARG(account.address));
	} else if (adds) {
		remark(c, "this is shown only now:");
		buf_addf(c->out, "%.*s\n", SLICE_ARG(password));
	} else {
		return show_table(c, &table, "no app passwords (hato account app-password add ACCOUNT NAME)");
	}
	return EX_OK;
}
