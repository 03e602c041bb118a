/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this room share and nobody else sees. */
#include "db/blob.h"
#include "base/fail.h"

#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>

enum {
	IDLE_READERS = 32 /* opening one costs as much as twenty deliveries */,
	STMT_SLOTS = 128,
	BLOB_FRAME = 256 * 1024
};

struct db_stmt {
	struct db_conn *c;
	sqlite3_stmt *s;
	const char *sql;
	struct db_stmt *next;  /* in its slot of the cache */
	int bound, error;      /* parameters so far; first SQLite error of preparing or binding */
	bool busy, cached;
};

struct hook {
	struct hook *next;
	void (*fn)(void *arg);
	void *arg;
};

/* A draft that was inserted in the write under way, with the references it got so far. */
struct pending {
	struct pending *next;
	struct blob_draft *draft;
	struct slice summary, digest;
	int64_t refs;
};

struct db_conn {
	struct db *db;
	sqlite3 *sqlite;
	struct db_stmt *stmts[STMT_SLOTS];
	struct db_conn *next; /* idle in the pool */
	struct arena memory;
	bool writer, begun;              /* begun: a snapshot is held, since the first statement */
	uint64_t epoch;                  /* when it was begun */
	struct hook *hooks, **hooks_end; /* of the batch */
	struct pending *pending, *pending_last; /* of the write under way */
};

struct pack_pool;
struct write;
struct blob_draft;

struct db {
	char *dir, *path;
	int dir_fd;
	struct db_params params;
	void *attached, *summaries;
	_Atomic uint64_t epoch;
	struct pack_pool *packs;
	struct map_share *map;

	pthread_mutex_t drafts_lock;
	struct blob_draft *drafts, **drafts_end; /* in the order of their ids */

	pthread_mutex_t readers_lock;
	struct db_conn *readers; /* idle */
	size_t reader_count;

	struct db_conn *writer;
	const uint32_t *log_index; /* others.c; NULL: it cannot be looked at */
	_Atomic uint64_t ours;     /* low half: what it says since our last commit; high: that others wrote, so often */
	pthread_mutex_t writes_lock;
	struct write *waiting, **waiting_end;
	bool led;                /* some thread is committing */
	unsigned wary;           /* the leader's: batches that still use savepoints */

	pthread_mutex_t keeper_lock;
	pthread_cond_t keeper_wake;
	pthread_t keeper;
	bool keeper_runs, closing;
	size_t log_pages;        /* length of the write-ahead log after the last commit */
	size_t folded_at;        /* its length when it was folded in last */
};

/* conn.c */
int conn_open(struct db *db, bool writer, struct db_conn **out);
void conn_close(struct db_conn **c);
int conn_exec(struct db_conn *c, const char *sql);
int conn_fail(struct db_conn *c, const char *what); /* fail() with SQLite's text, and the cause */
int cause_fail(enum db_cause cause, const char *format, ...) PRINTF_LIKE(2, 3);
int cause_fail_errno(const char *format, ...) PRINTF_LIKE(1, 2); /* cause from errno */
void cause_set(enum db_cause cause);
void snapshot_begin(struct db_conn *c);

/* text_fts.c: our tokenizer, for text_index.c */
int text_fts_register(struct db_conn *c);

/* schema.c */
int schema_bring_up(struct db_conn *c, const struct db_schema *schema);

/* commit.c */
int keeper_start(struct db *db);
void keeper_stop(struct db *db);
int log_grew(void *db, sqlite3 *sqlite, const char *name, int pages); /* sqlite3_wal_hook */

/* others.c: when the writer is open and the schema is as it should be; and after each commit and its hooks */
void others_begin(struct db *db);
void others_committed(struct db *db);

/* log_file.c: once per process, before the first connection */
#define LOG_FILE_VFS "hato-log"
void log_file_register(void);
/* map_file.c: one mapping of the database file for all connections that read; NULL: it cannot be mapped. */
struct map_share;
struct map_share *map_share_new(int fd, size_t len);
void map_share_free(struct map_share **share); /* after the connections */
void map_file_share(sqlite3 *sqlite, const char *path, struct map_share *share);
/* SQLite's handle has so many bytes, and so much room behind it. */
size_t map_file_room(void);
void map_file_wrap(sqlite3_file *file, size_t handle);

/* blob.c */
int pending_flush(struct db_conn *tx); /* stores the drafts of one write */
void blob_path(int64_t id, char path[static 64]);
int blob_ids_seen(struct db *db);      /* new ids come after those that are there */

/* draft.c */
struct blob_draft {
	struct db *db;
	int64_t id;
	uint64_t size;
	enum { FORM_PLAIN, FORM_ZSTD, FORM_FILE, FORM_LZ4 } form;
	struct buf data; /* of all but files */
	bool kept;       /* committed */
	struct blob_draft *next, **before; /* of those that are out; before: what points here */
};

/* pack.c: contexts are reused, at most a few idle ones kept. Frames carry a checksum. */
struct pack_pool *pack_pool_new(void);
void pack_pool_free(struct pack_pool **pool);
size_t pack_bound(size_t plain);
int pack(struct pack_pool *pool, struct slice plain, char *at, size_t room, size_t *len); /* zstd */
int unpack(struct pack_pool *pool, struct slice packed, char *at, size_t plain); /* exactly so many bytes, else <0 */
/* The same with LZ4, for what every delivery packs and many a command unpacks: a third of the time in both directions,
 * for 6 % (messages of 4 KiB) to 17 % more bytes than zstd's quickest useful level. */
size_t pack_quick_bound(size_t plain);
int pack_quick(struct pack_pool *pool, struct slice plain, char *at, size_t room, size_t *len);
int unpack_quick(struct pack_pool *pool, struct slice packed, char *at, size_t plain);
