/* SPDX-License-Identifier: Apache-2.0 */
/* One thread, one poll: signals, the children's control sockets, and the time of the next restart. */
#include "role/master.h"
#include "base/fail.h"
#include "net/file.h"
#include "role/data.h"
#include "role/dkim_files.h"
#include "role/expiry.h"
#include "role/files.h"
#include "role/notify.h"
#include "role/settings.h"

#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>

enum {
	READY_MS = 60000,
	STOP_MS = 20000,
	WATCH_MS = 10000,
	STABLE_MS = 2000,
	FIRST_PAUSE_MS = 100,
	LONGEST_PAUSE_MS = 5000,
	OUTCOME_MS = 30000
};
#define OUTCOME "run/reload"

/* What a reload exchanges, all of it or nothing. */
struct in_force {
	struct conf *conf;
	struct listening listening;
	struct identities identities;
	char *oauth2_secret;
};

struct master {
	struct in_force *now, *before; /* before: until every process has taken the new settings; else NULL */
	char *dir, *conf_dir;
	int lock, signals, control_listener, queue_listener, submit_listener, shared, shared_readable;
	int links[LINK_NAMES][2];
	uint64_t stamp;
	struct expiry expiry;
	struct log_target log;
	bool own_users, foreground, stopping;
	bool managed; /* systemd waits for notices; it files under mail what we say by syslog, not what we print */
	bool reloading; /* somebody may not have the new settings yet */
	bool reload_again; /* asked for meanwhile */
	char refused[512]; /* who does not take them, and why; "": nobody */
	bool agent_called; /* core has mail for a Unix user or a program */
	struct child children[CHILDREN];
};

static struct round round_of(const struct master *m) {
	struct round r = { .conf = m->now->conf,
			   .dir = m->dir,
			   .conf_dir = m->conf_dir,
			   .listening = &m->now->listening,
			   .identities = &m->now->identities,
			   .log = &m->log,
			   .control_listener = m->control_listener,
			   .queue_listener = m->queue_listener,
			   .submit_listener = m->submit_listener,
			   .shared = m->shared, .shared_readable = m->shared_readable,
			   .links = (int(*)[2])(uintptr_t)m->links,
			   .oauth2_secret = m->now->oauth2_secret,
			   .foreground = m->foreground };
	for (size_t i = 0; i < CHILDREN && m->own_users; i++) r.users[i] = data_users[i];
	return r;
}

/* Where log lines go. */
static int open_log(struct master *m) {
	struct log_target t;
	if (log_target_of(conf_main(m->now->conf), m->dir, m->foreground && !m->managed, &t) < 0) return -1;
	log_open(&t);
	if (m->log.fd > STDERR_FILENO) close(m->log.fd);
	m->log = t;
	return 0;
}

/* Tells what master itself has to say: on the log, and before the server runs also to the person who starts it. */
static void complain(const struct master *m, bool starting) {
	if (starting) fprintf(stderr, "hato start: %s\n", fail_text());
	if (m->log.name[0] != '\0') say(L_FATAL, "master", "%s", fail_text());
}

/* sasl_oauth2_client_secret_file, read here because it is root's. Its first line counts. */
static int read_oauth2_secret(struct in_force *f) {
	struct slice path = conf_text(conf_main(f->conf), SET_sasl_oauth2_client_secret_file);
	AUTO_BUF struct buf text = BUF(KIB(4));
	if (path.len != 0 && file_read(path.at, &text) < 0) return fail_add("sasl_oauth2_client_secret_file");
	struct slice rest = buf_slice(&text), line = slice_trim(slice_cut(&rest, '\n'));
	free(f->oauth2_secret);
	f->oauth2_secret = line.len != 0 ? slice_text(line) : NULL;
	mem_wipe(text.at, text.len);
	return 0;
}

/* Of all files with keys. */
static uint64_t files_stamp(const struct master *m) {
	return identities_stamp(&m->now->identities) ^ dkim_files_stamp(m->now->conf);
}

/* The data folder. */

static int take_lock(struct master *m) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s/run/lock", m->dir);
	int64_t now = clock_ms(), ending = now + SECONDS(1), at_work = now + SECONDS(30);
	int r;
	while ((r = file_lock(buf_text(&path), &m->lock)) == FILE_LOCKED) {
		pid_t pid = 0; /* of a server, which may have been killed a moment ago; a command leaves none */
		master_pid(m->dir, &pid);
		now = clock_ms();
		if (pid != 0 && now > ending)
			return fail("the mail system is already running: PID %d (hato stop)", (int)pid);
		if (now > at_work) return fail("another command is at work on %s (try again)", m->dir);
		usleep(25000);
	}
	return r;
}

