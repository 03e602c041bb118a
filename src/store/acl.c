/* SPDX-License-Identifier: Apache-2.0 */
/* Rights are rows of a mailbox, found by mailbox when one is opened and by name when somebody lists what he is shown.
 * Most accounts share nothing: then either costs one look into an empty index. */
#include "store/acl.h"
#include "store/inside.h"

enum { IDENTIFIER_MAX = 320 };
static const char letters[] = "lrswipkxtea";

bool acl_parse(struct slice said, uint32_t *rights) {
	uint32_t sum = 0;
	for (size_t i = 0; i < said.len; i++) {
		const char *at = said.at[i] != '\0' ? strchr(letters, said.at[i]) : NULL;
		if (said.at[i] == 'c') sum |= ACL_CREATE | ACL_REMOVE;
		else if (said.at[i] == 'd') sum |= ACL_DELETE | ACL_EXPUNGE;
		else if (at != NULL) sum |= 1U << (at - letters);
		else return false;
	}
	*rights = sum;
	return true;
}

void acl_put(struct buf *out, uint32_t rights) {
	for (size_t i = 0; letters[i] != '\0'; i++)
		if ((rights & 1U << i) != 0) buf_byte(out, letters[i]);
	if ((rights & (ACL_CREATE | ACL_REMOVE)) != 0) buf_byte(out, 'c');
	if ((rights & (ACL_DELETE | ACL_EXPUNGE)) != 0) buf_byte(out, 'd');
}

int acl_identifier(struct arena *mem, struct slice said, struct slice *out) {
	struct slice name = slice_skip(said, slice_starts(said, S("-")));
	if (name.len == 0 || name.len > IDENTIFIER_MAX || name.at[0] == '-' || slice_eq(name, S("$")))
		return STORE_BAD_NAME;
	for (size_t i = 0; i < name.len; i++)
		if (ascii_control(name.at[i]) || name.at[i] == ' ') return STORE_BAD_NAME;
	*out = arena_lower(mem, said);
	return 0;
}

static int row_get(struct db_conn *c, struct box box, struct slice identifier, uint32_t *rights) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT rights FROM acl WHERE account_id = ? AND mailbox_id = ? AND identifier = ?");
	bind_box(s, box);
	db_bind_text(s, identifier);
	int r = db_step(s);
	*rights = r == DB_ROW ? (uint32_t)db_int(s, 0) : 0;
	return r < 0 ? r : 0;
}

static int row_set(struct db_conn *tx, struct box box, struct slice identifier, uint32_t rights) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, rights != 0
			    ? "INSERT INTO acl (account_id, mailbox_id, identifier, rights) VALUES (?, ?, ?, ?)"
			      " ON CONFLICT (account_id, mailbox_id, identifier) DO UPDATE SET rights = excluded.rights"
			    : "DELETE FROM acl WHERE account_id = ? AND mailbox_id = ? AND identifier = ?");
	bind_box(s, box);
	db_bind_text(s, identifier);
	if (rights != 0) db_bind_int(s, rights);
	return db_run(s);
}

/* Whoever follows what is shared with him watches account 0. */
static const struct box everybody = { 0, 0 };

int store_acl_set(struct db_conn *tx, struct box box, struct slice identifier, enum acl_how how, uint32_t rights) {
	AUTO_ARENA struct arena mem = {0};
	struct slice name;
	uint32_t have = 0;
	int r = acl_identifier(&mem, identifier, &name);
	if (r == 0) r = mailbox_exists(tx, box);
	if (r == 0) r = row_get(tx, box, name, &have);
	if (r != 0) return r;
	uint32_t wanted = how == ACL_REPLACE ? rights : how == ACL_ADD ? have | rights : have & ~rights;
	r = row_set(tx, box, name, wanted);
	if (r == 0) announce(tx, (struct box){ box.account, 0 }, 0);
	if (r == 0) announce(tx, everybody, 0);
	return r;
}

int store_acl_each(struct db_conn *c, struct box box, int (*each)(void *ctx, struct slice identifier, uint32_t rights),
		   void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT identifier, rights FROM acl WHERE account_id = ? AND mailbox_id = ? ORDER BY identifier");
	bind_box(s, box);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = each(ctx, db_text(s, 0), (uint32_t)db_int(s, 1));
		if (r != 0) return r;
	}
	return r;
}

/* The names that stand for somebody: six, and those of his groups. */
#define IS_HIS \
	"(identifier IN (?, ?, 'anyone', '-anyone', 'authenticated', '-authenticated')" \
	" OR identifier IN (SELECT name FROM acl_group WHERE member = ?)" \
	" OR identifier IN (SELECT '-' || name FROM acl_group WHERE member = ?))"

static void bind_names(struct db_stmt *s, struct arena *mem, struct slice who) {
	struct slice name = arena_lower(mem, who);
	db_bind_text(s, name);
	db_bind_text(s, arena_fmt(mem, "-%.*s", SLICE_ARG(name)));
	db_bind_text(s, name);
	db_bind_text(s, name);
}

