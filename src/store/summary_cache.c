/* SPDX-License-Identifier: Apache-2.0 */
/* A pack: its entries, then their texts. Packs are small enough that a part of a mailbox costs little more than it. */
#include "store/summary_cache.h"
#include "store/kept_packs.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/log.h"
#include "db/blob.h"
#include "mime/digest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

enum {
	MAILBOX_LEAST = 500,         /* messages; smaller mailboxes are read as quickly without */
	PACK_BYTES = 64 * 1024,
	PACK_MAX = 16 << 20,         /* one summary of 8 MiB and a pack */
	ENTRIES_MAX = 1024,
	TAIL_LEAST = 100,            /* new messages that are worth a pack */
	SLICE_PACKS = 64,
	KEPT_BYTES = 16 << 20,       /* unpacked, in memory */
	LOOK_EVERY_MS = 60000,
	TIDY_EVERY_MS = 3600000,
};
#define FILE_NAME "summaries.db"

static const struct db_schema schema = {
	.sql = "CREATE TABLE pack (kind INTEGER NOT NULL, account_id INTEGER NOT NULL, mailbox_id INTEGER NOT NULL,"
	       " last_uid INTEGER NOT NULL, first_uid INTEGER NOT NULL, count INTEGER NOT NULL, plain INTEGER NOT NULL,"
	       " data BLOB NOT NULL, PRIMARY KEY (kind, account_id, mailbox_id, last_uid)) WITHOUT ROWID;"
	       "CREATE TABLE fact (origin INTEGER NOT NULL, digests INTEGER NOT NULL); INSERT INTO fact VALUES (0, 0)",
};

static const enum blob_kept kinds[] = { BLOB_SUMMARY, BLOB_DIGEST };

struct entry { int64_t blob_id; uint32_t uid, end; }; /* end of its text, from the first text on; an empty one: none */

struct summary_cache {
	struct db *of;           /* whose summaries */
	int64_t origin;
	struct db *_Atomic db;   /* NULL: there is no file */
	_Atomic bool broken;
	int64_t look_at, tidy_at;
	struct box at;           /* the mailbox that is looked at next */
	bool looking, attached;
	struct kept_packs *kept;
};

struct summary_walk {
	struct summary_cache *sc;
	struct db_conn *c;
	enum blob_kept kind;
	struct box box;
	int64_t from, last;        /* for uids between them pack is the one */
	struct kept_pack *pack;    /* held; NULL: none */
	size_t at;                 /* the entry that is looked at next */
};

static void remove_files(const struct db *of) {
	static const char *const tails[] = { "", "-wal", "-shm" };
	char path[PATH_MAX];
	for (size_t i = 0; i < LEN(tails); i++) {
		snprintf(path, sizeof path, "%s/" FILE_NAME "%s", db_dir(of), tails[i]);
		unlink(path);
	}
}

static int origin_set(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE fact SET origin = ?, digests = ?");
	db_bind_int(s, *(int64_t *)arg);
	db_bind_int(s, DIGEST_VERSION);
	return db_run(s);
}

/* 0: it is new; -1: damaged, of an older program, or with digests of another kind. */
static int64_t origin_of(struct db *db) {
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_STMT struct db_stmt *s =
		c != NULL ? db_sql(c, "SELECT origin FROM fact WHERE digests IN (0, ?)") : NULL;
	if (s != NULL) db_bind_int(s, DIGEST_VERSION);
	return s != NULL && db_step(s) == DB_ROW ? db_int(s, 0) : -1;
}

static int open_file(struct summary_cache *sc) {
	const struct db_params params = { .file = FILE_NAME, .schema = &schema, .cache_kib = 256 };
	for (int i = 0; i < 2; i++) {
		struct db *db = NULL;
		int64_t origin = db_open(db_dir(sc->of), &params, &db) == 0 ? origin_of(db) : -1;
		if (origin == 0 && db_write(db, origin_set, &sc->origin) == 0) origin = sc->origin;
		if (origin == sc->origin) {
			atomic_store(&sc->db, db);
			return 0;
		}
		db_close(&db);
		remove_files(sc->of);
	}
	return fail(FILE_NAME ": cannot be made");
}

