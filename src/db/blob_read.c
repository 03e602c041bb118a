/* SPDX-License-Identifier: Apache-2.0 */
/* Reading bodies. What is in the row is unpacked once; of a file only the frame that is asked for, and the last one
 * is kept, so that reading on costs nothing twice. The table at the end of a file is checked against the row before
 * it is believed. */
#include "db/inside.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { TABLE_TAIL = 9, MEMORY_FD = 1024 * 1024 /* larger ones go to an unlinked file */ };

struct blob {
	struct db *db;
	int64_t id;
	uint64_t size;
	char *plain;        /* all of it, or the frame `held` */
	int fd;             /* of the file, else -1 */
	uint64_t *starts;   /* of each frame in the file, and the end of the last */
	size_t frames, held;
};

static int damaged(const struct blob *b, const char *why) {
	return cause_fail(DB_CAUSE_BROKEN, "blob %016llx: damaged: %s (restore it from a backup)",
	                  (unsigned long long)b->id, why);
}

static int read_at(const struct blob *b, char *to, size_t len, uint64_t at) {
	for (size_t got = 0; got < len;) {
		ssize_t n = pread(b->fd, to + got, len - got, (off_t)(at + got));
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return cause_fail_errno("blob %016llx", (unsigned long long)b->id);
		if (n == 0) return damaged(b, "file too short");
		got += (size_t)n;
	}
	return 0;
}

