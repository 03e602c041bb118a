/* SPDX-License-Identifier: Apache-2.0 */
/* Connections. Few are kept and each has a small page cache: what is read comes through mmap from the system's cache,
 * which all of them share. One snapshot is one transaction, so that a command that runs several statements sees one
 * state. */
#include "db/inside.h"

#include <stdatomic.h>

static _Thread_local enum db_cause last_cause;

enum db_cause db_cause(void) {
	return last_cause;
}

void cause_set(enum db_cause cause) {
	last_cause = cause;
}

int cause_fail(enum db_cause cause, const char *format, ...) {
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	last_cause = cause;
	return fail("%s", text);
}

int cause_fail_errno(const char *format, ...) {
	char text[512];
	int error = errno;
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	last_cause = error == ENOSPC || error == EDQUOT || error == EFBIG ? DB_CAUSE_FULL
	             : error == EIO                                       ? DB_CAUSE_IO
	                                                                  : DB_CAUSE_OTHER;
	errno = error;
	return fail_errno("%s", text);
}

static enum db_cause cause_of(int code, int error) {
	switch (code & 0xff) {
	case SQLITE_FULL: return DB_CAUSE_FULL;
	case SQLITE_IOERR: return error == ENOSPC || error == EDQUOT || error == EFBIG ? DB_CAUSE_FULL : DB_CAUSE_IO;
	case SQLITE_BUSY: case SQLITE_LOCKED: return DB_CAUSE_BUSY;
	case SQLITE_CORRUPT: case SQLITE_NOTADB: return DB_CAUSE_BROKEN;
	default: return DB_CAUSE_OTHER;
	}
}

int conn_fail(struct db_conn *c, const char *what) {
	int error = errno; /* SQLite does not keep that of a failed write to the log */
	int code = sqlite3_extended_errcode(c->sqlite);
	enum db_cause cause =
		cause_of(code, sqlite3_system_errno(c->sqlite) != 0 ? sqlite3_system_errno(c->sqlite) : error);
	if (cause == DB_CAUSE_BUSY)
		return cause_fail(cause, "%s: another process keeps it locked (end long-running hato commands)",
				  c->db->path);
	if (cause == DB_CAUSE_FULL) return cause_fail(cause, "%s: disk full (make room)", c->db->path);
	return cause_fail(cause, "%s: %s (%d): %s", c->db->path, sqlite3_errmsg(c->sqlite), code, what);
}