static int write_pid(struct master *m) {
	char text[32];
	int n = snprintf(text, sizeof text, "%d\n", (int)getpid());
	return ftruncate(m->lock, 0) == 0 && pwrite(m->lock, text, (size_t)n, 0) == n ? 0 : fail_errno("run/lock");
}

/* Separate users are used when they exist, and when they can get at the data. */
static void choose_users(struct master *m) {
	m->own_users = data_users_apart(m->dir);
	if (geteuid() == 0 && !m->own_users)
		fprintf(stderr,
			"hato start: warning: everything runs as root: users %s, %s, %s and %s do not exist, or cannot "
			"reach %s "
			"(create them with useradd --system, and let others pass through the folders above)\n",
			data_users[0], data_users[1], data_users[2], data_users[3], m->dir);
}

/* The sockets of this machine's users. */
static int open_doors(struct master *m) {
	AUTO_BUF struct buf run = BUF(PATH_MAX);
	AUTO_BUF struct buf public = BUF(PATH_MAX);
	buf_addf(&run, "%s/run", m->dir);
	buf_addf(&public, "%s/public", m->dir);
	int r = listening_unix(buf_text(&run), "control", 0600, &m->control_listener);
	if (r == 0) r = listening_unix(buf_text(&public), "queue", 0666, &m->queue_listener);
	return r == 0 ? listening_unix(buf_text(&public), "submit", 0666, &m->submit_listener) : r;
}

static int open_all(struct master *m) {
	bool full = data_spare_take(m->dir);
	if (data_make(m->dir, m->own_users) < 0) return EX_CANTCREAT;
	if (take_lock(m) < 0 || write_pid(m) < 0) return EX_UNAVAILABLE;
	if (open_log(m) < 0) return EX_CANTCREAT;
	if (full)
		say(L_ERROR, "master", "%s: disk full: mail can be read; new mail is put off until there is room",
		    m->dir);
	if (dns_check(conf_main(m->now->conf)) < 0 || read_oauth2_secret(m->now) < 0 ||
	    identities_load(m->now->conf, m->dir, false, &m->now->identities) < 0)
		return EX_CONFIG;
	m->stamp = files_stamp(m);
	int listening = listening_open(m->now->conf, NULL, &m->now->listening);
	if (listening != 0) return listening < 0 ? EX_OSERR : EX_CONFIG;
	if (open_doors(m) < 0) return EX_CANTCREAT;
	m->shared = memfd_create("hato", MFD_CLOEXEC);
	if (m->shared < 0 || ftruncate(m->shared, sizeof(struct shared)) != 0)
		return fail_errno("shared memory"), EX_OSERR;
	char again[32];
	snprintf(again, sizeof again, "/proc/self/fd/%d", m->shared);
	m->shared_readable = open(again, O_RDONLY | O_CLOEXEC);
	if (m->shared_readable < 0) return fail_errno("shared memory"), EX_OSERR;
	for (size_t i = 0; i < LINK_NAMES; i++)
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, m->links[i]) != 0)
			return fail_errno("socket pair"), EX_OSERR;
	return EX_OK;
}

/* Children. */

static bool wanted(const struct master *m, size_t which) {
	return child_wanted(which, m->now->conf, m->agent_called);
}

static void child_ended(struct master *m, pid_t pid, int status) {
	for (size_t i = 0; i < CHILDREN; i++) {
		struct child *c = &m->children[i];
		if (c->pid != pid) continue;
		auto_fd(&c->control);
		auto_fd(&c->files);
		c->pid = 0;
		c->owed = 0;
		if (m->stopping || !wanted(m, i)) return;
		/* who served for a while and then died is wanted back at once; who cannot even start need not be tried
		 * all the time */
		c->falls = clock_ms() - c->started >= STABLE_MS ? 1 : c->falls + 1;
		int64_t pause = FIRST_PAUSE_MS;
		for (unsigned k = 1; k < c->falls && pause < LONGEST_PAUSE_MS; k++) pause *= 2;
		c->restart_at = deadline_in(MIN_OF(pause, (int64_t)LONGEST_PAUSE_MS));
		say(L_ERROR, "master", "process %s (pid %d) ended: %s %d; starting it again in %d ms", c->role->name,
		    (int)pid, WIFSIGNALED(status) ? "signal" : "exit code",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		    (int)MIN_OF(pause, (int64_t)LONGEST_PAUSE_MS));
	}
}

