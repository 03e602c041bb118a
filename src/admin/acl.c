/* SPDX-License-Identifier: Apache-2.0 */
/* Rights in mailboxes, and groups of people who have them. An operator may give anybody anything; what users may give
 * is IMAP's. */
#include "admin/inside.h"
#include "store/acl.h"
#include "user/user.h"

#include <sysexits.h>

int no_folder(struct admin_call *c, struct slice account, struct slice name) {
	return refuse(c, EX_DATAERR, "%.*s: %.*s has no such mailbox (hato folder list %.*s)", SLICE_ARG(name),
		      SLICE_ARG(account), SLICE_ARG(account));
}

static const struct column columns[] = {
	{ "MAILBOX", "mailbox", COLUMN_TEXT },
	{ "WHO", "identifier", COLUMN_TEXT },
	{ "RIGHTS", "rights", COLUMN_TEXT },
};

struct listing {
	struct table table;
	struct db_conn *conn;
	struct slice name;
};

static int add_row(void *ctx, struct slice identifier, uint32_t rights) {
	struct listing *l = ctx;
	AUTO_BUF struct buf text = BUF(32);
	acl_put(&text, rights);
	table_text(&l->table, l->name);
	table_text(&l->table, identifier);
	table_text(&l->table, buf_slice(&text));
	return 0;
}

static int add_mailbox(void *ctx, const struct mailbox *m) {
	struct listing *l = ctx;
	if (m->nonexistent) return 0;
	l->name = m->name;
	return store_acl_each(l->conn, m->box, add_row, l);
}

int verb_acl_list(struct admin_call *c) {
	struct account account;
	int code = call_account(c, &account);
	if (code != EX_OK) return code;
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct listing l = { .table = { .mem = c->mem, .columns = columns, .width = LEN(columns) }, .conn = conn };
	struct mailbox m;
	int r = c->count == 1 ? store_list(conn, account.id, add_mailbox, &l)
			      : store_find(conn, c->mem, account.id, c->args[1], &m);
	if (r == STORE_NO_MAILBOX) return no_folder(c, account.address, c->args[1]);
	if (r == 0 && c->count == 2) r = add_mailbox(&l, &m);
	if (r < 0) return broken(c);
	return show_table(c, &l.table, "nobody else has rights there (hato acl set ACCOUNT MAILBOX WHO RIGHTS)");
}

struct change {
	int64_t account;
	struct slice name, identifier;
	enum acl_how how;
	uint32_t rights;
};

static int set(struct db_conn *tx, void *arg) {
	const struct change *w = arg;
	struct mailbox m;
	int r = store_find(tx, db_memory(tx), w->account, w->name, &m);
	return r != 0 ? r : store_acl_set(tx, m.box, w->identifier, w->how, w->rights);
}

static int run(struct admin_call *c, const struct account *account, struct change *w) {
	w->account = account->id;
	w->name = c->args[1];
	w->identifier = c->args[2];
	if (slice_same(w->identifier, account->address))
		return refuse(c, EX_DATAERR, "%.*s: is the owner, who always has all rights", SLICE_ARG(w->identifier));
	int r = db_write(c->a->db, set, w);
	if (r < 0) return broken(c);
	if (r == STORE_NO_MAILBOX) return no_folder(c, account->address, w->name);
	if (r != 0)
		return refuse(c, EX_DATAERR, "%.*s: not an address, a $group, anyone or authenticated",
			      SLICE_ARG(w->identifier));
	return EX_OK;
}

/* Words for those who do not know the letters. */
static bool read_rights(struct slice said, uint32_t *out) {
	static const struct { const char *word; uint32_t rights;
	} words[] = {
		{ "all", ACL_ALL },
		{ "none", 0 },
		{ "read", ACL_LOOKUP | ACL_READ | ACL_SEEN },
		{ "write",
		  ACL_LOOKUP | ACL_READ | ACL_SEEN | ACL_WRITE | ACL_INSERT | ACL_POST | ACL_DELETE | ACL_EXPUNGE },
	};
	for (size_t i = 0; i < LEN(words); i++) {
		if (!slice_eq(said, slice_of(words[i].word))) continue;
		*out = words[i].rights;
		return true;
	}
	return acl_parse(said, out);
}

int verb_acl_set(struct admin_call *c) {
	struct account account;
	struct change w = { 0 };
	struct slice said = c->args[3];
	if (slice_starts(said, S("+"))) w.how = ACL_ADD;
	if (slice_starts(said, S("~"))) w.how = ACL_TAKE;
	if (!read_rights(slice_skip(said, w.how != ACL_REPLACE), &w.rights))
		return refuse(c, EX_DATAERR,
			      "%.*s: not rights (letters of lrswipkxtea, or read, write, all, none; + before them "
			      "adds, ~ takes away)",
			      SLICE_ARG(said));
	int code = call_account(c, &account);
	if (code == EX_OK) code = run(c, &account, &w);
	if (code == EX_OK) tell(c, "%.*s: %.*s: %.*s", SLICE_ARG(w.name), SLICE_ARG(w.identifier), SLICE_ARG(said));
	return code;
}

int verb_acl_delete(struct admin_call *c) {
	struct account account;
	struct change w = { 0 };
	int code = call_account(c, &account);
	if (code == EX_OK) code = run(c, &account, &w);
	if (code == EX_OK) tell(c, "%.*s: %.*s has no rights any more", SLICE_ARG(w.name), SLICE_ARG(w.identifier));
	return code;
}

/* Groups. */

static int join(struct db_conn *tx, void *arg) {
	const struct slice *words = arg;
	return store_group_add(tx, words[0], words[1]);
}

static int part(struct db_conn *tx, void *arg) {
	const struct slice *words = arg;
	return store_group_delete(tx, words[0], words[1]);
}

static int change_group(struct admin_call *c, int (*fn)(struct db_conn *tx, void *arg), const char *done) {
	struct slice words[2] = { c->args[0], c->args[1] };
	if (!slice_starts(words[0], S("$"))) words[0] = arena_fmt(c->mem, "$%.*s", SLICE_ARG(words[0]));
	int r = db_write(c->a->db, fn, words);
	if (r < 0) return broken(c);
	if (r == STORE_BAD_NAME) return refuse(c, EX_DATAERR, "%.*s: not a name for a group", SLICE_ARG(c->args[0]));
	if (r != 0)
		return refuse(c, EX_DATAERR, "%.*s: %s %.*s", SLICE_ARG(c->args[1]),
			      r == STORE_EXISTS ? "is already in" : "is not in", SLICE_ARG(words[0]));
	tell(c, "%.*s %s %.*s", SLICE_ARG(c->args[1]), done, SLICE_ARG(words[0]));
	return EX_OK;
}

int verb_group_add(struct admin_call *c) {
	return change_group(c, join, "is now in");
}

int verb_group_delete(struct admin_call *c) {
	return change_group(c, part, "has left");
}

static const struct column group_columns[] = { { "GROUP", "group", COLUMN_TEXT }, { "MEMBER", "member", COLUMN_TEXT } };

static int add_member(void *ctx, struct slice group, struct slice member) {
	struct table *t = ctx;
	table_text(t, group);
	table_text(t, member);
	return 0;
}

int verb_group_list(struct admin_call *c) {
	struct db_conn *conn AUTO_READ = db_read(c->a->db);
	if (conn == NULL) return broken(c);
	struct table t = { .mem = c->mem, .columns = group_columns, .width = LEN(group_columns) };
	if (store_group_each(conn, add_member, &t) < 0) return broken(c);
	return show_table(c, &t, "no groups yet (hato group add NAME ADDRESS)");
}
