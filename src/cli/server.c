/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/text.h"
#include "base/clock.h"
#include "base/fail.h"
#include "cli/inside.h"
#include "role/data.h"
#include "role/master.h"

#include <sys/stat.h>
#include <sysexits.h>

enum { EX_NOT_RUNNING = 1 }; /* as Postfix's commands */

static int not_running(const struct cli *cli) {
	return complain(cli, EX_NOT_RUNNING, "the mail system is not running (hato start)");
}

static void mind_zone(const struct cli *cli) {
	AUTO_BUF struct buf why = BUF(KIB(1));
	if (!zone_unknown(&why)) return;
	fprintf(stderr, "hato %s: warning: %s\n", cli->command, buf_text(&why));
	setenv("TZ", "UTC", 1);
}

int run_start(struct cli *cli) {
	AUTO_CONF struct conf *c = NULL;
	bool foreground = false;
	for (size_t i = 0; i < cli->count; i++) {
		if (!slice_eq(cli->args[i], S("--foreground"))) return usage_error(cli, cli->args[i]);
		foreground = true;
	}
	int code = load_conf(cli, PROBLEM_WARNING, &c);
	if (code != EX_OK) return code;
	mind_zone(cli);
	if (!foreground) progress_begin("starting");
	code = master_start(c, foreground);
	progress_end();
	pid_t pid;
	if (code == EX_OK && !foreground && !cli->quiet &&
	    master_pid(conf_text(conf_main(c), SET_data_directory).at, &pid) == 0)
		printf("the mail system is running: PID %d\n", (int)pid);
	return code;
}

int run_stop(struct cli *cli) {
	AUTO_CONF struct conf *c = NULL;
	const char *data;
	if (cli->count != 0) return usage_error(cli, cli->args[0]);
	int code = find_data(cli, &data, &c);
	if (code != EX_OK) return code;
	progress_begin("stopping: replies under way are being finished");
	int r = master_stop(data);
	progress_end();
	if (r == MASTER_NOT_RUNNING) return not_running(cli);
	return r < 0 ? complain(cli, EX_UNAVAILABLE, "%s", fail_text()) : EX_OK;
}

int run_reload(struct cli *cli) {
	AUTO_CONF struct conf *c = NULL;
	if (cli->count != 0) return usage_error(cli, cli->args[0]);
	int code = load_conf(cli, PROBLEM_WARNING, &c);
	if (code == EX_CONFIG) return complain(cli, code, "the server keeps the settings it has");
	if (code != EX_OK) return code;
	int r = master_reload(conf_text(conf_main(c), SET_data_directory).at);
	if (r == MASTER_NOT_RUNNING) return not_running(cli);
	if (r == MASTER_REFUSED) return complain(cli, EX_CONFIG, "%s", fail_text());
	if (r < 0) return complain(cli, EX_UNAVAILABLE, "%s", fail_text());
	if (!cli->quiet) puts("the server has taken the settings over");
	return EX_OK;
}

/* Status. */

static void put_service(const struct conf *c, const struct conf_service *s) {
	const struct conf_view *v = conf_service_view(c, s);
	bool smtp = s->role == SERVICE_SMTPD;
	bool tls = conf_bool(v, smtp                       ? SET_smtpd_tls_wrappermode
				: s->role == SERVICE_IMAPD ? SET_imapd_tls_wrappermode
							   : SET_pop3d_tls_wrappermode);
	AUTO_BUF struct buf where = BUF(KIB(4));
	size_t n = 0;
	const struct slice *all = conf_list(v, SET_inet_interfaces, &n);
	if (s->host.len != 0) buf_addf(&where, "%.*s", SLICE_ARG(s->host));
	for (size_t i = 0; i < n && s->host.len == 0; i++)
		buf_addf(&where, "%s%.*s", i == 0 ? "" : ", ", SLICE_ARG(all[i]));
	printf("  %-8s  %s port %u%s%s\n",
	       smtp                       ? "smtpd"
	       : s->role == SERVICE_IMAPD ? "imapd"
					  : "pop3d",
	       buf_text(&where), s->port, tls ? ", TLS" : "",
	       smtp && conf_bool(v, SET_smtpd_sasl_auth_enable) ? ", log-in" : "");
}

static void put_uptime(const char *data) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	AUTO_BUF struct buf span = BUF(32);
	struct stat st;
	buf_addf(&path, "%s/run/lock", data); /* written when the server had started */
	if (stat(buf_text(&path), &st) != 0) return;
	text_span(&span, wall_us() - (int64_t)st.st_mtim.tv_sec * 1000000);
	printf(", for %s", buf_text(&span));
}

int run_status(struct cli *cli) {
	AUTO_CONF struct conf *c = NULL;
	const char *data;
	pid_t pid;
	if (cli->count != 0) return usage_error(cli, cli->args[0]);
	int code = find_data(cli, &data, &c);
	if (code != EX_OK) return code;
	int r = master_pid(data, &pid);
	if (r < 0) return complain(cli, EX_UNAVAILABLE, "%s", fail_text());
	if (r == MASTER_NOT_RUNNING) {
		puts("the mail system is not running");
		return EX_NOT_RUNNING;
	}
	printf("the mail system is running: PID %d", (int)pid);
	put_uptime(data);
	puts("");
	if (data_full(data)) printf("  disk full: new mail is put off until there is room in %s\n", data);
	size_t n;
	const struct conf_service *services = conf_services(c, &n);
	for (size_t i = 0; i < n; i++)
		if (services[i].type == SERVICE_INET &&
		    (services[i].role == SERVICE_SMTPD || services[i].role == SERVICE_IMAPD ||
		     services[i].role == SERVICE_POP3D))
			put_service(c, &services[i]);
	AUTO_BUF struct buf out = BUF(MIB(1));
	AUTO_BUF struct buf err = BUF(MIB(1));
	if (!ask_server(data, &S("status"), 1, &out, &err))
		return complain(cli, EX_OK, "accounts and queue: no answer: %s", fail_text());
	print_answer(buf_slice(&out), buf_slice(&err));
	return EX_OK;
}
