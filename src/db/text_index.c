/* SPDX-License-Identifier: Apache-2.0 */
/* FTS5 without contents and without positions. Its rows have numbers of their own, counted from 1, because lists of
 * rising small numbers pack into a byte each; the table doc says which document a row is of. A long text becomes
 * several rows that overlap by more than what is looked up of a needle. */
#include "db/text_index.h"
#include "db/inside.h"
#include "db/text_token.h"
#include "base/log.h"

#include <stdatomic.h>
#include <sys/stat.h>

enum { CHUNK = 256 * 1024, OVERLAP = 1024, NEEDLE_MAX = 512, TOKENS_MAX = 12 };
#define FILE_NAME "search.db"
#define FRESH_NAME "search.new.db"

static const char text_sql[] =
	"CREATE VIRTUAL TABLE words USING fts5(text, content='', detail=none, columnsize=0, tokenize='hato');"
	"INSERT INTO words (words, rank) VALUES ('hashsize', 8388608);"
	"CREATE TABLE doc (row INTEGER PRIMARY KEY, id INTEGER NOT NULL);"
	"CREATE TABLE fact (known_to INTEGER NOT NULL, origin INTEGER NOT NULL, text_bytes INTEGER NOT NULL);"
	"INSERT INTO fact VALUES (0, 0, 0)";
static const struct db_schema text_schema = { .sql = text_sql };

struct text_index {
	char *dir;
	const char *name;
	int64_t origin;
	pthread_rwlock_t lock; /* writers exchange db */
	struct db *db;         /* NULL: could not be opened; nothing is known then */
	_Atomic bool broken;   /* to be thrown away by the next who writes */
	struct stat file;
};

static int path_of(const struct text_index *x, const char *name, const char *tail, char *path) {
	return snprintf(path, PATH_MAX, "%s/%s%s", x->dir, name, tail);
}

static void remove_files(const struct text_index *x, const char *name) {
	static const char *const tails[] = { "", "-wal", "-shm", "-journal" };
	char path[PATH_MAX];
	for (size_t i = 0; i < LEN(tails); i++) {
		path_of(x, name, tails[i], path);
		unlink(path);
	}
}

/* Facts. */

static int origin_set(struct db_conn *tx, void *arg) {
	AUTO_STMT struct db_stmt *s = db_sql(tx, "UPDATE fact SET origin = ?");
	db_bind_int(s, *(int64_t *)arg);
	return db_run(s);
}

/* 0: it is ours (or new); 1: another's. */
static int origin_check(struct db *db, int64_t origin, int64_t *known_to) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT origin, known_to FROM fact");
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : cause_fail(DB_CAUSE_BROKEN, "search index: no facts");
	*known_to = db_int(s, 1);
	if (db_int(s, 0) == origin) return 0;
	if (db_int(s, 0) != 0) return 1;
	return db_write(db, origin_set, &origin);
}

static int open_file(struct text_index *x, struct db **out) {
	struct db_params params = {
		.file = x->name, .schema = &text_schema, .cache_kib = 4096, .set_up = text_fts_register
	};
	struct db *db = NULL;
	int64_t known_to = 0;
	char path[PATH_MAX];
	if (db_open(x->dir, &params, &db) < 0) return -1;
	int r = origin_check(db, x->origin, &known_to);
	if (r != 0) {
		db_close(&db);
		return r;
	}
	db_ids_after(known_to);
	path_of(x, x->name, "", path);
	if (stat(path, &x->file) < 0) x->file = (struct stat){ 0 };
	*out = db;
	return 0;
}

/* With the lock held for writing, or before anybody knows of x. */
static int open_or_begin(struct text_index *x) {
	x->broken = false;
	int r = open_file(x, &x->db);
	if (r == 0) return 0;
	if (r > 0)
		say(L_INFO, "search", "%s/%s: made for another database or by another version: it is made anew", x->dir,
		    x->name);
	else if (db_cause() == DB_CAUSE_FULL || db_cause() == DB_CAUSE_IO || db_cause() == DB_CAUSE_BUSY) return r;
	else say(L_WARN, "search", "%s/%s: damaged, it is made anew: %s", x->dir, x->name, fail_text());
	remove_files(x, x->name);
	r = open_file(x, &x->db);
	return r > 0 ? fail("%s/%s: cannot be made", x->dir, x->name) : r;
}

