/* SPDX-License-Identifier: Apache-2.0 */
/* Mailboxes are flat rows whose names contain '/': there are no parents to keep in step. Deleting one only takes its
 * name away, whatever its size; store_sweep frees the messages later. */
#include "store/inside.h"
#include "base/clock.h"

#define MAILBOX_COLUMNS \
	MAILBOX_ROW_COLUMNS "," \
	" EXISTS (SELECT 1 FROM subscription AS s WHERE s.account_id = mailbox.account_id AND s.name = mailbox.name)," \
	" EXISTS (SELECT 1 FROM mailbox AS below WHERE below.account_id = mailbox.account_id" \
	" AND below.name > mailbox.name || '/' AND below.name < mailbox.name || '0')"

struct mailbox mailbox_of(struct db_stmt *s, struct arena *mem, int64_t account) {
	return (struct mailbox){
		.box = { account, db_int(s, 0) },
		.name = arena_slice(mem, db_text(s, 1)),
		.uidvalidity = (uint32_t)db_int(s, 2),
		.uidnext = (uint32_t)db_int(s, 3),
		.recent_from = (uint32_t)db_int(s, 4),
		.highestmodseq = (uint64_t)db_int(s, 5),
		.exists = (uint64_t)db_int(s, 6),
		.unseen = (uint64_t)db_int(s, 7),
		.deleted = (uint64_t)db_int(s, 8),
		.bytes = (uint64_t)db_int(s, 9),
		.special_use = (uint32_t)db_int(s, 10),
		.keywords = arena_slice(mem, db_text(s, 11)),
		.object_id = db_int(s, 12) != 0 ? db_int(s, 12) : db_int(s, 0),
	};
}

static int mailbox_read(struct db_stmt *s, struct arena *mem, int64_t account, struct mailbox *out) {
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_MAILBOX;
	*out = mailbox_of(s, mem, account);
	out->subscribed = db_int(s, 13) != 0;
	out->has_children = db_int(s, 14) != 0;
	return 0;
}

int store_mailbox(struct db_conn *c, struct arena *mem, struct box box, struct mailbox *out) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT " MAILBOX_COLUMNS
						" FROM mailbox WHERE account_id = ? AND id = ? AND name IS NOT NULL");
	bind_box(s, box);
	return mailbox_read(s, mem, box.account, out);
}

int store_mailbox_state(struct db_conn *c, struct arena *mem, struct box box, struct mailbox_state *out) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT uidnext, highestmodseq, deleted, keywords FROM mailbox"
						" WHERE account_id = ? AND id = ? AND name IS NOT NULL");
	bind_box(s, box);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_MAILBOX;
	*out = (struct mailbox_state){ (uint32_t)db_int(s, 0), (uint64_t)db_int(s, 1), (uint64_t)db_int(s, 2),
				       arena_slice(mem, db_text(s, 3)) };
	return 0;
}

static int find_stored(struct db_conn *c, struct arena *mem, int64_t account, struct slice stored,
		       struct mailbox *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT " MAILBOX_COLUMNS " FROM mailbox WHERE account_id = ? AND name = ?");
	db_bind_int(s, account);
	db_bind_text(s, stored);
	return mailbox_read(s, mem, account, out);
}

int store_find(struct db_conn *c, struct arena *mem, int64_t account, struct slice name, struct mailbox *out) {
	struct slice spelt, normal;
	if (name_spelt(mem, name, &spelt) != 0) return STORE_NO_MAILBOX;
	int r = find_stored(c, mem, account, spelt, out);
	if (r != STORE_NO_MAILBOX || name_normal(mem, name, &normal) != 0 || slice_eq(normal, spelt)) return r;
	return find_stored(c, mem, account, normal, out);
}

int store_inbox(struct db_conn *c, int64_t account, struct box *out) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT id FROM mailbox WHERE account_id = ? AND name = 'INBOX'");
	db_bind_int(s, account);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_MAILBOX;
	*out = (struct box){ account, db_int(s, 0) };
	return 0;
}

int store_find_use(struct db_conn *c, struct arena *mem, int64_t account, uint32_t special_use, struct mailbox *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT " MAILBOX_COLUMNS " FROM mailbox WHERE account_id = ? AND name IS NOT NULL"
	              " AND (special_use & ?) <> 0 ORDER BY id LIMIT 1");
	db_bind_int(s, account);
	db_bind_int(s, special_use);
	return mailbox_read(s, mem, account, out);
}