struct summary_cache *summary_cache_open(struct db *db, int64_t origin) {
	char path[PATH_MAX];
	struct stat st;
	struct summary_cache *sc = mem_get(sizeof *sc);
	*sc = (struct summary_cache){ .of = db, .origin = origin, .tidy_at = deadline_in(TIDY_EVERY_MS / 60) };
	snprintf(path, sizeof path, "%s/" FILE_NAME, db_dir(db));
	sc->kept = kept_packs_new(KEPT_BYTES);
	if (stat(path, &st) == 0 && open_file(sc) < 0) say(L_WARN, "core", "%s", fail_text());
	sc->attached = db_attach_summaries(db, sc);
	return sc;
}

void summary_cache_close(struct summary_cache **scp) {
	struct summary_cache *sc = TAKE(*scp);
	if (sc == NULL) return;
	struct db *db = atomic_load(&sc->db);
	if (sc->attached) db_attach_summaries(sc->of, NULL);
	db_close(&db);
	if (sc->broken) remove_files(sc->of);
	kept_packs_free(&sc->kept);
	free(sc);
}

static void break_it(struct summary_cache *sc) {
	if (!atomic_exchange(&sc->broken, true))
		say(L_WARN, "core", FILE_NAME ": damaged, it is made anew at the next start: %s", fail_text());
}

/* Making packs. */

struct packing {
	struct db *of;
	enum blob_kept kind;
	struct box box;
	struct entry entries[ENTRIES_MAX];
	size_t count;
	struct buf text, plain, packed;
};

static void packing_done(struct packing *p) {
	buf_done(&p->text);
	buf_done(&p->plain);
	buf_done(&p->packed);
}

static bool packing_is_full(const struct packing *p) {
	return p->count == ENTRIES_MAX || p->text.len >= PACK_BYTES;
}

static void packing_add(struct packing *p, uint32_t uid, int64_t blob_id, struct slice text) {
	buf_add(&p->text, text);
	p->entries[p->count++] = (struct entry){ blob_id, uid, (uint32_t)p->text.len };
}

static int packing_put(struct db_conn *tx, struct packing *p) {
	if (p->count == 0) return 0;
	buf_clear(&p->plain);
	buf_clear(&p->packed);
	buf_add(&p->plain, slice_from(p->entries, p->count * sizeof p->entries[0]));
	buf_add(&p->plain, buf_slice(&p->text));
	if (db_pack(p->of, buf_slice(&p->plain), &p->packed) < 0) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(tx, "INSERT INTO pack (kind, account_id, mailbox_id, last_uid, first_uid,"
						 " count, plain, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
	db_bind_int(s, p->kind);
	db_bind_int(s, p->box.account);
	db_bind_int(s, p->box.id);
	db_bind_int(s, p->entries[p->count - 1].uid);
	db_bind_int(s, p->entries[0].uid);
	db_bind_int(s, (int64_t)p->count);
	db_bind_int(s, (int64_t)p->plain.len);
	db_bind_bytes(s, buf_slice(&p->packed));
	p->count = 0;
	buf_clear(&p->text);
	return db_run(s);
}

/* The last uid that is in a pack. */
static int64_t packed_to(struct db_conn *c, enum blob_kept kind, struct box box) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT last_uid FROM pack WHERE kind = ? AND account_id = ?"
						" AND mailbox_id = ? ORDER BY last_uid DESC LIMIT 1");
	db_bind_int(s, kind);
	db_bind_int(s, box.account);
	db_bind_int(s, box.id);
	return db_step(s) == DB_ROW ? db_int(s, 0) : 0;
}

struct adding { struct summary_cache *sc; struct db_conn *c; struct box box; bool more; };

