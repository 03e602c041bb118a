/* SPDX-License-Identifier: Apache-2.0 */
/* What is not about messages: accounts, limits, who is there, the server itself. */
#include "base/clock.h"
#include "base/fail.h"
#include "cli/doveadm.h"
#include "cli/inside.h"
#include "conf/conf.h"

#include <jansson.h>
#include <sys/stat.h>
#include <sysexits.h>

static uint64_t number_of(const json_t *j, const char *key) {
	return (uint64_t)json_integer_value(json_object_get(j, key));
}
static const char *text_of(const json_t *j, const char *key) {
	const char *text = json_string_value(json_object_get(j, key));
	return text != NULL ? text : "";
}

static int account_of(struct doveadm *d, struct slice name, json_t **out) {
	return dove_ask(d, (struct slice[]){ S("account"), S("show"), name, S("--json") }, 4, S(""), out, true);
}

/* quota get */

int dove_quota_get_prepare(struct doveadm *d, void **state) {
	(void)state;
	int code = dove_print_begin(d);
	if (code != EX_OK) return code;
	dove_print_header(d->out, "root", "Quota name", 0);
	dove_print_header(d->out, "type", "Type", 0);
	dove_print_header(d->out, "value", "Value", DOVE_RIGHT);
	dove_print_header(d->out, "limit", "Limit", DOVE_RIGHT);
	dove_print_header(d->out, "percent", "%", DOVE_RIGHT);
	return EX_OK;
}

static void quota_row(struct doveadm *d, const char *type, uint64_t value, uint64_t limit) {
	char text[3][24];
	snprintf(text[0], sizeof text[0], "%llu", (unsigned long long)value);
	snprintf(text[1], sizeof text[1], limit != 0 ? "%llu" : "-", (unsigned long long)limit);
	snprintf(text[2], sizeof text[2], "%llu",
		 (unsigned long long)(limit != 0 ? (unsigned __int128)value * 100 / limit : 0));
	dove_row(d);
	dove_print_value(d->out, S("User quota"));
	dove_print_value(d->out, slice_of(type));
	for (size_t i = 0; i < 3; i++) dove_print_value(d->out, slice_of(text[i]));
}

static uint64_t kib(uint64_t bytes) {
	return bytes / 1024 + (bytes % 1024 != 0);
}

int dove_quota_get(struct doveadm *d, void *state) {
	json_t *j = NULL;
	(void)state;
	int code = account_of(d, d->user, &j);
	if (code == EX_NOUSER) return dove_error(d, code, "User doesn't exist");
	if (code != EX_OK) return code;
	quota_row(d, "STORAGE", kib(number_of(j, "bytes")), kib(number_of(j, "quota_bytes")));
	quota_row(d, "MESSAGE", number_of(j, "messages"), number_of(j, "quota_messages"));
	json_decref(j);
	return EX_OK;
}

/* user */

struct user_field {
	const char *name;
	char value[PATH_MAX + 16];
};

static size_t user_fields(struct doveadm *d, const json_t *j, struct user_field *f) {
	struct stat st = { 0 };
	uint64_t limit = number_of(j, "quota_bytes");
	const char *data = buf_text(&d->data);
	if (stat(data, &st) != 0) st.st_uid = st.st_gid = 0;
	f[0].name = "uid", f[1].name = "gid", f[2].name = "home", f[3].name = "mail", f[4].name = "quota_rule";
	snprintf(f[0].value, sizeof f[0].value, "%u", (unsigned)st.st_uid);
	snprintf(f[1].value, sizeof f[1].value, "%u", (unsigned)st.st_gid);
	snprintf(f[2].value, sizeof f[2].value, "%s", data);
	snprintf(f[3].value, sizeof f[3].value, "hato:%s", data);
	snprintf(f[4].value, sizeof f[4].value, "*:bytes=%llu", (unsigned long long)limit);
	return limit != 0 ? 5 : 4;
}

static int show_user(struct doveadm *d, struct slice name) {
	struct user_field *f = arena_array(&d->mem, 5, sizeof *f);
	json_t *j = NULL;
	int code = account_of(d, name, &j);
	if (code == EX_NOUSER) {
		fflush(stdout);
		fprintf(stderr, "userdb lookup: user %.*s doesn't exist\n", SLICE_ARG(name));
	}
	if (code != EX_OK) return code;
	size_t count = user_fields(d, j, f);
	json_decref(j);
	for (size_t i = 0; i < count; i++) {
		if (!d->given['f']) printf("%s\t%s\n", f[i].name, f[i].value);
		else if (strcmp(f[i].name, d->value['f']) == 0) puts(f[i].value);
	}
	return EX_OK;
}

