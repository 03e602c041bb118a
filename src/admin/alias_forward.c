/* SPDX-License-Identifier: Apache-2.0 */
/* Stored by address and not with the alias, since the alias may stand in any table. */
#include "admin/inside.h"
#include "user/user.h"

#include <sysexits.h>

static const char *const words[] = { "send", "keep", "wrap" }; /* enum forward_choice */
static const struct column columns[] = { { "ALIAS", "address", COLUMN_TEXT }, { "FORWARD", "forward", COLUMN_TEXT } };

struct choosing {
	struct slice address; /* shown: only this one, stored form; or all */
	int choice;
	struct table *table;
};

static int enter(struct db_conn *tx, void *arg) {
	const struct choosing *w = arg;
	return user_forward_choose(tx, w->address, w->choice);
}

static int list_one(void *ctx, struct slice address, int choice) {
	struct choosing *w = ctx;
	if (w->address.len != 0 && !slice_eq(address, w->address)) return 0;
	table_text(w->table, address);
	table_text(w->table, slice_of(choice >= 0 && (size_t)choice < LEN(words) ? words[choice] : "unknown"));
	return 0;
}

static int list(struct admin_call *c, struct slice address) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	struct table table = { .mem = c->mem, .columns = columns, .width = LEN(columns) };
	struct choosing w = { .address = address, .table = &table };
	if (conn == NULL || user_forward_each(conn, list_one, &w) < 0) return broken(c);
	return show_table(c, &table, "nobody has chosen: forward_failing decides");
}

int verb_alias_forward(struct admin_call *c) {
	struct choosing w = { .choice = -1 };
	if (c->count != 0 && !name_address(c->mem, c->args[0], false, &w.address))
		return refuse(c, EX_DATAERR, "%.*s: not a mail address (write it as shop@example.com)",
			      SLICE_ARG(c->args[0]));
	if (c->count < 2) return list(c, w.address);
	for (size_t i = 0; i < LEN(words); i++)
		if (slice_eq(c->args[1], slice_of(words[i]))) w.choice = (int)i;
	if (w.choice < 0 && !slice_eq(c->args[1], S("default")))
		return refuse(c, EX_USAGE, "%.*s: must be send, keep, wrap or default", SLICE_ARG(c->args[1]));
	int r = db_write(c->a->db, enter, &w);
	if (r < 0) return broken(c);
	if (r != 0) return refuse(c, EX_DATAERR, "%.*s: not possible as an alias", SLICE_ARG(w.address));
	tell(c, "%.*s: %.*s", SLICE_ARG(w.address), SLICE_ARG(c->args[1]));
	return EX_OK;
}
