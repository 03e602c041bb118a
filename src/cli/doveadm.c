/* SPDX-License-Identifier: Apache-2.0 */
/* doveadm(1): cron jobs, scripts and fingers know it. Options, output and exit codes are those of Dovecot 2.3. */
#include "cli/doveadm.h"
#include "base/fail.h"

#include <getopt.h>
#include <sysexits.h>

static int put(const struct doveadm *d, int code, const char *what, const char *format, va_list args) {
	AUTO_BUF struct buf text = BUF(KIB(64));
	if (d->user.len != 0) buf_addf(&text, "doveadm(%.*s): ", SLICE_ARG(d->user));
	buf_add(&text, slice_of(what));
	buf_addv(&text, format, args);
	for (size_t i = 0; i < text.len; i++)
		if (ascii_control(text.at[i])) text.at[i] = '?';
	fflush(stdout);
	fprintf(stderr, "%s\n", buf_text(&text));
	return code;
}

int dove_error(const struct doveadm *d, int code, const char *format, ...) {
	va_list args;
	va_start(args, format);
	put(d, code, "Error: ", format, args);
	va_end(args);
	return code;
}

int dove_fatal(const struct doveadm *d, int code, const char *format, ...) {
	va_list args;
	va_start(args, format);
	put(d, code, "Fatal: ", format, args);
	va_end(args);
	return code;
}

struct slice dove_word(const struct doveadm *d, size_t i) {
	return i < d->count ? slice_of(d->words[i]) : S("");
}

int dove_print_begin(struct doveadm *d) {
	d->out = dove_print_new(d->form);
	if (d->out == NULL) return dove_fatal(d, EX_USAGE, "Unknown formatter: %.*s", SLICE_ARG(d->form));
	if (d->several) dove_print_header(d->out, "username", "Username", DOVE_HIDDEN);
	return EX_OK;
}

void dove_row(struct doveadm *d) {
	if (d->several) dove_print_value(d->out, d->user);
}

/* The table's names are one or two words. */
static struct slice first_word(const char *name) {
	struct slice s = slice_of(name);
	return slice_head(s, slice_find(s, ' '));
}

static const struct dove_command *find(char **words, size_t count, size_t *taken) {
	for (size_t i = 0; i < dove_command_count; i++) {
		struct slice one = first_word(dove_commands[i].name), name = slice_of(dove_commands[i].name),
			     two = slice_skip(name, one.len + 1);
		*taken = two.len != 0 ? 2 : 1;
		if (count < *taken || !slice_eq(one, slice_of(words[0]))) continue;
		if (two.len == 0 || slice_eq(two, slice_of(words[1]))) return &dove_commands[i];
	}
	return NULL;
}

static int usage(const char *noun) {
	fprintf(stderr, "usage: doveadm [-Dv] [-f <formatter>] %s%s<command> [<args>]\n", noun != NULL ? noun : "",
		noun != NULL ? " " : "");
	for (size_t i = 0; i < dove_command_count; i++) {
		const struct dove_command *c = &dove_commands[i];
		if (noun != NULL && !slice_eq(first_word(c->name), slice_of(noun))) continue;
		fprintf(stderr, "  %-20s %s\n", c->name, c->args);
	}
	return EX_USAGE;
}

static int usage_of(const struct doveadm *d) {
	fprintf(stderr, "doveadm %s %s\n", d->name, d->args);
	return EX_USAGE;
}

static int read_options(struct doveadm *d, const struct dove_command *c, int argc, char **argv) {
	AUTO_BUF struct buf letters = BUF(100);
	buf_addf(&letters, "+%s%s", c->options, c->run != NULL ? "AF:S:u:" : "");
	optind = 0;
	for (int letter; (letter = getopt(argc, argv, buf_text(&letters))) != -1;) {
		if (letter == '?') return usage_of(d);
		d->given[letter & 127]++;
		d->value[letter & 127] = optarg;
	}
	d->words = argv + optind;
	d->count = (size_t)(argc - optind);
	if (d->given['S'])
		return dove_fatal(d, EX_USAGE, "-S: there is one server here (-c DIR, before the command, names its "
					       "folder)");
	if (d->count < c->least) return usage_of(d);
	if (c->run != NULL && d->given['u'] + d->given['A'] + d->given['F'] != 1)
		return dove_fatal(d, EX_USAGE, "doveadm %s: whose mail? (one of -u USER, -A, -F FILE)", d->name);
	return EX_OK;
}