static void reap(struct master *m) {
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) child_ended(m, pid, status);
}

static void restart_due(struct master *m) {
	for (size_t i = 0; i < CHILDREN; i++) {
		struct child *c = &m->children[i];
		if (c->pid != 0 || clock_ms() < c->restart_at || !wanted(m, i)) continue;
		struct round r = round_of(m);
		if (child_start(c, i, &r) < 0) {
			complain(m, false);
			c->restart_at = deadline_in(SECONDS(5));
		}
	}
}

/* What the processes take at their start only. */
static void tell_late(const struct conf *old, const struct conf *fresh) {
	static const enum setting_id late[] = { SET_data_directory,    SET_dns_resolvers,     SET_dns_trust_anchor_file,
						SET_blob_inline_limit, SET_edge_worker_limit, SET_core_worker_limit };
	for (size_t i = 0; i < LEN(late); i++)
		if (!slice_eq(conf_text(conf_main(old), late[i]), conf_text(conf_main(fresh), late[i])))
			say(L_WARN, "master", "reload: %s has changed: this takes effect at the next start",
			    setting_of(late[i])->name);
}

static void in_force_free(struct in_force **f) {
	if (*f == NULL) return;
	listening_close(&(*f)->listening);
	identities_done(&(*f)->identities);
	free((*f)->oauth2_secret);
	conf_drop(&(*f)->conf);
	free(*f);
	*f = NULL;
}

static void tell_problems(const struct conf *c) {
	size_t n;
	const struct problem *p = conf_problems(c, &n);
	for (size_t i = 0; i < n; i++)
		say(p[i].level == PROBLEM_ERROR     ? L_ERROR
		    : p[i].level == PROBLEM_WARNING ? L_WARN
						    : L_INFO,
		    "master", "%.*s, line %u: %.*s", SLICE_ARG(p[i].file), p[i].line, SLICE_ARG(p[i].text));
}

/* For hato reload, which waits for it: the time, which makes it another text than the last, and why not. */
static void put_outcome(const struct master *m, const char *why_not) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	AUTO_BUF struct buf text = BUF(KIB(4));
	if (m->reload_again) return; /* what they wait for is still to come */
	buf_addf(&path, "%s/" OUTCOME, m->dir);
	buf_addf(&text, "%lld %s\n", (long long)wall_us(), why_not);
	if (file_write(buf_text(&path), buf_slice(&text), 0600) < 0) say(L_WARN, "master", "%s", fail_text());
}

static void tell_refused(const struct master *m, const char *why) {
	say(L_ERROR, "master", "reload: %s; everything stays as it was", why);
	put_outcome(m, why);
	notify("READY=1\nSTATUS=the last reload was refused: see the log");
}

/* To every process what is in force now. */
static void send_round(struct master *m) {
	m->stamp = files_stamp(m);
	if (open_log(m) < 0) complain(m, false);
	struct round round = round_of(m);
	for (size_t i = 0; i < CHILDREN; i++) {
		if (wanted(m, i)) child_reload(&m->children[i], i, &round);
		else child_stop(&m->children[i]);
	}
	m->reloading = true;
}

static int load(struct master *m, struct in_force *fresh) {
	struct conf_options options = { .dir = m->conf_dir };
	int r = conf_load(&options, &fresh->conf);
	if (r >= 0) tell_problems(fresh->conf);
	if (r == CONF_REFUSED) return fail("the settings have errors");
	if (r < 0 || read_oauth2_secret(fresh) < 0) return -1;
	if (identities_load(fresh->conf, m->dir, !m->now->identities.incomplete, &fresh->identities) < 0) return -1;
	return listening_open(fresh->conf, &m->now->listening, &fresh->listening) == 0 ? 0 : -1;
}

static void reload(struct master *m) {
	m->reload_again = m->reloading;
	if (m->reloading) return;
	struct in_force *fresh = mem_get(sizeof *fresh);
	notify_reloading();
	if (load(m, fresh) < 0) {
		tell_refused(m, fail_text());
		in_force_free(&fresh);
		return;
	}
	tell_late(m->now->conf, fresh->conf);
	m->before = m->now;
	m->now = fresh;
	send_round(m);
}