int mailbox_exists(struct db_conn *c, struct box box) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT 1 FROM mailbox WHERE account_id = ? AND id = ? AND name IS NOT NULL");
	bind_box(s, box);
	int r = db_step(s);
	return r < 0 ? r : r == DB_ROW ? 0 : STORE_NO_MAILBOX;
}

static int name_exists(struct db_conn *c, int64_t account, struct slice name) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT 1 FROM mailbox WHERE account_id = ? AND name = ?");
	db_bind_int(s, account);
	db_bind_text(s, name);
	return db_step(s);
}

/* A uidvalidity is the time, but never one that was given before in this account (RFC 3501 2.3.1.1). */
static int numbers_take(struct db_conn *tx, int64_t account, int64_t *id, int64_t *uidvalidity, int64_t *modseq) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE account_state SET next_mailbox = next_mailbox + 1, modseq = modseq + 1,"
	               " last_uidvalidity = CASE WHEN last_uidvalidity >= ? THEN last_uidvalidity + 1 ELSE ? END"
	               " WHERE account_id = ? RETURNING next_mailbox - 1, last_uidvalidity, modseq");
	int64_t now = wall_s();
	db_bind_int(s, now);
	db_bind_int(s, now);
	db_bind_int(s, account);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_ACCOUNT;
	*id = db_int(s, 0);
	*uidvalidity = db_int(s, 1);
	*modseq = db_int(s, 2);
	return db_run(s);
}

int mailbox_insert(struct db_conn *tx, int64_t account, struct slice name, uint32_t special_use, struct box *out) {
	int64_t id = 0, uidvalidity = 0, modseq = 0;
	int r = numbers_take(tx, account, &id, &uidvalidity, &modseq);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "INSERT INTO mailbox (account_id, id, name, uidvalidity, uidnext, recent_from, highestmodseq,"
		    " messages, unseen, deleted, bytes, special_use) VALUES (?, ?, ?, ?, 1, 1, ?, 0, 0, 0, 0, ?)");
	db_bind_int(s, account);
	db_bind_int(s, id);
	db_bind_text(s, name);
	db_bind_int(s, uidvalidity);
	db_bind_int(s, modseq);
	db_bind_int(s, special_use);
	r = db_run(s);
	if (r < 0) return r;
	*out = (struct box){ account, id };
	r = acl_inherit(tx, *out, name);
	announce(tx, (struct box){ account, 0 }, (uint64_t)modseq);
	return r;
}

/* The levels above name, those that do not exist yet, the highest first. */
static int create_above(struct db_conn *tx, int64_t account, struct slice name) {
	for (size_t i = 0; i < name.len; i++) {
		if (name.at[i] != '/') continue;
		struct slice level = slice_head(name, i);
		struct box box;
		int r = name_exists(tx, account, level);
		if (r == 0) r = mailbox_insert(tx, account, level, 0, &box);
		else if (r == DB_ROW) r = 0;
		if (r != 0) return r;
	}
	return 0;
}

static int too_many(struct db_conn *tx, int64_t account) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "SELECT COUNT(*) FROM mailbox WHERE account_id = ? AND name IS NOT NULL");
	db_bind_int(s, account);
	int r = db_step(s);
	return r < 0 ? r : db_int(s, 0) >= MAILBOXES_MAX ? STORE_LIMIT : 0;
}

int store_create(struct db_conn *tx, int64_t account, struct slice name, uint32_t special_use, struct box *out) {
	AUTO_ARENA struct arena mem = {0};
	struct slice stored;
	int r = name_normal(&mem, name, &stored);
	if (r == 0) r = too_many(tx, account);
	if (r != 0) return r;
	r = name_exists(tx, account, stored);
	if (r != 0) return r < 0 ? r : STORE_EXISTS;
	struct store_usage usage;
	r = store_usage(tx, account, &usage);
	if (r == 0) r = create_above(tx, account, stored);
	return r != 0 ? r : mailbox_insert(tx, account, stored, special_use, out);
}

