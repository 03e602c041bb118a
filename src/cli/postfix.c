/* SPDX-License-Identifier: Apache-2.0 */
/* postfix(1) and postlog(1). What they have to say goes to the log, and to a person only at a terminal. */
#include "base/fail.h"
#include "base/log.h"
#include "cli/inside.h"
#include "cli/postfix_tls.h"
#include "cli/tool.h"
#include "conf/conf.h"
#include "role/master.h"

#include <getopt.h>
#include <spawn.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>

enum { EX_FATAL = 1, LINE_MAX_ = 1 << 16 };

struct postfix {
	struct tool tool;
	struct cli cli;
	struct buf data;
	char **words; /* behind the command */
	int count;
};

static void tell(const struct postfix *p, enum log_level level, const char *text) {
	say(level, "postfix-script", "%s", text);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "postfix/postfix-script: %s%s\n", level == L_FATAL ? "fatal: " : "", text);
	(void)p;
}

static int down(const struct postfix *p, enum log_level level) {
	tell(p, level, "the Postfix mail system is not running");
	return EX_FATAL;
}

static bool runs(struct postfix *p, pid_t *pid) {
	return master_pid(buf_text(&p->data), pid) == 0;
}

static int start(struct postfix *p, bool foreground) {
	static const struct slice in_foreground = S("--foreground");
	pid_t pid;
	if (runs(p, &pid)) {
		tell(p, L_FATAL, "the Postfix mail system is already running");
		return EX_FATAL;
	}
	tell(p, L_INFO, "starting the Postfix mail system");
	p->cli.args = &in_foreground;
	p->cli.count = foreground;
	p->cli.quiet = true;
	return run_start(&p->cli) == EX_OK ? EX_OK : EX_FATAL;
}

static int do_start(struct postfix *p) { return start(p, false); }
static int do_start_fg(struct postfix *p) { return start(p, true); }

static int do_stop(struct postfix *p) {
	pid_t pid;
	if (!runs(p, &pid)) return down(p, L_FATAL);
	tell(p, L_INFO, "stopping the Postfix mail system");
	return master_stop(buf_text(&p->data)) == 0 ? EX_OK : tool_fatal(&p->tool, EX_FATAL, "%s", fail_text());
}

static int do_abort(struct postfix *p) {
	pid_t pid;
	if (!runs(p, &pid)) return down(p, L_FATAL);
	tell(p, L_INFO, "aborting the Postfix mail system");
	return master_stop(buf_text(&p->data)) == 0 ? EX_OK : tool_fatal(&p->tool, EX_FATAL, "%s", fail_text());
}

static int do_reload(struct postfix *p) {
	pid_t pid;
	if (!runs(p, &pid)) return down(p, L_FATAL);
	tell(p, L_INFO, "refreshing the Postfix mail system");
	p->cli.quiet = true;
	return run_reload(&p->cli) == EX_OK ? EX_OK : EX_FATAL;
}

static int do_status(struct postfix *p) {
	pid_t pid;
	char text[100];
	if (!runs(p, &pid)) return down(p, L_INFO);
	snprintf(text, sizeof text, "the Postfix mail system is running: PID: %d", (int)pid);
	tell(p, L_INFO, text);
	return EX_OK;
}

static int do_check(struct postfix *p) {
	p->cli.quiet = true;
	return run_check(&p->cli) == EX_OK ? EX_OK : EX_FATAL;
}

static int do_flush(struct postfix *p) {
	char *words[] = { (char *)(uintptr_t)"postqueue", (char *)(uintptr_t)"-c", (char *)(uintptr_t)p->tool.conf_dir,
			  (char *)(uintptr_t)"-f", NULL };
	optind = 0;
	return tool_run(4, words);
}

/* Postfix keeps its own files in order with these; hato's are made by the server when it starts. */
static int do_nothing(struct postfix *p) {
	(void)p;
	return EX_OK;
}

