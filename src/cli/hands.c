/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/hands.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/wire.h"
#include "cli/inside.h"
#include "net/link.h"
#include "net/seal.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>

enum hand { HAND_LIST = 1, HAND_OPEN, HAND_CREATE, HAND_MAKE_DIR, HAND_PLACE };
struct hand_ask {
	struct slice path, to;
	int64_t time_us;
};
#define HAND_ASK_FIELDS(F) F(text, path) F(text, to) F(i64, time_us)
WIRE_DECLARE(hand_ask)
WIRE_STRUCT(hand_ask, HAND_ASK_FIELDS)

/* The caller's side. */

static int open_below(int folder, const char *path, int flags, mode_t mode) {
	unsigned all = (unsigned)flags | (unsigned)O_CLOEXEC | (unsigned)O_NOFOLLOW;
	struct open_how how = { .flags = all,
				.mode = mode,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS };
	return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

static int open_regular(int folder, const char *path) {
	struct stat st;
	AUTO_FD int fd = open_below(folder, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &st) != 0) return -1;
	if (S_ISREG(st.st_mode)) return TAKE_FD(fd);
	errno = EINVAL;
	return -1;
}

/* The folder a path is in, and its last word. */
static int open_parent(int folder, struct slice path, char **last) {
	size_t slash = slice_find_last(path, '/');
	AUTO_FREE char *parent = slice_text(slash < path.len ? slice_head(path, slash) : S("."));
	*last = slice_text(slash < path.len ? slice_skip(path, slash + 1) : path);
	return open_below(folder, parent, O_RDONLY | O_DIRECTORY, 0);
}

/* What root makes in somebody's folder is his. */
static void give(int folder, int fd) {
	struct stat st;
	if (geteuid() == 0 && fstat(folder, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) != 0)
		say(L_WARN, "hato", "fchown: %s", strerror(errno));
}

static int make_dir(int folder, struct slice path) {
	AUTO_FREE char *last = NULL;
	AUTO_FREE char *whole = slice_text(path);
	AUTO_FD int parent = open_parent(folder, path, &last);
	if (parent < 0) return -1;
	if (mkdirat(parent, last, 0700) != 0) return errno == EEXIST ? 0 : -1;
	AUTO_FD int made = open_below(folder, whole, O_RDONLY | O_DIRECTORY, 0);
	if (made >= 0) give(folder, made);
	return made >= 0 ? 0 : -1;
}

static int create(int folder, const char *path) {
	int fd = open_below(folder, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd >= 0) give(folder, fd);
	return fd;
}

static int place(int folder, const struct hand_ask *ask) {
	AUTO_FREE char *from = NULL;
	AUTO_FREE char *to = NULL;
	AUTO_FD int here = open_parent(folder, ask->path, &from), there = open_parent(folder, ask->to, &to);
	const struct timespec at = { ask->time_us / 1000000, ask->time_us % 1000000 * 1000 }, times[2] = { at, at };
	if (here < 0 || there < 0) return -1;
	if (ask->time_us != 0 && utimensat(here, from, times, AT_SYMLINK_NOFOLLOW) != 0) return -1;
	return renameat(here, from, there, to);
}

static int act(int folder, uint32_t what, const struct hand_ask *ask) {
	AUTO_FREE char *path = slice_text(ask->path);
	switch (what) {
	case HAND_LIST: return open_below(folder, path, O_RDONLY | O_DIRECTORY, 0);
	case HAND_OPEN: return open_regular(folder, path);
	case HAND_CREATE: return create(folder, path);
	case HAND_MAKE_DIR: return make_dir(folder, ask->path);
	case HAND_PLACE: return place(folder, ask);
	default: errno = EINVAL; return -1;
	}
}

static void serve(int folder, int channel) {
	struct link_received got = { 0 };
	while (link_receive(channel, &got, NEVER) == LINK_OK) {
		AUTO_ARENA struct arena mem = { 0 };
		struct unwire in = UNWIRE(got.frame.body, &mem);
		struct hand_ask ask;
		hand_ask_unpack(&in, &ask);
		errno = EINVAL;
		int r = in.bad || memchr(ask.path.at, '\0', ask.path.len) != NULL ? -1
										  : act(folder, got.frame.kind, &ask);
		bool opens = got.frame.kind <= HAND_CREATE;
		AUTO_FD int fd = opens ? r : -1;
		struct link_frame answer = { .kind = r < 0 ? (uint32_t)errno : 0, .fds = { fd }, .fd_count = fd >= 0 };
		link_received_done(&got);
		if (link_send(channel, &answer) != LINK_OK) return;
	}
}

int hands_run(const struct cli *cli, const char *folder, const char *user, int (*work)(int hands, void *ctx),
	      void *ctx) {
	int pair[2], status = 0;
	AUTO_FD int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0) return complain(cli, EX_NOINPUT, "%s: %s", folder, strerror(errno));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return complain(cli, EX_OSERR, "socket pair: %s", strerror(errno));
	fflush(NULL);
	pid_t worker = fork();
	if (worker == 0) {
		close(pair[0]);
		close(TAKE_FD(dir));
		int code = user != NULL && user_drop(user) < 0 ? complain(cli, EX_OSERR, "%s", fail_text())
							       : work(pair[1], ctx);
		fflush(NULL);
		_exit(code);
	}
	close(pair[1]);
	if (worker < 0) {
		close(pair[0]);
		return complain(cli, EX_OSERR, "fork: %s", strerror(errno));
	}
	serve(dir, pair[0]);
	close(pair[0]);
	while (waitpid(worker, &status, 0) < 0)
		if (errno != EINTR) return EX_OSERR;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

/* The worker's side. */

static int ask_hand(int hands, enum hand what, const struct hand_ask *ask, bool opens) {
	AUTO_BUF struct buf packed = BUF(KIB(64));
	struct link_received got = { 0 };
	hand_ask_pack(&packed, ask);
	int r = link_send(hands, &(struct link_frame){ .kind = what, .body = buf_slice(&packed) });
	if (r == LINK_OK) r = link_receive(hands, &got, NEVER);
	int error = r != LINK_OK ? EPIPE : (int)got.frame.kind;
	int fd = error == 0 && opens ? link_frame_take_fd(&got.frame, 0) : -1;
	link_received_done(&got);
	errno = error;
	return error != 0 ? -1 : opens ? fd : 0;
}

int hands_list(int hands, struct slice path) {
	return ask_hand(hands, HAND_LIST, &(struct hand_ask){ .path = path }, true);
}
int hands_open(int hands, struct slice path) {
	return ask_hand(hands, HAND_OPEN, &(struct hand_ask){ .path = path }, true);
}
int hands_create(int hands, struct slice path) {
	return ask_hand(hands, HAND_CREATE, &(struct hand_ask){ .path = path }, true);
}
int hands_make_dir(int hands, struct slice path) {
	return ask_hand(hands, HAND_MAKE_DIR, &(struct hand_ask){ .path = path }, false);
}
int hands_place(int hands, struct slice from, struct slice to, int64_t time_us) {
	return ask_hand(hands, HAND_PLACE, &(struct hand_ask){ from, to, time_us }, false);
}
