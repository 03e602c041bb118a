/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this room share. */
#include "base/buf.h"
#include "conf/conf.h"

struct cli {
	const char *conf_dir;
	const char *command;     /* for errors: "start" */
	const struct slice *args; /* behind the command; those of operators' verbs: with it */
	size_t count;
	bool quiet;              /* says only what is wrong */
	void (*print)(struct slice out, struct slice err); /* what a verb answers; NULL: print_answer */
};
int complain(const struct cli *cli, int code, const char *format, ...)
	PRINTF_LIKE(3, 4); /* "hato COMMAND: TEXT"; returns code */
int usage_error(const struct cli *cli, struct slice word);

/* server.c */
int run_start(struct cli *cli);
int run_stop(struct cli *cli);
int run_reload(struct cli *cli);
int run_status(struct cli *cli);
/* check.c */
int run_check(struct cli *cli);
int run_check_mail(struct cli *cli); /* check_mail.c */
/* Loads the configuration and tells its problems on the standard error, from that level on. EX_OK, EX_CONFIG or
 * EX_NOINPUT. */
int load_conf(const struct cli *cli, enum problem_level least, struct conf **out);
/* The data folder of the configuration, for commands that work whatever else is wrong with it. */
int find_data(const struct cli *cli, const char **dir, struct conf **keep);
/* dkim.c: the parts of `hato dkim` that ask DNS or read files. */
int run_dkim(struct cli *cli);
int run_dns(struct cli *cli); /* dns.c: the records to publish, beside those in DNS */
/* zone.c: does TZ name a time zone that nobody knows? why: the warning. */
bool zone_unknown(struct buf *why);
/* operator.c: an operator's verb, done by the server, or here when it is down. */
int run_operator(struct cli *cli);
/* What the verb prints, in out and err; only when the server answers: false otherwise. */
bool ask_server(const char *data, const struct slice *args, size_t count, struct buf *out, struct buf *err);
/* The request is sent to the server, or carried out here under its lock. */
struct admin_request;
int dispatch(const struct cli *cli, const char *data, const struct admin_request *req);
/* The same with what the verb prints in mem; its complaints are printed. */
struct arena;
int dispatch_to(struct cli *cli, const char *data, const struct admin_request *req, struct arena *mem,
		struct slice *out);
/* Asks over a connected control socket: ASK_OK, ASK_LATER, <0. The answer's text is in mem. */
struct admin_answer;
int ask_channel(int channel, const struct admin_request *req, struct arena *mem, struct admin_answer *answer);
/* forward_check.c: the message on the standard input, as `hato forward check` wants it: packed forward_facts. */
int forward_facts_read(const struct cli *cli, const struct conf_view *v, struct buf *out);
void print_answer(struct slice out, struct slice err);
/* reports.c, report_parse.c: what others report of mail in our name. */
int run_reports(struct cli *cli);
int run_report_parse(struct cli *cli); /* args: behind "parse" */
/* local.c: the same without a server. */
struct admin_request;
int run_locally(const struct cli *cli, const char *data, const struct admin_request *req);

/* terminal.c */
bool terminal_colours(int fd);   /* a terminal, and neither NO_COLOR nor TERM=dumb */
size_t terminal_width(int fd);   /* 0: not a terminal */
/* The first line of the standard input, without its end. From a terminal: asked for with a prompt, twice, and not
 * shown. EX_OK, EX_DATAERR (differ), EX_NOINPUT. */
int terminal_password(const struct cli *cli, struct slice whom, struct buf *out);
bool terminal_agrees(const char *question); /* true also when there is nobody to ask */
/* After two seconds, and only on a terminal: "hato: what …" and a dot each second, until the end. One at a time. */
void progress_begin(const char *what);
void progress_end(void);
