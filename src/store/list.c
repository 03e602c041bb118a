/* SPDX-License-Identifier: Apache-2.0 */
/* The list is put together in memory (an account has few mailboxes): existing ones, subscribed names, and the levels
 * above existing ones that are no mailboxes themselves. Sorted so that what is below a mailbox follows it at once. */
#include "store/inside.h"

struct listing {
	struct arena mem;
	int64_t account;
	struct mailbox *at;
	size_t count, room;
};

static struct mailbox *listing_add(struct listing *l, struct slice name) {
	if (l->count == l->room) {
		l->room = l->room == 0 ? 32 : l->room * 2;
		struct mailbox *more = arena_array(&l->mem, l->room, sizeof *more);
		if (l->count != 0) memcpy(more, l->at, l->count * sizeof *more);
		l->at = more;
	}
	struct mailbox *m = &l->at[l->count++];
	*m = (struct mailbox){ .box = { .account = l->account }, .name = name, .nonexistent = true };
	return m;
}

static int add_existing(struct listing *l, struct db_conn *c) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT " MAILBOX_ROW_COLUMNS " FROM mailbox WHERE account_id = ? AND name IS NOT NULL");
	db_bind_int(s, l->account);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct mailbox m = mailbox_of(s, &l->mem, l->account);
		*listing_add(l, m.name) = m;
		for (struct slice above = name_above(m.name); above.len != 0; above = name_above(above))
			listing_add(l, above)->has_children = true;
	}
	return r;
}

static int add_subscribed(struct listing *l, struct db_conn *c) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT name FROM subscription WHERE account_id = ?");
	db_bind_int(s, l->account);
	int r;
	while ((r = db_step(s)) == DB_ROW) listing_add(l, arena_slice(&l->mem, db_text(s, 0)))->subscribed = true;
	return r;
}

/* '/' sorts before every other byte; of one name the existing mailbox comes first. */
static int listing_order(const void *a, const void *b) {
	const struct mailbox *x = a, *y = b;
	size_t len = MIN_OF(x->name.len, y->name.len);
	for (size_t i = 0; i < len; i++) {
		unsigned char p = (unsigned char)x->name.at[i], q = (unsigned char)y->name.at[i];
		if (p != q) return (p == '/' ? 0 : p) - (q == '/' ? 0 : q);
	}
	if (x->name.len != y->name.len) return x->name.len < y->name.len ? -1 : 1;
	return x->nonexistent - y->nonexistent;
}

size_t store_list_merge(struct mailbox *at, size_t count) {
	size_t kept = 0;
	if (count != 0) qsort(at, count, sizeof *at, listing_order);
	for (size_t i = 0; i < count; i++) {
		if (kept == 0 || !slice_eq(at[kept - 1].name, at[i].name)) {
			at[kept++] = at[i];
			continue;
		}
		at[kept - 1].subscribed |= at[i].subscribed;
		at[kept - 1].has_children |= at[i].has_children;
	}
	return kept;
}

int store_list(struct db_conn *c, int64_t account, int (*each)(void *ctx, const struct mailbox *m), void *ctx) {
	struct listing l = { .account = account };
	int r = add_existing(&l, c);
	if (r == 0) r = add_subscribed(&l, c);
	if (r == 0) l.count = store_list_merge(l.at, l.count);
	for (size_t i = 0; i < l.count && r == 0; i++) r = each(ctx, &l.at[i]);
	arena_done(&l.mem);
	return r;
}
