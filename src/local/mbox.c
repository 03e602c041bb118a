/* SPDX-License-Identifier: Apache-2.0 */
/* Other programs write to the same file: each lock that one of them may use is taken, in the order in which Postfix and
 * procmail do (dot lock first), so that nobody waits for the other in a circle. */
#include "local/mbox.h"
#include "base/fail.h"

#include <fcntl.h>
#include <libgen.h>
#include <sys/file.h>
#include <sys/stat.h>

static void wait_a_turn(const struct mbox *box) {
	usleep((useconds_t)MIN_OF(box->locks.delay_ms, (int64_t)SECONDS(10)) * 1000);
}

/* 0, or -1 with errno. A lock file that nobody has touched for long was forgotten. */
static int dot_lock(const struct mbox *box, const char *lock) {
	for (unsigned i = 0;; i++) {
		AUTO_FD int fd = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
		if (fd >= 0) return 0;
		struct stat st;
		if (errno != EEXIST) return -1;
		if (lstat(lock, &st) == 0 && wall_s() - st.st_ctime > box->locks.stale_s && unlink(lock) == 0) continue;
		if (i + 1 >= MAX_OF(box->locks.attempts, 1u)) return errno = EEXIST, -1;
		wait_a_turn(box);
	}
}

static int lock_by(const struct mbox *box, int fd, bool with_flock) {
	for (unsigned i = 0;; i++) {
		struct flock range = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
		int r = with_flock ? flock(fd, LOCK_EX | LOCK_NB) : fcntl(fd, F_SETLK, &range);
		if (r == 0) return 0;
		if (errno == EACCES || errno == EWOULDBLOCK) errno = EAGAIN;
		if (errno != EINTR && (errno != EAGAIN || i + 1 >= MAX_OF(box->locks.attempts, 1u))) return -1;
		wait_a_turn(box);
	}
}

/* A file that a user could have put in the way must not lead us elsewhere: no links, hard or soft. */
static const char *open_box(const struct mbox *box, const char *usual, int *out, struct stat *st, bool *made) {
	int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
	AUTO_FD int fd = open(box->path, flags | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT) {
		fd = open(box->path, flags | O_NOFOLLOW | O_CREAT | O_EXCL, 0600);
		*made = fd >= 0;
	}
	if (fd < 0 && errno == ELOOP) return fail("cannot open file: it is a symbolic link"), "5.2.0";
	if (fd < 0) {
		int error = errno;
		return fail_errno("cannot open file"), local_status_of(error, usual);
	}
	if (*made && box->chown && fchown(fd, box->uid, box->gid) != 0) return fail_errno("cannot set owner"), "4.3.0";
	if (fstat(fd, st) != 0) return fail_errno("cannot stat file"), "4.3.0";
	if (S_ISREG(st->st_mode) && st->st_nlink > 1)
		return fail("cannot open file: file has %lu hard links", (unsigned long)st->st_nlink), "5.2.0";
	if (!S_ISREG(st->st_mode) && !box->may_be_special)
		return fail("destination %s is not a regular file", box->path), "4.2.0";
	if (box->strict && S_ISREG(st->st_mode) && st->st_uid != box->uid)
		return fail("destination %s is not owned by recipient", box->path), "4.2.0";
	fcntl(fd, F_SETFL, O_APPEND);
	*out = TAKE_FD(fd);
	return NULL;
}

static void sync_folder(const char *path) {
	AUTO_FREE char *copy = mem_text(path);
	AUTO_FD int dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0) (void)fsync(dir);
}

static const char *append(const struct mbox *box, const struct copy *c, int fd, bool made, bool regular,
			  const char *usual) {
	struct stat st;
	if (fstat(fd, &st) != 0) return fail_errno("cannot stat file"), "4.3.0"; /* its size, now that it is locked */
	uint64_t written;
	int r = copy_to_fd(fd, c, &written);
	if (r == COPY_DONE && (!regular || fsync(fd) == 0)) {
		if (made) sync_folder(box->path);
		return NULL;
	}
	int error = errno;
	if (regular && ftruncate(fd, st.st_size) != 0)
		return fail("error writing message: %s, and the file cannot be cut back: %s", strerror(error),
			    strerror(errno)),
		       "4.3.0";
	if (r == COPY_READ_FAILED) return fail("error reading message: %s", strerror(error)), "4.3.0";
	return fail("error writing message: %s", strerror(error)), local_status_of(error, usual);
}

const char *mbox_append(const struct mbox *box, const struct copy *c, const char *usual) {
	AUTO_BUF struct buf lock = BUF(PATH_MAX + 8);
	AUTO_FD int fd = -1;
	struct stat st;
	bool made = false, dotted = false;
	buf_addf(&lock, "%s.lock", box->path);
	/* before the file is made: who finds the mailbox locked leaves nothing behind */
	bool lockable = lstat(box->path, &st) == 0 ? S_ISREG(st.st_mode) : errno == ENOENT;
	if (lockable && box->locks.dotlock) {
		dotted = dot_lock(box, buf_text(&lock)) == 0;
		int error = errno;
		if (!dotted && (error == EEXIST || !box->dotlock_may_fail))
			return fail("unable to create lock file %s: %s", buf_text(&lock), strerror(error)),
			       local_status_of(error == EEXIST ? EAGAIN : error, usual);
	}
	const char *bad = open_box(box, usual, &fd, &st, &made);
	bool regular = bad == NULL && S_ISREG(st.st_mode);
	if (regular && !lockable) bad = (fail("destination %s became another file", box->path), "4.2.0");
	if (bad != NULL) {
		if (dotted) unlink(buf_text(&lock));
		return bad;
	}
	if (regular && ((box->locks.fcntl && lock_by(box, fd, false) != 0) ||
			(box->locks.flock && lock_by(box, fd, true) != 0))) {
		int error = errno;
		bad = local_status_of(error, usual);
		fail("unable to lock for exclusive access: %s", strerror(error));
	}
	if (bad == NULL) bad = append(box, c, fd, made, regular, usual);
	if (dotted) unlink(buf_text(&lock));
	return bad;
}
