/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "admin/admin.h"
#include "base/fail.h"
#include "cli/inside.h"
#include "cli/tool.h"
#include "cli/transfer.h"

#include <getopt.h>
#include <signal.h>
#include <sysexits.h>

static int run_help(struct cli *cli);
static int run_version(struct cli *cli);
static int run_manual(struct cli *cli);

/* Commands about the server as a whole. Those about what is in it are the table of admin/admin.h. */
static const struct command {
	const char *name, *args, *help; /* help NULL: not shown */
	int (*run)(struct cli *cli);
	bool quiet;                     /* knows -q */
} commands[] = {
	{ "start", "[--foreground]", "start the server; returns when every service listens", run_start, true },
	{ "stop", "", "stop it, when the replies under way are finished", run_stop, true },
	{ "reload", "", "check the configuration and put it into effect", run_reload, true },
	{ "status", "", "does it run, what does it serve, how much waits", run_status },
	{ "check", "[--json]", "look at configuration, tables, certificates, folders and ports", run_check, true },
	{ "check spf", "[--json] [--timeout MS] CLIENT-ADDRESS HELO [SENDER]",
	  "may that client send for SENDER's domain, or else for HELO", run_check },
	{ "check ports", "[--json] [DOMAIN...]",
	  "who answers at the ports of master.cf, here and at our outer addresses, and does mail get out: to the "
	  "relayhost, or to port 25 of the DOMAINs (gmail.com, outlook.com, icloud.com)",
	  run_check },
	{ "check-mail", "[--json] --client-ip IP [--helo NAME] [--mail-from ADDRESS] FILE",
	  "who sent a message, as far as it can be proved: SPF, DKIM, DMARC, ARC, names, block lists; FILE - is the "
	  "standard input",
	  run_check_mail },
	{ "dns", "[DOMAIN] [--check | --zone] [--json]",
	  "the records to publish for each of our domains, beside those in DNS: addresses, MX, PTR, SPF (what is there "
	  "and what we need as one), DKIM, DMARC; in columns and for a zone file. --zone: only that; --check: only "
	  "what is right and what is not, exit code 65 when something is not, 75 when DNS cannot say",
	  run_dns },
	{ "reports", "[DOMAIN] [--days N] [--json | --html FILE]",
	  "what others report of mail in our name (DMARC, TLS, ARF), and what to do about it; also:\n"
	  "        reports parse [--json] FILE              what a report file says: XML, JSON, gzip, zip or a whole "
	  "mail\n"
	  "        reports send [DOMAIN] [--now] [--dry-run]  send the DMARC reports that are due to others; --now: "
	  "today's as well",
	  run_reports },
	{ "import", "maildir DIR | mbox FILE|DIR --account NAME [--json]",
	  "take in a Maildir (Dovecot's, Courier's; Maildir++ or a tree of folders) with folders, flags, uids and "
	  "dates, or mailbox files; may be made again to go on. Options for mbox:\n"
	  "        --mailbox M    where one FILE goes (INBOX); in a DIR each file is a mailbox\n"
	  "        --format F     mboxo, mboxrd, mboxcl or mboxcl2; else Content-Length counts where it is right, and "
	  "\">From \" is \"From \"",
	  run_import, true },
	{ "export", "maildir DIR | mbox DIR [--format F] --account NAME [--json]",
	  "write an account as a Maildir++ that Dovecot and hato import understand, or as mailbox files (mboxrd, or "
	  "format F)",
	  run_export, true },
	{ "help", "[COMMAND|SETTING]", "this text, or more about one command or setting", run_help },
	{ "version", "", "the version of hato", run_version },
	{ "manual", "", NULL, run_manual }, /* hato.cf(5), for the build */
};

static const struct command *find_command(struct slice name) {
	for (size_t i = 0; i < LEN(commands); i++)
		if (slice_eq(name, slice_of(commands[i].name))) return &commands[i];
	return NULL;
}

int complain(const struct cli *cli, int code, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(KIB(64));
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	for (size_t i = 0; i < text.len; i++)
		if (ascii_control(text.at[i])) text.at[i] = '?';
	bool colour = terminal_colours(STDERR_FILENO);
	fprintf(stderr, "%shato%s%s:%s %s\n", colour ? "\033[31m" : "", cli->command[0] != '\0' ? " " : "",
		cli->command, colour ? "\033[0m" : "", buf_text(&text));
	return code;
}

