/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/rights.h"
#include "net/file.h"

#include <fcntl.h>
#include <sys/stat.h>
/* What the tests of this room share: a folder of one's own, a message, and a user who is not root: nobody when root
 * runs the tests, else who runs them. */
static char folder[64];
static struct rights user;
static struct arena mem;

static inline struct slice path_of(const char *name) {
	return arena_fmt(&mem, "%s/%s", folder, name);
}

static inline struct slice content(const char *name) {
	AUTO_BUF struct buf b = BUF(MIB(4));
	if (file_read(path_of(name).at, &b) < 0) return SLICE_NONE;
	return arena_slice(&mem, buf_slice(&b));
}

static inline void put(const char *name, const char *text, mode_t mode) {
	const char *path = path_of(name).at;
	AUTO_FD int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	must(fd >= 0 && file_write_all(fd, slice_of(text)) == 0 && fchmod(fd, mode) == 0);
	must(geteuid() != 0 || fchown(fd, user.uid, user.gid) == 0);
}

static inline int message_fd(struct slice text) {
	int fd = file_spool(folder);
	must(fd >= 0 && file_write_all(fd, text) == 0);
	return fd;
}

static inline void begin(void) {
	snprintf(folder, sizeof folder, "/tmp/hato-local-XXXXXX");
	must(mkdtemp(folder) != NULL);
	must(geteuid() == 0 ? rights_find(S("nobody"), &mem, &user) == RIGHTS_OK
			    : rights_find_uid(geteuid(), &mem, &user) == RIGHTS_OK);
	user.home = slice_of(folder);
	must(geteuid() != 0 || chown(folder, user.uid, user.gid) == 0);
}

static inline void end(void) {
	AUTO_BUF struct buf command = BUF(128);
	buf_addf(&command, "rm -rf %s", folder);
	must(system(buf_text(&command)) == 0);
	arena_done(&mem);
}
