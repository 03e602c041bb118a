/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite maps the database file once for each connection, and gives the mapping up with each snapshot that follows a
 * commit, because a program of another kind might have made the file shorter and longer again in between. The pages
 * then fault in one by one, for each connection anew: where 20 clients read while others write that is a third of what
 * core does. Ours is never made shorter while it is open (nothing vacuums), and what is written to a file shows in its
 * mappings. So there is one mapping for all connections of a database, as long as the file may become; what lies behind
 * the file's end is never touched. Every second the system is told that the pages seen so far are not needed (those
 * that are come back by themselves), so that what was looked at once does not count as ours for ever. */
#include "base/clock.h"
#include "db/inside.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { KEPT_MS = 1000 };

struct map_share {
	char *at;
	size_t len;
	dev_t device;
	ino_t inode;
	_Atomic sqlite3_int64 known; /* the file has so many bytes, or more */
	_Atomic int64_t until;
};

struct map_file {
	sqlite3_io_methods methods; /* the layer's own but two */
	const sqlite3_io_methods *real;
	struct map_share *share;    /* NULL: what is wanted is read */
};

struct map_share *map_share_new(int fd, size_t len) {
	struct stat st;
	if (fstat(fd, &st) < 0) return NULL;
	void *at = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) return NULL;
	struct map_share *share = mem_get(sizeof *share);
	*share = (struct map_share){ .at = at, .len = len, .device = st.st_dev, .inode = st.st_ino };
	return share;
}

void map_share_free(struct map_share **sharep) {
	struct map_share *share = TAKE(*sharep);
	if (share == NULL) return;
	munmap(share->at, share->len);
	free(share);
}

/* It lies behind the handle of the layer below, which never looks at what its pointer to methods points to. */
static struct map_file *map_of(sqlite3_file *file) {
	return (struct map_file *)(uintptr_t)file->pMethods;
}

static bool within(struct map_file *m, sqlite3_file *file, sqlite3_int64 end) {
	sqlite3_int64 size;
	if (end > (sqlite3_int64)m->share->len) return false; /* the file may be longer than what is mapped of it */
	if (end <= m->share->known) return true;
	if (m->real->xFileSize(file, &size) != SQLITE_OK) return false;
	m->share->known = size;
	return end <= size;
}

static int map_fetch(sqlite3_file *file, sqlite3_int64 at, int len, void **out) {
	struct map_file *m = map_of(file);
	*out = m->share != NULL && within(m, file, at + len) ? m->share->at + at : NULL;
	return SQLITE_OK;
}

/* at == NULL: a new snapshot, nothing of the mapping is in use in this connection. */
static int map_unfetch(sqlite3_file *file, sqlite3_int64 offset UNUSED, void *at) {
	struct map_file *m = map_of(file);
	sqlite3_int64 size;
	if (at != NULL || m->share == NULL) return SQLITE_OK;
	if (m->real->xFileSize(file, &size) == SQLITE_OK && size < m->share->known) m->share->known = size;
	int64_t now = clock_ms(), until = m->share->until;
	if (now >= until && atomic_compare_exchange_strong(&m->share->until, &until, now + KEPT_MS))
		madvise(m->share->at, MIN_OF((size_t)m->share->known, m->share->len), MADV_DONTNEED);
	return SQLITE_OK;
}

size_t map_file_room(void) {
	return sizeof(struct map_file) + _Alignof(struct map_file);
}

void map_file_wrap(sqlite3_file *file, size_t handle) {
	if (file->pMethods == NULL || file->pMethods->iVersion < 3) return;
	uintptr_t behind = (uintptr_t)file + handle, align = _Alignof(struct map_file);
	struct map_file *m = (struct map_file *)((behind + align - 1) & ~(align - 1));
	*m = (struct map_file){ .methods = *file->pMethods, .real = file->pMethods };
	m->methods.xFetch = map_fetch;
	m->methods.xUnfetch = map_unfetch;
	file->pMethods = &m->methods;
}

/* The file may have been put in the place of the one that is mapped. */
void map_file_share(sqlite3 *sqlite, const char *path, struct map_share *share) {
	sqlite3_file *file = NULL;
	struct stat st;
	if (share == NULL || sqlite3_file_control(sqlite, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK)
		return;
	if (file == NULL || file->pMethods == NULL || file->pMethods->xFetch != map_fetch) return;
	if (stat(path, &st) == 0 && st.st_dev == share->device && st.st_ino == share->inode)
		map_of(file)->share = share;
}