static struct text_index *index_new(const char *dir, const char *name, int64_t origin) {
	struct text_index *x = mem_get(sizeof *x);
	x->dir = mem_text(dir);
	x->name = name;
	x->origin = origin;
	pthread_rwlock_init(&x->lock, NULL);
	return x;
}

int text_index_open(const char *dir, int64_t origin, struct text_index **out) {
	struct text_index *x = index_new(dir, FILE_NAME, origin);
	remove_files(x, FRESH_NAME);
	int r = open_or_begin(x);
	if (r < 0) text_index_close(&x);
	else *out = x;
	return r;
}

void text_index_close(struct text_index **xp) {
	struct text_index *x = TAKE(*xp);
	if (x == NULL) return;
	db_close(&x->db);
	pthread_rwlock_destroy(&x->lock);
	free(x->dir);
	free(x);
}

/* After <0: what is damaged is thrown away by the next writer; until then nothing is known. */
static int judge(struct text_index *x, int r) {
	if (r < 0 && (db_cause() == DB_CAUSE_BROKEN || db_cause() == DB_CAUSE_OTHER)) x->broken = true;
	return r;
}

static void begin_anew(struct text_index *x) {
	pthread_rwlock_wrlock(&x->lock);
	db_close(&x->db);
	remove_files(x, x->name);
	if (open_or_begin(x) < 0) say(L_WARN, "search", "%s", fail_text());
	pthread_rwlock_unlock(&x->lock);
}

bool text_index_look(struct text_index *x) {
	char path[PATH_MAX];
	struct stat st;
	path_of(x, x->name, "", path);
	bool same = stat(path, &st) == 0 && st.st_ino == x->file.st_ino && st.st_dev == x->file.st_dev;
	if (same && x->db != NULL && !x->broken) return false;
	say(L_WARN, "search", "%s: %s: it is made anew", path, same ? "damaged" : "gone");
	begin_anew(x);
	return true;
}

/* Finding. */

struct tokens { struct text_token at[NEEDLE_MAX]; size_t count; };

static void tokens_of(struct slice needle, struct tokens *out) {
	struct slice rest = slice_head(needle, NEEDLE_MAX);
	struct text_token t;
	/* a character cut in two there must not become a token */
	while (rest.len < needle.len && rest.len != 0 && ((unsigned char)needle.at[rest.len] & 0xc0) == 0x80)
		rest.len--;
	out->count = 0;
	while (out->count < NEEDLE_MAX && text_token_next(&rest, &t)) {
		size_t i = 0;
		while (i < out->count && out->at[i].key != t.key) i++;
		if (i == out->count) out->at[out->count++] = t;
	}
}

/* "abc" AND "bcd": some of the tokens, spread over the needle. */
static void put_query(struct buf *out, const struct tokens *tokens) {
	size_t n = MIN_OF(tokens->count, (size_t)TOKENS_MAX);
	for (size_t i = 0; i < n; i++) {
		struct slice t = tokens->at[n == 1 ? 0 : i * (tokens->count - 1) / (n - 1)].text;
		buf_add(out, i == 0 ? S("\"") : S(" AND \""));
		for (size_t k = 0; k < t.len; k++) {
			if (t.at[k] == '"') buf_byte(out, '"');
			buf_byte(out, t.at[k]);
		}
		buf_byte(out, '"');
	}
}

static int known(struct db_conn *c, int64_t *known_to, uint64_t *rows) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT known_to, COALESCE((SELECT MAX(row) FROM doc), 0) FROM fact");
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : cause_fail(DB_CAUSE_BROKEN, "search index: no facts");
	*known_to = db_int(s, 0);
	*rows = (uint64_t)db_int(s, 1);
	return 0;
}