static int users_of_file(struct doveadm *d, const char *path, struct slice **out, size_t *count) {
	AUTO_FILE FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	if (f == NULL) return dove_fatal(d, EX_NOINPUT, "open(%s) failed: %s", path, strerror(errno));
	*count = 0;
	for (size_t space = 0; getline(&line, &room, f) > 0;) {
		struct slice name = slice_trim(slice_of(line));
		if (name.len == 0) continue;
		if (*count == space) {
			struct slice *more = arena_array(&d->mem, space = space * 2 + 16, sizeof *more);
			if (*count != 0) memcpy(more, *out, *count * sizeof *more);
			*out = more;
		}
		(*out)[(*count)++] = arena_slice(&d->mem, name);
	}
	free(line);
	return EX_OK;
}

static int run_users(struct doveadm *d, const struct dove_command *c, void *state) {
	struct slice one = slice_of(d->value['u']), *users = &one;
	size_t count = 1;
	int worst = EX_OK, code = EX_OK;
	if (d->given['F']) code = users_of_file(d, d->value['F'], &users, &count);
	else if (d->several) code = dove_users(d, d->given['A'] ? S("*") : one, &users, &count);
	for (size_t i = 0; i < count && code == EX_OK; i++) {
		d->user = users[i];
		int r = c->run(d, state);
		dove_leave(d);
		if (r != EX_OK) worst = r;
		if (r == EX_TEMPFAIL) break; /* the server is not there */
	}
	d->user = S("");
	return code != EX_OK ? code : worst;
}

static int run(struct doveadm *d, const struct dove_command *c, int argc, char **argv) {
	void *state = NULL;
	d->name = c->name;
	d->args = c->args;
	if (d->form.len == 0) d->form = slice_of(c->form);
	int code = read_options(d, c, argc, argv);
	d->several = d->given['A'] || d->given['F'] ||
		     (d->given['u'] && c->run != NULL && strpbrk(d->value['u'], "*?") != NULL);
	if (code == EX_OK) code = tool_data(&d->tool, &d->data) != EX_OK ? EX_CONFIG : EX_OK;
	if (code == EX_OK) code = c->prepare(d, &state);
	if (code == EX_OK && c->run != NULL) code = run_users(d, c, state);
	if (d->out != NULL) dove_print_end(d->out);
	return code;
}

int doveadm_main(int argc, char **argv) {
	struct doveadm d = { .data = BUF(PATH_MAX) };
	size_t taken;
	int code = EX_OK;
	tool_begin(&d.tool, argc, argv);
	for (int letter; (letter = getopt(argc, argv, "+Dvf:c:o:")) != -1;) {
		if (letter == 'f') d.form = slice_of(optarg);
		else if (letter == 'c') d.tool.conf_dir = optarg;
		else if (letter == 'o')
			return dove_fatal(&d, EX_USAGE, "-o %s: settings are hato's (hato postconf -e NAME=VALUE)",
					  optarg);
		else if (letter == '?') return usage(NULL);
		else d.tool.verbose++;
	}
	char **words = argv + optind;
	size_t count = (size_t)(argc - optind);
	const struct dove_command *c = find(words, count, &taken);
	bool noun = false;
	for (size_t i = 0; i < dove_command_count && count != 0; i++)
		noun = noun || slice_eq(first_word(dove_commands[i].name), slice_of(words[0]));
	if (c == NULL) return usage(noun && slice_of(words[0]).len != 0 ? words[0] : NULL);
	code = run(&d, c, argc - optind - (int)taken + 1, words + taken - 1);
	dove_print_free(&d.out);
	buf_done(&d.data);
	arena_done(&d.mem);
	return code;
}
