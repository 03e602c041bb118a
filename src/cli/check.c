/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that can be known before the server starts, told at once. What is only worth a second look is a warning.
 */
#include "base/clock.h"
#include "base/fail.h"
#include "cli/checking.h"
#include "local/pipe.h"
#include "net/tls.h"
#include "role/evidence_settings.h"
#include "role/identity.h"
#include "role/listen.h"
#include "role/master.h"
#include "role/settings.h"

#include <fcntl.h>
#include <sysexits.h>

enum { EXPIRY_WARNING_S = 14 * 86400 };

static void put_problem(const struct cli *cli, const struct problem *p) {
	static const char *const colours[] = { "", "\033[33m", "\033[31m" };
	AUTO_BUF struct buf line = BUF(KIB(16));
	problem_line(&line, p);
	struct slice text = buf_slice(&line);
	size_t word = slice_find(text, ':');
	bool colour = terminal_colours(STDERR_FILENO) && p->level != PROBLEM_INFO;
	fprintf(stderr, "hato %s: %s%.*s%s%.*s\n", cli->command, colour ? colours[p->level] : "", (int)word, text.at,
		colour ? "\033[0m" : "", SLICE_ARG(slice_skip(text, word)));
}

static bool settings_missing(const struct cli *cli) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s/main.cf", cli->conf_dir);
	return access(buf_text(&path), F_OK) != 0;
}

static int load(const struct cli *cli, struct conf **out) {
	/* nobody means the defaults when they name a folder without settings */
	if (settings_missing(cli) && strcmp(cli->conf_dir, "/etc/hato") != 0)
		return complain(cli, EX_NOINPUT, "%s/main.cf: %s (-c names the folder with main.cf and master.cf)",
				cli->conf_dir, strerror(errno));
	int r = conf_load(&(struct conf_options){ .dir = cli->conf_dir }, out);
	return r < 0 ? complain(cli, EX_NOINPUT, "%s", fail_text()) : r == CONF_REFUSED ? EX_CONFIG : EX_OK;
}

int load_conf(const struct cli *cli, enum problem_level least, struct conf **out) {
	size_t n = 0, errors = 0;
	int code = load(cli, out);
	if (code == EX_NOINPUT) return code;
	if (least <= PROBLEM_WARNING && settings_missing(cli))
		fprintf(stderr, "hato %s: warning: %s/main.cf: no such file: everything has its default\n",
			cli->command, cli->conf_dir);
	const struct problem *p = conf_problems(*out, &n);
	for (size_t i = 0; i < n; i++) {
		errors += p[i].level == PROBLEM_ERROR;
		if (p[i].level >= least) put_problem(cli, &p[i]);
	}
	if (code == EX_CONFIG)
		complain(cli, code, "%s: %zu error%s in the configuration", cli->conf_dir, errors,
			 errors == 1 ? "" : "s");
	return code;
}

int find_data(const struct cli *cli, const char **dir, struct conf **keep) {
	int code = load(cli, keep);
	if (code == EX_NOINPUT) return code;
	*dir = conf_text(conf_main(*keep), SET_data_directory).at;
	return **dir == '/' ? EX_OK : complain(cli, EX_CONFIG, "data_directory = %s: must be an absolute path", *dir);
}

/* What is found goes to the standard error as it comes, or into one JSON object. */

static void tell(struct checking *c, const struct problem *p) {
	static const char *const levels[] = { "info", "warning", "error" };
	c->counts[p->level]++;
	if (!c->json) {
		put_problem(c->cli, p);
		return;
	}
	json_open(&c->out, NULL, '{');
	json_text(&c->out, "level", slice_of(levels[p->level]));
	json_text(&c->out, "file", p->file.len != 0 ? p->file : SLICE_NONE);
	if (p->line != 0) json_number(&c->out, "line", p->line);
	json_text(&c->out, "text", p->text);
	json_close(&c->out, '}');
}

void found_at(struct checking *c, enum problem_level level, struct place where, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(KIB(16));
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	struct problem p = { .level = level, .file = where.file, .line = where.line, .text = buf_slice(&text) };
	tell(c, &p);
}
#define found(c, level, ...) found_at(c, level, (struct place){ SLICE_NONE, 0 }, __VA_ARGS__)

static void check_data(struct checking *c) {
	if (c->data[0] != '/') {
		found(c, PROBLEM_ERROR, "data_directory = %s: must be an absolute path", c->data);
		return;
	}
	AUTO_FREE char *above = mem_text(c->data);
	char *slash = above;
	while (access(above, F_OK) != 0 && errno == ENOENT && (slash = strrchr(above, '/')) != NULL && slash != above)
		*slash = '\0';
	if (access(slash == above && above[0] != '/' ? "/" : above, W_OK | X_OK) == 0) return;
	if (c->running && geteuid() != 0)
		found(c, PROBLEM_INFO,
		      "data_directory = %s: belongs to the server's users (run this as root to see all)", c->data);
	else found(c, PROBLEM_ERROR, "data_directory: %s: %s", above, strerror(errno));
}

