/* SPDX-License-Identifier: Apache-2.0 */
/* postqueue(1). It asks core over a socket that is everybody's; what everybody may do is core's to say. */
#include "admin/admin.h"
#include "base/fail.h"
#include "cli/inside.h"
#include "cli/instance.h"
#include "cli/tool.h"
#include "flow/ask.h"
#include "net/addr.h"

#include <getopt.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sysexits.h>

enum { MODE_NONE, MODE_LIST = 'p', MODE_JSON = 'j', MODE_FLUSH = 'f', MODE_ID = 'i', MODE_SITE = 's' };

static int usage(const struct tool *t) {
	return tool_fatal(
		t, EX_UNAVAILABLE,
		"usage: postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site");
}

static const char *user_name(void) {
	struct passwd *pw = getpwuid(getuid());
	return pw != NULL ? pw->pw_name : "unknown";
}

/* Nobody answers. Who may read the data does it himself. */
static int without_server(const struct tool *t, const char *data, bool look, const struct admin_request *req) {
	struct stat st;
	bool ours = stat(data, &st) == 0 && (geteuid() == 0 || geteuid() == st.st_uid);
	if (!look) return tool_fatal(t, EX_UNAVAILABLE, "Cannot flush mail queue - mail system is down");
	if (!ours) return tool_fatal(t, EX_UNAVAILABLE, "Queue report unavailable - mail system is down");
	tool_warn(t, "Mail system is down -- accessing queue directly (Connect to the hato queue service: %s)",
		  strerror(errno));
	return dispatch(&(struct cli){ .conf_dir = t->conf_dir, .command = t->name }, data, req);
}

static int ask(const struct tool *t, const struct slice *args, size_t count, bool look) {
	AUTO_BUF struct buf data = BUF(PATH_MAX);
	AUTO_ARENA struct arena mem = { 0 };
	struct admin_request req = { .args = args, .count = count };
	struct admin_answer answer;
	if (!instance_data(t->conf_dir, &data) && tool_data(t, &data) != EX_OK) return EX_UNAVAILABLE;
	AUTO_FD int channel = instance_connect(buf_text(&data), "queue");
	if (channel < 0) return without_server(t, buf_text(&data), look, &req);
	int r = ask_channel(channel, &req, &mem, &answer);
	if (r != ASK_OK)
		return tool_fatal(t, EX_UNAVAILABLE, "%s",
				  r < 0 ? fail_text() : "the mail system does not answer (its log tells why)");
	if (answer.code == EX_NOPERM)
		return tool_fatal(t, EX_UNAVAILABLE, "User %s(%u) is not allowed to %s the mail queue", user_name(),
				  (unsigned)getuid(), look ? "view" : "flush");
	if (!look) return EX_OK; /* nothing that waits is no error */
	print_answer(answer.out, answer.err);
	return answer.code;
}

/* -s: only for those that may ask for it. */
static int flush_site(const struct tool *t, const char *site) {
	struct slice name = slice_of(site);
	bool bracketed = name.len > 2 && name.at[0] == '[' && name.at[name.len - 1] == ']';
	struct slice bare = bracketed ? slice_head(slice_skip(name, 1), name.len - 2) : name;
	struct addr literal;
	bool fine = bare.len != 0 && (!bracketed || addr_parse(bare, &literal));
	for (size_t i = 0; i < bare.len; i++)
		fine = fine &&
		       (ascii_alpha(bare.at[i]) || ascii_digit(bare.at[i]) || strchr(".-_:", bare.at[i]) != NULL);
	if (!fine) return tool_fatal(t, EX_UNAVAILABLE, "Cannot flush mail queue - invalid destination: \"%s\"", site);
	bool allowed = false;
	int code = tool_fast_flush(t, bare, &allowed);
	if (code != EX_OK) return code;
	if (!allowed)
		return tool_fatal(t, EX_UNAVAILABLE, "Flush service is not configured for destination \"%s\"", site);
	return ask(t, (struct slice[]){ S("queue"), S("flush"), bare }, 3, false);
}

int postqueue_main(int argc, char **argv) {
	struct tool t;
	int mode = MODE_NONE;
	const char *what = NULL;
	tool_begin(&t, argc, argv);
	for (int letter; (letter = getopt(argc, argv, "c:fi:jps:v")) != -1;) {
		if (letter == 'c') t.conf_dir = optarg;
		else if (letter == 'v') t.verbose++;
		else if (letter == '?' || mode != MODE_NONE) return usage(&t);
		else mode = letter, what = optarg;
	}
	if (mode == MODE_NONE || optind < argc) return usage(&t);
	const struct slice words[] = { S("queue"), mode == MODE_LIST || mode == MODE_JSON ? S("mailq") : S("flush"),
				       mode == MODE_JSON ? S("--json") : slice_of(what != NULL ? what : "") };
	if (mode == MODE_ID && !tool_queue_id(slice_of(what)))
		return tool_fatal(&t, EX_UNAVAILABLE, "Cannot flush queue ID - invalid name: \"%s\"", what);
	if (mode == MODE_SITE) return flush_site(&t, what);
	return ask(&t, words, mode == MODE_JSON || mode == MODE_ID ? 3 : 2, mode == MODE_LIST || mode == MODE_JSON);
}
