/* SPDX-License-Identifier: Apache-2.0 */
/* Mailboxes, for an operator: those of public accounts have nobody else to make them. */
#include "admin/inside.h"
#include "admin/text.h"
#include "store/acl.h"
#include "store/annotation.h"
#include "store/autoexpunge.h"
#include "user/user.h"

#include <sysexits.h>

static const struct { const char *name; uint32_t use; } uses[] = {
	{ "All", USE_ALL },   { "Archive", USE_ARCHIVE }, { "Drafts", USE_DRAFTS }, { "Flagged", USE_FLAGGED },
	{ "Junk", USE_JUNK }, { "Sent", USE_SENT },       { "Trash", USE_TRASH },   { "Important", USE_IMPORTANT },
};

static const struct column columns[] = {
	{ "MAILBOX", "name", COLUMN_TEXT },    { "MESSAGES", "messages", COLUMN_COUNT },
	{ "UNSEEN", "unseen", COLUMN_COUNT },  { "SIZE", "bytes", COLUMN_SIZE },
	{ "USE", "special_use", COLUMN_TEXT }, { "AUTOEXPUNGE", "autoexpunge", COLUMN_TEXT },
};

struct listing {
	struct table table;
	struct db_conn *conn;
	struct slice rule;
};

static int take_rule(void *ctx, struct slice entry, struct slice value) {
	struct listing *l = ctx;
	(void)entry;
	l->rule = arena_slice(l->table.mem, value);
	return 0;
}

static int add_mailbox(void *ctx, const struct mailbox *m) {
	struct listing *l = ctx;
	AUTO_BUF struct buf use = BUF(256);
	if (m->nonexistent) return 0;
	l->rule = S("");
	int r = store_annotations(l->conn, m->box, S(AUTOEXPUNGE_ENTRY), 0, ANNOTATION_BELOW_NONE, take_rule, l);
	for (size_t i = 0; i < LEN(uses); i++)
		if ((m->special_use & uses[i].use) != 0) buf_addf(&use, "%s%s", use.len != 0 ? " " : "", uses[i].name);
	table_text(&l->table, m->name);
	table_number(&l->table, (int64_t)m->exists);
	table_number(&l->table, (int64_t)m->unseen);
	table_number(&l->table, (int64_t)m->bytes);
	table_text(&l->table, use.len != 0 ? buf_slice(&use) : S(""));
	table_text(&l->table, l->rule);
	return r;
}

int verb_folder_list(struct admin_call *c) {
	struct account account;
	int code = call_account(c, &account);
	if (code != EX_OK) return code;
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct listing l = { .table = { .mem = c->mem, .columns = columns, .width = LEN(columns) }, .conn = conn };
	if (store_list(conn, account.id, add_mailbox, &l) < 0) return broken(c);
	return show_table(c, &l.table, "no mailboxes");
}

struct change {
	int64_t account;
	struct slice name, other;
	uint32_t use;
	bool again; /* back to the rule of its use */
};

static int answer(struct admin_call *c, const struct account *account, int r, const char *done) {
	struct slice name = c->args[1];
	switch (r) {
	case 0: tell(c, "%.*s %s", SLICE_ARG(name), done); return EX_OK;
	case STORE_NO_MAILBOX: return no_folder(c, account->address, name);
	case STORE_EXISTS: return refuse(c, EX_DATAERR, "%.*s: exists already", SLICE_ARG(c->args[c->count - 1]));
	case STORE_IS_INBOX: return refuse(c, EX_DATAERR, "INBOX cannot be deleted");
	case STORE_BAD_NAME:
		return refuse(c, EX_DATAERR, "%.*s: not a name for a mailbox (levels are divided by /)",
			      SLICE_ARG(c->args[c->count - 1]));
	case STORE_LIMIT:
		return refuse(c, EX_DATAERR, "%.*s has too many mailboxes or notes", SLICE_ARG(account->address));
	default: return broken(c);
	}
}

static int run(struct admin_call *c, int (*fn)(struct db_conn *tx, void *arg), struct change *w, const char *done) {
	struct account account;
	int code = call_account(c, &account);
	if (code != EX_OK) return code;
	w->account = account.id;
	w->name = c->args[1];
	return answer(c, &account, db_write(c->a->db, fn, w), done);
}

static int create(struct db_conn *tx, void *arg) {
	const struct change *w = arg;
	struct box box;
	int r = store_create(tx, w->account, w->name, w->use, &box);
	return r == 0 ? store_subscribe(tx, w->account, w->name, true) : r;
}

int verb_folder_add(struct admin_call *c) {
	struct change w = { 0 };
	struct slice use;
	if (call_option(c, "use", &use)) {
		for (size_t i = 0; i < LEN(uses); i++)
			if (slice_same(use, slice_of(uses[i].name))) w.use = uses[i].use;
		if (w.use == 0)
			return refuse(c, EX_DATAERR,
				      "%.*s: no special use (All Archive Drafts Flagged Important Junk Sent Trash)",
				      SLICE_ARG(use));
	}
	return run(c, create, &w, "made");
}

static int delete(struct db_conn *tx, void *arg) {
	const struct change *w = arg;
	return store_delete(tx, w->account, w->name);
}

int verb_folder_delete(struct admin_call *c) {
	struct change w = { 0 };
	int code = run(c, delete, &w, "deleted with its messages");
	if (code == EX_OK && c->a->ops->mail_freed != NULL) c->a->ops->mail_freed(c->a->ctx);
	return code;
}

static int move(struct db_conn *tx, void *arg) {
	const struct change *w = arg;
	return store_rename(tx, w->account, w->name, w->other);
}

int verb_folder_rename(struct admin_call *c) {
	struct change w = { .other = c->args[2] };
	return run(c, move, &w, "renamed");
}

static int age(struct db_conn *tx, void *arg) {
	const struct change *w = arg;
	struct mailbox m;
	int r = store_find(tx, db_memory(tx), w->account, w->name, &m);
	return r == 0 ? store_annotate(tx, m.box, S(AUTOEXPUNGE_ENTRY), 0, w->again ? SLICE_NONE : w->other) : r;
}

int verb_folder_autoexpunge(struct admin_call *c) {
	int64_t age_us;
	struct change w = { .other = c->args[2], .again = slice_eq(c->args[2], S("default")) };
	if (!w.again && !autoexpunge_read(w.other, &age_us))
		return refuse(
			c, EX_DATAERR,
			"%.*s: not a time (30d, 12h, never; default: as autoexpunge_trash and autoexpunge_junk say)",
			SLICE_ARG(w.other));
	return run(c, age, &w, w.again ? "follows its special use" : "has its own time now");
}
