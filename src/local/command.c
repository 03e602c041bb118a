/* SPDX-License-Identifier: Apache-2.0 */
/* A program of somebody else may read nothing, print without end, end early or never: neither side of the conversation
 * waits for the other, and time is always limited. */
#include "local/command.h"
#include "base/fail.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <sysexits.h>

enum { OUTPUT_MAX = 4096, EXEC_FAILED = EX_TEMPFAIL, ENVIRONMENT_MAX = 96, EXPORTED_MOST = 64 };

/* Postfix's table of sysexits(3). */
static const struct {
	int code;
	const char *status, *text;
} exits[] = {
	{ EX_USAGE, "5.3.0", "command line usage error" },   { EX_DATAERR, "5.6.0", "data format error" },
	{ EX_NOINPUT, "5.3.0", "cannot open input" },        { EX_NOUSER, "5.1.1", "user unknown" },
	{ EX_NOHOST, "5.1.2", "host name unknown" },         { EX_UNAVAILABLE, "5.3.0", "service unavailable" },
	{ EX_SOFTWARE, "5.3.0", "internal software error" }, { EX_OSERR, "4.3.0", "system resource problem" },
	{ EX_OSFILE, "5.3.0", "critical OS file missing" },  { EX_CANTCREAT, "5.2.0", "can't create user output file" },
	{ EX_IOERR, "5.3.0", "input/output error" },         { EX_TEMPFAIL, "4.3.0", "temporary failure" },
	{ EX_PROTOCOL, "5.5.0", "remote error in protocol" }, { EX_NOPERM, "5.7.0", "permission denied" },
	{ EX_CONFIG, "5.3.5", "local configuration error" },
};

struct slice filtered(struct arena *mem, struct slice value, const char *filter) {
	struct slice copy = arena_slice(mem, value);
	char *at = (char *)(uintptr_t)copy.at;
	for (size_t i = 0; i < copy.len; i++)
		if (at[i] == '\0' || (filter != NULL && strchr(filter, at[i]) == NULL)) at[i] = '_';
	return copy;
}

void environment_add(struct environment *e, const char *name, struct slice value, const char *filter) {
	must(e->count + 1 < e->room);
	struct slice clean = filtered(e->mem, value, filter);
	e->at[e->count++] = (char *)(uintptr_t)arena_fmt(e->mem, "%s=%.*s", name, SLICE_ARG(clean)).at;
}

static void hand_on(struct environment *e, const struct exported *x, struct slice word) {
	if (slice_starts(word, S("{")) && slice_ends(word, S("}")))
		word = slice_trim(slice_head(slice_skip(word, 1), word.len - 2));
	struct slice value = word, name = slice_trim(slice_cut(&value, '='));
	const char *plain = arena_text(e->mem, name), *ours = getenv(plain);
	if (value.at != NULL) environment_add(e, plain, slice_trim(value), NULL);
	else if (slice_eq(name, S("MAIL_CONFIG"))) environment_add(e, plain, x->conf_dir, NULL);
	else if (ours != NULL) environment_add(e, plain, slice_of(ours), NULL);
}

void environment_begin(struct environment *e, struct arena *mem, const struct exported *x) {
	*e = (struct environment){ arena_array(mem, ENVIRONMENT_MAX, sizeof(char *)), 0, ENVIRONMENT_MAX, mem };
	environment_add(e, "PATH", S("/usr/bin:/bin"), NULL);
	for (size_t i = 0; i < x->count && i < EXPORTED_MOST; i++) hand_on(e, x, x->words[i]);
}

/* Words that only a shell understands. */
static bool needs_shell(const char *text) {
	static const char plain[] = "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \t";
	static const struct slice builtins[] = {
		S(":"),    S("."),    S("break"),    S("cd"),   S("continue"), S("do"),     S("done"),  S("elif"),
		S("else"), S("esac"), S("eval"),     S("exec"), S("exit"),     S("export"), S("fi"),    S("for"),
		S("if"),   S("read"), S("readonly"), S("return"), S("set"),    S("shift"),  S("then"),  S("trap"),
		S("umask"), S("unset"), S("wait"),   S("while"), S("case"),    S("until"),  S("ulimit"), S("times"),
	};
	if (text[strspn(text, plain)] != '\0') return true;
	struct slice rest = slice_of(text), first = slice_word(&rest, " \t");
	for (size_t i = 0; i < LEN(builtins); i++)
		if (slice_eq(first, builtins[i])) return true;
	return slice_find(first, '=') < first.len || first.len == 0;
}