int store_delete(struct db_conn *tx, int64_t account, struct slice name) {
	AUTO_ARENA struct arena mem = {0};
	struct mailbox m;
	uint64_t modseq = 0;
	int r = store_find(tx, &mem, account, name, &m);
	if (r != 0) return r;
	if (slice_eq(m.name, name_inbox)) return STORE_IS_INBOX;
	r = modseq_next(tx, account, &modseq);
	if (r != 0) return r;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE mailbox SET old_name = name, name = NULL WHERE account_id = ? AND id = ?");
	bind_box(s, m.box);
	r = db_run(s);
	if (r == 0) r = count_account(tx, account, -(int64_t)m.exists, -(int64_t)m.bytes);
	if (r == 0) announce(tx, m.box, modseq);
	if (r == 0) announce(tx, (struct box){ account, 0 }, modseq);
	return r;
}

static int set_name(struct db_conn *tx, struct box box, struct slice from, struct slice to) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE mailbox SET name = ? WHERE account_id = ? AND id = ?");
	db_bind_text(s, to);
	bind_box(s, box);
	int r = db_run(s);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *t = db_sql(tx, "DELETE FROM subscription WHERE account_id = ? AND name = ?");
	db_bind_int(t, box.account);
	db_bind_text(t, from);
	r = db_run(t);
	return r < 0 || db_changed(tx) == 0 ? r : store_subscribe(tx, box.account, to, true);
}

struct renaming {
	struct box box;
	struct slice from, to;
	struct renaming *next;
};

/* What is below from, with its new names; STORE_BAD_NAME when one would become too long, STORE_EXISTS when one is
 * taken. */
static int collect_below(struct db_conn *tx, struct arena *mem, int64_t account, struct slice from, struct slice to,
                         struct renaming **list) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "SELECT id, name FROM mailbox WHERE account_id = ? AND name > ? AND name < ?");
	db_bind_int(s, account);
	db_bind_text(s, name_below_first(mem, from));
	db_bind_text(s, name_below_end(mem, from));
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct renaming *one = arena_get(mem, sizeof *one);
		struct slice name = db_text(s, 1),
			     wanted = arena_fmt(mem, "%.*s%.*s", SLICE_ARG(to), SLICE_ARG(slice_skip(name, from.len)));
		*one = (struct renaming){ { account, db_int(s, 0) }, arena_slice(mem, name), wanted, *list };
		if (name_normal(mem, wanted, &one->to) != 0) return STORE_BAD_NAME;
		int taken = name_exists(tx, account, one->to);
		if (taken != 0) return taken < 0 ? taken : STORE_EXISTS;
		*list = one;
	}
	return r;
}

/* INBOX keeps what is below it and its name, and loses its messages. The row with the messages takes the new name and
 * a new, empty row becomes INBOX: nothing is copied, however full it is. */
static int set_object_id(struct db_conn *tx, struct box box, int64_t id) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE mailbox SET object_id = ? WHERE account_id = ? AND id = ?");
	db_bind_int(s, id);
	bind_box(s, box);
	return db_run(s);
}

static int rename_inbox(struct db_conn *tx, const struct mailbox *inbox, struct slice to) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE mailbox SET name = ?, special_use = 0 WHERE account_id = ? AND id = ?");
	struct box box;
	db_bind_text(s, to);
	bind_box(s, inbox->box);
	int r = db_run(s);
	if (r == 0) r = mailbox_insert(tx, inbox->box.account, name_inbox, 0, &box);
	if (r == 0)
		r = set_object_id(tx, inbox->box,
				  box.id); /* RFC 8474 §4: as if the messages had moved to a new mailbox */
	if (r == 0) r = annotations_copy(tx, inbox->box, box);
	return r != 0 ? r : set_object_id(tx, box, inbox->object_id);
}

int store_rename(struct db_conn *tx, int64_t account, struct slice from, struct slice to) {
	AUTO_ARENA struct arena mem = {0};
	struct slice target;
	struct mailbox m;
	struct renaming *list = NULL;
	uint64_t modseq = 0;
	int r = store_find(tx, &mem, account, from, &m);
	if (r == 0) r = name_normal(&mem, to, &target);
	if (r != 0) return r;
	r = name_exists(tx, account, target);
	if (r != 0) return r < 0 ? r : STORE_EXISTS;
	bool inbox = slice_eq(m.name, name_inbox);
	if (!inbox && slice_starts(target, name_below_first(&mem, m.name))) return STORE_BAD_NAME; /* into itself */
	if (!inbox) r = collect_below(tx, &mem, account, m.name, target, &list);
	if (r == 0) r = modseq_next(tx, account, &modseq);
	if (r == 0) r = create_above(tx, account, target);
	if (r != 0) return r;
	r = inbox ? rename_inbox(tx, &m, target) : set_name(tx, m.box, m.name, target);
	for (; list != NULL && r == 0; list = list->next) r = set_name(tx, list->box, list->from, list->to);
	if (r == 0) announce(tx, m.box, modseq);
	if (r == 0) announce(tx, (struct box){ account, 0 }, modseq);
	return r;
}

