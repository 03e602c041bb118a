/* SPDX-License-Identifier: Apache-2.0 */
/* The step from root to a user is taken in a fresh process each time, and never back: whatever happens in a user's
 * folder happens with his rights only. */
#include "local/rights.h"
#include "base/fail.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { ENTRY_MAX = 1 << 20, ANSWER_MAX = 1 << 20, MOST_DESCRIPTORS = 1 << 16 };

static struct rights rights_of(const struct passwd *pw, struct arena *mem) {
	return (struct rights){ .uid = pw->pw_uid,
				.gid = pw->pw_gid,
				.name = arena_slice(mem, slice_of(pw->pw_name)),
				.home = arena_slice(mem, slice_of(pw->pw_dir)),
				.shell = arena_slice(mem, slice_of(pw->pw_shell)) };
}

/* name empty: by uid */
static int find(struct slice name, uid_t uid, struct arena *mem, struct rights *out) {
	if (name.len >= LOGIN_NAME_MAX || slice_find(name, '\0') < name.len) return RIGHTS_UNKNOWN;
	AUTO_FREE char *text = slice_text(name);
	AUTO_FREE char *room = NULL;
	for (size_t size = 1024; size <= ENTRY_MAX; size *= 4) {
		struct passwd entry, *found = NULL;
		room = mem_resize(room, size);
		int error = name.at != NULL ? getpwnam_r(text, &entry, room, size, &found)
					    : getpwuid_r(uid, &entry, room, size, &found);
		if (found != NULL) return *out = rights_of(found, mem), RIGHTS_OK;
		if (error == ERANGE) continue;
		if (error == 0 || error == ENOENT || error == ESRCH) return RIGHTS_UNKNOWN;
		errno = error;
		return fail_errno("error looking up passwd info for %s", text);
	}
	return fail("passwd entry of %s is too large", text);
}

int rights_find(struct slice name, struct arena *mem, struct rights *out) {
	return name.len == 0 ? RIGHTS_UNKNOWN : find(name, 0, mem, out);
}

int rights_find_uid(uid_t uid, struct arena *mem, struct rights *out) {
	return find(SLICE_NONE, uid, mem, out);
}

int rights_find_group(struct slice name, struct arena *mem, gid_t *out) {
	char *text = arena_text(mem, name);
	for (size_t size = 1024; size <= ENTRY_MAX; size *= 4) {
		struct group entry, *found = NULL;
		int error = getgrnam_r(text, &entry, arena_get(mem, size), size, &found);
		if (found != NULL) return *out = found->gr_gid, RIGHTS_OK;
		if (error == ERANGE) continue;
		if (error == 0 || error == ENOENT || error == ESRCH) return RIGHTS_UNKNOWN;
		errno = error;
		return fail_errno("error looking up group info for %s", text);
	}
	return fail("group entry of %s is too large", text);
}

bool rights_within_reach(const struct rights *who) {
	return geteuid() == 0 || who->uid == geteuid();
}

static bool kept(int fd, const int *keep, size_t count) {
	for (size_t i = 0; i < count; i++)
		if (keep[i] == fd) return true;
	return fd <= STDERR_FILENO;
}

static void close_others(const int *keep, size_t count) {
	int highest = STDERR_FILENO;
	for (size_t i = 0; i < count; i++) highest = MAX_OF(highest, keep[i]);
	for (int fd = STDERR_FILENO + 1; fd < highest; fd++)
		if (!kept(fd, keep, count)) close(fd);
	if (close_range((unsigned)highest + 1, ~0u, 0) != 0)
		for (int fd = highest + 1; fd < MOST_DESCRIPTORS; fd++) close(fd);
}

