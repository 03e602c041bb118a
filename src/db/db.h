/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* The database: connections for reading, group commit for writing, statements. Only this room knows which SQL engine
 * is below; the rooms above write portable SQL with `?` parameters (INSERT … ON CONFLICT, RETURNING and bit operators
 * are portable; OR REPLACE, scalar max(), LIKE on prefixes, rowid and AUTOINCREMENT are not).
 *
 * Failures (<0) leave their cause behind for the thread, beside fail_text(): see db_cause. */
struct db;
struct db_conn; /* one connection: a snapshot for reading (db_read), or the transaction inside db_write */
struct db_stmt;

enum db_cause {
	DB_CAUSE_OTHER,
	DB_CAUSE_FULL,   /* disk full: answer 452 4.3.1 */
	DB_CAUSE_IO,
	DB_CAUSE_BUSY,   /* another process kept the database locked for busy_ms */
	DB_CAUSE_BROKEN, /* damaged data */
};
enum db_cause db_cause(void); /* of the last failure of this room in this thread */

/* A schema is its newest text and the steps that lead to it. Step i leads from version i+1 to i+2; version is
 * step_count + 1. A new database gets the text at once, an older one the steps, a newer one is refused. */
struct db_schema {
	const char *sql;
	const char *const *steps;
	size_t step_count;
};
extern const struct db_schema db_schema_mail; /* schema.sql */

struct db_params {
	const char *file;               /* name inside dir; NULL: "hato.db" */
	const struct db_schema *schema; /* NULL: db_schema_mail */
	size_t cache_kib;               /* page cache of a connection; 0: 1024 */
	size_t mmap_mib;                /* read through the page cache of the system; 0: all of it, or 2 GiB */
	size_t busy_ms;                 /* wait for another process that writes; 0: 10000 */
	size_t inline_limit;            /* stored bytes of a blob that stay in the row; 0: 128 KiB */
	size_t checkpoint_pages;        /* log length that starts a checkpoint; 0: 4096 (16 MiB) */
	int (*set_up)(struct db_conn *c); /* run on each new connection; NULL: nothing. This room's own */
	size_t page_limit;              /* most pages of the database, for tests of a full disk; 0: none */
};
/* Opens dir/file, makes both when they are missing (0700, 0600), brings the schema up to date. params may be NULL. */
int db_open(const char *dir, const struct db_params *params, struct db **out);
void db_close(struct db **db); /* no connection and no draft (blob.h) may be out, no write under way */
const char *db_dir(const struct db *db);

/* Reading: a consistent snapshot from db_read to db_release. Borrow for one command, not while waiting for a network:
 * an old snapshot keeps the log from shrinking. NULL: failed. */
struct db_conn *db_read(struct db *db);
void db_release(struct db_conn **c); /* takes NULL */
#define AUTO_READ AUTO(db_release)

/* Writing: runs fn in a transaction together with the writes of other callers and returns once the commit is on disk.
 * fn returns 0 to keep its changes; any other result takes back what it did (and only that) and is handed to the
 * caller. When the commit itself fails every caller of the batch gets <0 and nothing is changed. fn may run in
 * another caller's thread, must not wait for anything but the disk, and must not call db_write. */
int db_write(struct db *db, int (*fn)(struct db_conn *tx, void *arg), void *arg);
/* The same for less, when fn may be run a second time after all that it did to the database was taken back, and does
 * the same then: it changes nothing else, or only what it sets anew. */
int db_write_repeatable(struct db *db, int (*fn)(struct db_conn *tx, void *arg), void *arg);
/* Runs fn after the commit, before db_write returns, in the thread that committed; not at all when the write is taken
 * back. It must be cheap and must not use the database. */
void db_after_commit(struct db_conn *tx, void (*fn)(void *arg), void *arg);
/* What memory keeps of rows that seldom change is true as long as the epoch is the one it was read in: whoever changes
 * such rows calls db_epoch_end in the transaction, which begins a new epoch after the commit. Epochs of two databases
 * never are the same number. */
void db_epoch_end(struct db_conn *tx);
uint64_t db_epoch_now(const struct db_conn *c);
uint64_t
db_epoch_read(const struct db_conn *c); /* the one this snapshot is of, or older; 0: may not be kept (in a write) */
/* What this process hears of its own writes (db_after_commit) is all there is to hear between two calls that give the
 * same number, unless that is 0: no other process wrote in between. Costs nothing. */
uint64_t db_others(const struct db *db);
struct arena *db_memory(struct db_conn *tx); /* lives until the hooks of the batch have run (db_write) or db_release */
struct db *db_of(struct db_conn *c);
/* One thing of a higher room that has to be found from any connection (the change hub). */
void db_attach(struct db *db, void *thing);
void *db_attached(const struct db_conn *c);
/* And another (the cache of summaries): the first stays until it is taken away with NULL; false: there is one. */
bool db_attach_summaries(struct db *db, void *thing);
void *db_summaries(const struct db_conn *c);

/* A hint before a walk over many rows: the pages with the rows of a table from low to high are going to be read. keys:
 * how many integers, the first columns of its key; 0: it is a table by row number, and low and high are one number.
 * Costs half a microsecond a page, and no more than `most` pages are asked for; how many were. Nothing in a write. */
size_t db_ahead(struct db_conn *c, const char *table, size_t keys, const int64_t *low, const int64_t *high,
		size_t most);

/* A new id: positive, rising with time, unique across processes. */
int64_t db_new_id(void);
void db_ids_after(int64_t id); /* all new ids will be higher: a clock that was set back does not bring old ones again */

/* Statements: db_sql never returns NULL; whatever goes wrong is kept and comes out of db_step. Prepared once per
 * connection; sql is a literal, found again by its address.
 *   AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT name FROM mailbox WHERE account_id = ? AND id = ?");
 *   db_bind_int(s, account); db_bind_int(s, id);
 *   while ((r = db_step(s)) == DB_ROW) use(db_text(s, 0));
 *   if (r < 0) return r; */
enum { DB_DONE, DB_ROW };
struct db_stmt *db_sql(struct db_conn *c, const char *sql) NONNULL_RESULT;
#define AUTO_STMT AUTO(db_done)
void db_done(struct db_stmt **s);
void db_bind_int(struct db_stmt *s, int64_t v); /* each call binds the next parameter */
void db_bind_text(struct db_stmt *s, struct slice v);  /* borrowed until db_done or db_again; at == NULL binds NULL */
void db_bind_bytes(struct db_stmt *s, struct slice v); /* the same for a BLOB column */
void db_bind_null(struct db_stmt *s);
int db_step(struct db_stmt *s) MUST_USE; /* DB_ROW, DB_DONE or <0 */
int db_run(struct db_stmt *s) MUST_USE;  /* steps to the end and makes it ready for new parameters: 0 or <0 */
void db_again(struct db_stmt *s);        /* ready for new parameters */
int64_t db_int(struct db_stmt *s, int column);        /* 0 for NULL; columns count from 0 */
struct slice db_text(struct db_stmt *s, int column);  /* borrowed until the next step; at == NULL for NULL */
struct slice db_bytes(struct db_stmt *s, int column);
bool db_is_null(struct db_stmt *s, int column);
int64_t db_changed(struct db_conn *c);   /* rows changed by the last statement that ran to its end */