int store_special_use(struct db_conn *tx, struct box box, uint32_t special_use) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "UPDATE mailbox SET special_use = ? WHERE account_id = ? AND id = ? AND name IS NOT NULL");
	db_bind_int(s, special_use);
	bind_box(s, box);
	int r = db_run(s);
	if (r == 0) r = db_changed(tx) == 0 ? STORE_NO_MAILBOX : 0;
	return r == 0 ? annotation_changed(tx, box) : r;
}

int store_subscribe(struct db_conn *tx, int64_t account, struct slice name, bool on) {
	AUTO_ARENA struct arena mem = {0};
	struct slice spelt, stored;
	int r = name_normal(&mem, name, &stored);
	if (r == 0) r = name_spelt(&mem, name, &spelt);
	if (r != 0) return r;
	if (on && (r = name_exists(tx, account, spelt)) < 0) return r;
	if (r == DB_ROW) stored = spelt;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, on ? "INSERT INTO subscription (account_id, name) VALUES (?, ?) ON CONFLICT DO NOTHING"
	                  : "DELETE FROM subscription WHERE account_id = ? AND name IN (?, ?)");
	db_bind_int(s, account);
	db_bind_text(s, stored);
	if (!on) db_bind_text(s, spelt);
	r = db_run(s);
	if (r == 0 && db_changed(tx) != 0) announce(tx, (struct box){ account, 0 }, 0);
	return r;
}

int store_take_recent(struct db_conn *tx, struct box box, uint32_t *from) {
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "SELECT recent_from FROM mailbox WHERE account_id = ? AND id = ? AND name IS NOT NULL");
	bind_box(s, box);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_MAILBOX;
	uint32_t before = (uint32_t)db_int(s, 0);
	AUTO_STMT struct db_stmt *t =
		db_sql(tx, "UPDATE mailbox SET recent_from = uidnext WHERE account_id = ? AND id = ?");
	bind_box(t, box);
	r = db_run(t);
	if (r == 0) *from = before;
	return r;
}

int mailbox_keywords_add(struct db_conn *tx, struct box box, struct slice words) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "SELECT keywords FROM mailbox WHERE account_id = ? AND id = ? AND name IS NOT NULL");
	bind_box(s, box);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : STORE_NO_MAILBOX;
	struct slice have = arena_slice(&mem, db_text(s, 0));
	if (keywords_has_all(have, words)) return 0;
	struct slice all = keywords_add(&mem, have, words);
	if (all.len > MAILBOX_KEYWORDS_MAX) return STORE_LIMIT;
	AUTO_STMT struct db_stmt *t = db_sql(tx, "UPDATE mailbox SET keywords = ? WHERE account_id = ? AND id = ?");
	db_bind_text(t, all);
	bind_box(t, box);
	return db_run(t);
}

int mailbox_uids_take(struct db_conn *tx, struct box box, uint64_t count, uint32_t *first, uint32_t *uidvalidity) {
	AUTO_STMT struct db_stmt *s = db_sql(
		tx, "UPDATE mailbox SET uidnext = uidnext + ? WHERE account_id = ? AND id = ? AND name IS NOT NULL"
		    " AND uidnext + ? < 4294967295 RETURNING uidnext, uidvalidity");
	db_bind_int(s, (int64_t)count);
	bind_box(s, box);
	db_bind_int(s, (int64_t)count);
	int r = db_step(s);
	if (r < 0) return r;
	if (r != DB_ROW) return mailbox_exists(tx, box) == 0 ? STORE_LIMIT : STORE_NO_MAILBOX;
	*first = (uint32_t)(db_int(s, 0) - (int64_t)count);
	*uidvalidity = (uint32_t)db_int(s, 1);
	return db_run(s);
}