static uint32_t le32(const char *at) {
	const unsigned char *u = (const unsigned char *)at;
	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static int table_take(struct blob *b, const char *table, uint64_t packed_end) {
	uint64_t at = 0;
	b->starts = mem_array(b->frames + 1, sizeof b->starts[0]);
	for (size_t i = 0; i < b->frames; i++) {
		uint64_t plain = MIN_OF(b->size - (uint64_t)i * BLOB_FRAME, (uint64_t)BLOB_FRAME);
		uint32_t packed = le32(table + i * 8);
		if (le32(table + i * 8 + 4) != plain || packed > pack_bound(BLOB_FRAME))
			return damaged(b, "wrong frame size");
		b->starts[i] = at;
		at += packed;
	}
	b->starts[b->frames] = at;
	return at == packed_end ? 0 : damaged(b, "wrong length");
}

static int table_read(struct blob *b) {
	struct stat st;
	char tail[TABLE_TAIL];
	if (fstat(b->fd, &st) < 0) return cause_fail_errno("blob %016llx", (unsigned long long)b->id);
	b->frames = (size_t)((b->size + BLOB_FRAME - 1) / BLOB_FRAME);
	uint64_t size = (uint64_t)st.st_size, table_len = (uint64_t)b->frames * 8;
	if (size < 8 + table_len + TABLE_TAIL) return damaged(b, "file too short");
	int r = read_at(b, tail, TABLE_TAIL, size - TABLE_TAIL);
	if (r < 0) return r;
	if (le32(tail) != b->frames || le32(tail + 5) != 0x8F92EAB1) return damaged(b, "no table of frames");
	AUTO_FREE char *table = mem_get((size_t)table_len + 1);
	r = read_at(b, table, (size_t)table_len, size - TABLE_TAIL - table_len);
	return r < 0 ? r : table_take(b, table, size - TABLE_TAIL - table_len - 8);
}

static int open_file(struct blob *b) {
	char path[64];
	blob_path(b->id, path);
	b->fd = openat(b->db->dir_fd, path, O_RDONLY | O_CLOEXEC);
	if (b->fd < 0) return errno == ENOENT ? BLOB_GONE : cause_fail_errno("blob file %s", path);
	return table_read(b);
}

static int open_row(struct blob *b, int form, struct slice data) {
	if (data.at == NULL && b->size != 0) return damaged(b, "no data");
	b->plain = mem_resize(NULL, (size_t)b->size + 1); /* not zeroed */
	if (form == FORM_ZSTD || form == FORM_LZ4) {
		int r = (form == FORM_LZ4 ? unpack_quick : unpack)(b->db->packs, data, b->plain, (size_t)b->size);
		return r < 0 ? damaged(b, fail_text()) : 0;
	}
	if (data.len != b->size) return damaged(b, "wrong length");
	if (data.len != 0) memcpy(b->plain, data.at, data.len);
	return 0;
}

int blob_open(struct db_conn *c, int64_t id, struct blob **out) {
	AUTO_STMT struct db_stmt *s = db_sql(
		c, "SELECT size, form, data FROM blob LEFT JOIN blob_data ON blob_data.id = blob.id WHERE blob.id = ?");
	db_bind_int(s, id);
	int r = db_step(s);
	if (r != DB_ROW) return r < 0 ? r : BLOB_GONE;
	AUTO_BLOB struct blob *b = mem_get(sizeof *b);
	int form = (int)db_int(s, 1);
	*b = (struct blob){ .db = c->db, .id = id, .fd = -1, .size = (uint64_t)db_int(s, 0), .held = SIZE_MAX };
	r = form == FORM_FILE ? open_file(b) : open_row(b, form, db_bytes(s, 2));
	if (r == 0) *out = TAKE(b);
	return r;
}

/* What was not worth packing has its own length; what is packed is shorter, and begins as its form does. */
int blob_unpack(struct db_conn *c, struct slice stored, uint64_t size, struct buf *out) {
	static const char zstd[] = { 0x28, (char)0xb5, 0x2f, (char)0xfd }, lz4[] = { 0x04, 0x22, 0x4d, 0x18 };
	bool quick = slice_starts(stored, slice_from(lz4, sizeof lz4));
	bool packed = quick || slice_starts(stored, slice_from(zstd, sizeof zstd));
	if (stored.at == NULL || size > MIB(1) || (packed && stored.len >= size)) return BLOB_ELSEWHERE;
	if (stored.len == size) return buf_add(out, stored) ? 0 : BLOB_ELSEWHERE;
	char *at = packed ? buf_room(out, (size_t)size) : NULL;
	if (at == NULL || (quick ? unpack_quick : unpack)(c->db->packs, stored, at, (size_t)size) < 0)
		return BLOB_ELSEWHERE;
	out->len += (size_t)size;
	return 0;
}

int blob_open_stored(struct db_conn *c, int64_t id, struct slice stored, uint64_t size, struct blob **out) {
	struct buf plain = BUF((size_t)MIN_OF(size, (uint64_t)MIB(1)));
	if (size == 0 || blob_unpack(c, stored, size, &plain) != 0) {
		buf_done(&plain);
		return blob_open(c, id, out);
	}
	*out = mem_get(sizeof **out);
	**out = (struct blob){ .db = c->db, .id = id, .fd = -1, .size = size, .held = SIZE_MAX, .plain = plain.at };
	return 0;
}

void blob_close(struct blob **bp) {
	struct blob *b = TAKE(*bp);
	if (b == NULL) return;
	auto_fd(&b->fd);
	free(b->starts);
	free(b->plain);
	free(b);
}

uint64_t blob_size(const struct blob *b) {
	return b->size;
}

static int hold_frame(struct blob *b, size_t frame) {
	if (b->held == frame) return 0;
	if (b->plain == NULL) b->plain = mem_get(BLOB_FRAME);
	b->held = SIZE_MAX;
	size_t packed_len = (size_t)(b->starts[frame + 1] - b->starts[frame]);
	AUTO_FREE char *packed = mem_get(packed_len + 1);
	int r = read_at(b, packed, packed_len, b->starts[frame]);
	if (r < 0) return r;
	size_t plain = (size_t)MIN_OF(b->size - (uint64_t)frame * BLOB_FRAME, (uint64_t)BLOB_FRAME);
	if (unpack(b->db->packs, slice_from(packed, packed_len), b->plain, plain) < 0) return damaged(b, fail_text());
	b->held = frame;
	return 0;
}

int blob_piece(struct blob *b, uint64_t offset, struct slice *piece) {
	*piece = SLICE_NONE;
	if (offset >= b->size) return 0;
	uint64_t start = 0, len = b->size;
	if (b->fd >= 0) {
		size_t frame = (size_t)(offset / BLOB_FRAME);
		int r = hold_frame(b, frame);
		if (r < 0) return r;
		start = (uint64_t)frame * BLOB_FRAME;
		len = MIN_OF(b->size - start, (uint64_t)BLOB_FRAME);
	}
	*piece = slice_skip(slice_from(b->plain, (size_t)len), (size_t)(offset - start));
	return 0;
}

ssize_t blob_read(struct blob *b, uint64_t offset, char *at, size_t len) {
	size_t got = 0;
	while (got < len) {
		struct slice piece;
		int r = blob_piece(b, offset + got, &piece);
		if (r < 0) return r;
		if (piece.len == 0) break;
		piece = slice_head(piece, len - got);
		memcpy(at + got, piece.at, piece.len);
		got += piece.len;
	}
	return (ssize_t)got;
}

int blob_each(struct blob *b, int (*write)(void *ctx, struct slice piece), void *ctx) {
	struct slice piece;
	for (uint64_t at = 0; at < b->size; at += piece.len) {
		int r = blob_piece(b, at, &piece);
		if (r == 0) r = write(ctx, piece);
		if (r != 0) return r;
	}
	return 0;
}

static int write_piece(void *ctx, struct slice piece) {
	const int *fd = ctx;
	while (piece.len != 0) {
		ssize_t n = write(*fd, piece.at, piece.len);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return cause_fail_errno("body for another process");
		piece = slice_skip(piece, (size_t)n);
	}
	return 0;
}

int blob_fd(struct blob *b) {
	AUTO_FD int fd = b->size <= MEMORY_FD ? memfd_create("body", MFD_CLOEXEC)
	                                      : openat(b->db->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) return cause_fail_errno("body for another process");
	int r = blob_each(b, write_piece, &fd);
	if (r < 0) return r;
	if (lseek(fd, 0, SEEK_SET) < 0) return cause_fail_errno("body for another process");
	return TAKE_FD(fd);
}
