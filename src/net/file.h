/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Files that survive power loss, and the few other things done with files. Paths are NUL-terminated. */
/* The whole file into *out (appended); fails when it is larger than out's limit. */
int file_read(const char *path, struct buf *out);
/* Replaces path with bytes: a temporary beside it, fsync, rename, fsync of the folder. */
int file_write(const char *path, struct slice bytes, mode_t mode);
int file_make_dir(const char *path, mode_t mode); /* with parents; fine when it is there */
/* An unlinked file in dir, for a body on its way (O_TMPFILE, or mkstemp and unlink). Returns the descriptor. */
int file_spool(const char *dir);
/* Opens (creates) and locks path for this process's life. FILE_LOCKED: somebody else holds it. */
enum { FILE_LOCKED = 1 };
int file_lock(const char *path, int *fd);
int file_write_all(int fd, struct slice bytes);