int dove_user(struct doveadm *d, void **state) {
	int worst = EX_OK;
	bool begun = d->given['f'] != 0;
	(void)state;
	for (size_t i = 0; i < d->count; i++) {
		struct slice name = dove_word(d, i), *users;
		size_t count = 0;
		int code = EX_OK;
		if (d->given['u'] || strpbrk(name.at, "*?") != NULL) {
			code = dove_users(d, name, &users, &count);
			for (size_t k = 0; k < count; k++) printf("%.*s\n", SLICE_ARG(users[k]));
			if (code == EX_OK && count == 0) code = EX_NOUSER;
		} else {
			if (!begun) puts("field\tvalue");
			begun = true;
			code = show_user(d, name);
		}
		if (code != EX_OK) worst = code;
	}
	if (begun && !d->given['f'] && (d->count > 1 || worst != EX_OK)) putchar('\n');
	return worst;
}

/* auth test */

int dove_auth_test(struct doveadm *d, void **state) {
	struct slice user = dove_word(d, 0);
	AUTO_BUF struct buf secret = BUF(KIB(4));
	(void)state;
	if (d->count > 1) {
		buf_addf(&secret, "%.*s\n", SLICE_ARG(dove_word(d, 1)));
	} else {
		AUTO_FREE char *typed = slice_text(slice_of(getpass("Password: ")));
		buf_addf(&secret, "%s\n", typed);
		mem_wipe(typed, strlen(typed));
	}
	int code = dove_ask(d, (struct slice[]){ S("account"), S("test"), user, S("--password-stdin") }, 4,
			    buf_slice(&secret), NULL, true);
	mem_wipe(secret.at, secret.len);
	bool right = code == EX_OK, known = right || code == EX_NOPERM || code == EX_NOUSER || code == EX_DATAERR;
	if (!known) return dove_error(d, EX_TEMPFAIL, "passdb: %.*s: nobody can tell now", SLICE_ARG(user));
	printf("passdb: %.*s auth %s\nextra fields:\n  user=%.*s\n", SLICE_ARG(user), right ? "succeeded" : "failed",
	       SLICE_ARG(user));
	return right ? EX_OK : EX_NOPERM;
}

/* who, kick */

static bool is_network(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (ascii_hex(s.at[i]) < 0 && strchr(".:/", s.at[i]) == NULL) return false;
	return slice_find(s, '.') < s.len || slice_find(s, ':') < s.len;
}

/* "[user mask] [ip/bits]" as hato's words behind verb. Their number. */
static size_t masks(const struct doveadm *d, struct slice *words) {
	size_t count = 1;
	for (size_t i = 0; i < d->count && i < 2; i++) {
		if (is_network(dove_word(d, i))) words[count++] = S("--from");
		words[count++] = dove_word(d, i);
	}
	return count;
}

/* Sessions of one account by one protocol stand together. */
static void who_grouped(struct doveadm *d, const json_t *list) {
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *a = json_array_get(list, i), *b;
		AUTO_BUF struct buf ids = BUF(KIB(64)), from = BUF(KIB(64));
		size_t count = 0, k = 0;
		for (; k < json_array_size(list); k++) {
			b = json_array_get(list, k);
			if (strcmp(text_of(a, "account"), text_of(b, "account")) != 0 ||
			    strcmp(text_of(a, "protocol"), text_of(b, "protocol")) != 0)
				continue;
			if (k < i) break; /* told already */
			const char *remote = text_of(b, "remote");
			buf_addf(&ids, "%s%llu", count != 0 ? " " : "", (unsigned long long)number_of(b, "session"));
			bool new = slice_search(buf_slice(&from), slice_of(remote)) == from.len;
			if (new) buf_addf(&from, "%s%s", from.len != 0 ? " " : "", remote);
			count++;
		}
		if (k < json_array_size(list)) continue;
		dove_print_value(d->out, slice_of(text_of(a, "account")));
		dove_print_value(d->out, arena_fmt(&d->mem, "%zu", count));
		dove_print_value(d->out, slice_of(text_of(a, "protocol")));
		dove_print_value(d->out, arena_fmt(&d->mem, "(%s)", buf_text(&ids)));
		dove_print_value(d->out, arena_fmt(&d->mem, "(%s)", buf_text(&from)));
	}
}