static int id_order(const void *a, const void *b) {
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static void settle(struct text_found *f) {
	size_t kept = 0;
	bool sorted = true;
	for (size_t i = 1; i < f->count && sorted; i++) sorted = f->ids[i - 1] <= f->ids[i];
	if (!sorted) qsort(f->ids, f->count, sizeof f->ids[0], id_order);
	for (size_t i = 0; i < f->count; i++)
		if (kept == 0 || f->ids[kept - 1] != f->ids[i]) f->ids[kept++] = f->ids[i];
	f->count = kept;
}

static int find_in(struct db *db, const struct tokens *tokens, struct arena *mem, struct text_found *out) {
	AUTO_READ struct db_conn *c = db_read(db);
	AUTO_BUF struct buf query = BUF(KIB(4)), ids = BUF(SIZE_MAX / 2);
	struct text_found f = { 0 };
	uint64_t rows = 0;
	if (c == NULL) return -1;
	int r = known(c, &f.known_to, &rows);
	if (r < 0) return r;
	put_query(&query, tokens);
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT doc.id FROM words JOIN doc ON doc.row = words.rowid WHERE words MATCH ?");
	db_bind_text(s, buf_slice(&query));
	while ((r = db_step(s)) == DB_ROW) {
		int64_t id = db_int(s, 0);
		buf_add(&ids, slice_from(&id, sizeof id));
		if (ids.len / sizeof id > rows / 2 + 100) return TEXT_CANNOT;
	}
	if (r < 0) return r;
	f.count = ids.len / sizeof f.ids[0];
	f.ids = arena_array(mem, f.count + 1, sizeof f.ids[0]);
	if (f.count != 0) memcpy(f.ids, ids.at, ids.len);
	settle(&f);
	*out = f;
	return 0;
}

int text_index_find(struct text_index *x, struct slice needle, struct arena *mem, struct text_found *out) {
	struct tokens tokens;
	tokens_of(needle, &tokens);
	if (tokens.count == 0 || x->broken) return TEXT_CANNOT;
	pthread_rwlock_rdlock(&x->lock);
	int r = x->db == NULL ? TEXT_CANNOT : judge(x, find_in(x->db, &tokens, mem, out));
	pthread_rwlock_unlock(&x->lock);
	if (r < 0) say(L_WARN, "search", "%s", fail_text());
	return r < 0 ? TEXT_CANNOT : r;
}

/* Adding. */

struct text_batch {
	struct db_conn *tx;
	int64_t row, id; /* the last row; whose text is pending, 0: nobody's */
	struct buf pending;
	uint64_t text_bytes;
	int (*fn)(struct text_batch *b, void *ctx);
	void *ctx;
};

static int add_row(struct text_batch *b, size_t len) {
	AUTO_STMT struct db_stmt *d = db_sql(b->tx, "INSERT INTO doc (row, id) VALUES (?, ?)");
	db_bind_int(d, ++b->row);
	db_bind_int(d, b->id);
	int r = db_run(d);
	if (r < 0) return r;
	AUTO_STMT struct db_stmt *w = db_sql(b->tx, "INSERT INTO words (rowid, text) VALUES (?, ?)");
	db_bind_int(w, b->row);
	db_bind_text(w, slice_head(buf_slice(&b->pending), len));
	return db_run(w);
}

static int finish_document(struct text_batch *b) {
	int r = b->id != 0 ? add_row(b, b->pending.len) : 0;
	b->id = 0;
	buf_clear(&b->pending);
	return r;
}

int text_index_add(struct text_batch *b, int64_t id, struct slice folded) {
	int r = b->id != id ? finish_document(b) : 0;
	b->id = id;
	b->text_bytes += folded.len;
	while (r == 0 && folded.len != 0) {
		size_t n = MIN_OF(folded.len, CHUNK + OVERLAP - b->pending.len);
		buf_add(&b->pending, slice_head(folded, n));
		folded = slice_skip(folded, n);
		if (b->pending.len < CHUNK + OVERLAP) break;
		r = add_row(b, b->pending.len);
		buf_eat(&b->pending, CHUNK);
	}
	return r;
}

int text_index_mark(struct text_batch *b, int64_t known_to) {
	AUTO_STMT struct db_stmt *s = db_sql(b->tx, "UPDATE fact SET known_to = ? WHERE known_to < ?");
	db_bind_int(s, known_to);
	db_bind_int(s, known_to);
	return db_run(s);
}

static int count_bytes(struct text_batch *b) {
	AUTO_STMT struct db_stmt *s = db_sql(b->tx, "UPDATE fact SET text_bytes = text_bytes + ?");
	db_bind_int(s, (int64_t)b->text_bytes);
	return db_run(s);
}

static int run_batch(struct db_conn *tx, void *arg) {
	struct text_batch *b = arg;
	int64_t known_to;
	uint64_t rows = 0;
	int r = known(tx, &known_to, &rows);
	b->tx = tx;
	b->row = (int64_t)rows;
	if (r == 0) r = b->fn(b, b->ctx);
	if (r == 0) r = finish_document(b);
	return r == 0 ? count_bytes(b) : r;
}

int text_index_write(struct text_index *x, int (*fn)(struct text_batch *b, void *ctx), void *ctx) {
	struct text_batch b = { .fn = fn, .ctx = ctx, .pending = BUF(CHUNK + OVERLAP) };
	text_index_look(x);
	pthread_rwlock_rdlock(&x->lock);
	int r = x->db == NULL ? fail("%s/%s: not open", x->dir, x->name) : judge(x, db_write(x->db, run_batch, &b));
	pthread_rwlock_unlock(&x->lock);
	buf_done(&b.pending);
	return r;
}

/* Looking. */

static int state_of(struct db *db, struct text_index_state *out) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s =
		db_sql(c, "SELECT known_to, text_bytes, (SELECT COUNT(*) FROM doc), page_count * page_size"
			  " FROM fact, pragma_page_count, pragma_page_size"); /* the log may not be in the file yet */
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : cause_fail(DB_CAUSE_BROKEN, "search index: no facts");
	*out = (struct text_index_state){ .known_to = db_int(s, 0),
					  .text_bytes = (uint64_t)db_int(s, 1),
					  .documents = (uint64_t)db_int(s, 2),
					  .file_bytes = (uint64_t)db_int(s, 3) };
	return 0;
}

