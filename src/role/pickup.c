/* SPDX-License-Identifier: Apache-2.0 */
/* The folder is everybody's, so nothing in it is believed: only plain files with one name, of the agreed mode, are
 * read, and what is in them is said by their owner, through the same session and the same checks as everything else. */
#include "role/pickup.h"
#include "base/fail.h"
#include "base/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum {
	LOOK_EVERY_MS = 60000,
	COMPLETE = 0744,
	ABANDONED_S = 86400,
	PIECE = 65536,
	REPLIES_MAX = 1 << 20,
	PLAY_MS = 600000
};

struct pickup {
	struct task task;
	struct visitors *all;
	struct current settings;
	char *dir;
	int notices; /* inotify, or -1 */
};

/* One file against one session. */
struct play {
	int file, socket;
	char piece[PIECE];
	struct slice left;  /* of the piece */
	bool said;          /* all of the file */
	struct buf heard;
	unsigned worst;     /* the highest class of reply: 2, 4 or 5 */
	bool parted;        /* 221 */
	char refusal[200];
};

static void hear_line(struct play *p, struct slice line) {
	if (line.len < 4 || line.at[3] != ' ') return;
	unsigned class = (unsigned)(line.at[0] - '0');
	if (class > p->worst) {
		p->worst = class;
		snprintf(p->refusal, sizeof p->refusal, "%.*s", SLICE_ARG(line));
	}
	p->parted = slice_starts(line, S("221"));
}

/* False when the other side has ended. */
static bool hear(struct play *p) {
	char *at = buf_room(&p->heard, 4096);
	ssize_t n = at != NULL ? recv(p->socket, at, 4096, MSG_DONTWAIT) : 0;
	if (n < 0) return errno == EAGAIN || errno == EINTR;
	if (n == 0) return false;
	p->heard.len += (size_t)n;
	for (;;) {
		struct slice all = buf_slice(&p->heard);
		size_t end = slice_find(all, '\n');
		if (end == all.len) return true;
		hear_line(p, slice_trim(slice_head(all, end)));
		buf_eat(&p->heard, end + 1);
	}
}

static bool speak(struct play *p) {
	if (p->left.len == 0) {
		ssize_t n = read(p->file, p->piece, PIECE);
		if (n < 0) return false;
		if (n == 0) {
			p->said = true;
			shutdown(p->socket, SHUT_WR);
			return true;
		}
		p->left = slice_from(p->piece, (size_t)n);
	}
	ssize_t n = send(p->socket, p->left.at, p->left.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0) return errno == EAGAIN || errno == EINTR;
	p->left = slice_skip(p->left, (size_t)n);
	return true;
}

/* Plays until the session ends: 2 all was taken, 5 refused for good, 4 later. */
static unsigned play(struct play *p) {
	int64_t deadline = deadline_in(PLAY_MS);
	for (bool on = true; on && deadline_left(deadline) != 0;) {
		struct pollfd f = { .fd = p->socket, .events = (short)(POLLIN | (p->said ? 0 : POLLOUT)) };
		if (poll(&f, 1, deadline_left(deadline)) < 0 && errno != EINTR) return 4;
		if ((f.revents & POLLOUT) != 0) on = speak(p);
		if (on && (f.revents & (POLLIN | POLLHUP | POLLERR)) != 0) on = hear(p);
	}
	if (p->worst >= 5) return 5;
	return p->parted && p->worst < 4 ? 2 : 4;
}

static unsigned play_file(struct pickup *p, int file, uid_t uid, char *refusal, size_t room) {
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return 4;
	visitor_welcome_user(p->all, pair[1], uid, (struct edge_settings *)current_hold(&p->settings));
	struct play *a = mem_get(sizeof *a);
	*a = (struct play){ .file = file, .socket = pair[0], .heard = BUF(REPLIES_MAX) };
	unsigned result = play(a);
	snprintf(refusal, room, "%s", a->refusal);
	close(pair[0]);
	buf_done(&a->heard);
	free(a);
	return result;
}

/* A file worth reading; otherwise -1. What was given up long ago is deleted. */
static int open_file(int dir, const char *name, struct stat *st) {
	AUTO_FD int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, st) != 0 || !S_ISREG(st->st_mode) || st->st_nlink != 1) return -1;
	if ((st->st_mode & 07777) == COMPLETE) return TAKE_FD(fd);
	if (st->st_mtime < wall_s() - ABANDONED_S) unlinkat(dir, name, 0);
	return -1;
}

static void take_file(struct pickup *p, int dir, const char *name) {
	struct stat st;
	char refusal[200];
	AUTO_FD int fd = open_file(dir, name, &st);
	if (fd < 0) return;
	unsigned result = play_file(p, fd, st.st_uid, refusal, sizeof refusal);
	if (result == 2) {
		if (unlinkat(dir, name, 0) != 0)
			say(L_ERROR, "pickup", "cannot delete maildrop/%s: %s", name, strerror(errno));
	} else if (result == 5) {
		AUTO_BUF struct buf kept = BUF(NAME_MAX + 20);
		buf_addf(&kept, "refused.%s", name);
		bool moved = renameat(dir, name, dir, buf_text(&kept)) == 0;
		say(L_WARN, "pickup", "uid=%u: mail that was handed in is refused: %s (it stays in maildrop/%s)",
		    (unsigned)st.st_uid, refusal, moved ? buf_text(&kept) : name);
	} else {
		say(L_WARN, "pickup", "uid=%u: mail that was handed in waits: %s", (unsigned)st.st_uid,
		    refusal[0] != '\0' ? refusal : "no answer");
	}
}

static void look(struct pickup *p) {
	DIR *d = opendir(p->dir);
	if (d == NULL) {
		say(L_WARN, "pickup", "%s: %s", p->dir, strerror(errno));
		return;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.' && strncmp(e->d_name, "refused.", 8) != 0) take_file(p, dirfd(d), e->d_name);
	closedir(d);
}

static void step(struct task *t, enum wake why) {
	struct pickup *p = OWNER_OF(t, struct pickup, task);
	if (why == WAKE_STOP) {
		task_end(t);
		return;
	}
	char events[4096];
	while (p->notices >= 0 && read(p->notices, events, sizeof events) > 0) continue;
	look(p);
	task_park(t, p->notices >= 0 ? (uint32_t)EPOLLIN : 0, 0, deadline_in(LOOK_EVERY_MS));
}

struct pickup *pickup_start(struct visitors *all, const char *data_dir) {
	struct pickup *p = mem_get(sizeof *p);
	AUTO_BUF struct buf dir = BUF(PATH_MAX);
	buf_addf(&dir, "%s/maildrop", data_dir);
	*p = (struct pickup){
		.task.step = step, .all = all, .settings = CURRENT_NONE, .dir = slice_text(buf_slice(&dir))
	};
	p->notices = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (p->notices >= 0) inotify_add_watch(p->notices, p->dir, IN_ATTRIB | IN_MOVED_TO | IN_ONLYDIR);
	return p;
}

void pickup_reload(struct pickup *p, struct edge_settings *settings) {
	bool first = p->task.slot == NULL;
	current_set(&p->settings, &settings->generation);
	if (first) pool_add(p->all->pool, &p->task, p->notices, -1);
}