int usage_error(const struct cli *cli, struct slice word) {
	return complain(cli, EX_USAGE, "%.*s: not understood (hato help %s)", SLICE_ARG(word), cli->command);
}

/* Help. */

static bool help_command(struct buf *out, const struct command *c) {
	if (c->help == NULL) return false;
	return buf_addf(out, "  %s%s%s\n        %s\n", c->name, c->args[0] != '\0' ? " " : "", c->args, c->help);
}

static void help_all(struct buf *out) {
	buf_add(out, S("hato, a mail server\n\nusage: hato [-c DIR] [-q] COMMAND\n\n"
		       "  -q    only what is wrong is said\n  -c DIR\n        the folder with "
		       "main.cf and master.cf"
		       " (default: $HATO_CONFIG, /etc/hato, or else Postfix's: /etc/postfix,"
		       " /usr/local/etc/postfix, /usr/pkg/etc/postfix)\n\nThe server:\n"));
	for (size_t i = 0; i < LEN(commands); i++) help_command(out, &commands[i]);
	buf_add(out, S("\nAccounts, mail on its way, and where it went (with or without a running server):\n"));
	admin_help(out, S(""), S(""));
	buf_add(out, S("\nEverything else: man hato, man hato.cf\n"));
}

/* What is too long for the terminal goes on below, as deep as its line began. */
static void print_folded(struct slice line, size_t width) {
	size_t deep = 0;
	while (deep < line.len && deep < width / 2 && line.at[deep] == ' ') deep++;
	line = slice_skip(line, deep);
	do {
		size_t room = width - deep;
		size_t end = line.len <= room ? line.len : slice_find_last(slice_head(line, room + 1), ' ');
		if (end > room) end = slice_find(line, ' '); /* a word longer than that */
		printf("%*s%.*s\n", (int)deep, "", (int)end, line.at);
		line = slice_trim(slice_skip(line, end));
	} while (line.len != 0);
}

static void print_help(struct slice text) {
	size_t width = terminal_width(STDOUT_FILENO);
	while (text.len != 0) {
		struct slice line = slice_cut(&text, '\n');
		print_folded(line, width != 0 ? width : SIZE_MAX);
	}
}

static int run_help(struct cli *cli) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	if (cli->count == 0) {
		help_all(&out);
	} else {
		const struct command *c = find_command(cli->args[0]);
		bool found = c != NULL ? help_command(&out, c)
				       : admin_help(&out, cli->args[0], cli->count > 1 ? cli->args[1] : S(""));
		if (!found) found = conf_explain(cli->args[0], &out);
		if (!found)
			return complain(cli, EX_USAGE, "%.*s: no such command (hato help lists them) or setting",
					SLICE_ARG(cli->args[0]));
	}
	print_help(buf_slice(&out));
	return EX_OK;
}

static int run_version(struct cli *cli) {
	(void)cli;
	puts("hato " HATO_VERSION);
	return EX_OK;
}

static int run_manual(struct cli *cli) {
	bool verdicts = cli->count == 1 && slice_eq(cli->args[0], S("--verdicts"));
	if (cli->count != 0 && !verdicts) return usage_error(cli, cli->args[0]);
	(verdicts ? conf_verdicts : conf_manual)(stdout);
	return EX_OK;
}

/* Dispatch. */

static int no_such_command(const struct cli *cli, struct slice name) {
	const char *near = NULL;
	size_t count, best = 3;
	const struct admin_verb *verbs = admin_verbs(&count);
	for (size_t i = 0; i < LEN(commands) + count; i++) {
		const char *known = i < LEN(commands) ? commands[i].name : verbs[i - LEN(commands)].noun;
		size_t slips = word_distance(name, slice_of(known), 2);
		if (slips < best) {
			best = slips;
			near = known;
		}
	}
	return complain(cli, EX_USAGE, "%.*s: no such command (%s%s)", SLICE_ARG(name),
			near != NULL ? "did you mean: hato " : "hato help lists them", near != NULL ? near : "");
}

