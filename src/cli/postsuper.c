/* SPDX-License-Identifier: Apache-2.0 */
/* postsuper(1) and postcat(1): the operator's programs for the queue, as Postfix names them. */
#include "admin/admin.h"
#include "base/log.h"
#include "cli/inside.h"
#include "cli/instance.h"
#include "cli/tool.h"

#include <getopt.h>
#include <sys/stat.h>
#include <sysexits.h>

enum { EX_FATAL = 1, IDS_MAX = 64 << 20 };

/* In the order in which Postfix tells them, at the end. */
static const char *const sums[] = { "Requeued", "Deleted", "Force-expired", "Placed on hold", "Released from hold" };
static struct counted {
	bool told;
	unsigned long long count;
} counted[LEN(sums)]; /* of this one run of the program */

/* "Deleted: 3 messages" */
static bool take_sum(struct slice line) {
	struct slice rest = line, name = slice_cut(&rest, ':'), number = slice_word(&rest, " ");
	uint64_t count;
	for (size_t i = 0; i < LEN(sums); i++) {
		if (!slice_eq(name, slice_of(sums[i])) || !slice_number(number, UINT64_MAX, &count)) continue;
		counted[i].told = true;
		counted[i].count += count;
		return true;
	}
	return false;
}

static void print_sums(const struct tool *t) {
	for (size_t i = 0; i < LEN(sums); i++) {
		if (!counted[i].told) continue;
		AUTO_BUF struct buf line = BUF(200);
		buf_addf(&line, "%s: %llu message%s", sums[i], counted[i].count, counted[i].count == 1 ? "" : "s");
		tool_say(t, "%s", buf_text(&line));
		say(L_INFO, "postsuper", "%s", buf_text(&line));
	}
}

/* Each line of the answer, as the program's word and in the log. */
static void print_super(struct slice out, struct slice err) {
	struct tool t = { .name = "postsuper" };
	while (out.len != 0) {
		struct slice line = slice_cut(&out, '\n');
		bool warning = slice_starts(line, S("warning: "));
		struct slice text = warning ? slice_skip(line, 9) : line;
		if (line.len == 0 || take_sum(line)) continue;
		tool_say(&t, "%.*s", SLICE_ARG(line));
		say(warning ? L_WARN : L_INFO, "postsuper", "%.*s", SLICE_ARG(text));
	}
	while (err.len != 0) {
		struct slice line = slice_cut(&err, '\n');
		if (line.len != 0) tool_warn(&t, "%.*s", SLICE_ARG(line));
	}
}

static const struct { char letter; const char *action, *then;
} actions[] = {
	{ 'd', "delete", NULL }, { 'e', "expire", NULL },  { 'f', "expire", "release" },
	{ 'h', "hold", NULL },   { 'H', "release", NULL }, { 'r', "requeue", NULL },
};
enum { ACTIONS = LEN(actions) };

struct super {
	struct tool tool;
	struct step { /* in the order of the command line */
		size_t action;
		struct buf ids; /* lines */
		bool from_input;
	} *steps;
	size_t count;
};

static int usage(const struct tool *t) {
	return tool_fatal(t, EX_FATAL,
			  "usage: postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] [-f queue_id "
			  "(expire and/or un-hold)] "
			  "[-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary files)] [-r queue_id "
			  "(requeue)] [-s (structure fix)] "
			  "[-S (redundant structure fix)][-v (verbose)] [queue...]");
}

static int take_option(struct super *s, int letter) {
	for (size_t i = 0; i < ACTIONS; i++) {
		if (letter != actions[i].letter) continue;
		struct step *last = s->count != 0 ? &s->steps[s->count - 1] : NULL;
		bool input = strcmp(optarg, "-") == 0;
		if (last == NULL || last->action != i || last->from_input || input) {
			last = &s->steps[s->count++];
			*last = (struct step){ .action = i, .ids = BUF(IDS_MAX), .from_input = input };
		}
		if (!input) buf_addf(&last->ids, "%s\n", optarg);
		return EX_OK;
	}
	switch (letter) {
	case 'c': s->tool.conf_dir = optarg; return EX_OK;
	case 'v': s->tool.verbose++; return EX_OK;
	case 'p': case 's': case 'S': return EX_OK; /* a database has neither temporary files nor misplaced ones */
	default: return usage(&s->tool);
	}
}

/* Root, or whose the data is. */
static bool may(const char *data) {
	struct stat st;
	return geteuid() == 0 || (stat(data, &st) == 0 && st.st_uid == geteuid());
}

static bool known_queue(const char *name) {
	static const char *const names[] = { "maildrop", "incoming", "active", "deferred", "hold" };
	for (size_t i = 0; i < LEN(names); i++)
		if (strcmp(name, names[i]) == 0) return true;
	return false;
}

static void read_input(struct buf *out) {
	for (;;) {
		char *at = buf_room(out, 65536);
		ssize_t n = at != NULL ? read(STDIN_FILENO, at, 65536) : 0;
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) break;
		out->len += (size_t)n;
	}
	buf_byte(out, '\n');
}