/* When every process has answered: so that who waits for the line meets the new settings. Where one refuses them, those
 * that took them get the old ones back: never do two work by different ones. */
static void reload_answered(struct master *m) {
	for (size_t i = 0; i < CHILDREN; i++)
		if (m->children[i].owed != 0) return;
	m->reloading = false;
	if (m->refused[0] != '\0' && m->before != NULL) {
		in_force_free(&m->now);
		m->now = TAKE(m->before);
		send_round(m);
		return;
	}
	if (m->before != NULL && m->refused[0] == '\0') {
		expiry_tell_new(&m->now->identities, &m->before->identities);
		m->expiry.next_ms = 0;
	}
	in_force_free(&m->before);
	if (m->refused[0] != '\0') {
		tell_refused(m, m->refused);
		m->refused[0] = '\0';
	} else {
		say(L_INFO, "master", "reload -- version " HATO_VERSION ", configuration %s", m->conf_dir);
		put_outcome(m, "");
		notify("READY=1\nSTATUS=");
	}
	if (m->reload_again) reload(m);
}

static void take_answer(struct master *m, struct child *c) {
	if (child_answer(c) != CONTROL_FAILED) return;
	if (!m->reloading) complain(m, false);
	else if (m->refused[0] == '\0') snprintf(m->refused, sizeof m->refused, "%s", fail_text());
}

static void take_signals(struct master *m) {
	struct signalfd_siginfo s;
	while (read(m->signals, &s, sizeof s) == sizeof s) {
		if (s.ssi_signo == SIGCHLD) reap(m);
		else if (s.ssi_signo == SIGHUP) reload(m);
		else {
			if (!m->stopping) say(L_INFO, "master", "terminating on signal %u", s.ssi_signo);
			m->stopping = true;
		}
	}
}

/* The children's questions for files, among what poll() waits for. */
static void watch_files(const struct master *m, struct pollfd fds[CHILDREN]) {
	for (size_t i = 0; i < CHILDREN; i++)
		fds[i] = (struct pollfd){ .fd = m->children[i].pid != 0 ? m->children[i].files : -1, .events = POLLIN };
}

static void answer_files(struct master *m, const struct pollfd fds[CHILDREN]) {
	for (size_t i = 0; i < CHILDREN; i++)
		if (fds[i].revents != 0 && !files_answer(m->children[i].files, m->now->conf, i == CHILD_RELAY))
			auto_fd(&m->children[i].files);
}

/* One turn: waits for something to happen, at most until the deadline. */
static void turn(struct master *m, int64_t deadline) {
	struct pollfd fds[2 * CHILDREN + 2] = { { .fd = m->signals, .events = POLLIN } };
	struct pollfd *call = &fds[CHILDREN + 1];
	*call = (struct pollfd){ .fd = m->agent_called ? -1 : m->links[LINK_CORE_AGENT][1], .events = POLLIN };
	for (size_t i = 0; i < CHILDREN; i++) {
		fds[i + 1] = (struct pollfd){ .fd = m->children[i].control, .events = POLLIN };
		if (m->children[i].pid == 0 && !m->stopping && wanted(m, i))
			deadline = MIN_OF(deadline, m->children[i].restart_at);
	}
	watch_files(m, fds + CHILDREN + 2);
	if (poll(fds, LEN(fds), deadline_left(deadline)) < 0 && errno != EINTR) die_now("poll: %m");
	answer_files(m, fds + CHILDREN + 2);
	for (size_t i = 0; i < CHILDREN; i++)
		if (fds[i + 1].revents != 0) take_answer(m, &m->children[i]);
	m->agent_called |= (call->revents & POLLIN) != 0;
	take_signals(m);
	if (m->reloading) reload_answered(m);
}

static bool all_ready(const struct master *m) {
	for (size_t i = 0; i < CHILDREN; i++)
		if (!m->children[i].ready && wanted(m, i)) return false;
	return true;
}