struct sum { uint32_t given, taken; };

static void sum_add(struct sum *sum, struct slice identifier, uint32_t rights) {
	if (slice_starts(identifier, S("-"))) sum->taken |= rights;
	else sum->given |= rights;
}

int store_acl_rights(struct db_conn *c, struct box box, struct slice who, uint32_t *rights) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT identifier, rights FROM acl WHERE account_id = ? AND mailbox_id = ? AND " IS_HIS);
	struct sum sum = {0};
	bind_box(s, box);
	bind_names(s, &mem, who);
	int r;
	while ((r = db_step(s)) == DB_ROW) sum_add(&sum, db_text(s, 0), (uint32_t)db_int(s, 1));
	*rights = sum.given & ~sum.taken;
	return r;
}

int store_acl_shared(struct db_conn *c, int64_t account, struct slice who,
		     int (*each)(void *ctx, struct box box, uint32_t rights), void *ctx) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT account_id, mailbox_id, identifier, rights FROM acl WHERE " IS_HIS
			  " AND account_id <> ? ORDER BY account_id, mailbox_id");
	struct box box = {0};
	struct sum sum = {0};
	int r, told = 0;
	bind_names(s, &mem, who);
	db_bind_int(s, account);
	do {
		r = db_step(s);
		struct box next = { r == DB_ROW ? db_int(s, 0) : 0, r == DB_ROW ? db_int(s, 1) : 0 };
		if (next.account != box.account || next.id != box.id) {
			if ((sum.given & ~sum.taken) != 0) told = each(ctx, box, sum.given & ~sum.taken);
			sum = (struct sum){0};
			box = next;
		}
		if (r == DB_ROW) sum_add(&sum, db_text(s, 2), (uint32_t)db_int(s, 3));
	} while (r == DB_ROW && told == 0);
	return told != 0 ? told : r;
}

int store_acl_forget(struct db_conn *tx, struct slice who) {
	AUTO_ARENA struct arena mem = {0};
	struct slice name = arena_lower(&mem, who);
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM acl WHERE identifier IN (?, ?)");
	db_bind_text(s, name);
	db_bind_text(s, arena_fmt(&mem, "-%.*s", SLICE_ARG(name)));
	int r = db_run(s);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *g = db_sql(tx, "DELETE FROM acl_group WHERE member = ?");
	db_bind_text(g, name);
	return db_run(g);
}

int acl_inherit(struct db_conn *tx, struct box box, struct slice name) {
	struct slice above = name_above(name);
	if (above.len == 0) return 0;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO acl (account_id, mailbox_id, identifier, rights) SELECT "
						 "a.account_id, ?, a.identifier, a.rights"
						 " FROM mailbox AS m, acl AS a WHERE m.account_id = ? AND m.name = ? "
						 "AND a.account_id = m.account_id AND a.mailbox_id = m.id");
	db_bind_int(s, box.id);
	db_bind_int(s, box.account);
	db_bind_text(s, above);
	return db_run(s);
}

/* Groups. */

static int group_names(struct arena *mem, struct slice *group, struct slice *member) {
	if (group->len < 2 || group->at[0] != '$' || acl_identifier(mem, *group, group) != 0 ||
	    acl_identifier(mem, *member, member) != 0)
		return STORE_BAD_NAME;
	return 0;
}

int store_group_add(struct db_conn *tx, struct slice group, struct slice member) {
	AUTO_ARENA struct arena mem = {0};
	if (group_names(&mem, &group, &member) != 0) return STORE_BAD_NAME;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "INSERT INTO acl_group (name, member) VALUES (?, ?) ON CONFLICT DO NOTHING");
	db_bind_text(s, group);
	db_bind_text(s, member);
	int r = db_run(s);
	if (r == 0 && db_changed(tx) != 0) announce(tx, everybody, 0);
	return r < 0 ? r : db_changed(tx) == 0 ? STORE_EXISTS : 0;
}

int store_group_delete(struct db_conn *tx, struct slice group, struct slice member) {
	AUTO_ARENA struct arena mem = {0};
	if (group_names(&mem, &group, &member) != 0) return STORE_BAD_NAME;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "DELETE FROM acl_group WHERE name = ? AND member = ?");
	db_bind_text(s, group);
	db_bind_text(s, member);
	int r = db_run(s);
	if (r == 0 && db_changed(tx) != 0) announce(tx, everybody, 0);
	return r < 0 ? r : db_changed(tx) == 0 ? STORE_NO_MAILBOX : 0;
}

int store_group_each(struct db_conn *c, int (*each)(void *ctx, struct slice group, struct slice member), void *ctx) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT name, member FROM acl_group ORDER BY name, member");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		r = each(ctx, db_text(s, 0), db_text(s, 1));
		if (r != 0) return r;
	}
	return r;
}