/* A message without a digest (of an older program) has an empty place, so that the next look goes on behind it. */
#define WITH(table) \
	"SELECT uid, message.blob_id, data FROM message LEFT JOIN " table " ON " table ".blob_id = message.blob_id" \
	" WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ? ORDER BY uid"
static const char *const sql_of[] = { [BLOB_SUMMARY] = WITH("summary"), [BLOB_DIGEST] = WITH("digest") };

/* Packs of the messages from first to last, at most so many; a last one only with so many messages in it. 1: that was
 * not all. */
static int add_range(struct db_conn *tx, struct adding *a, enum blob_kept kind, int64_t first, int64_t last,
		     size_t packs, size_t least) {
	AUTO(packing_done) struct packing p = { .of = a->sc->of,
						.kind = kind,
						.box = a->box,
						.text = BUF(PACK_MAX),
						.plain = BUF(PACK_MAX * 2),
						.packed = BUF(PACK_MAX * 2) };
	AUTO_STMT struct db_stmt *s = db_sql(a->c, sql_of[kind]);
	db_bind_int(s, a->box.account);
	db_bind_int(s, a->box.id);
	db_bind_int(s, first);
	db_bind_int(s, last);
	int q, r = 0;
	while (r == 0 && (q = db_step(s)) == DB_ROW) {
		packing_add(&p, (uint32_t)db_int(s, 0), db_int(s, 1), db_bytes(s, 2));
		if (!packing_is_full(&p)) continue;
		r = packing_put(tx, &p);
		if (r == 0 && --packs == 0) return 1;
	}
	if (r == 0 && q < 0) return q;
	return r == 0 && p.count >= least ? packing_put(tx, &p) : r;
}

/* What came behind the last pack. */
static int add_packs(struct db_conn *tx, void *arg) {
	struct adding *a = arg;
	int r = 0;
	for (size_t i = 0; i < LEN(kinds) && r >= 0; i++) {
		int64_t from = packed_to(tx, kinds[i], a->box) + 1;
		r = add_range(tx, a, kinds[i], from, UINT32_MAX, SLICE_PACKS, TAIL_LEAST);
		a->more |= r == 1;
	}
	return MIN_OF(r, 0);
}

/* Some pack of it lacks so many messages that another is worth it. */
static bool lacks(struct db_conn *c, struct box box, int64_t last) {
	bool any = c == NULL;
	for (size_t i = 0; i < LEN(kinds) && !any; i++) any = last - packed_to(c, kinds[i], box) >= TAIL_LEAST;
	return any;
}

/* The next mailbox behind sc->at where a pack is worth it. 1: there is none. */
static int next_box(struct summary_cache *sc, struct db_conn *c, struct box *out) {
	struct db *db = atomic_load(&sc->db);
	AUTO_READ struct db_conn *mine = db != NULL ? db_read(db) : NULL;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT account_id, id, uidnext FROM mailbox WHERE (account_id > ? OR (account_id = ?"
			  " AND id > ?)) AND messages >= ? AND name IS NOT NULL ORDER BY account_id, id");
	db_bind_int(s, sc->at.account);
	db_bind_int(s, sc->at.account);
	db_bind_int(s, sc->at.id);
	db_bind_int(s, MAILBOX_LEAST);
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct box box = { db_int(s, 0), db_int(s, 1) };
		sc->at = box;
		if (!lacks(mine, box, db_int(s, 2) - 1)) continue;
		*out = box;
		return 0;
	}
	return r < 0 ? r : 1;
}

/* Packs that hold what is gone are made again of what is left. */

struct stale { int64_t kind, account, mailbox, first, last; };