/* Until all answer READY; <0 when one fails. */
static int start_children(struct master *m) {
	struct round r = round_of(m);
	for (size_t i = 0; i < CHILDREN; i++)
		if (wanted(m, i) && child_start(&m->children[i], i, &r) < 0) return -1;
	int64_t deadline = deadline_in(READY_MS);
	while (!all_ready(m)) {
		if (deadline_left(deadline) == 0)
			return fail("the server's processes did not become ready in %d s", READY_MS / 1000);
		struct pollfd fds[2 * CHILDREN];
		for (size_t i = 0; i < CHILDREN; i++)
			fds[i] = (struct pollfd){ .fd = m->children[i].ready ? -1 : m->children[i].control,
						  .events = POLLIN };
		watch_files(m, fds + CHILDREN);
		if (poll(fds, LEN(fds), deadline_left(deadline)) < 0 && errno != EINTR) return fail_errno("poll");
		answer_files(m, fds + CHILDREN);
		for (size_t i = 0; i < CHILDREN; i++) {
			if (fds[i].fd < 0 || fds[i].revents == 0) continue;
			uint32_t kind = child_answer(&m->children[i]);
			if (kind == CONTROL_FAILED) return -1;
			if (kind == 0) return fail("process %s ended while it was starting", m->children[i].role->name);
		}
	}
	return 0;
}

static bool gone(struct master *m, size_t which, int64_t deadline) {
	while (m->children[which].pid != 0 && deadline_left(deadline) != 0) turn(m, deadline);
	return m->children[which].pid == 0;
}

/* From the outside in: who takes new work ends first, who others ask ends last. */
static void stop_children(struct master *m) {
	static const size_t order[] = { CHILD_EDGE, CHILD_RELAY, CHILD_AGENT, CHILD_CORE, CHILD_VAULT };
	m->stopping = true;
	notify("STOPPING=1");
	listening_close(&m->now->listening);
	for (size_t i = 0; i < LEN(order); i++) {
		struct child *c = &m->children[order[i]];
		child_stop(c);
		if (c->pid == 0 || gone(m, order[i], deadline_in(STOP_MS))) continue;
		say(L_WARN, "master", "process %s does not end: killed", c->role->name);
		kill(c->pid, SIGKILL);
		gone(m, order[i], deadline_in(SECONDS(5)));
	}
}

static void run(struct master *m) {
	int64_t watch = deadline_in(WATCH_MS);
	while (!m->stopping) {
		turn(m, watch);
		restart_due(m);
		if (deadline_left(watch) != 0) continue;
		watch = deadline_in(WATCH_MS);
		data_spare_put(m->dir);
		expiry_look(&m->expiry, &m->now->identities);
		uint64_t stamp = files_stamp(m);
		if (stamp == m->stamp) continue;
		m->stamp = stamp; /* a broken new pair is complained of once */
		say(L_INFO, "master", "certificate or key changed: reading them again");
		reload(m);
	}
	stop_children(m);
}

static void block_signals(struct master *m) {
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	signal(SIGPIPE, SIG_IGN);
}

static void leave_terminal(void) {
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd <= STDERR_FILENO; fd++) dup2(null, fd);
	if (null > STDERR_FILENO) close(null);
}

/* Everything up to the moment when all services listen. A sysexits code. */
static int bring_up(struct master *m) {
	struct rlimit files;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max; /* connections are descriptors */
		setrlimit(RLIMIT_NOFILE, &files);
	}
	block_signals(m);
	int code = open_all(m);
	if (code != EX_OK) {
		complain(m, true);
		return code;
	}
	if (start_children(m) < 0) {
		complain(m, true);
		for (size_t i = 0; i < CHILDREN; i++) /* nobody was served yet: there is nothing to finish */
			if (m->children[i].pid != 0 && i != CHILD_CORE && i != CHILD_VAULT)
				kill(m->children[i].pid, SIGKILL);
		stop_children(m);
		return EX_UNAVAILABLE;
	}
	data_spare_put(m->dir);
	expiry_look(&m->expiry, &m->now->identities);
	say(L_INFO, "master", "daemon started -- version " HATO_VERSION ", configuration %s", m->conf_dir);
	malloc_trim(0); /* as in boot.c */
	return EX_OK;
}

static int in_background(struct master *m) {
	int done[2];
	if (pipe2(done, O_CLOEXEC) != 0) return fail_errno("pipe"), complain(m, true), EX_OSERR;
	pid_t pid = fork();
	if (pid < 0) return fail_errno("fork"), complain(m, true), EX_OSERR;
	if (pid > 0) {
		close(done[1]);
		unsigned char code = EX_SOFTWARE;
		ssize_t n;
		do n = read(done[0], &code, 1);
		while (n < 0 && errno == EINTR);
		if (n != 1) fprintf(stderr, "hato start: the server ended while it was starting (see the log)\n");
		return code;
	}
	setsid();
	close(done[0]);
	unsigned char code = (unsigned char)bring_up(m);
	if (code == EX_OK) leave_terminal();
	ssize_t n = write(done[1], &code, 1);
	(void)n;
	close(done[1]);
	if (code == EX_OK) run(m);
	_exit(code);
}