int command_exec(const char *text, const char *const *args, char *const *environment) {
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	if (text == NULL) {
		execvpe(args[0], (char *const *)(uintptr_t)args, environment);
		return errno == ENOMEM || errno == EAGAIN ? EX_TEMPFAIL : EXEC_FAILED;
	}
	if (!needs_shell(text)) {
		struct arena mem = { 0 };
		size_t count = 0;
		char **words = arena_array(&mem, strlen(text) + 2, sizeof *words);
		struct slice rest = slice_of(text), word;
		while ((word = slice_word(&rest, " \t")).len != 0) words[count++] = arena_text(&mem, word);
		execvpe(words[0], words, environment);
		if (errno != ENOENT || strchr(words[0], '/') != NULL) return EXEC_FAILED;
	}
	execle("/bin/sh", "sh", "-c", text, (char *)NULL, environment);
	return EXEC_FAILED;
}

struct running {
	pid_t pid;
	int in, out;               /* our ends: its input, its output; -1: closed */
	struct copy_reader reader;
	struct buf said;
	int write_error, read_error;
};

NO_RETURN static void become(const struct command *c, int in, int out) {
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(out, STDERR_FILENO) < 0) _exit(EX_OSERR);
	if (c->folder != NULL && chdir(c->folder) != 0) {
		dprintf(STDERR_FILENO, "4.3.0 cannot change directory to %s: %s\n", c->folder, strerror(errno));
		_exit(EX_TEMPFAIL);
	}
	int code = command_exec(c->text, c->args, c->environment);
	dprintf(STDERR_FILENO, "%s: %s\n", c->text != NULL ? c->text : c->args[0], strerror(errno));
	_exit(code);
}