/* maillog_file gets a name with the time; the server takes up a new file when it reloads; then the old one is
 * compressed. */
static int rotate(struct postfix *p, const char *file, const char *suffix, const char *compressor) {
	AUTO_BUF struct buf old = BUF(PATH_MAX);
	char stamp[100];
	struct tm t;
	time_t now = time(NULL);
	pid_t pid, child;
	if (strftime(stamp, sizeof stamp, suffix, localtime_r(&now, &t)) == 0)
		return fail("maillog_file_rotate_suffix = %s: gives nothing", suffix);
	buf_addf(&old, "%s.%s", file, stamp);
	if (rename(file, buf_text(&old)) != 0) return fail_errno("%s", buf_text(&old));
	if (runs(p, &pid) && master_reload(buf_text(&p->data)) < 0) return -1;
	for (int i = 0; runs(p, &pid) && access(file, F_OK) != 0 && i < 100; i++)
		usleep(100000); /* until nobody writes to the old one */
	char *const words[] = { (char *)(uintptr_t)compressor, (char *)(uintptr_t)buf_text(&old), NULL };
	int status = 0, r = posix_spawnp(&child, compressor, NULL, NULL, words, environ);
	if (r != 0) return fail("maillog_file_compressor = %s: %s", compressor, strerror(r));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
	return status == 0 ? 0 : fail("%s %s: it failed", compressor, buf_text(&old));
}

static int do_logrotate(struct postfix *p) {
	static const enum setting_id settings[] = { SET_maillog_file, SET_maillog_file_rotate_suffix,
						    SET_maillog_file_compressor };
	AUTO_CONF struct conf *c = NULL;
	struct slice value[LEN(settings)];
	if (p->count != 0) return tool_fatal(&p->tool, EX_FATAL, "usage postfix logrotate (no arguments)");
	if (conf_load(&(struct conf_options){ .dir = p->tool.conf_dir }, &c) < 0)
		return tool_fatal(&p->tool, EX_FATAL, "%s", fail_text());
	for (size_t i = 0; i < LEN(settings); i++) {
		value[i] = conf_text(conf_main(c), settings[i]);
		if (value[i].len == 0)
			return tool_fatal(&p->tool, EX_FATAL, "empty '%s' parameter value - logfile rotation failed",
					  setting_of(settings[i])->name);
	}
	if (slice_starts(value[0], S("/dev/"))) return tool_fatal(&p->tool, EX_FATAL, "not rotating '%s'", value[0].at);
	if (rotate(p, value[0].at, value[1].at, value[2].at) == 0) return EX_OK;
	return tool_fatal(&p->tool, EX_FATAL, "logfile '%s' rotation failed: %s", value[0].at, fail_text());
}

static int do_tls(struct postfix *p) { return postfix_tls(&p->tool, p->count, p->words); }

static const struct {
	const char *name;
	int (*run)(struct postfix *p);
} commands[] = {
	{ "start", do_start },
	{ "start-fg", do_start_fg },
	{ "stop", do_stop },
	{ "reload", do_reload },
	{ "abort", do_abort },
	{ "flush", do_flush },
	{ "check", do_check },
	{ "status", do_status },
	{ "set-permissions", do_nothing },
	{ "upgrade-configuration", do_nothing },
	{ "logrotate", do_logrotate },
	{ "tls", do_tls },
};

static int run(struct postfix *p, const char *name) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	for (size_t i = 0; i < LEN(commands); i++)
		if (strcmp(name, commands[i].name) == 0) return commands[i].run(p);
	buf_addf(&text,
		 "unknown command: '%s'. Usage: postfix start (or stop, reload, abort, flush, check, status, "
		 "set-permissions, "
		 "upgrade-configuration, logrotate, tls)",
		 name);
	tell(p, L_FATAL, buf_text(&text));
	fprintf(stderr, "postfix: fatal: %s\n", buf_text(&text));
	return EX_FATAL;
}

