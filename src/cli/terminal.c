/* SPDX-License-Identifier: Apache-2.0 */
/* Progress is written by a thread of its own, so that nothing that takes long needs to know of it. It uses write(2)
 * only: the server forks while it may be running. */
#include "cli/inside.h"
#include "base/fail.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <sysexits.h>
#include <termios.h>

enum { PASSWORD_MAX = 4096 };

bool terminal_colours(int fd) {
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(fd) && (no == NULL || no[0] == '\0') && (term == NULL || strcmp(term, "dumb") != 0);
}

size_t terminal_width(int fd) {
	struct winsize size;
	if (!isatty(fd)) return 0;
	return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20 ? size.ws_col : 80;
}

/* Byte by byte: what stands behind the line is not ours. */
static bool read_line(struct buf *out) {
	char c;
	ssize_t n;
	while ((n = read(STDIN_FILENO, &c, 1)) == 1 && c != '\n')
		if (!buf_byte(out, c)) return false;
	if (out->len != 0 && out->at[out->len - 1] == '\r') out->len--;
	return n == 1 || out->len != 0;
}

static bool ask_hidden(const char *prompt, struct buf *out) {
	struct termios shown, hidden;
	if (tcgetattr(STDIN_FILENO, &shown) != 0) return false;
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	fprintf(stderr, "%s", prompt);
	fflush(stderr);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	bool read = read_line(out);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	fprintf(stderr, "\n");
	return read;
}

static int ask_twice(const struct cli *cli, struct slice whom, struct buf *out) {
	AUTO_BUF struct buf prompt = BUF(KIB(4));
	AUTO_BUF struct buf again = BUF(PASSWORD_MAX);
	buf_addf(&prompt, "Password for %.*s: ", SLICE_ARG(whom));
	if (!ask_hidden(buf_text(&prompt), out)) return complain(cli, EX_NOINPUT, "no password was given");
	bool same = ask_hidden("The same again: ", &again) && slice_eq(buf_slice(out), buf_slice(&again));
	mem_wipe(again.at, again.len);
	return same ? EX_OK : complain(cli, EX_DATAERR, "the two passwords differ; nothing was changed");
}

int terminal_password(const struct cli *cli, struct slice whom, struct buf *out) {
	if (isatty(STDIN_FILENO)) return ask_twice(cli, whom, out);
	return read_line(out) ? EX_OK : complain(cli, EX_NOINPUT, "no password on the standard input");
}

bool terminal_agrees(const char *question) {
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) return true;
	AUTO_BUF struct buf answer = BUF(PASSWORD_MAX);
	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	return read_line(&answer) && answer.len != 0 && ascii_lower(answer.at[0]) == 'y';
}

/* There is one standard error, so there is one progress. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t over;
	pthread_t thread;
	char what[200];
	bool runs, ends;
} progress = { .lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER };

static void put(const char *text) {
	ssize_t n = write(STDERR_FILENO, text, strlen(text));
	(void)n;
}

static void *show_progress(void *arg) {
	(void)arg;
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1;
	bool shown = false;
	pthread_mutex_lock(&progress.lock);
	while (!progress.ends) {
		until.tv_sec += 1;
		if (pthread_cond_timedwait(&progress.over, &progress.lock, &until) != ETIMEDOUT) continue;
		put(shown ? "." : progress.what);
		shown = true;
	}
	pthread_mutex_unlock(&progress.lock);
	if (shown) put("\n");
	return NULL;
}

void progress_begin(const char *what) {
	if (progress.runs || !isatty(STDERR_FILENO)) return;
	snprintf(progress.what, sizeof progress.what, "hato: %s ...", what);
	progress.ends = false;
	progress.runs = pthread_create(&progress.thread, NULL, show_progress, NULL) == 0;
}

void progress_end(void) {
	if (!progress.runs) return;
	pthread_mutex_lock(&progress.lock);
	progress.ends = true;
	pthread_cond_signal(&progress.over);
	pthread_mutex_unlock(&progress.lock);
	pthread_join(progress.thread, NULL);
	progress.runs = false;
}
