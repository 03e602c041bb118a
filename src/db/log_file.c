/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite writes each frame of its log in two calls, 24 bytes and a page, none of them on a page's boundary. A commit so
 * cost more calls than rows. Here what stands one behind the other is gathered and leaves in few large writes, at the
 * latest when the log is synced, which is before anybody is told of it (synchronous = FULL). Whatever SQLite asks of
 * the file in between finds it written. A write that fails is reported by the call that made it leave: SQLite takes the
 * transaction back then as it does after a failed write. */
#include "db/inside.h"

enum { ROOM = 64 * 1024 };

struct log_file {
	sqlite3_file file; /* SQLite's handle: first */
	sqlite3_file *real;
	char *gathered;
	sqlite3_int64 at; /* where the gathered bytes belong */
	int len;
};

static sqlite3_vfs *base;

static struct log_file *log_of(sqlite3_file *file) {
	return (struct log_file *)file;
}

static int leave(struct log_file *f) {
	int len = f->len;
	f->len = 0;
	return len == 0 ? SQLITE_OK : f->real->pMethods->xWrite(f->real, f->gathered, len, f->at);
}

static int log_write(sqlite3_file *file, const void *bytes, int len, sqlite3_int64 at) {
	struct log_file *f = log_of(file);
	if (f->len != 0 && (at != f->at + f->len || len > ROOM - f->len)) {
		int r = leave(f);
		if (r != SQLITE_OK) return r;
	}
	if (len > ROOM) return f->real->pMethods->xWrite(f->real, bytes, len, at);
	if (f->gathered == NULL) f->gathered = mem_get(ROOM);
	if (f->len == 0) f->at = at;
	memcpy(f->gathered + f->len, bytes, (size_t)len);
	f->len += len;
	return SQLITE_OK;
}

static int log_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at) {
	struct log_file *f = log_of(file);
	int r = leave(f);
	return r != SQLITE_OK ? r : f->real->pMethods->xRead(f->real, to, len, at);
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size) {
	struct log_file *f = log_of(file);
	int r = leave(f);
	return r != SQLITE_OK ? r : f->real->pMethods->xTruncate(f->real, size);
}

static int log_sync(sqlite3_file *file, int flags) {
	struct log_file *f = log_of(file);
	int r = leave(f);
	return r != SQLITE_OK ? r : f->real->pMethods->xSync(f->real, flags);
}

static int log_size(sqlite3_file *file, sqlite3_int64 *size) {
	struct log_file *f = log_of(file);
	int r = leave(f);
	return r != SQLITE_OK ? r : f->real->pMethods->xFileSize(f->real, size);
}

static int log_close(sqlite3_file *file) {
	struct log_file *f = log_of(file);
	int r = leave(f), closed = f->real->pMethods->xClose(f->real);
	free(f->gathered);
	f->gathered = NULL;
	return r != SQLITE_OK ? r : closed;
}

static int log_lock(sqlite3_file *file, int kind) {
	return log_of(file)->real->pMethods->xLock(log_of(file)->real, kind);
}

static int log_unlock(sqlite3_file *file, int kind) {
	return log_of(file)->real->pMethods->xUnlock(log_of(file)->real, kind);
}

static int log_is_reserved(sqlite3_file *file, int *out) {
	return log_of(file)->real->pMethods->xCheckReservedLock(log_of(file)->real, out);
}

static int log_control(sqlite3_file *file, int what, void *arg) {
	struct log_file *f = log_of(file);
	int r = leave(f);
	return r != SQLITE_OK ? r : f->real->pMethods->xFileControl(f->real, what, arg);
}

static int log_sector(sqlite3_file *file) {
	return log_of(file)->real->pMethods->xSectorSize(log_of(file)->real);
}

static int log_traits(sqlite3_file *file) {
	return log_of(file)->real->pMethods->xDeviceCharacteristics(log_of(file)->real);
}

static const sqlite3_io_methods methods = {
	.iVersion = 1, /* no shared memory and no mapping: those belong to the database file */
	.xClose = log_close,
	.xRead = log_read,
	.xWrite = log_write,
	.xTruncate = log_truncate,
	.xSync = log_sync,
	.xFileSize = log_size,
	.xLock = log_lock,
	.xUnlock = log_unlock,
	.xCheckReservedLock = log_is_reserved,
	.xFileControl = log_control,
	.xSectorSize = log_sector,
	.xDeviceCharacteristics = log_traits,
};

static int open_file(sqlite3_vfs *vfs UNUSED, sqlite3_filename name, sqlite3_file *file, int flags, int *flags_out) {
	if ((flags & SQLITE_OPEN_WAL) == 0) {
		int opened = base->xOpen(base, name, file, flags, flags_out);
		if (opened == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB) != 0)
			map_file_wrap(file, (size_t)base->szOsFile);
		return opened;
	}
	struct log_file *f = log_of(file);
	*f = (struct log_file){ .real = (sqlite3_file *)(f + 1) };
	int r = base->xOpen(base, name, f->real, flags, flags_out);
	/* with methods set SQLite would close it, also after a failure */
	if (r == SQLITE_OK) f->file.pMethods = &methods;
	else if (f->real->pMethods != NULL) f->real->pMethods->xClose(f->real);
	return r;
}

void log_file_register(void) {
	static sqlite3_vfs vfs;
	base = sqlite3_vfs_find(NULL);
	if (base == NULL) die_now("SQLite has no file system layer");
	vfs = *base;
	vfs.zName = LOG_FILE_VFS;
	vfs.pNext = NULL;
	vfs.szOsFile = (int)MAX_OF(sizeof(struct log_file), map_file_room()) + base->szOsFile;
	vfs.xOpen = open_file;
	sqlite3_vfs_register(&vfs, 0);
}
