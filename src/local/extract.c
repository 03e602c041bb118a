/* SPDX-License-Identifier: Apache-2.0 */
/* A stranger's file meets a parser of megabytes of foreign code here. So the program runs in a process group of its own
 * below a child of ours that only copies what it says, up to the limit, and then kills the group. Both are cut off from
 * the network. */
#include "local/extract.h"
#include "base/clock.h"
#include "base/fail.h"
#include "net/seal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 16 * 1024, NOT_RUN = 127, FILE_LIMIT = 256 * 1024 * 1024, SLACK_MS = 3000 };

struct run {
	const struct extract_program *p;
	const char *const *argv;
	int file, text;
};

static void limit(int what, uint64_t n) {
	setrlimit((__rlimit_resource_t)what, &(struct rlimit){ (rlim_t)n, (rlim_t)n });
}

NO_RETURN static void become_program(const struct run *r, int out) {
	static const char *const environment[] = { "PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=/",
						   "TMPDIR=/tmp", NULL };
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (dup2(r->file, 0) < 0 || dup2(out, 1) < 0 || dup2(null, 2) < 0 || chdir("/") != 0) _exit(NOT_RUN);
	close_range(3, ~0u, 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_CPU, (uint64_t)(r->p->limit_ms / 1000 + 1));
	limit(RLIMIT_AS, r->p->memory_limit);
	execve(r->argv[0], (char *const *)r->argv, (char *const *)environment);
	_exit(NOT_RUN);
}

/* Until it is silent, says too much (1) or takes too long (2). */
static int copy_out(const struct run *r, int from, int64_t deadline) {
	char piece[PIECE];
	size_t left = r->p->text_limit;
	for (;;) {
		struct pollfd p = { .fd = from, .events = POLLIN };
		int n = poll(&p, 1, deadline_left(deadline));
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return 2;
		ssize_t got = read(from, piece, MIN_OF(left, sizeof piece));
		if (got < 0 && errno == EINTR) continue;
		if (got <= 0) return 0;
		if (write(r->text, piece, (size_t)got) != got) return 1;
		left -= (size_t)got;
		if (left == 0) return 1;
	}
}

/* The end of it, waited for until the deadline; then it is made. */
static bool wait_for(pid_t pid, int64_t deadline, int *status) {
	for (;;) {
		siginfo_t info = { 0 };
		if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG) == 0 && info.si_pid == pid) break;
		if (clock_ms() >= deadline) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			waitpid(pid, status, 0);
			return false;
		}
		poll(NULL, 0, 10);
	}
	kill(-pid, SIGKILL); /* what it left behind; its number is still its own */
	return waitpid(pid, status, 0) == pid;
}

static void in_child(void *ctx, struct arena *mem, struct local_outcome *out) {
	const struct run *r = ctx;
	int ends[2], status = 0;
	int64_t deadline = deadline_in(r->p->limit_ms);
	if (seal_offline() < 0) {
		*out = local_said(mem, "4.3.0", "cannot be cut off from the network: %s", fail_text());
		return;
	}
	pid_t pid = pipe2(ends, O_CLOEXEC) == 0 ? fork() : -1;
	if (pid == 0) become_program(r, ends[1]);
	if (pid < 0) {
		*out = local_said(mem, "4.3.0", "cannot start a process: %s", strerror(errno));
		return;
	}
	setpgid(pid, pid);
	close(ends[1]);
	int said = copy_out(r, ends[0], deadline);
	bool ended = wait_for(pid, said == 0 ? deadline : 0, &status);
	if (said == 1)
		*out = local_said(mem, "2.0.0", "%s", "cut off");
	else if (said == 2 || !ended)
		*out = local_said(mem, "5.3.0", "took longer than %d s", (int)(r->p->limit_ms / 1000));
	else if (WIFSIGNALED(status))
		*out = local_said(mem, "5.3.0", "ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == NOT_RUN)
		*out = local_said(mem, "4.3.5", "%s: cannot be run, or what it runs (exit status %d)", r->argv[0],
				  NOT_RUN);
	else if (WEXITSTATUS(status) != 0)
		*out = local_said(mem, "5.3.0", "exit status %d", WEXITSTATUS(status));
	else
		*out = local_said(mem, "2.0.0", "%s", "done");
}

static void read_back(int fd, size_t most, struct buf *text) {
	char *room = buf_room(text, most);
	for (size_t at = 0; room != NULL && at < most;) {
		ssize_t n = pread(fd, room + at, most - at, (off_t)at);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) break;
		at += (size_t)n;
		text->len += (size_t)n;
	}
}

static const char *clean(struct arena *mem, struct slice word) {
	AUTO_BUF struct buf out = BUF(256);
	for (size_t i = 0; i < MIN_OF(word.len, (size_t)255); i++)
		buf_byte(&out, ascii_control(word.at[i]) || word.at[i] == '/' ? '_' : word.at[i]);
	return arena_text(mem, buf_slice(&out));
}

void extract_run(const struct extract_program *p, struct slice type, struct slice name, int file, struct arena *mem,
		 struct buf *text, struct local_outcome *out) {
	const char **argv = arena_array(mem, p->argc + 3, sizeof *argv);
	memcpy(argv, p->argv, p->argc * sizeof *argv);
	size_t slash = slice_find(type, '/');
	argv[p->argc] =
		arena_fmt(mem, "%s/%s", clean(mem, slice_head(type, slash)), clean(mem, slice_skip(type, slash + 1)))
			.at;
	argv[p->argc + 1] = clean(mem, name);
	AUTO_FD int said = memfd_create("text", MFD_CLOEXEC);
	struct run r = { p, argv, file, said };
	struct rights_task task = { .who = &p->who,
				    .keep = { file, said },
				    .keep_count = 2,
				    .file_limit = FILE_LIMIT,
				    .limit_ms = p->limit_ms + SLACK_MS,
				    .run = in_child,
				    .ctx = &r };
	if (said < 0)
		*out = local_said(mem, "4.3.0", "memory file: %s", strerror(errno));
	else
		rights_run(&task, mem, out);
	if (said >= 0 && out->fate == LOCAL_DELIVERED) read_back(said, p->text_limit, text);
}
