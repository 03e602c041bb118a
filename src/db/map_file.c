/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite gives up its mapping of the database file with each snapshot that follows a commit, because a program of
 * another kind might have made the file shorter and longer again in between. The pages then fault in one by one, and
 * where 20 clients read while others write that is a third of what core does. Ours is never made shorter while it is
 * open (nothing vacuums), and what is written to a file shows in its mappings. So a mapping is kept as long as the file
 * has not grown much beyond it; pages behind its end are read. A file that is shorter after all is mapped anew. */
#include "db/inside.h"

enum { BEYOND_MAX = MIB(4) };

struct map_file {
	sqlite3_io_methods methods; /* the layer's own but two */
	const sqlite3_io_methods *real;
	sqlite3_int64 mapped; /* length of the file when it was mapped; 0: it is not */
};

/* It lies behind the handle of the layer below, which never looks at what its pointer to methods points to. */
static struct map_file *map_of(sqlite3_file *file) {
	return (struct map_file *)(uintptr_t)file->pMethods;
}

static int map_fetch(sqlite3_file *file, sqlite3_int64 at, int len, void **out) {
	struct map_file *m = map_of(file);
	if (m->mapped == 0 && m->real->xFileSize(file, &m->mapped) != SQLITE_OK) m->mapped = 0;
	return m->real->xFetch(file, at, len, out);
}

/* at == NULL: the whole mapping. */
static int map_unfetch(sqlite3_file *file, sqlite3_int64 offset, void *at) {
	struct map_file *m = map_of(file);
	sqlite3_int64 size = 0;
	if (at != NULL || m->mapped == 0) return m->real->xUnfetch(file, offset, at);
	if (m->real->xFileSize(file, &size) == SQLITE_OK && size >= m->mapped && size - m->mapped <= BEYOND_MAX)
		return SQLITE_OK;
	m->mapped = 0;
	return m->real->xUnfetch(file, offset, at);
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