static int act(struct super *s, const char *data, char **queues, size_t count) {
	struct slice *args = mem_array(count + 3, sizeof *args);
	struct cli cli = { .conf_dir = s->tool.conf_dir, .command = s->tool.name, .print = print_super };
	int code = EX_OK;
	args[0] = S("queue");
	args[1] = S("super");
	for (size_t i = 0; i < count; i++) args[3 + i] = slice_of(queues[i]);
	for (size_t i = 0; i < s->count && code == EX_OK; i++) {
		struct step *step = &s->steps[i];
		if (step->from_input) read_input(&step->ids);
		const struct admin_request req = { .args = args, .count = count + 3, .input = buf_slice(&step->ids) };
		args[2] = slice_of(actions[step->action].action);
		code = dispatch(&cli, data, &req);
		if (code != EX_OK || actions[step->action].then == NULL) continue;
		args[2] = slice_of(actions[step->action].then);
		code = dispatch(&cli, data, &req);
	}
	print_sums(&s->tool);
	free(args);
	return code == EX_OK ? EX_OK : EX_FATAL;
}

int postsuper_main(int argc, char **argv) {
	struct super s = { .steps = mem_array((size_t)argc, sizeof *s.steps) };
	AUTO_BUF struct buf data = BUF(PATH_MAX);
	int code = EX_OK;
	tool_begin(&s.tool, argc, argv);
	for (int letter; code == EX_OK && (letter = getopt(argc, argv, "c:d:e:f:h:H:pr:sSv")) != -1;)
		code = take_option(&s, letter);
	for (int i = optind; i < argc && code == EX_OK; i++)
		if (!known_queue(argv[i])) code = tool_fatal(&s.tool, EX_FATAL, "invalid directory name: %s", argv[i]);
	if (code == EX_OK && !instance_data(s.tool.conf_dir, &data) && tool_data(&s.tool, &data) != EX_OK)
		code = EX_FATAL;
	if (code == EX_OK && !may(buf_text(&data)))
		code = tool_fatal(&s.tool, EX_FATAL, "use of this command is reserved for the superuser");
	if (code == EX_OK) code = tool_log(&s.tool) == EX_OK ? EX_OK : EX_FATAL;
	if (code == EX_OK) code = act(&s, buf_text(&data), argv + optind, (size_t)(argc - optind));
	for (size_t i = 0; i < s.count; i++) buf_done(&s.steps[i].ids);
	free(s.steps);
	return code;
}

/* postcat. */

static int cat_usage(const struct tool *t) {
	return tool_fatal(
		t, EX_FATAL,
		"usage: postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] "
		"[-h (header text)] [-q (access queue)] [-v] [file(s)...]");
}

static int cat_one(const struct tool *t, const char *data, struct slice *args, size_t count) {
	struct cli cli = { .conf_dir = t->conf_dir, .command = t->name };
	int code = dispatch(&cli, data, &(struct admin_request){ .args = args, .count = count });
	if (code == EX_NOINPUT)
		return tool_fatal(t, EX_FATAL, "open queue file %.*s: No such file or directory", SLICE_ARG(args[2]));
	return code == EX_OK ? EX_OK : EX_FATAL;
}

int postcat_main(int argc, char **argv) {
	static const struct { char letter; struct slice option;
	} options[] = {
		{ 'b', S("--body") },   { 'd', S("--types") },   { 'e', S("--envelope") },
		{ 'h', S("--header") }, { 'o', S("--offsets") }, { 'v', S("--verbose") },
	};
	struct tool t;
	struct slice args[4 + LEN(options)] = { S("queue"), S("cat") };
	size_t count = 3;
	bool of_queue = false;
	AUTO_BUF struct buf data = BUF(PATH_MAX);
	AUTO_BUF struct buf skip = BUF(100);
	uint64_t offset;
	tool_begin(&t, argc, argv);
	for (int letter; (letter = getopt(argc, argv, "bc:dehoqrs:v")) != -1;) {
		if (letter == '?') return cat_usage(&t);
		if (letter == 'c') t.conf_dir = optarg;
		if (letter == 's' && !slice_number(slice_of(optarg), INT64_MAX, &offset))
			return tool_fatal(&t, EX_FATAL, "bad offset: %s", optarg);
		if (letter == 's') buf_clear(&skip), buf_addf(&skip, "--skip=%s", optarg);
		if (letter == 'q') of_queue = true; /* -r: they are shown in this order anyway */
		for (size_t i = 0; i < LEN(options); i++)
			if (letter == options[i].letter && count < LEN(args)) args[count++] = options[i].option;
	}
	if (!of_queue)
		return tool_fatal(
			&t, EX_FATAL,
			"the queue of hato is a database: there are no queue files to read (postcat -q QUEUEID)");
	if (skip.len != 0) args[count++] = buf_slice(&skip);
	if (!instance_data(t.conf_dir, &data) && tool_data(&t, &data) != EX_OK) return EX_FATAL;
	if (!may(buf_text(&data)))
		return tool_fatal(&t, EX_FATAL, "open queue file %s: Permission denied",
				  optind < argc ? argv[optind] : "");
	int code = EX_OK;
	for (int i = optind; i < argc && code == EX_OK; i++) {
		args[2] = slice_of(argv[i]);
		if (!tool_queue_id(args[2])) return tool_fatal(&t, EX_FATAL, "bad mail queue ID: %s", argv[i]);
		code = cat_one(&t, buf_text(&data), args, count);
	}
	return code;
}
