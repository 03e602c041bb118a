/* SPDX-License-Identifier: Apache-2.0 */
#include "role/data.h"
#include "base/fail.h"
#include "net/file.h"

#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

const char *const data_users[CHILDREN] = { "hato-vault", "hato-relay", "hato-core", "hato-edge",
					       NULL /* agent stays who it is */ };

bool data_users_apart(const char *dir) {
	if (geteuid() != 0) return false;
	for (size_t i = 0; i < CHILDREN; i++)
		if (data_users[i] != NULL && getpwnam(data_users[i]) == NULL) return false;
	AUTO_FREE char *above = mem_text(dir);
	for (char *p = strchr(above + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
		struct stat st;
		*p = '\0';
		if (stat(above, &st) == 0 && (st.st_mode & S_IXOTH) == 0) return false;
		*p = '/';
	}
	return true;
}

static int make(const char *dir, const char *name, mode_t mode, const char *owner) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s%s%s", dir, name[0] != '\0' ? "/" : "", name);
	const char *p = buf_text(&path);
	if (file_make_dir(p, mode) < 0) return -1;
	if ((mode & 022) != 0 && chmod(p, mode) != 0) return fail_errno("%s", p); /* umask took that away */
	struct passwd *pw = owner != NULL ? getpwnam(owner) : NULL;
	if (pw != NULL && chown(p, pw->pw_uid, pw->pw_gid) != 0) return fail_errno("%s", p);
	return 0;
}

static _Thread_local const struct passwd *new_owner; /* nftw(3) passes nothing on */

static int give_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
	(void)kind;
	(void)where;
	if (st->st_uid == new_owner->pw_uid) return 0;
	return lchown(path, new_owner->pw_uid, new_owner->pw_gid) == 0 ? 0 : fail_errno("%s", path);
}

/* A server that ran as one user before: what it left becomes its owner's. Looks at all of it only when the first file
 * is somebody else's. */
static int give(const char *dir, const char *const *names, const char *owner) {
	new_owner = getpwnam(owner);
	if (new_owner == NULL) return fail("user %s does not exist", owner);
	for (size_t i = 0; names[i] != NULL; i++) {
		AUTO_BUF struct buf path = BUF(PATH_MAX);
		struct stat st;
		buf_addf(&path, "%s/%s", dir, names[i]);
		if (lstat(buf_text(&path), &st) != 0) continue;
		if (i == 0 && st.st_uid == new_owner->pw_uid) return 0;
		if (nftw(buf_text(&path), give_one, 16, FTW_PHYS | FTW_MOUNT) != 0) return -1;
	}
	return 0;
}

static int refused(void) {
	AUTO_FREE char *why = mem_text(fail_text());
	return fail("data_directory: %s (it must name a folder that hato can make and write in)", why);
}

int data_make(const char *dir, bool apart) {
	/* core owns the folder itself: its database lives there */
	static const struct { const char *name; mode_t mode; int owner;
	} folders[] = {
		{ "", 0711, CHILD_CORE },
		{ "run", 0755, -1 },
		{ "vault", 0700, CHILD_VAULT },
		{ "spool", 0700, CHILD_EDGE },
		{ "public", 0755, -1 },
		/* where sendmail leaves mail while edge does not answer: everybody adds, only edge lists, and nobody
		 * takes what is another's (role/pickup.h) */
		{ "maildrop", 01733, CHILD_EDGE },
	};
	static const char *const of_core[] = { "hato.db", "hato.db-wal", "hato.db-shm", "blobs", NULL };
	static const char *const of_vault[] = { "vault/vault.db", "vault/vault.db-wal", "vault/vault.db-shm", NULL };
	for (size_t i = 0; i < LEN(folders); i++)
		if (make(dir, folders[i].name, folders[i].mode,
			 apart && folders[i].owner >= 0 ? data_users[folders[i].owner] : NULL) < 0)
			return refused();
	if (apart &&
	    (give(dir, of_core, data_users[CHILD_CORE]) < 0 || give(dir, of_vault, data_users[CHILD_VAULT]) < 0))
		return refused();
	return 0;
}

enum { SPARE = MIB(1), LEAST_SPARE = KIB(128), FULL_BELOW = SPARE };

bool data_full(const char *dir) {
	struct statvfs v;
	return statvfs(dir, &v) == 0 && (uint64_t)v.f_bavail * v.f_frsize < FULL_BELOW;
}

bool data_spare_take(const char *dir) {
	if (!data_full(dir)) return false;
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s/run/spare", dir);
	unlink(buf_text(&path));
	return true;
}

void data_spare_put(const char *dir) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s/run/spare", dir);
	struct stat st = { 0 };
	if (stat(buf_text(&path), &st) == 0 && (st.st_size >= SPARE || data_full(dir))) return;
	AUTO_FD int fd = open(buf_text(&path), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) return;
	off_t size = SPARE;
	while (size >= LEAST_SPARE && posix_fallocate(fd, 0, size) != 0) size /= 2;
	if (size < LEAST_SPARE && st.st_size == 0) unlink(buf_text(&path));
}