static void check_names(struct checking *c, struct slice names, int64_t ends) {
	struct slice host = conf_text(conf_main(c->conf), SET_myhostname), rest = names,
		     parent = slice_skip(host, slice_find(host, '.'));
	bool fits = false;
	for (struct slice name; (name = slice_word(&rest, " ")).len != 0;)
		fits = fits || slice_same(name, host) ||
		       (slice_starts(name, S("*.")) && slice_same(slice_skip(name, 1), parent));
	if (!fits)
		found(c, PROBLEM_WARNING,
		      "the certificate is for %.*s, and not for myhostname = %.*s: mail programs will complain",
		      SLICE_ARG(names), SLICE_ARG(host));
	if (ends < wall_s())
		found(c, PROBLEM_WARNING, "the certificate for %.*s ended %lld days ago: mail programs refuse it",
		      SLICE_ARG(names), (long long)((wall_s() - ends) / 86400));
	else if (ends - wall_s() < EXPIRY_WARNING_S)
		found(c, PROBLEM_WARNING, "the certificate for %.*s ends in %lld days", SLICE_ARG(names),
		      (long long)((ends - wall_s()) / 86400));
}

/* Has a listener certificate settings of its own? */
static bool own_certificates(const struct conf *conf) {
	AUTO_ARENA struct arena mem = { 0 };
	size_t n;
	const struct conf_service *services = conf_services(conf, &n);
	for (size_t i = 0; i < n; i++)
		if (identity_set_of(conf, conf_service_view(conf, &services[i]), &mem).len != 0) return true;
	return false;
}

/* Only certificates that are set: looking for the self-signed one would make it. */
static void check_certificates(struct checking *c) {
	const struct conf_view *v = conf_main(c->conf);
	size_t n;
	conf_list(v, SET_smtpd_tls_chain_files, &n);
	if (n == 0 && conf_text(v, SET_smtpd_tls_cert_file).len == 0 && !own_certificates(c->conf)) {
		found(c, PROBLEM_INFO,
		      "no certificate is set: hato signs one itself, which mail programs ask about "
		      "(smtpd_tls_chain_files)");
		struct identities client;
		if (identities_load_client(c->conf, &client) < 0) found(c, PROBLEM_ERROR, "%s", fail_text());
		else identities_done(&client);
		return;
	}
	struct identities all;
	AUTO_FD int quiet = open("/dev/null", O_WRONLY | O_CLOEXEC); /* all is told here */
	if (quiet >= 0) log_open(&(struct log_target){ .fd = quiet, .least = L_ERROR, .name = "hato" });
	int r = identities_load(c->conf, NULL, false, &all);
	log_open(&(struct log_target){ .fd = STDERR_FILENO, .least = L_INFO, .name = "hato" });
	if (r < 0) {
		found(c, PROBLEM_ERROR, "%s", fail_text());
		return;
	}
	if (all.why != NULL)
		found(c, PROBLEM_WARNING, "%s; listeners that only offer TLS will serve without it", all.why);
	for (size_t i = 0; i < all.count; i++) {
		AUTO_BUF struct buf names = BUF(KIB(64));
		int64_t ends;
		if (tls_cert_facts(slice_of(all.at[i].chain), &ends, &names) == 0 && i == 0 &&
		    !slice_starts(slice_of(all.at[i].chain), S(IDENTITY_SET)))
			check_names(c, buf_slice(&names), ends);
	}
	identities_done(&all);
}

/* Takes the ports for a moment; when the server runs they are taken, by the right one. */
static void check_ports(struct checking *c) {
	struct listening listening = { 0 };
	if (c->running) return;
	if (listening_open(c->conf, NULL, &listening) != 0) found(c, PROBLEM_ERROR, "%s", fail_text());
	else if (listening.count == 0) found(c, PROBLEM_WARNING, "no service listens (master.cf)");
	listening_close(&listening);
}

static void begin_json(struct checking *c, struct buf *text) {
	c->out = (struct json){ .out = text };
	json_open(&c->out, NULL, '{');
	json_text(&c->out, "folder", slice_of(c->cli->conf_dir));
	json_open(&c->out, "problems", '[');
}