int rights_become(const struct rights *who, const int *keep, size_t count) {
	close_others(keep, count);
	setpgid(0, 0);
	umask(077);
	for (int s = 1; s < NSIG; s++)
		if (s != SIGKILL && s != SIGSTOP) signal(s, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (geteuid() == 0 && (setgroups(1, &who->gid) != 0 || setresgid(who->gid, who->gid, who->gid) != 0 ||
			       setresuid(who->uid, who->uid, who->uid) != 0))
		return fail_errno("cannot become user %.*s", SLICE_ARG(who->name));
	if (geteuid() != who->uid || (who->uid != 0 && setuid(0) == 0))
		return fail("cannot become user %.*s: hato was not started as root", SLICE_ARG(who->name));
	return 0;
}

/* The child. */
NO_RETURN static void run(const struct rights_task *t, int answer, pid_t parent) {
	struct arena mem = { 0 };
	struct local_outcome out = { 0 };
	int keep[LEN(t->keep) + 1];
	must(t->keep_count <= LEN(t->keep));
	for (size_t i = 0; i < t->keep_count; i++) keep[i] = t->keep[i];
	keep[t->keep_count] = answer;
	int r = 0;
	if (t->root != NULL && (chdir(t->root) != 0 || chroot(t->root) != 0))
		r = fail_errno("cannot chroot to %s", t->root);
	if (r == 0) r = rights_become(t->who, keep, t->keep_count + 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent) _exit(1);
	if (!t->new_privileges) prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (t->file_limit != 0)
		setrlimit(RLIMIT_FSIZE, &(struct rlimit){ (rlim_t)t->file_limit, (rlim_t)t->file_limit });
	if (r < 0) out = local_said(&mem, "4.3.0", "%s", fail_text());
	else t->run(t->ctx, &mem, &out);
	AUTO_BUF struct buf packed = BUF(ANSWER_MAX);
	local_outcome_pack(&packed, &out);
	struct slice left = buf_slice(&packed);
	while (left.len != 0) {
		ssize_t n = write(answer, left.at, left.len);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) _exit(1);
		left = slice_skip(left, (size_t)n);
	}
	_exit(0);
}

/* All that the child has to say, until its end or the deadline. */
static bool listen_to(int fd, int64_t deadline, struct buf *said) {
	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int r = poll(&p, 1, deadline_left(deadline));
		if (r < 0 && errno == EINTR) continue;
		if (r <= 0) return false;
		char *room = buf_room(said, 4096);
		if (room == NULL) return true;
		ssize_t n = read(fd, room, 4096);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return true;
		said->len += (size_t)n;
	}
}

static bool believable(const struct local_outcome *o) {
	static const char digits[] = { [LOCAL_LATER] = '4', [LOCAL_DELIVERED] = '2', [LOCAL_NEVER] = '5' };
	if (o->fate > LOCAL_REDIRECTED || o->text.len > LOCAL_TEXT_MAX || o->targets_count > LOCAL_TARGETS_MAX)
		return false;
	if (o->fate == LOCAL_REDIRECTED) return o->targets_count != 0;
	return o->status.len >= 5 && o->status.len < 12 && o->status.at[0] == digits[o->fate];
}

void rights_run(const struct rights_task *t, struct arena *mem, struct local_outcome *out) {
	if (!rights_within_reach(t->who)) {
		*out = local_said(mem, "4.3.0", "cannot become user %.*s: hato was not started as root",
				  SLICE_ARG(t->who->name));
		return;
	}
	int ends[2];
	pid_t self = getpid(), pid = -1;
	if (pipe2(ends, O_CLOEXEC) == 0) {
		pid = fork();
		if (pid == 0) run(t, ends[1], self);
		close(ends[1]);
		if (pid < 0) close(ends[0]);
	}
	if (pid < 0) {
		*out = local_said(mem, "4.3.0", "cannot start a process: %s", strerror(errno));
		return;
	}
	AUTO_BUF struct buf said = BUF(ANSWER_MAX);
	bool ended = listen_to(ends[0], deadline_in(t->limit_ms), &said);
	close(ends[0]);
	if (!ended) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
	}
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
	struct unwire in = UNWIRE(arena_slice(mem, buf_slice(&said)), mem);
	local_outcome_unpack(&in, out);
	if (ended && !in.bad && believable(out)) return;
	kill(-pid, SIGKILL);
	*out = ended ? local_said(mem, "4.3.0", "delivery process died")
		     : local_said(mem, "4.3.0", "delivery took longer than %d s", (int)(t->limit_ms / 1000));
}