static bool is_operators(struct slice noun) {
	size_t count;
	const struct admin_verb *verbs = admin_verbs(&count);
	for (size_t i = 0; i < count; i++)
		if (slice_eq(noun, slice_of(verbs[i].noun))) return true;
	return false;
}

/* -q may stand before the command or behind it; the verbs of operators know it themselves. */
static size_t take_quiet(struct cli *cli, struct slice *words, size_t count) {
	size_t kept = 0;
	for (size_t i = 0; i < count; i++)
		if (slice_eq(words[i], S("-q"))) cli->quiet = true;
		else words[kept++] = words[i];
	return kept;
}

static int run_command(struct cli *cli, struct slice *words, size_t count) {
	struct slice name = words[0];
	if (slice_eq(name, S("--help")) || slice_eq(name, S("-h"))) name = S("help");
	if (slice_eq(name, S("--version")) || slice_eq(name, S("-V"))) name = S("version");
	bool wants_help = count > 1 && (slice_eq(words[1], S("--help")) || slice_eq(words[1], S("-h")));
	const struct command *c = find_command(name);
	if (c != NULL) {
		cli->command = c->name;
		if (c->quiet) count = take_quiet(cli, words, count);
		else if (cli->quiet) return complain(cli, EX_USAGE, "-q: this command has nothing to be quiet about");
		cli->args = words + 1;
		cli->count = count - 1;
		if (!wants_help) return c->run(cli);
	} else if (!is_operators(name)) {
		return no_such_command(cli, name);
	}
	if (c == NULL && cli->quiet) words[count++] = S("-q");
	cli->args = words;
	cli->count = wants_help ? 1 : count;
	return wants_help ? run_help(cli) : run_operator(cli);
}

/* The names hato can be called by; any other is its own. */
static const struct called {
	const char *name;
	int (*main)(int argc, char **argv);
} names[] = {
#define NAME(name, function, folder) { #name, function },
#include "cli/names.def"
#undef NAME
};

static const struct called *find_name(struct slice name) {
	for (size_t i = 0; i < LEN(names); i++)
		if (slice_eq(name, slice_of(names[i].name))) return &names[i];
	return NULL;
}

int tool_run(int argc, char **argv) {
	optind = 0; /* getopt(3) starts anew */
	return find_name(slice_of(argv[0]))->main(argc, argv);
}

static int hato(int argc, char **argv) {
	AUTO_ARENA struct arena mem = {0};
	struct cli cli = { .conf_dir = tool_conf_dir("HATO_CONFIG", "MAIL_CONFIG"), .command = "" };
	int i = 1;
	for (; i < argc && (strncmp(argv[i], "-c", 2) == 0 || strcmp(argv[i], "-q") == 0); i++) {
		if (argv[i][1] == 'q') cli.quiet = true;
		else if (argv[i][2] != '\0') cli.conf_dir = argv[i] + 2;
		else if (i + 1 < argc) cli.conf_dir = argv[++i];
		else return complain(&cli, EX_USAGE, "-c needs a folder");
	}
	if (i == argc) {
		AUTO_BUF struct buf out = BUF(MIB(1));
		help_all(&out);
		fputs(buf_text(&out), stderr);
		return EX_USAGE;
	}
	const struct called *called = find_name(slice_of(argv[i]));
	if (called != NULL) { /* hato postqueue -p */
		setenv("MAIL_CONFIG", cli.conf_dir, i > 1);
		return called->main(argc - i, argv + i);
	}
	struct slice *words = arena_array(&mem, (size_t)(argc - i) + 1, sizeof *words); /* one for -q */
	for (int k = i; k < argc; k++) words[k - i] = slice_of(argv[k]);
	return run_command(&cli, words, (size_t)(argc - i));
}

int cli_main(int argc, char **argv) {
	struct slice name = slice_of(argc > 0 ? argv[0] : "");
	size_t slash = slice_find_last(name, '/');
	if (slash < name.len) name = slice_skip(name, slash + 1);
	signal(SIGPIPE, SIG_IGN); /* write errors are answers */
	const struct called *called = find_name(name);
	int code = called != NULL ? called->main(argc, argv) : hato(argc, argv);
	if (fflush(stdout) != 0 && code == EX_OK && errno != EPIPE) return perror("hato: standard output"), EX_IOERR;
	return code;
}
