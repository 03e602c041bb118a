/* SPDX-License-Identifier: Apache-2.0 */
#include "db/check.h"
#include "db/inside.h"

void check_tell(const struct check *k, const char *format, ...) {
	char text[400];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	k->tell(k->ctx, text);
}

int check_engine(const struct check *k, struct check_count *out) {
	AUTO_READ struct db_conn *c = db_read(k->db);
	if (c == NULL) return -1;
	out->checked = 1;
	AUTO_STMT struct db_stmt *s = db_sql(c, "PRAGMA integrity_check(20)");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		if (slice_eq(db_text(s, 0), S("ok"))) continue;
		out->wrong = 1;
		check_tell(k, "database: %.*s", SLICE_ARG(db_text(s, 0)));
	}
	return r;
}

/* Who holds references, and how many of each body. */
#define HOLDERS \
	"(SELECT blob_id, COUNT(*) AS n FROM (SELECT blob_id FROM message UNION ALL SELECT blob_id FROM bin" \
	" UNION ALL SELECT blob_id FROM queue_message UNION ALL SELECT blob_id FROM report_mail) AS holder GROUP BY " \
	"blob_id)"

static int count_bodies(struct db_conn *c, uint64_t *count) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT COUNT(*) FROM blob");
	int r = db_step(s);
	*count = r == DB_ROW ? (uint64_t)db_int(s, 0) : 0;
	return r < 0 ? r : 0;
}

static int bodies_gone(struct db_conn *c, const struct check *k, struct check_count *out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT used.blob_id, used.n FROM " HOLDERS
			  " AS used LEFT JOIN blob ON blob.id = used.blob_id WHERE blob.id IS NULL");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		out->wrong++;
		check_tell(k, "body %016llx: is not there, %lld messages are without it (restore a backup)",
			   (unsigned long long)db_int(s, 0), (long long)db_int(s, 1));
	}
	return r;
}

struct reference { int64_t id, refs, used; struct reference *next; };

static int wrong_references(struct db_conn *c, struct arena *mem, struct reference **list) {
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT blob.id, blob.refs, COALESCE(used.n, 0) FROM blob LEFT JOIN " HOLDERS
			  " AS used ON used.blob_id = blob.id WHERE blob.refs <> COALESCE(used.n, 0)");
	struct reference **end = list;
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		*end = arena_get(mem, sizeof **end);
		**end = (struct reference){ db_int(s, 0), db_int(s, 1), db_int(s, 2), NULL };
		end = &(*end)->next;
	}
	return r;
}

static int set_references(struct db_conn *tx, const struct reference *ref) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE blob SET refs = ? WHERE id = ?");
	db_bind_int(s, ref->used + (ref->used == 0));
	db_bind_int(s, ref->id);
	int r = db_run(s);
	return r == 0 && ref->used == 0 ? blob_unref(tx, ref->id) : r; /* nobody's: freed */
}

/* Counted again, since others write meanwhile. */
static int mend_references(struct db_conn *tx, void *arg) {
	struct check_count *out = arg;
	AUTO_ARENA struct arena mem = { 0 };
	struct reference *list = NULL;
	int r = wrong_references(tx, &mem, &list);
	for (; list != NULL && r == 0; list = list->next) {
		r = set_references(tx, list);
		out->mended++;
	}
	return r;
}

int check_references(const struct check *k, struct check_count *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct reference *list = NULL;
	struct db_conn *c = db_read(k->db);
	if (c == NULL) return -1;
	int r = count_bodies(c, &out->checked);
	if (r == 0) r = bodies_gone(c, k, out);
	if (r == 0) r = wrong_references(c, &mem, &list);
	db_release(&c);
	bool any = list != NULL;
	for (; list != NULL; list = list->next) {
		out->wrong++;
		check_tell(k, "body %016llx: counted as used by %lld messages, used by %lld",
			   (unsigned long long)list->id, (long long)list->refs, (long long)list->used);
	}
	return r == 0 && any && k->mend ? db_write(k->db, mend_references, out) : r;
}

static const struct beside {
	const char *name, *count, *drop;
} beside[] = {
#define BESIDE(table, id) \
	{ \
#table, \
			"SELECT COUNT(*), COUNT(CASE WHEN blob.id IS NULL THEN 1 END) FROM " #table \
			" LEFT JOIN blob ON blob.id = " #table "." #id, \
			"DELETE FROM " #table " WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.id = " #table "." #id \
			")" \
	}
	BESIDE(blob_data, id),
	BESIDE(summary, blob_id),
	BESIDE(digest, blob_id),
	BESIDE(blob_text, blob_id),
};

static int drop_beside(struct db_conn *tx, void *arg) {
	struct check_count *out = arg;
	int r = 0;
	for (size_t i = 0; i < LEN(beside) && r == 0; i++) {
		AUTO_STMT struct db_stmt *s = db_sql(tx, beside[i].drop);
		r = db_run(s);
		if (r == 0) out->mended += (uint64_t)db_changed(tx);
	}
	return r;
}

int check_beside(const struct check *k, struct check_count *out) {
	struct db_conn *c = db_read(k->db);
	int r = c != NULL ? 0 : -1;
	for (size_t i = 0; i < LEN(beside) && r >= 0; i++) {
		AUTO_STMT struct db_stmt *s = db_sql(c, beside[i].count);
		r = db_step(s);
		if (r != DB_ROW) break;
		out->checked += (uint64_t)db_int(s, 0);
		out->wrong += (uint64_t)db_int(s, 1);
		if (db_int(s, 1) != 0)
			check_tell(k, "%s: %lld rows belong to no body", beside[i].name, (long long)db_int(s, 1));
	}
	db_release(&c);
	return r >= 0 && out->wrong != 0 && k->mend ? db_write(k->db, drop_beside, out) : MIN_OF(r, 0);
}

static int skip(void *ctx UNUSED, struct slice piece UNUSED) {
	return 0;
}

/* One body a snapshot, so that a long check keeps no log from shrinking. DB_ROW, DB_DONE. */
static int check_next(const struct check *k, int64_t *id, struct check_count *out) {
	AUTO_READ struct db_conn *c = db_read(k->db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT id FROM blob WHERE id > ? ORDER BY id LIMIT 1");
	db_bind_int(s, *id);
	int r = db_step(s);
	if (r != DB_ROW) return r;
	*id = db_int(s, 0);
	AUTO_BLOB struct blob *b = NULL;
	r = blob_open(c, *id, &b);
	if (r == 0) r = blob_each(b, skip, NULL);
	out->checked++;
	if (r == 0) return DB_ROW;
	out->wrong++;
	if (r == BLOB_GONE)
		check_tell(k, "body %016llx: its file is gone (restore it from a backup)", (unsigned long long)*id);
	else check_tell(k, "%s", fail_text());
	return DB_ROW;
}

int check_bodies(const struct check *k, struct check_count *out) {
	int64_t id = INT64_MIN;
	int r;
	while ((r = check_next(k, &id, out)) == DB_ROW) {}
	return r;
}