static void end_json(struct checking *c) {
	json_close(&c->out, ']');
	json_number(&c->out, "errors", (int64_t)c->counts[PROBLEM_ERROR]);
	json_number(&c->out, "warnings", (int64_t)c->counts[PROBLEM_WARNING]);
	json_bool(&c->out, "good", c->counts[PROBLEM_ERROR] == 0);
	json_close(&c->out, '}');
	printf("%s\n", buf_text(c->out.out));
}

/* What only those who work with it can read. */
static void check_values(struct checking *c) {
	AUTO_ARENA struct arena mem = { 0 };
	struct evidence_params evidence;
	if (dns_check(conf_main(c->conf)) < 0) found(c, PROBLEM_ERROR, "%s", fail_text());
	if (evidence_params_of(conf_main(c->conf), NULL, &mem, &evidence) < 0)
		found(c, PROBLEM_ERROR, "%s", fail_text());
}

/* pipe(8) and spawn(8): what stands behind flags= and user=. Whether there is such a user is asked when mail comes. */
static void check_programs(struct checking *c) {
	AUTO_ARENA struct arena mem = { 0 };
	size_t n;
	const struct conf_service *s = conf_services(c->conf, &n);
	for (size_t i = 0; i < n; i++) {
		struct program p;
		bool is_pipe = slice_eq(s[i].command, S("pipe"));
		if (s[i].role == SERVICE_PROGRAM &&
		    program_parse(s[i].args, s[i].args_count, is_pipe, &mem, &p) < 0)
			found_at(c, PROBLEM_WARNING, s[i].where, "service %.*s: %s (it can do nothing)",
				 SLICE_ARG(s[i].name), fail_text());
	}
}

static int by_place(const void *left, const void *right) {
	const struct problem *const *a = left, *const *b = right;
	int files = slice_order((*a)->file, (*b)->file);
	if (files != 0) return files;
	if ((*a)->line != (*b)->line) return (*a)->line < (*b)->line ? -1 : 1;
	return *a < *b ? -1 : *a > *b; /* as they were found */
}

static void tell_in_order(struct checking *c) {
	AUTO_ARENA struct arena mem = { 0 };
	size_t n;
	const struct problem *p = conf_problems(c->conf, &n), **order = arena_array(&mem, n + 1, sizeof *order);
	for (size_t i = 0; i < n; i++) order[i] = &p[i];
	qsort(order, n, sizeof *order, by_place);
	for (size_t i = 0; i < n; i++) tell(c, order[i]);
}

static void check_all(struct checking *c) {
	if (settings_missing(c->cli))
		found(c, PROBLEM_WARNING, "%s/main.cf: no such file: everything has its default", c->cli->conf_dir);
	tell_in_order(c);
	AUTO_BUF struct buf zone = BUF(KIB(1));
	if (zone_unknown(&zone)) found(c, PROBLEM_WARNING, "%s", buf_text(&zone));
	progress_begin("checking");
	check_tables(c);
	check_programs(c);
	check_data(c);
	check_certificates(c);
	check_values(c);
	check_ports(c);
	progress_end();
}

int run_check(struct cli *cli) {
	AUTO_CONF struct conf *conf = NULL;
	AUTO_BUF struct buf text = BUF(MIB(16));
	struct checking c = { .cli = cli };
	if (cli->count != 0 && slice_eq(cli->args[0], S("spf"))) return check_spf(cli);
	if (cli->count != 0 && slice_eq(cli->args[0], S("ports"))) return check_ports_command(cli);
	for (size_t i = 0; i < cli->count; i++) {
		if (!slice_eq(cli->args[i], S("--json"))) return usage_error(cli, cli->args[i]);
		c.json = true;
	}
	int code = load(cli, &conf);
	if (code != EX_OK && code != EX_CONFIG) return code;
	c.conf = conf;
	c.data = conf_text(conf_main(conf), SET_data_directory).at;
	pid_t pid;
	c.running = c.data[0] == '/' && master_pid(c.data, &pid) != MASTER_NOT_RUNNING;
	if (c.json) begin_json(&c, &text);
	check_all(&c);
	size_t errors = c.counts[PROBLEM_ERROR];
	if (c.json) end_json(&c);
	else if (errors != 0)
		complain(cli, EX_CONFIG, "%s: %zu error%s in the configuration", cli->conf_dir, errors,
			 errors == 1 ? "" : "s");
	else if (!cli->quiet)
		printf("%s: the configuration is good%s\n"
		       "not looked at: what DNS says of our domains (hato dns --check), and ports (hato check ports)\n",
		       cli->conf_dir, c.counts[PROBLEM_WARNING] != 0 ? ", but see the warnings" : "");
	return errors != 0 ? EX_CONFIG : EX_OK;
}
