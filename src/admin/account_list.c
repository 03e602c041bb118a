/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/inside.h"
#include "admin/json.h"
#include "admin/text.h"
#include "store/store.h"
#include "user/user.h"

#include <sysexits.h>

static const struct column columns[] = {
	{ "ADDRESS", "address", COLUMN_TEXT },
	{ "MESSAGES", "messages", COLUMN_COUNT },
	{ "SIZE", "bytes", COLUMN_SIZE },
	{ "CREATED", "created", COLUMN_TIME },
	{ "LAST LOG-IN", "last_login", COLUMN_TIME },
	{ "DISABLED", "disabled", COLUMN_YES },
};

struct listing {
	struct table table;
	struct db_conn *conn;
};

static int list_one(void *ctx, const struct account *a) {
	struct listing *l = ctx;
	struct store_usage usage = { 0 };
	int r = store_usage(l->conn, a->id, &usage);
	if (r < 0) return r;
	table_text(&l->table, a->address);
	table_number(&l->table, (int64_t)usage.messages);
	table_number(&l->table, (int64_t)usage.bytes);
	struct login_note last = { 0 };
	if (user_login_last(l->conn, l->table.mem, a->id, &last) < 0) return -1;
	table_number(&l->table, a->created_us);
	table_number(&l->table, last.time_us);
	table_number(&l->table, a->disabled);
	return 0;
}

int verb_account_list(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct listing l = { .table = { .mem = c->mem, .columns = columns, .width = LEN(columns) }, .conn = conn };
	if (user_account_each(conn, c->count != 0 ? c->args[0] : S(""), list_one, &l) < 0) return broken(c);
	return show_table(c, &l.table,
			  c->count != 0 ? "no account in that domain"
					: "no accounts yet (hato account add NAME --password-stdin)");
}

/* One account. */

struct showing {
	struct admin_call *c;
	struct account account;
	struct store_usage usage;
	struct login_note last;
	struct table mailboxes, aliases;
};

static const struct column mailbox_columns[] = {
	{ "MAILBOX", "name", COLUMN_TEXT },
	{ "MESSAGES", "messages", COLUMN_COUNT },
	{ "UNSEEN", "unseen", COLUMN_COUNT },
	{ "SIZE", "bytes", COLUMN_SIZE },
};
static const struct column alias_columns[] = { { "ALIASES", "address", COLUMN_TEXT } };

static int add_mailbox(void *ctx, const struct mailbox *m) {
	struct table *t = &((struct showing *)ctx)->mailboxes;
	if (m->nonexistent) return 0;
	table_text(t, m->name);
	table_number(t, (int64_t)m->exists);
	table_number(t, (int64_t)m->unseen);
	table_number(t, (int64_t)m->bytes);
	return 0;
}

static int add_alias(void *ctx, struct slice address, struct slice target) {
	struct showing *s = ctx;
	if (slice_same(target, s->account.address)) table_text(&s->aliases, address);
	return 0;
}

static int gather(struct showing *s, struct db_conn *conn) {
	int r = user_account_find(conn, s->c->mem, s->c->args[0], &s->account);
	if (r == 0) r = store_usage(conn, s->account.id, &s->usage);
	if (r == STORE_NO_ACCOUNT && s->account.id != 0) r = 0;
	if (r == 0 && (r = user_login_last(conn, s->c->mem, s->account.id, &s->last)) == USER_UNKNOWN) r = 0;
	if (r == 0) r = store_list(conn, s->account.id, add_mailbox, s);
	if (r == 0) r = user_alias_each(conn, S(""), add_alias, s);
	return r;
}

static void show_json(struct showing *s) {
	const struct account *a = &s->account;
	struct json j = { .out = s->c->out };
	json_open(&j, NULL, '{');
	json_text(&j, "address", a->address);
	json_bool(&j, "disabled", a->disabled);
	json_time(&j, "created", a->created_us);
	if (s->last.time_us != 0) {
		json_time(&j, "last_login", s->last.time_us);
		json_text(&j, "last_login_protocol", s->last.protocol);
		json_text(&j, "last_login_from", s->last.remote);
	}
	json_number(&j, "messages", (int64_t)s->usage.messages);
	json_number(&j, "bytes", (int64_t)s->usage.bytes);
	json_number(&j, "quota_messages", (int64_t)a->quota_messages);
	json_number(&j, "quota_bytes", (int64_t)a->quota_bytes);
	json_open(&j, "mailboxes", '[');
	for (size_t i = 0; i < table_rows(&s->mailboxes); i++) {
		const struct cell *cell = &s->mailboxes.cells[i * s->mailboxes.width];
		json_open(&j, NULL, '{');
		json_text(&j, "name", cell[0].text);
		json_number(&j, "messages", cell[1].number);
		json_number(&j, "unseen", cell[2].number);
		json_number(&j, "bytes", cell[3].number);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	json_open(&j, "aliases", '[');
	for (size_t i = 0; i < table_rows(&s->aliases); i++) json_text(&j, NULL, s->aliases.cells[i].text);
	json_close(&j, ']');
	json_close(&j, '}');
}

static void show_text(struct showing *s) {
	struct buf *out = s->c->out;
	const struct account *a = &s->account;
	text_clean(out, a->address);
	buf_addf(out, "%s\n  created   ", a->disabled ? " (disabled)" : "");
	text_time(out, a->created_us);
	buf_add(out, S("\n  log-in    "));
	if (s->last.time_us == 0) buf_add(out, S("never"));
	else {
		text_time(out, s->last.time_us);
		buf_add(out, S(" ("));
		text_clean(out, s->last.protocol);
		buf_add(out, S(" from "));
		text_clean(out, s->last.remote);
		buf_byte(out, ')');
	}
	buf_addf(out, "\n  messages  %llu", (unsigned long long)s->usage.messages);
	if (a->quota_messages != 0) buf_addf(out, " of %llu", (unsigned long long)a->quota_messages);
	buf_add(out, S("\n  size      "));
	text_size(out, s->usage.bytes);
	if (a->quota_bytes != 0) {
		buf_add(out, S(" of "));
		text_size(out, a->quota_bytes);
	}
	buf_add(out, S("\n\n"));
	table_print(&s->mailboxes, s->c->width, out);
	if (table_rows(&s->aliases) != 0) buf_byte(out, '\n');
	table_print(&s->aliases, s->c->width, out);
}

int verb_account_show(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct showing s = { .c = c,
			     .mailboxes = { .mem = c->mem, .columns = mailbox_columns, .width = LEN(mailbox_columns) },
			     .aliases = { .mem = c->mem, .columns = alias_columns, .width = LEN(alias_columns) } };
	int r = gather(&s, conn);
	if (r < 0) return broken(c);
	if (r != 0) return refuse(c, EX_NOUSER, "%.*s: no such account (hato account list)", SLICE_ARG(c->args[0]));
	if (c->json) show_json(&s);
	else show_text(&s);
	return EX_OK;
}