int text_index_state(struct text_index *x, struct text_index_state *out) {
	pthread_rwlock_rdlock(&x->lock);
	int r = x->db == NULL ? fail("%s/%s: not open", x->dir, x->name) : judge(x, state_of(x->db, out));
	pthread_rwlock_unlock(&x->lock);
	return r;
}

static int each_in(struct db *db, int (*each)(void *ctx, int64_t id), void *ctx) {
	AUTO_READ struct db_conn *c = db_read(db);
	if (c == NULL) return -1;
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT id FROM doc ORDER BY id");
	int r;
	while ((r = db_step(s)) == DB_ROW)
		if ((r = each(ctx, db_int(s, 0))) != 0) break;
	return r;
}

int text_index_each(struct text_index *x, int (*each)(void *ctx, int64_t id), void *ctx) {
	pthread_rwlock_rdlock(&x->lock);
	int r = x->db == NULL ? fail("%s/%s: not open", x->dir, x->name) : each_in(x->db, each, ctx);
	pthread_rwlock_unlock(&x->lock);
	return r;
}

int text_index_beside(struct text_index *x, struct text_index **fresh) {
	struct text_index *f = index_new(x->dir, FRESH_NAME, x->origin);
	remove_files(f, FRESH_NAME);
	int r = open_or_begin(f);
	if (r < 0) text_index_close(&f);
	else *fresh = f;
	return r;
}

int text_index_replace(struct text_index *x, struct text_index **fresh) {
	char from[PATH_MAX], to[PATH_MAX];
	path_of(x, FRESH_NAME, "", from);
	path_of(x, FILE_NAME, "", to);
	pthread_rwlock_wrlock(&x->lock);
	text_index_close(fresh); /* its log is folded in */
	db_close(&x->db);
	remove_files(x, FILE_NAME);
	int r = rename(from, to) < 0 ? fail_errno("%s", to) : 0;
	if (r == 0) r = open_or_begin(x);
	pthread_rwlock_unlock(&x->lock);
	return r;
}