int postfix_main(int argc, char **argv) {
	struct postfix p = { .data = BUF(PATH_MAX) };
	tool_begin(&p.tool, argc, argv);
	for (int letter; (letter = getopt(argc, argv, "+c:Dv")) != -1;) {
		if (letter == 'c') p.tool.conf_dir = optarg;
		if (letter == 'v') p.tool.verbose++;
		if (letter == '?') return tool_fatal(&p.tool, EX_FATAL, "usage: postfix [-c config_dir] [-Dv] command");
	}
	p.cli = (struct cli){ .conf_dir = p.tool.conf_dir, .command = "start" };
	if (tool_data(&p.tool, &p.data) != EX_OK) return EX_FATAL;
	if (tool_log(&p.tool) != EX_OK) return EX_FATAL;
	const char *name = optind < argc ? argv[optind] : "";
	p.cli.command = name;
	p.words = argv + MIN_OF(optind + 1, argc);
	p.count = MAX_OF(argc - optind - 1, 0);
	int code = run(&p, name);
	buf_done(&p.data);
	return code;
}

/* postlog. */

struct line {
	enum log_level level;
	const char *word; /* before the text */
	const char *tag;  /* a whole one behind a /, or the program's */
};

static void log_text(const struct line *l, const char *text) {
	say(l->level, l->tag, "%s", text);
	if (isatty(STDERR_FILENO)) fprintf(stderr, "%s: %s%s\n", l->tag[0] == '/' ? l->tag + 1 : l->tag, l->word, text);
}

static bool take_priority(const char *name, struct line *out) {
	static const struct { const char *name; enum log_level level; const char *word;
	} all[] = {
		{ "info", L_INFO, "" },          { "warn", L_WARN, "warning: " }, { "warning", L_WARN, "warning: " },
		{ "error", L_ERROR, "error: " }, { "err", L_ERROR, "error: " },   { "fatal", L_FATAL, "fatal: " },
		{ "crit", L_FATAL, "fatal: " },  { "panic", L_PANIC, "panic: " },
	};
	for (size_t i = 0; i < LEN(all); i++) {
		if (strcmp(name, all[i].name) != 0) continue;
		out->level = all[i].level;
		out->word = all[i].word;
		return true;
	}
	return false;
}

int postlog_main(int argc, char **argv) {
	struct tool t;
	struct line line = { L_INFO, "", "postlog" };
	AUTO_BUF struct buf tag = BUF(200);
	AUTO_BUF struct buf text = BUF(LINE_MAX_);
	tool_begin(&t, argc, argv);
	for (int letter; (letter = getopt(argc, argv, "c:ip:t:v")) != -1;) {
		if (letter == 'c') t.conf_dir = optarg;
		if (letter == 't') buf_addf(&tag, "/%s", optarg);
		if (letter == 'v') t.verbose++;
		if (letter == 'p' && !take_priority(optarg, &line))
			return tool_fatal(&t, EX_FATAL, "invalid priority name: %s", optarg);
		if (letter == '?')
			return tool_fatal(&t, EX_FATAL,
					  "usage: postlog [-iv] [-c config_dir] [-p priority] [-t tag] [text...]");
	}
	if (tag.len != 0) line.tag = buf_text(&tag);
	if (tool_log(&t) != EX_OK) return EX_FATAL;
	for (int i = optind; i < argc; i++) buf_addf(&text, "%s%s", i == optind ? "" : " ", argv[i]);
	if (optind < argc) {
		log_text(&line, buf_text(&text));
		return EX_OK;
	}
	AUTO_FREE char *in = NULL;
	size_t room = 0;
	for (ssize_t n; (n = getline(&in, &room, stdin)) > 0;) {
		if (in[n - 1] == '\n') in[n - 1] = '\0';
		log_text(&line, in);
	}
	return EX_OK;
}