static int find_stale(struct db_conn *tx, struct db_conn *c, struct buf *out) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "SELECT kind, account_id, mailbox_id, first_uid, last_uid, count"
						 " FROM pack");
	AUTO_STMT struct db_stmt *n = db_sql(c, "SELECT COUNT(*) FROM message WHERE account_id = ? AND mailbox_id = ?"
						" AND uid BETWEEN ? AND ?");
	int r;
	while ((r = db_step(s)) == DB_ROW && out->len / sizeof(struct stale) < SLICE_PACKS) {
		struct stale one = { db_int(s, 0), db_int(s, 1), db_int(s, 2), db_int(s, 3), db_int(s, 4) };
		db_again(n);
		db_bind_int(n, one.account);
		db_bind_int(n, one.mailbox);
		db_bind_int(n, one.first);
		db_bind_int(n, one.last);
		int q = db_step(n);
		if (q != DB_ROW) return -1;
		if (db_int(n, 0) < db_int(s, 5)) buf_add(out, slice_from(&one, sizeof one));
	}
	return MIN_OF(r, 0);
}

static int tidy(struct db_conn *tx, void *arg) {
	struct adding *a = arg;
	AUTO_BUF struct buf stale = BUF(SLICE_PACKS * sizeof(struct stale));
	int r = find_stale(tx, a->c, &stale);
	for (size_t at = 0; at < stale.len && r >= 0; at += sizeof(struct stale)) {
		struct stale one;
		memcpy(&one, stale.at + at, sizeof one);
		AUTO_STMT struct db_stmt *d =
			db_sql(tx, "DELETE FROM pack WHERE kind = ? AND account_id = ? AND mailbox_id = ?"
				   " AND last_uid = ?");
		db_bind_int(d, one.kind);
		db_bind_int(d, one.account);
		db_bind_int(d, one.mailbox);
		db_bind_int(d, one.last);
		r = db_run(d);
		a->box = (struct box){ one.account, one.mailbox };
		if (r == 0) r = add_range(tx, a, (enum blob_kept)one.kind, one.first, one.last, SLICE_PACKS, 1);
	}
	a->more = stale.len == SLICE_PACKS * sizeof(struct stale);
	return MIN_OF(r, 0);
}

static int tidy_all(struct summary_cache *sc, struct db_conn *c) {
	struct adding a = { .sc = sc, .c = c };
	if (atomic_load(&sc->db) == NULL || clock_ms() < sc->tidy_at) return 0;
	if (db_write(sc->db, tidy, &a) < 0) return -1;
	if (!a.more) sc->tidy_at = deadline_in(TIDY_EVERY_MS);
	return 0;
}

int summary_cache_work(struct summary_cache *sc) {
	if (sc->broken || (!sc->looking && clock_ms() < sc->look_at)) return 0;
	AUTO_READ struct db_conn *c = db_read(sc->of);
	struct box box;
	if (c == NULL || tidy_all(sc, c) < 0) return -1;
	sc->looking = true;
	int r = next_box(sc, c, &box);
	if (r == 1) {
		sc->looking = false;
		sc->look_at = deadline_in(LOOK_EVERY_MS);
		sc->at = (struct box){ 0 };
		return 0;
	}
	if (r == 0 && atomic_load(&sc->db) == NULL) r = open_file(sc);
	struct adding a = { .sc = sc, .c = c, .box = box };
	if (r == 0) r = db_write(sc->db, add_packs, &a);
	if (r == 0 && a.more) sc->at.id--; /* the same again */
	return r < 0 ? r : 1;
}

void summary_cache_tidy(struct summary_cache *sc) {
	sc->tidy_at = sc->look_at = 0;
}

int summary_cache_state(struct summary_cache *sc, struct summary_cache_state *out) {
	struct db *db = atomic_load(&sc->db);
	*out = (struct summary_cache_state){ 0 };
	if (db == NULL) return 0;
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT COUNT(*), COALESCE(SUM(count) FILTER (WHERE kind = ?), 0),"
			  " COALESCE(SUM(LENGTH(data)), 0) FROM pack");
	db_bind_int(s, BLOB_SUMMARY);
	int r = db_step(s);
	if (r != DB_ROW) return r;
	*out = (struct summary_cache_state){ (uint64_t)db_int(s, 0), (uint64_t)db_int(s, 1), (uint64_t)db_int(s, 2) };
	return 0;
}

/* Walking. */

