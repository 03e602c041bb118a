/* SPDX-License-Identifier: Apache-2.0 */
/* Uids rise with the time of saving: what is due stands at the beginning of a mailbox, and looking ends at the first
 * message that is not. */
#include "store/autoexpunge.h"
#include "store/annotation.h"
#include "store/inside.h"
#include "base/clock.h"

enum { PAGE = 500 };
static const int64_t a_day = INT64_C(86400000000);

bool autoexpunge_read(struct slice text, int64_t *age_us) {
	static const struct { char unit; int64_t us;
	} units[] = {
		{ 's', 1000000 },
		{ 'm', 60000000 },
		{ 'h', INT64_C(3600000000) },
		{ 'd', INT64_C(86400000000) },
		{ 'w', INT64_C(604800000000) },
	};
	uint64_t n;
	int64_t unit = a_day;
	text = slice_trim(text);
	if (slice_same(text, S("never")) || slice_eq(text, S("0"))) return *age_us = 0, true;
	for (size_t i = 0; i < LEN(units) && text.len != 0; i++) {
		if (ascii_lower(text.at[text.len - 1]) != units[i].unit) continue;
		unit = units[i].us;
		text.len--;
		break;
	}
	if (!slice_number(text, 100000, &n) || n == 0) return false;
	*age_us = (int64_t)n * unit;
	return true;
}

struct aging {
	struct arena mem;
	struct due { struct box box; int64_t age_us; } *at;
	size_t count, room;
};

static void add(struct aging *a, struct box box, int64_t age_us) {
	if (a->count == a->room) {
		a->room = a->room == 0 ? 64 : a->room * 2;
		struct due *more = arena_array(&a->mem, a->room, sizeof *more);
		if (a->count != 0) memcpy(more, a->at, a->count * sizeof *more);
		a->at = more;
	}
	a->at[a->count++] = (struct due){ box, age_us };
}

static int add_own_rule(void *ctx, struct box box, struct slice value) {
	int64_t age_us;
	if (autoexpunge_read(value, &age_us)) add(ctx, box, age_us);
	return 0;
}

static bool has_own_rule(const struct aging *a, size_t own, struct box box) {
	for (size_t i = 0; i < own; i++)
		if (a->at[i].box.account == box.account && a->at[i].box.id == box.id) return true;
	return false;
}

static int add_by_use(struct aging *a, struct db_conn *c, const struct autoexpunge_rule *rule, size_t own) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT account_id, id FROM mailbox WHERE (special_use & ?) <> 0 AND "
						"messages > 0 AND name IS NOT NULL");
	db_bind_int(s, rule->special_use);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct box box = { db_int(s, 0), db_int(s, 1) };
		if (rule->age_us > 0 && !has_own_rule(a, own, box)) add(a, box, rule->age_us);
	}
	return r;
}

struct page { struct box box; int64_t before_us; uint64_t gone; bool more; };

static int expunge_page(struct db_conn *tx, void *arg) {
	struct page *p = arg;
	struct uid_range range = { 0, 0 };
	uint64_t count = 0;
	AUTO_STMT struct db_stmt *s =
		db_sql(tx, "SELECT uid, CASE saved_us WHEN 0 THEN received_us ELSE saved_us END FROM message WHERE "
			   "account_id = ? AND mailbox_id = ? ORDER BY uid LIMIT ?");
	bind_box(s, p->box);
	db_bind_int(s, PAGE);
	int r;
	while ((r = db_step(s)) == DB_ROW && db_int(s, 1) < p->before_us) {
		uint32_t uid = (uint32_t)db_int(s, 0);
		if (count++ == 0) range.first = uid;
		range.last = uid;
	}
	p->more = count == PAGE;
	if (r < 0 || count == 0) return r < 0 ? r : 0;
	p->gone += count;
	r = store_expunge(tx, p->box, (struct uid_set){ &range, 1 }, false, NULL, NULL);
	return r == STORE_NO_MAILBOX ? 0 : r;
}

static int gather(struct aging *a, struct db *db, const struct autoexpunge_rule *rules, size_t count) {
	AUTO_READ struct db_conn *c = db_read(db);
	int r = c == NULL ? -1 : store_annotated(c, S(AUTOEXPUNGE_ENTRY), add_own_rule, a);
	size_t own = a->count;
	for (size_t i = 0; i < count && r == 0; i++) r = add_by_use(a, c, &rules[i], own);
	return r;
}

int store_autoexpunge(struct db *db, const struct autoexpunge_rule *rules, size_t count, uint64_t *gone) {
	struct aging a = { 0 };
	int r = gather(&a, db, rules, count);
	*gone = 0;
	for (size_t i = 0; i < a.count && r == 0; i++) {
		struct page p = { .box = a.at[i].box,
				  .before_us = wall_us() - a.at[i].age_us,
				  .more = a.at[i].age_us > 0 };
		while (p.more && r == 0) {
			p.gone = 0;
			r = db_write(db, expunge_page, &p);
			if (r == 0) *gone += p.gone;
		}
	}
	arena_done(&a.mem);
	return r;
}
