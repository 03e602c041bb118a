/* SPDX-License-Identifier: Apache-2.0 */
/* The slow half of storing a body: packing, and for large ones the file. It happens before the transaction, in the
 * caller's own thread, so that the committer never waits for it. A file is on disk, with its name, before any row
 * speaks of it; the other way round it is removed here, or by blob_sweep after a crash.
 *
 * File: frames of 256 KiB of plain text, then a skippable frame with the sizes of all frames (the seekable format of
 * zstd's contrib folder), so that any part can be read without unpacking what is before it. */
#include "db/inside.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { PLAIN_INLINE = 128 * 1024 }; /* never unpack more than this at once from a row */

void blob_path(int64_t id, char path[static 64]) {
	snprintf(path, 64, "blobs/%02x/%02x/%016llx", (unsigned)(id >> 11 & 0xff), (unsigned)(id >> 19 & 0xff),
	         (unsigned long long)id);
}

/* Where the reading of a source has come to. */
struct cursor {
	const struct blob_source *source;
	size_t part;
	uint64_t at; /* in the part, then in the descriptor */
};

static int read_fd(struct cursor *c, char *to, size_t room) {
	size_t len = (size_t)MIN_OF((uint64_t)room, c->source->fd_size - c->at);
	for (size_t got = 0; got < len;) {
		ssize_t n = pread(c->source->fd, to + got, len - got, (off_t)(c->source->fd_from + c->at));
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return cause_fail_errno("message body");
		if (n == 0) return cause_fail(DB_CAUSE_OTHER, "message body: its file is shorter than promised");
		got += (size_t)n;
		c->at += (uint64_t)n;
	}
	return 0;
}

/* Fills to; less only at the end. */
static int read_source(struct cursor *c, char *to, size_t room, size_t *len) {
	size_t n = 0;
	for (; c->part < c->source->part_count && n < room; c->at = 0) {
		struct slice rest = slice_head(slice_skip(c->source->parts[c->part], (size_t)c->at), room - n);
		if (rest.len != 0) memcpy(to + n, rest.at, rest.len);
		n += rest.len;
		c->at += rest.len;
		if (c->at < c->source->parts[c->part].len) break;
		c->part++;
	}
	if (n < room && c->part == c->source->part_count && c->source->fd >= 0) {
		uint64_t before = c->at;
		int r = read_fd(c, to + n, room - n);
		if (r < 0) return r;
		n += (size_t)(c->at - before);
	}
	*len = n;
	return 0;
}

static uint64_t source_size(const struct blob_source *s) {
	uint64_t size = s->fd >= 0 ? s->fd_size : 0;
	for (size_t i = 0; i < s->part_count; i++) size += s->parts[i].len;
	return size;
}

/* Small: in the row, when it packs well enough. draft->data stays empty when it does not. */
static int pack_inline(struct blob_draft *d, const struct blob_source *source) {
	AUTO_BUF struct buf plain = BUF(PLAIN_INLINE);
	struct cursor c = { .source = source };
	size_t len = 0, packed = 0, room = pack_quick_bound((size_t)d->size);
	char *at = buf_room(&plain, (size_t)d->size);
	int r = read_source(&c, at, (size_t)d->size, &len);
	if (r < 0) return r;
	plain.len = len;
	AUTO_BUF struct buf small = BUF(room);
	r = pack_quick(d->db->packs, buf_slice(&plain), buf_room(&small, room), room, &packed);
	if (r < 0) return r;
	small.len = packed;
	bool worth = packed + packed / 16 < len;
	if ((worth ? packed : len) > d->db->params.inline_limit) return 0;
	d->form = worth ? FORM_LZ4 : FORM_PLAIN;
	struct buf *kept = worth ? &small : &plain;
	d->data = *kept;
	*kept = BUF(0);
	return 1;
}

static int write_all(int fd, struct slice s) {
	while (s.len != 0) {
		ssize_t n = write(fd, s.at, s.len);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return cause_fail_errno("blob file");
		s = slice_skip(s, (size_t)n);
	}
	return 0;
}

static void put_le32(struct buf *b, size_t v) {
	char bytes[4] = { (char)(v & 0xff), (char)(v >> 8 & 0xff), (char)(v >> 16 & 0xff), (char)(v >> 24 & 0xff) };
	buf_add(b, slice_from(bytes, sizeof bytes));
}

