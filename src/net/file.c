/* SPDX-License-Identifier: Apache-2.0 */
#include "net/file.h"
#include "base/encode.h"
#include "base/fail.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

int file_read(const char *path, struct buf *out) {
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return fail_errno("%s", path);
	for (;;) {
		size_t step = MIN_OF(out->limit - out->len, KIB(64));
		if (step == 0) {
			char more;
			return read(fd, &more, 1) == 0 ? 0 : fail("%s: larger than %zu bytes", path, out->limit);
		}
		char *at = buf_room(out, step);
		ssize_t n = at != NULL ? read(fd, at, step) : -1;
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return fail_errno("%s", path);
		if (n == 0) return 0;
		out->len += (size_t)n;
	}
}

int file_write_all(int fd, struct slice bytes) {
	while (bytes.len != 0) {
		ssize_t n = write(fd, bytes.at, bytes.len);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return fail_errno("write");
		bytes = slice_skip(bytes, (size_t)n);
	}
	return 0;
}

static int sync_folder_of(const char *path) {
	struct slice whole = slice_of(path);
	size_t slash = slice_find_last(whole, '/');
	AUTO_FREE char *folder =
		slash == whole.len ? mem_text(".") : slice_text(slice_head(whole, MAX_OF(slash, (size_t)1)));
	AUTO_FD int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && fsync(fd) == 0 ? 0 : fail_errno("%s", folder);
}

int file_write(const char *path, struct slice bytes, mode_t mode) {
	AUTO_BUF struct buf temporary = BUF(PATH_MAX);
	uint64_t mark;
	random_fill(&mark, sizeof mark);
	buf_addf(&temporary, "%s.%016llx", path, (unsigned long long)mark);
	const char *name = buf_text(&temporary);
	AUTO_FD int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0) return fail_errno("%s", name);
	if (file_write_all(fd, bytes) < 0 || fsync(fd) != 0 || rename(name, path) != 0) {
		fail_errno("%s", path);
		unlink(name);
		return -1;
	}
	return sync_folder_of(path);
}

int file_make_dir(const char *path, mode_t mode) {
	AUTO_FREE char *copy = mem_text(path);
	for (char *slash = strchr(copy + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) != 0 && errno != EEXIST) return fail_errno("%s", copy);
		*slash = '/';
	}
	if (mkdir(copy, mode) == 0) return 0;
	struct stat st;
	if (errno == EEXIST && stat(copy, &st) == 0 && S_ISDIR(st.st_mode)) return 0;
	return fail_errno("%s", path);
}

int file_spool(const char *dir) {
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0) return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return fail_errno("%s", dir);
	AUTO_BUF struct buf name = BUF(PATH_MAX);
	buf_addf(&name, "%s/spool.XXXXXX", dir);
	buf_text(&name);
	fd = mkostemp(name.at, O_CLOEXEC);
	if (fd < 0) return fail_errno("%s", name.at);
	unlink(name.at);
	return fd;
}

int file_lock(const char *path, int *out) {
	AUTO_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) return fail_errno("%s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) return errno == EWOULDBLOCK ? FILE_LOCKED : fail_errno("%s", path);
	*out = TAKE_FD(fd);
	return 0;
}