static int begin(const struct command *c, struct running *r) {
	int in[2], out[2];
	if (pipe2(in, O_CLOEXEC) != 0) return -1;
	if (pipe2(out, O_CLOEXEC) != 0) {
		close(in[0]);
		close(in[1]);
		return -1;
	}
	r->pid = fork();
	if (r->pid == 0) become(c, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	r->in = in[1];
	r->out = out[0];
	fcntl(r->in, F_SETFL, O_NONBLOCK);
	return r->pid > 0 ? 0 : -1;
}

static void feed(struct running *r) {
	int more = copy_more(&r->reader);
	ssize_t n = more > 0 ? write(r->in, r->reader.out.at, r->reader.out.len) : 0;
	if (n > 0) buf_eat(&r->reader.out, (size_t)n);
	if (n < 0 && errno != EAGAIN && errno != EINTR) r->write_error = errno;
	if (more < 0) r->read_error = errno;
	if (more <= 0 || r->write_error != 0) auto_fd(&r->in);
}

static void hear(struct running *r) {
	char piece[4096];
	ssize_t n = read(r->out, piece, sizeof piece);
	if (n < 0 && errno == EINTR) return;
	if (n <= 0) auto_fd(&r->out);
	else buf_add(&r->said, slice_from(piece, MIN_OF((size_t)n, r->said.limit - r->said.len)));
}

/* False: the time is over. A program that has ended may leave its output open to a child of its own: that is not waited
 * for longer than for the end itself. */
static bool converse(struct running *r, int64_t deadline, int *status) {
	for (;;) {
		pid_t done = waitpid(r->pid, status, WNOHANG);
		if (done == r->pid) {
			if (r->out >= 0) {
				fcntl(r->out, F_SETFL, O_NONBLOCK);
				hear(r);
			}
			return true;
		}
		struct pollfd p[2] = { { .fd = r->in, .events = POLLOUT }, { .fd = r->out, .events = POLLIN } };
		int wait = deadline_left(deadline);
		if (wait == 0) return false;
		/* both ends closed, and still there: its end is not announced by a descriptor */
		if (r->in < 0 && r->out < 0) wait = MIN_OF(wait, 20);
		if (poll(p, 2, MIN_OF(wait, 1000)) < 0 && errno != EINTR) return false;
		if (p[0].revents != 0 && r->in >= 0) feed(r);
		if (p[1].revents != 0 && r->out >= 0) hear(r);
	}
}

/* One printable line. */
static struct slice output_of(struct running *r, struct arena *mem) {
	struct slice said = slice_trim(arena_slice(mem, buf_slice(&r->said)));
	char *at = (char *)(uintptr_t)said.at;
	for (size_t i = 0; i < said.len; i++)
		if (ascii_control(at[i])) at[i] = at[i] == '\n' || at[i] == '\t' || at[i] == '\r' ? ' ' : '?';
	return said;
}

/* "5.7.1 text": the length of the code, 0 when there is none. */
static size_t status_in(struct slice s) {
	size_t n = 0;
	if (s.len < 5 || (s.at[0] != '4' && s.at[0] != '5')) return 0;
	for (int part = 0; part < 3; part++) {
		size_t digits = 0;
		if (part != 0 && (n >= s.len || s.at[n++] != '.')) return 0;
		while (n < s.len && ascii_digit(s.at[n]) && digits < 3) n++, digits++;
		if (digits == 0 || (part == 0 && digits != 1)) return 0;
	}
	return n == s.len || ascii_space(s.at[n]) ? n : 0;
}

static struct local_outcome judge(const struct command *c, int status, struct slice output, struct arena *mem) {
	struct slice name = slice_of(c->text != NULL ? c->text : c->args[0]);
	struct slice intro = output.len != 0 ? S(". Command output: ") : SLICE_NONE;
	size_t code = status_in(output);
	if (code != 0) {
		char text[12] = "";
		memcpy(text, output.at, MIN_OF(code, sizeof text - 1));
		struct slice rest = slice_trim(slice_skip(output, code));
		return local_said(mem, text, "%.*s", SLICE_ARG(rest.len != 0 ? rest : output));
	}
	if (WIFSIGNALED(status))
		return local_said(mem, "4.3.0", "Command died with signal %d: \"%.*s\"%.*s%.*s", WTERMSIG(status),
				  SLICE_ARG(name), SLICE_ARG(intro), SLICE_ARG(output));
	for (size_t i = 0; i < LEN(exits); i++)
		if (exits[i].code == WEXITSTATUS(status))
			return local_said(mem, exits[i].status, "%s%.*s%.*s", exits[i].text, SLICE_ARG(intro),
					  SLICE_ARG(output));
	return local_said(mem, "5.3.0", "Command died with status %d: \"%.*s\"%.*s%.*s", WEXITSTATUS(status),
			  SLICE_ARG(name), SLICE_ARG(intro), SLICE_ARG(output));
}

void command_run(const struct command *c, struct arena *mem, struct local_outcome *out) {
	struct running r = { .pid = -1, .in = -1, .out = -1, .said = BUF(OUTPUT_MAX) };
	copy_begin(&r.reader, &c->copy);
	int status = 0;
	if (begin(c, &r) != 0) {
		*out = local_said(mem, "4.3.0", "cannot start a process: %s", strerror(errno));
	} else if (!converse(&r, deadline_in(c->limit_ms), &status)) {
		struct slice output = output_of(&r, mem);
		kill(r.pid, SIGKILL);
		*out = local_said(mem, "5.3.0", "Command time limit exceeded: \"%s\"%s%.*s",
				  c->text != NULL ? c->text : c->args[0], output.len != 0 ? ". Command output: " : "",
				  SLICE_ARG(output));
	} else if (status != 0) {
		*out = judge(c, status, output_of(&r, mem), mem);
	} else if (r.read_error != 0 || (r.write_error != 0 && r.write_error != EPIPE)) {
		*out = local_said(mem, "4.3.0", "command failed: %s: \"%s\"",
				  strerror(r.read_error != 0 ? r.read_error : r.write_error),
				  c->text != NULL ? c->text : c->args[0]);
	} else {
		*out = local_said(mem, "2.0.0", "%.*s", SLICE_ARG(output_of(&r, mem)));
	}
	auto_fd(&r.in);
	auto_fd(&r.out);
	copy_end(&r.reader);
	buf_done(&r.said);
}