static struct db_conn *read_packs(struct summary_cache *sc) {
	struct db *db = sc != NULL && !sc->broken ? atomic_load(&sc->db) : NULL;
	return db != NULL ? db_read(db) : NULL;
}

uint32_t summary_cache_to(struct db_conn *of, enum blob_kept kind, struct box box) {
	AUTO_READ struct db_conn *c = read_packs(db_summaries(of));
	return c != NULL ? (uint32_t)packed_to(c, kind, box) : 0;
}

struct summary_walk *summary_walk(struct db_conn *of, enum blob_kept kind, struct box box) {
	struct summary_cache *sc = db_summaries(of);
	struct db_conn *c = read_packs(sc);
	if (c == NULL) return NULL;
	struct summary_walk *w = mem_get(sizeof *w);
	*w = (struct summary_walk){ .sc = sc, .c = c, .kind = kind, .box = box, .from = 1 };
	return w;
}

void summary_walk_end(struct summary_walk **wp) {
	struct summary_walk *w = TAKE(*wp);
	if (w == NULL) return;
	kept_packs_release(w->sc->kept, &w->pack);
	db_release(&w->c);
	free(w);
}

static struct entry entry_at(const struct kept_pack *p, size_t i) {
	struct entry e;
	memcpy(&e, p->plain.at + i * sizeof e, sizeof e);
	return e;
}

/* The first that ends at uid or behind it. 1: there is none. */
static int read_pack(struct summary_walk *w, uint32_t uid, struct kept_pack **out) {
	AUTO_STMT struct db_stmt *s =
		db_sql(w->c, "SELECT last_uid, first_uid, count, plain, data FROM pack WHERE kind = ?"
			     " AND account_id = ? AND mailbox_id = ? AND last_uid >= ? ORDER BY last_uid LIMIT 1");
	db_bind_int(s, w->kind);
	db_bind_int(s, w->box.account);
	db_bind_int(s, w->box.id);
	db_bind_int(s, uid);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : 1;
	int64_t last = db_int(s, 0), first = db_int(s, 1);
	uint64_t count = (uint64_t)db_int(s, 2), plain = (uint64_t)db_int(s, 3);
	if (count == 0 || count > ENTRIES_MAX || plain > PACK_MAX * 2 || plain < count * sizeof(struct entry) ||
	    first < 1 || first > last || last > UINT32_MAX)
		return fail("pack %lld: not understood", (long long)last);
	struct kept_pack *p = mem_get(sizeof *p);
	*p = (struct kept_pack){ .holders = 1, .kind = w->kind, .box = w->box, .first = (uint32_t)first,
				 .last = (uint32_t)last, .count = (size_t)count, .plain = BUF((size_t)plain) };
	r = db_unpack(w->sc->of, db_bytes(s, 4), (size_t)plain, &p->plain);
	if (r < 0) kept_packs_release(w->sc->kept, &p);
	*out = p;
	return r;
}

/* The pack that may hold uid; p: held, NULL: there is none from here on. */
static void enter(struct summary_walk *w, uint32_t uid, struct kept_pack *p) {
	kept_packs_release(w->sc->kept, &w->pack);
	w->pack = p;
	w->at = 0;
	w->from = p != NULL ? MIN_OF(uid, p->first) : uid;
	w->last = p != NULL ? p->last : INT64_MAX;
}

/* Which is kept, and since when, makes no difference: an entry only counts for the uid and body that it was made of. */
static int load(struct summary_walk *w, uint32_t uid) {
	struct kept_pack *p = kept_packs_find(w->sc->kept, w->kind, w->box, uid);
	int r = p == NULL ? read_pack(w, uid, &p) : 1;
	if (r == 0) kept_packs_keep(w->sc->kept, p);
	enter(w, uid, p);
	return MIN_OF(r, 0);
}

