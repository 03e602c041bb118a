/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* A blob is a message body, stored once, compressed. Small ones live in the database row (LZ4); large ones in a
 * file blobs/xx/yy/ID (zstd's seekable format: zstdcat reads it), synced before the row is committed.
 *
 * Writing: blob_prepare does the slow part outside the transaction, blob_insert the rest inside:
 *   AUTO_BLOB_DRAFT struct blob_draft *draft = NULL;
 *   blob_prepare(db, &source, &draft);
 *   in db_write:  blob_insert(tx, draft, summary, &id); store_append(tx, … id …); queue_put(tx, … id …);
 * Each user of a blob (message row, queue row) holds one reference. A blob that no one referred to when fn ended is
 * not stored; when the last reference is dropped, the row goes in that transaction and the file after its commit. */
enum blob_answer { BLOB_GONE = 1, BLOB_ELSEWHERE = 2 };

/* The content: the parts in order, then fd_size bytes of fd from fd_from (fd < 0: none; read with pread). */
struct blob_source {
	const struct slice *parts;
	size_t part_count;
	int fd;
	uint64_t fd_from, fd_size;
};
struct blob_draft;
int blob_prepare(struct db *db, const struct blob_source *source, struct blob_draft **out);
uint64_t blob_draft_size(const struct blob_draft *draft);
/* Removes the file again when no transaction with the draft was committed. Takes NULL. */
void blob_draft_done(struct blob_draft **draft);
#define AUTO_BLOB_DRAFT AUTO(blob_draft_done)
/* Every blob of this database with a smaller id is stored by now, or never will be (ids are given before the commit).
 * As long as no other process writes. */
int64_t blob_floor(struct db *db);

/* Enters the draft; draft and summary (opaque bytes, may be empty) must live until db_write returns. Not readable
 * before the commit. A draft may be inserted again after its transaction was taken back, but only once per
 * transaction. */
int blob_insert(struct db_conn *tx, struct blob_draft *draft, struct slice summary, int64_t *id);
/* Stores a digest (opaque bytes, read by message) beside a blob: right behind blob_insert, when they must live as long
 * as the summary; or for any stored blob, in the place of one that is there. One that is gone is no error. */
int blob_digest(struct db_conn *tx, int64_t id, struct slice digest);
int blob_ref(struct db_conn *tx, int64_t id);   /* BLOB_GONE when there is none */
int blob_unref(struct db_conn *tx, int64_t id);
/* Removes a stored blob whose references were counted down in its row (blob.refs, for many at once) and that has none
 * left; form as in the row. */
int blob_remove(struct db_conn *tx, int64_t id, int64_t form);

/* Reading. An open blob is independent of the connection: a slow reader holds no snapshot, and a blob that is deleted
 * meanwhile can be read to its end. For one thread at a time. */
struct blob;
int blob_open(struct db_conn *c, int64_t id, struct blob **out); /* BLOB_GONE */
/* The same for who has read its column blob_data.data already; size: as he knows it. */
int blob_open_stored(struct db_conn *c, int64_t id, struct slice stored, uint64_t size, struct blob **out);
void blob_close(struct blob **b);
#define AUTO_BLOB AUTO(blob_close)
uint64_t blob_size(const struct blob *b); /* plain bytes */
/* Bytes read: len, less only at the end; 0 behind it; <0 damaged. At most one frame (256 KiB) is unpacked at a time. */
ssize_t blob_read(struct blob *b, uint64_t offset, char *at, size_t len);
/* What there is from offset on without another unpacking, borrowed until the next call; empty at the end. */
int blob_piece(struct blob *b, uint64_t offset, struct slice *piece);
/* All of it, piece by piece; stops when write returns other than 0 and returns that. */
int blob_each(struct blob *b, int (*write)(void *ctx, struct slice piece), void *ctx);
/* A new descriptor of the plain body, positioned at its start: a memfd, or an unlinked file when it is large.
 * <0: failed. */
int blob_fd(struct blob *b);
/* For who reads many at once: a small body, straight from its column blob_data.data to the end of out. size: as the
 * caller knows it. BLOB_ELSEWHERE, and nothing was added: it is not there, or not what it should be; blob_open knows.
 * out must have room for size bytes below its limit. */
int blob_unpack(struct db_conn *c, struct slice stored, uint64_t size, struct buf *out);
/* The bytes given to blob_insert; adds nothing when there are none. BLOB_GONE when there is no such blob. */
int blob_summary(struct db_conn *c, int64_t id, struct buf *out);

/* Bytes of others, packed as small bodies are, with a checksum, to the end of out. plain: how many there were. */
int db_pack(struct db *db, struct slice plain, struct buf *out);
int db_unpack(struct db *db, struct slice packed, size_t plain, struct buf *out);

/* What is kept of many blobs, asked for in any order, but cheapest where ids rise and few that are not asked for lie in
 * between, as in a mailbox that was filled at one go. Ends before the connection is released. */
enum blob_kept { BLOB_SUMMARY, BLOB_DIGEST, BLOB_STORED /* for blob_unpack */ };
struct blob_walk;
struct blob_walk *blob_walk(struct db_conn *c, enum blob_kept what);
/* 0 or <0. out: borrowed until the next call; at == NULL when there is nothing. */
int blob_walk_to(struct blob_walk *w, int64_t id, struct slice *out);
void blob_walk_end(struct blob_walk **w); /* NULL is fine */
/* Removes files without a row that are older than min_age_s (what a crash between prepare and commit left behind).
 * Called at start; returns the number removed or <0. */
int blob_sweep(struct db *db, int64_t min_age_s);