int conn_exec(struct db_conn *c, const char *sql) {
	return sqlite3_exec(c->sqlite, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : conn_fail(c, sql);
}

static int set_up(struct db_conn *c) {
	const struct db_params *p = &c->db->params;
	char sql[512];
	sqlite3_extended_result_codes(c->sqlite, 1);
	if (!c->writer) map_file_share(c->sqlite, c->db->path, c->db->map);
	sqlite3_busy_timeout(c->sqlite, (int)p->busy_ms);
	/* secure_delete costs a third of every deletion and protects nobody who can read the disk */
	snprintf(sql, sizeof sql,
		 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = OFF; PRAGMA temp_store "
		 "= MEMORY;"
		 "PRAGMA cache_size = -%zu; PRAGMA mmap_size = %zu; PRAGMA journal_size_limit = %zu; PRAGMA "
		 "trusted_schema = OFF;",
		 p->cache_kib, MIB(p->mmap_mib), p->checkpoint_pages * 4096 * 4);
	int r = conn_exec(c, sql);
	if (r == 0 && !c->writer) r = conn_exec(c, "PRAGMA query_only = ON");
	/* pages that a large write changes stay in memory: written before the commit they would be looked up again;
	 * and without mmap a page is looked for in the cache at once, not in the log's index first */
	if (r == 0 && c->writer) r = conn_exec(c, "PRAGMA cache_spill = 16384; PRAGMA mmap_size = 0");
	if (r == 0 && p->page_limit != 0) {
		snprintf(sql, sizeof sql, "PRAGMA max_page_count = %zu", p->page_limit);
		r = conn_exec(c, sql);
	}
	if (r == 0 && p->set_up != NULL) r = p->set_up(c);
	if (c->writer) sqlite3_wal_hook(c->sqlite, log_grew, c->db); /* also ends SQLite's own checkpoints */
	return r;
}

int conn_open(struct db *db, bool writer, struct db_conn **out) {
	struct db_conn *c = mem_get(sizeof *c);
	c->db = db;
	c->writer = writer;
	c->hooks_end = &c->hooks;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
	int r = sqlite3_open_v2(db->path, &c->sqlite, flags, LOG_FILE_VFS) == SQLITE_OK ? set_up(c)
	        : c->sqlite != NULL ? conn_fail(c, "open") : cause_fail(DB_CAUSE_OTHER, "%s: out of memory", db->path);
	if (r < 0) {
		conn_close(&c);
		return r;
	}
	*out = c;
	return 0;
}

void conn_close(struct db_conn **cp) {
	struct db_conn *c = TAKE(*cp);
	if (c == NULL) return;
	for (size_t i = 0; i < STMT_SLOTS; i++) {
		while (c->stmts[i] != NULL) {
			struct db_stmt *s = c->stmts[i];
			c->stmts[i] = s->next;
			sqlite3_finalize(s->s);
			free(s);
		}
	}
	sqlite3_close(c->sqlite);
	arena_done(&c->memory);
	free(c);
}

struct db_conn *db_read(struct db *db) {
	pthread_mutex_lock(&db->readers_lock);
	struct db_conn *c = db->readers;
	if (c != NULL) {
		db->readers = c->next;
		db->reader_count--;
	}
	pthread_mutex_unlock(&db->readers_lock);
	if (c == NULL && conn_open(db, false, &c) < 0) return NULL;
	return c;
}

/* With the first statement: many a borrower finds what it wants in memory. */
void snapshot_begin(struct db_conn *c) {
	c->begun = true;
	c->epoch = c->db->epoch;
	AUTO_STMT struct db_stmt *begin = db_sql(c, "BEGIN");
	if (db_run(begin) < 0)
		c->begun = false; /* each statement is its own snapshot then, and says itself what is wrong */
}

void db_release(struct db_conn **cp) {
	struct db_conn *c = TAKE(*cp);
	if (c == NULL) return;
	must(!c->writer);
	arena_reset(&c->memory);
	bool good = true;
	if (c->begun) {
		struct db_stmt *end = db_sql(c, "COMMIT");
		good = db_run(end) == 0;
		db_done(&end);
		c->begun = false;
	}
	struct db *db = c->db;
	pthread_mutex_lock(&db->readers_lock);
	if (good && db->reader_count < IDLE_READERS) {
		c->next = db->readers;
		db->readers = TAKE(c);
		db->reader_count++;
	}
	pthread_mutex_unlock(&db->readers_lock);
	conn_close(&c);
}

struct arena *db_memory(struct db_conn *c) {
	return &c->memory;
}

static void epoch_next(void *arg) {
	struct db *db = arg;
	atomic_fetch_add(&db->epoch, 1);
}

void db_epoch_end(struct db_conn *tx) {
	db_after_commit(tx, epoch_next, tx->db);
}

uint64_t db_epoch_now(const struct db_conn *c) {
	return c->db->epoch;
}

uint64_t db_epoch_read(const struct db_conn *c) {
	return c->begun ? c->epoch : 0;
}

struct db *db_of(struct db_conn *c) {
	return c->db;
}

void *db_attached(const struct db_conn *c) {
	return c->db->attached;
}

void *db_summaries(const struct db_conn *c) {
	return c->db->summaries;
}

int64_t db_changed(struct db_conn *c) {
	return sqlite3_changes64(c->sqlite);
}