static void who_single(struct doveadm *d, const json_t *list) {
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *a = json_array_get(list, i);
		dove_print_value(d->out, slice_of(text_of(a, "account")));
		dove_print_value(d->out, slice_of(text_of(a, "protocol")));
		dove_print_value(d->out, arena_fmt(&d->mem, "%llu", (unsigned long long)number_of(a, "session")));
		dove_print_value(d->out, slice_of(text_of(a, "remote")));
	}
}

int dove_who(struct doveadm *d, void **state) {
	struct slice words[8] = { S("who") };
	json_t *list = NULL;
	(void)state;
	size_t count = masks(d, words);
	words[count++] = S("--json");
	int code = dove_ask(d, words, count, S(""), &list, false);
	if (code == EX_OK) code = dove_print_begin(d);
	if (code == EX_OK) {
		bool single = d->given['1'] != 0;
		dove_print_header(d->out, "username", "username", single ? DOVE_WIDE : 0);
		if (!single) dove_print_header(d->out, "connections", "#", 0);
		dove_print_header(d->out, "service", "proto", 0);
		dove_print_header(d->out, single ? "pid" : "pids", single ? "pid" : "(pids)", 0);
		dove_print_header(d->out, single ? "ip" : "ips", single ? "ip" : "(ips)", 0);
		(single ? who_single : who_grouped)(d, list);
	}
	json_decref(list);
	return code;
}

int dove_kick(struct doveadm *d, void **state) {
	struct slice words[8] = { S("who") };
	json_t *list = NULL;
	(void)state;
	size_t count = masks(d, words);
	words[count] = S("--json");
	int code = dove_ask(d, words, count + 1, S(""), &list, false);
	words[0] = S("kick");
	if (code == EX_OK) code = dove_ask(d, words, count, S(""), NULL, true);
	if (code == EX_NOUSER) {
		puts("no users kicked");
		code = EX_NOHOST;
	} else if (code == EX_OK) {
		puts("kicked connections from the following users:");
		for (size_t i = 0; i < json_array_size(list); i++) {
			const char *name = text_of(json_array_get(list, i), "account");
			size_t k = 0;
			while (strcmp(name, text_of(json_array_get(list, k), "account")) != 0) k++;
			if (k == i) printf("%s ", name);
		}
		putchar('\n');
	}
	json_decref(list);
	return code;
}

/* The server */

int dove_serve(struct doveadm *d, void **state) {
	struct cli cli = { .conf_dir = d->tool.conf_dir, .command = d->name, .quiet = true };
	(void)state;
	return strcmp(d->name, "stop") == 0 ? run_stop(&cli) : run_reload(&cli);
}

/* There is one, that of the configuration; when it was last used is when it was last started. */
int dove_instance(struct doveadm *d, void **state) {
	AUTO_BUF struct buf lock = BUF(PATH_MAX);
	AUTO_BUF struct buf said = BUF(MIB(16));
	struct stat st;
	struct tm when;
	char text[40] = "never";
	(void)state;
	int code = dove_print_begin(d);
	if (code != EX_OK) return code;
	bool running = ask_server(buf_text(&d->data), (struct slice[]){ S("who") }, 1, &said, &said);
	buf_addf(&lock, "%s/run/lock", buf_text(&d->data));
	if (stat(buf_text(&lock), &st) == 0 && localtime_r(&st.st_mtime, &when) != NULL)
		strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &when);
	dove_print_header(d->out, "path", "path", DOVE_WIDE);
	dove_print_header(d->out, "name", "name", 0);
	dove_print_header(d->out, "last-used", "last used", 0);
	dove_print_header(d->out, "running", "running", 0);
	dove_print_value(d->out, buf_slice(&d->data));
	dove_print_value(d->out, S("hato"));
	dove_print_value(d->out, slice_of(text));
	dove_print_value(d->out, running ? S("yes") : S("no"));
	return EX_OK;
}

/* Dovecot's answer where no metric is configured: the titles alone. */
int dove_stats(struct doveadm *d, void **state) {
	static const char *const titles[] = { "metric_name", "field", "count",  "sum",    "min",
					      "max",         "avg",   "median", "stddev", "%95" };
	(void)state;
	int code = dove_print_begin(d);
	for (size_t i = 0; i < LEN(titles) && code == EX_OK; i++)
		dove_print_header(d->out, titles[i], titles[i], 0);
	if (code == EX_OK) fprintf(stderr, "doveadm stats dump: no metrics here: hato status --json counts\n");
	return code;
}