int master_start(struct conf *c, bool foreground) {
	struct master m = { .now = mem_get(sizeof *m.now),
			    .lock = -1,
			    .signals = -1,
			    .control_listener = -1,
			    .queue_listener = -1,
			    .submit_listener = -1,
			    .foreground = foreground,
			    .log.fd = -1 };
	m.now->conf = conf_keep(c);
	for (size_t i = 0; i < CHILDREN; i++) m.children[i].control = -1;
	for (size_t i = 0; i < LINK_NAMES; i++) m.links[i][0] = m.links[i][1] = -1;
	m.dir = slice_text(conf_text(conf_main(c), SET_data_directory));
	m.conf_dir = slice_text(conf_dir(c));
	if (m.dir[0] != '/') {
		fprintf(stderr, "hato start: data_directory = %s: must be an absolute path\n", m.dir);
		return EX_CONFIG;
	}
	choose_users(&m);
	if (!foreground) return in_background(&m);
	m.managed = notify_open();
	int code = bring_up(&m);
	if (code != EX_OK) return code;
	notify("READY=1");
	run(&m);
	return EX_OK;
}

/* The other side: commands. */

int master_pid(const char *data_dir, pid_t *pid) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	AUTO_BUF struct buf text = BUF(64);
	buf_addf(&path, "%s/run/lock", data_dir);
	AUTO_FD int lock = -1;
	if (access(buf_text(&path), F_OK) != 0)
		return errno == ENOENT ? MASTER_NOT_RUNNING : fail_errno("%s", buf_text(&path));
	int r = file_lock(buf_text(&path), &lock);
	if (r < 0) return r;
	if (r == 0) return MASTER_NOT_RUNNING;
	uint64_t number;
	if (file_read(buf_text(&path), &text) < 0) return -1;
	if (text.len == 0) return MASTER_NOT_RUNNING; /* held by a command that works on the data meanwhile */
	if (!slice_number(slice_trim(buf_slice(&text)), INT_MAX, &number))
		return fail("%s: holds no process id", buf_text(&path));
	*pid = (pid_t)number;
	return 0;
}

int master_stop(const char *data_dir) {
	pid_t pid, now;
	int r = master_pid(data_dir, &pid);
	if (r != 0) return r;
	if (kill(pid, SIGTERM) != 0) return fail_errno("stop process %d", (int)pid);
	int64_t deadline = deadline_in(STOP_MS * 5);
	while (deadline_left(deadline) != 0) {
		r = master_pid(data_dir, &now);
		if (r != 0 || now != pid) return r < 0 ? r : 0;
		usleep(10000);
	}
	return fail("process %d does not end (see the log)", (int)pid);
}

/* What master said about the last reload, "" when it never did. */
static void read_outcome(const char *data_dir, struct buf *text) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s/" OUTCOME, data_dir);
	buf_clear(text);
	if (file_read(buf_text(&path), text) < 0) buf_clear(text);
}

int master_reload(const char *data_dir) {
	AUTO_BUF struct buf old = BUF(KIB(4));
	AUTO_BUF struct buf text = BUF(KIB(4));
	pid_t pid;
	int r = master_pid(data_dir, &pid);
	if (r != 0) return r;
	read_outcome(data_dir, &old);
	if (kill(pid, SIGHUP) != 0) return fail_errno("reload process %d", (int)pid);
	int64_t deadline = deadline_in(OUTCOME_MS);
	bool told = false;
	while (!told && deadline_left(deadline) != 0) {
		usleep(5000);
		read_outcome(data_dir, &text);
		told = text.len != 0 && !slice_eq(buf_slice(&text), buf_slice(&old));
	}
	struct slice why = buf_slice(&text);
	if (!told)
		return fail("no process said within %d s that it has the settings (see the log)", OUTCOME_MS / 1000);
	slice_cut(&why, ' ');
	why = slice_trim(why);
	if (why.len == 0) return 0;
	fail("%.*s (the server keeps the settings it has)", SLICE_ARG(why));
	return MASTER_REFUSED;
}
