/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/inside.h"
#include "store/bin.h"
#include "user/user.h"

#include <sysexits.h>

static const struct column columns[] = {
	{ "ADDRESS", "address", COLUMN_TEXT },    { "MAILBOXES", "mailboxes", COLUMN_COUNT },
	{ "MESSAGES", "messages", COLUMN_COUNT }, { "UNSEEN", "unseen", COLUMN_COUNT },
	{ "SIZE", "bytes", COLUMN_SIZE },         { "BIN", "bin_messages", COLUMN_COUNT },
	{ "BIN SIZE", "bin_bytes", COLUMN_SIZE },
};

struct counting {
	struct table table;
	struct db_conn *conn;
	int64_t mailboxes, unseen;
};

static int count_mailbox(void *ctx, const struct mailbox *m) {
	struct counting *t = ctx;
	t->mailboxes += !m->nonexistent;
	t->unseen += (int64_t)m->unseen;
	return 0;
}

static int count_one(void *ctx, const struct account *a) {
	struct counting *t = ctx;
	struct store_usage usage = { 0 };
	struct bin_sum bin = { 0 };
	t->mailboxes = t->unseen = 0;
	int r = store_usage(t->conn, a->id, &usage);
	if (r >= 0) r = store_list(t->conn, a->id, count_mailbox, t);
	if (r == 0) r = store_bin_sum(t->conn, a->id, &bin);
	if (r < 0) return r;
	table_text(&t->table, a->address);
	table_number(&t->table, t->mailboxes);
	table_number(&t->table, (int64_t)usage.messages);
	table_number(&t->table, t->unseen);
	table_number(&t->table, (int64_t)usage.bytes);
	table_number(&t->table, (int64_t)bin.messages);
	table_number(&t->table, (int64_t)bin.bytes);
	return 0;
}

int verb_account_stats(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	struct counting t = { .table = { .mem = c->mem, .columns = columns, .width = LEN(columns) }, .conn = conn };
	struct account account;
	if (conn == NULL) return broken(c);
	int r = c->count != 0 ? user_account_find(conn, c->mem, c->args[0], &account) : 0;
	if (r > 0) return refuse(c, EX_NOUSER, "%.*s: no such account (hato account list)", SLICE_ARG(c->args[0]));
	if (r == 0) r = c->count != 0 ? count_one(&t, &account) : user_account_each(conn, S(""), count_one, &t);
	return r < 0 ? broken(c) : show_table(c, &t.table, "no accounts yet (hato account add NAME --password-stdin)");
}