static int run_postconf(const struct doveadm *d, const char *option) {
	char name[] = "postconf", n[8], *argv[] = { name, n, NULL };
	snprintf(n, sizeof n, "%s", option);
	setenv("MAIL_CONFIG", d->tool.conf_dir, 1);
	printf("# hato " HATO_VERSION ": %s/main.cf (settings are hato's; %s is not read)\n", d->tool.conf_dir,
	       "dovecot.conf");
	fflush(stdout);
	return tool_run(option[0] != '\0' ? 2 : 1, argv);
}

int dove_config(struct doveadm *d, void **state) {
	(void)state;
	return run_postconf(d, d->given['n'] ? "-n" : "");
}

int doveconf_main(int argc, char **argv) {
	struct doveadm d = { .name = "config" };
	const char *option = "";
	tool_begin(&d.tool, argc, argv);
	for (int letter; (letter = getopt(argc, argv, "anc:")) != -1;) {
		if (letter == 'c') d.tool.conf_dir = optarg;
		else if (letter == 'n') option = "-n";
		else if (letter == '?') return dove_fatal(&d, EX_USAGE, "usage: doveconf [-a | -n] [-c DIR]");
	}
	if (optind < argc)
		return dove_fatal(&d, EX_USAGE, "%s: settings are hato's (hato postconf NAME)", argv[optind]);
	return run_postconf(&d, option);
}

int dove_repair(struct doveadm *d, void **state) {
	(void)state;
	return dove_ask(d, (struct slice[]){ S("verify"), S("--repair"), S("--quick") }, 3, S(""), NULL, false);
}

/* Both are done in the background as mail comes and goes. */
int dove_kept(struct doveadm *d, void **state) {
	(void)state;
	return dove_ask(d, (struct slice[]){ S("status"), S("--json") }, 2, S(""), NULL, true);
}

int dove_instead(struct doveadm *d, void **state) {
	static const struct { const char *name, *instead;
	} all[] = {
		{ "altmove", "there is one place for mail (large bodies are files, see blob_inline_limit)" },
		{ "dump", "hato verify looks for what is wrong" },
		{ "stats add", "what hato counts is fixed: hato status --json" },
		{ "stats remove", "what hato counts is fixed: hato status --json" },
	};
	size_t i = 0;
	(void)state;
	while (strcmp(all[i].name, d->name) != 0) i++;
	return dove_fatal(d, EX_UNAVAILABLE, "doveadm %s: not with hato (%s)", d->name, all[i].instead);
}

/* log find, log errors */

static int show_errors(struct doveadm *d, const char *path) {
	AUTO_FILE FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	if (f == NULL) return dove_error(d, EX_NOINPUT, "%s: %s", path, strerror(errno));
	while (getline(&line, &room, f) > 0)
		if (strstr(line, ": warning: ") != NULL || strstr(line, ": error: ") != NULL ||
		    strstr(line, ": fatal: ") != NULL || strstr(line, ": panic: ") != NULL)
			fputs(line, stdout);
	free(line);
	return EX_OK;
}

int dove_log(struct doveadm *d, void **state) {
	AUTO_CONF struct conf *conf = NULL;
	(void)state;
	if (conf_load(&(struct conf_options){ .dir = d->tool.conf_dir }, &conf) < 0)
		return dove_fatal(d, EX_CONFIG, "%s", fail_text());
	struct slice file = conf_text(conf_main(conf), SET_maillog_file);
	bool is_file = slice_starts(file, S("/")) && !slice_starts(file, S("/dev/"));
	if (strcmp(d->name, "log errors") == 0) {
		if (is_file) return show_errors(d, file.at);
		return dove_error(d, EX_UNAVAILABLE,
				  "the log goes to %s, which keeps it (journalctl -p warning, or its file)",
				  file.len == 0 ? "syslog" : file.at);
	}
	static const char *const levels[] = { "Debug", "Info", "Warning", "Error", "Fatal" };
	for (size_t i = 0; i < LEN(levels); i++)
		printf("%s: %s\n", levels[i], file.len != 0 ? file.at : "syslog, facility mail");
	return EX_OK;
}