struct slice summary_walk_to(struct summary_walk *w, uint32_t uid, int64_t blob_id) {
	if (uid < w->from || uid > w->last) {
		if (load(w, uid) < 0) break_it(w->sc);
	}
	const struct kept_pack *p = w->pack;
	if (p == NULL || uid < p->first) return SLICE_NONE;
	if (w->at >= p->count || entry_at(p, w->at).uid > uid) w->at = 0;
	while (w->at < p->count && entry_at(p, w->at).uid < uid) w->at++;
	if (w->at == p->count) return SLICE_NONE;
	struct entry e = entry_at(p, w->at);
	size_t texts = p->count * sizeof e, begin = w->at != 0 ? entry_at(p, w->at - 1).end : 0;
	if (e.uid != uid || e.blob_id != blob_id || begin >= e.end || texts + e.end > p->plain.len) return SLICE_NONE;
	return slice_from(p->plain.at + texts + begin, e.end - begin);
}

/* Checking. */

struct pack_place { enum blob_kept kind; struct box box; uint32_t last; };

/* An entry whose body is gone does no harm, and an empty one holds nothing. */
static bool entries_right(const struct kept_pack *p, struct blob_walk *rows, uint64_t *checked) {
	size_t texts = p->count * sizeof(struct entry), begin = 0;
	for (size_t i = 0; i < p->count; i++) {
		struct entry e = entry_at(p, i);
		struct slice row;
		if (e.end < begin || texts + e.end > p->plain.len) return false;
		if (blob_walk_to(rows, e.blob_id, &row) < 0) return false;
		struct slice text = slice_from(p->plain.at + texts + begin, e.end - begin);
		if (row.at != NULL && text.len != 0 && !slice_eq(row, text)) return false;
		begin = e.end;
		++*checked;
	}
	return true;
}

/* Also one that was made anew since it was listed. */
static bool pack_right(struct db_conn *c, const struct pack_place *p, uint64_t *checked) {
	AUTO(summary_walk_end) struct summary_walk *w = summary_walk(c, p->kind, p->box);
	AUTO(blob_walk_end) struct blob_walk *rows = blob_walk(c, p->kind);
	struct kept_pack *read = NULL;
	int r = w != NULL ? read_pack(w, p->last, &read) : 1; /* what the file says, not what is kept */
	if (w != NULL && r == 0) enter(w, p->last, read);
	return r >= 0 && (r == 1 || read->last != p->last || entries_right(read, rows, checked));
}

static int pack_places(struct db_conn *packs, struct buf *out) {
	AUTO_STMT struct db_stmt *s = db_sql(packs, "SELECT kind, account_id, mailbox_id, last_uid FROM pack");
	int r;
	while ((r = db_step(s)) == DB_ROW) {
		struct pack_place p = { (enum blob_kept)db_int(s, 0), { db_int(s, 1), db_int(s, 2) },
					(uint32_t)db_int(s, 3) };
		if (p.kind != BLOB_SUMMARY && p.kind != BLOB_DIGEST) return fail("a pack of no kind");
		buf_add(out, slice_from(&p, sizeof p));
	}
	return r;
}

int summary_cache_check(const struct check *k, struct check_count *out) {
	AUTO_READ struct db_conn *c = db_read(k->db);
	struct summary_cache *sc = c != NULL ? db_summaries(c) : NULL;
	AUTO_READ struct db_conn *packs = read_packs(sc);
	AUTO_BUF struct buf places = BUF(MIB(256));
	if (c == NULL || packs == NULL) return c == NULL ? -1 : 0;
	if (pack_places(packs, &places) < 0) out->wrong++;
	for (size_t at = 0; at + sizeof(struct pack_place) <= places.len; at += sizeof(struct pack_place)) {
		struct pack_place p;
		memcpy(&p, places.at + at, sizeof p);
		if (!pack_right(c, &p, &out->checked)) out->wrong++;
	}
	if (out->wrong == 0) return 0;
	check_tell(k, FILE_NAME ": %llu packs do not say what the database does", (unsigned long long)out->wrong);
	if (!k->mend) return 0;
	fail("hato verify found it so");
	break_it(sc);
	out->mended = out->wrong;
	return 0;
}
