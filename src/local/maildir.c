/* SPDX-License-Identifier: Apache-2.0 */
/* No locks: a name that nobody else can have, and a move that happens or does not. */
#include "local/maildir.h"
#include "base/fail.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Both names have a path of ours in front. */
struct names {
	struct buf tmp, fresh;
};

static void names_done(struct names *n) {
	buf_done(&n->tmp);
	buf_done(&n->fresh);
}

static int make_dir(const char *path) {
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

static int make_folders(const struct maildir *d) {
	static const char *const folders[] = { "", "tmp", "new", "cur" };
	AUTO_FREE char *above = mem_text(d->path);
	for (char *p = strchr(above + 1, '/'); d->make_parents && p != NULL; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (make_dir(above) != 0 && errno != EACCES && errno != EROFS && errno != EPERM) return -1;
		*p = '/';
	}
	for (size_t i = 0; i < LEN(folders); i++) {
		AUTO_BUF struct buf path = BUF(PATH_MAX);
		buf_addf(&path, "%s%s", d->path, folders[i]);
		if (make_dir(buf_text(&path)) != 0) return -1;
	}
	return 0;
}

static int open_tmp(const struct maildir *d, const char *path) {
	for (int tries = 0;; tries++) {
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0 || errno != ENOENT || tries == 1) return fd;
		if (make_folders(d) != 0) return -1;
	}
}

static int sync_dir(const char *path, const char *folder) {
	AUTO_BUF struct buf name = BUF(PATH_MAX);
	buf_addf(&name, "%s%s", path, folder);
	AUTO_FD int fd = open(buf_text(&name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && fsync(fd) == 0 ? 0 : -1;
}

/* A second name that must be new, then away with the first; where there are no hard links, a plain move. */
static int put(const char *from, const char *to) {
	if (link(from, to) == 0) return unlink(from) == 0 ? 0 : -1;
	return errno == EEXIST || errno == ENOSPC || errno == EDQUOT ? -1 : rename(from, to);
}

static const char *failed(const char *what, const char *path, const char *usual) {
	int error = errno;
	fail("%s %s: %s", what, path, strerror(error));
	return local_status_of(error, usual);
}

const char *maildir_add(const struct maildir *d, const struct copy *c, const char *usual) {
	struct names n AUTO(names_done) = { BUF(PATH_MAX), BUF(PATH_MAX) };
	int64_t now = wall_us();
	long seconds = (long)(now / 1000000), part = (long)(now % 1000000);
	buf_addf(&n.tmp, "%stmp/%ld.P%d.%s", d->path, seconds, (int)getpid(), d->host);
	AUTO_FD int fd = open_tmp(d, buf_text(&n.tmp));
	if (n.tmp.full) return fail("%s: name too long", d->path), "5.2.0";
	if (fd < 0) return failed("create maildir file", buf_text(&n.tmp), usual);
	uint64_t written;
	struct stat st;
	int r = copy_to_fd(fd, c, &written);
	const char *bad = NULL;
	if (r != COPY_DONE || fsync(fd) != 0) {
		int error = errno;
		fail("error %s message: %s", r == COPY_READ_FAILED ? "reading" : "writing", strerror(error));
		bad = r == COPY_READ_FAILED ? "4.3.0" : local_status_of(error, usual);
	} else if (fstat(fd, &st) != 0) {
		bad = failed("fstat", buf_text(&n.tmp), usual);
	} else {
		buf_addf(&n.fresh, "%snew/%ld.V%lxI%lxM%06ld.%s,S=%llu", d->path, seconds, (unsigned long)st.st_dev,
			 (unsigned long)st.st_ino, part, d->host, (unsigned long long)written);
		if (n.fresh.full) fail("%s: name too long", d->path), bad = "5.2.0";
		else if (put(buf_text(&n.tmp), buf_text(&n.fresh)) != 0)
			bad = failed("create maildir file", buf_text(&n.fresh), usual);
		else if (sync_dir(d->path, "new") != 0) {
			bad = failed("sync maildir file", buf_text(&n.fresh), "4.3.0");
			unlink(buf_text(&n.fresh));
		}
	}
	if (bad != NULL) unlink(buf_text(&n.tmp));
	return bad;
}