static int write_frames(struct blob_draft *d, int fd, const struct blob_source *source, struct buf *table,
                        size_t *frames) {
	size_t room = pack_bound(BLOB_FRAME);
	AUTO_FREE char *plain = mem_get(BLOB_FRAME);
	AUTO_FREE char *packed = mem_get(room);
	struct cursor c = { .source = source };
	for (;;) {
		size_t len = 0, n = 0;
		int r = read_source(&c, plain, BLOB_FRAME, &len);
		if (r < 0) return r;
		if (len == 0) return 0;
		r = pack(d->db->packs, slice_from(plain, len), packed, room, &n);
		if (r == 0) r = write_all(fd, slice_from(packed, n));
		if (r < 0) return r;
		put_le32(table, n);
		put_le32(table, len);
		++*frames;
	}
}

static int write_file(struct blob_draft *d, int fd, const struct blob_source *source) {
	AUTO_BUF struct buf table = BUF(MIB(64)); /* of messages of 2 TiB */
	size_t frames = 0;
	int r = write_frames(d, fd, source, &table, &frames);
	if (r < 0) return r;
	AUTO_BUF struct buf head = BUF(8);
	put_le32(&head, 0x184D2A5E);
	put_le32(&head, table.len + 9);
	put_le32(&table, frames);
	buf_byte(&table, 0);
	put_le32(&table, 0x8F92EAB1);
	must(!table.full);
	r = write_all(fd, buf_slice(&head));
	if (r == 0) r = write_all(fd, buf_slice(&table));
	if (r == 0 && fdatasync(fd) < 0) r = cause_fail_errno("blob file");
	return r;
}

static int sync_folder(int dir_fd, const char *path) {
	AUTO_FD int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? cause_fail_errno("blob folder %s", path) : 0;
}

/* The folders above path, each synced into the one above it. */
static int make_folders(int dir_fd, const char *path) {
	char above[64] = ".", folder[64];
	for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
		if (mkdirat(dir_fd, folder, 0700) == 0) {
			if (sync_folder(dir_fd, above) < 0) return -1;
		} else if (errno != EEXIST) {
			return cause_fail_errno("blob folder %s", folder);
		}
		memcpy(above, folder, sizeof above);
	}
	return 0;
}

static int make_file(struct blob_draft *d, const struct blob_source *source) {
	char path[64], folder[64];
	int dir = d->db->dir_fd, flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	blob_path(d->id, path);
	AUTO_FD int fd = openat(dir, path, flags, 0600);
	if (fd < 0 && errno == ENOENT) {
		if (make_folders(dir, path) < 0) return -1;
		fd = openat(dir, path, flags, 0600);
	}
	if (fd < 0) return cause_fail_errno("blob file %s/%s", d->db->dir, path);
	d->form = FORM_FILE; /* from here on blob_draft_done removes it */
	snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
	int r = write_file(d, fd, source);
	return r < 0 ? r : sync_folder(dir, folder);
}

static void draft_enter(struct blob_draft *d) {
	struct db *db = d->db;
	pthread_mutex_lock(&db->drafts_lock);
	d->id = db_new_id(); /* here, so that the list is in order */
	d->before = db->drafts_end;
	*db->drafts_end = d;
	db->drafts_end = &d->next;
	pthread_mutex_unlock(&db->drafts_lock);
}

static void draft_leave(struct blob_draft *d) {
	struct db *db = d->db;
	pthread_mutex_lock(&db->drafts_lock);
	*d->before = d->next;
	if (d->next != NULL) d->next->before = d->before;
	else db->drafts_end = d->before;
	pthread_mutex_unlock(&db->drafts_lock);
}

int64_t blob_floor(struct db *db) {
	pthread_mutex_lock(&db->drafts_lock);
	int64_t floor = db->drafts != NULL ? db->drafts->id : db_new_id();
	pthread_mutex_unlock(&db->drafts_lock);
	return floor;
}

int blob_prepare(struct db *db, const struct blob_source *source, struct blob_draft **out) {
	AUTO_BLOB_DRAFT struct blob_draft *d = mem_get(sizeof *d);
	*d = (struct blob_draft){ .db = db, .size = source_size(source) };
	draft_enter(d);
	int r = 0;
	cause_set(DB_CAUSE_OTHER);
	if (d->size <= PLAIN_INLINE) r = pack_inline(d, source);
	if (r == 0) r = make_file(d, source);
	if (r < 0) return r;
	*out = TAKE(d);
	return 0;
}

uint64_t blob_draft_size(const struct blob_draft *d) {
	return d->size;
}

void blob_draft_done(struct blob_draft **dp) {
	struct blob_draft *d = TAKE(*dp);
	if (d == NULL) return;
	draft_leave(d);
	char path[64];
	blob_path(d->id, path);
	if (d->form == FORM_FILE && !d->kept) unlinkat(d->db->dir_fd, path, 0); /* else blob_sweep finds it */
	buf_done(&d->data);
	free(d);
}
