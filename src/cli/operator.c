/* SPDX-License-Identifier: Apache-2.0 */
/* An operator's verb. The one who holds the data does it: core, when the server runs; otherwise we take the server's
 * lock, so that it cannot start meanwhile, and do it ourselves. */
#include "admin/admin.h"
#include "base/clock.h"
#include "base/fail.h"
#include "cli/inside.h"
#include "flow/ask.h"
#include "net/file.h"
#include "role/data.h"
#include "role/listen.h"

#include <sysexits.h>

enum { INPUT_ROOM = 1 << 20, CHANGING_MS = 10000, PAUSE_US = 30000 };

void print_answer(struct slice out, struct slice err) {
	if (out.len != 0) fwrite(out.at, 1, out.len, stdout);
	fflush(stdout);
	if (err.len != 0) fwrite(err.at, 1, err.len, stderr);
}

static int connect_server(const char *data) {
	AUTO_BUF struct buf run = BUF(PATH_MAX);
	buf_addf(&run, "%s/run", data);
	return listening_unix_connect(buf_text(&run), "control");
}

/* ASK_OK, ASK_LATER, <0. The answer's text is in mem. */
int ask_channel(int channel, const struct admin_request *req, struct arena *mem, struct admin_answer *answer) {
	struct admin_ask a = { .args = arena_array(mem, req->count, sizeof *a.args),
			       .args_count = req->count,
			       .input = req->input };
	for (size_t i = 0; i < req->count; i++) a.args[i].text = req->args[i];
	return ask_admin(channel, &a, mem, answer);
}

bool ask_server(const char *data, const struct slice *args, size_t count, struct buf *out, struct buf *err) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_FD int channel = connect_server(data);
	struct admin_answer answer;
	if (channel < 0 ||
	    ask_channel(channel, &(struct admin_request){ .args = args, .count = count }, &mem, &answer) != ASK_OK)
		return false;
	buf_add(out, answer.out);
	buf_add(err, answer.err);
	return true;
}

static int ask_and_print(const struct cli *cli, int channel, const struct admin_request *req) {
	AUTO_ARENA struct arena mem = {0};
	struct admin_answer answer;
	progress_begin("waiting for the server");
	int r = ask_channel(channel, req, &mem, &answer);
	progress_end();
	if (r < 0) return complain(cli, EX_PROTOCOL, "%s", fail_text());
	if (r == ASK_LATER)
		return complain(cli, EX_TEMPFAIL,
				"the server ended before it answered: whether this was done is not known (look, and "
				"try again)");
	(cli->print != NULL ? cli->print : print_answer)(answer.out, answer.err);
	return answer.code;
}

static bool has_option(const struct cli *cli, const char *name) {
	for (size_t i = 0; i < cli->count; i++) {
		if (slice_eq(cli->args[i], S("--"))) return false;
		struct slice word = slice_head(cli->args[i], slice_find(cli->args[i], '='));
		if (slice_eq(word, slice_of(name))) return true;
	}
	return false;
}

/* The request may be sent to the server, or carried out under its lock; while it starts or stops neither is possible.
 */
int dispatch(const struct cli *cli, const char *data, const struct admin_request *req) {
	AUTO_BUF struct buf path = BUF(PATH_MAX);
	buf_addf(&path, "%s/run/lock", data);
	int64_t deadline = deadline_in(CHANGING_MS);
	for (;;) {
		AUTO_FD int channel = connect_server(data);
		if (channel >= 0) return ask_and_print(cli, channel, req);
		if (errno == EACCES)
			return complain(cli, EX_NOPERM, "%s (run this as the user who runs the server, or as root)",
					fail_text());
		if (data_make(data, data_users_apart(data)) < 0) return complain(cli, EX_CANTCREAT, "%s", fail_text());
		AUTO_FD int lock = -1;
		int r = file_lock(buf_text(&path), &lock);
		if (r == 0) {
			if (ftruncate(lock, 0) != 0)
				return complain(cli, EX_IOERR, "%s: %s", buf_text(&path),
						strerror(errno)); /* the pid is nobody's now */
			return run_locally(cli, data, req);
		}
		if (r < 0) return complain(cli, EX_NOPERM, "%s", fail_text());
		if (deadline_left(deadline) == 0)
			return complain(cli, EX_UNAVAILABLE,
					"the server runs but does not answer (hato status; its log tells why)");
		usleep(PAUSE_US);
	}
}

static struct buf captured; /* cli->print is told nothing else */

static void capture(struct slice out, struct slice err) {
	buf_add(&captured, out);
	if (err.len != 0) fwrite(err.at, 1, err.len, stderr);
}

int dispatch_to(struct cli *cli, const char *data, const struct admin_request *req, struct arena *mem,
		struct slice *out) {
	captured = BUF(MIB(64));
	cli->print = capture;
	int code = dispatch(cli, data, req);
	cli->print = NULL;
	*out = arena_slice(mem, buf_slice(&captured));
	buf_done(&captured);
	return code;
}

/* What has to be asked of the person, before anything is done. */

static int take_password(const struct cli *cli, const struct admin_verb *v, struct slice *words, size_t *count,
			 struct buf *input) {
	bool given = has_option(cli, "--password-stdin");
	if (has_option(cli, "--no-login")) return EX_OK;
	if ((v->flags & ADMIN_PASSWORD) == 0 || has_option(cli, "--hash")) return EX_OK;
	if (!given && !isatty(STDIN_FILENO)) return EX_OK; /* the verb says what is missing */
	struct slice whom = S("the account");
	for (size_t i = *count; i > 2; i--)
		if (words[i - 1].len != 0 && words[i - 1].at[0] != '-') whom = words[i - 1];
	if (!given) words[(*count)++] = S("--password-stdin");
	return terminal_password(cli, whom, input);
}

static bool agreed(const struct cli *cli, const struct admin_verb *v) {
	if ((v->flags & ADMIN_ASKS) == 0 || has_option(cli, "--yes")) return true;
	AUTO_BUF struct buf question = BUF(KIB(4));
	buf_addf(&question, "hato");
	for (size_t i = 0; i < cli->count; i++) buf_addf(&question, " %.*s", SLICE_ARG(cli->args[i]));
	buf_addf(&question, ": this cannot be taken back. Go on?");
	return terminal_agrees(buf_text(&question));
}

static bool settled(const struct admin_request *req, int *code) {
	AUTO_BUF struct buf out = BUF(MIB(1));
	AUTO_BUF struct buf err = BUF(MIB(1));
	if (!admin_settled(req, &out, &err, code)) return false;
	print_answer(buf_slice(&out), buf_slice(&err));
	return true;
}

int run_operator(struct cli *cli) {
	AUTO_ARENA struct arena mem = {0};
	AUTO_CONF struct conf *conf = NULL;
	AUTO_BUF struct buf command = BUF(200);
	AUTO_BUF struct buf input = BUF(INPUT_ROOM);
	struct admin_request req = { .args = cli->args, .count = cli->count };
	const char *data;
	int code;
	if (settled(&req, &code)) return code;
	const struct admin_verb *v = admin_find(cli->args, cli->count);
	if (slice_eq(cli->args[0], S("dkim")) &&
	    (slice_eq(cli->args[1], S("check")) || slice_eq(cli->args[1], S("import"))))
		return run_dkim(cli);
	buf_addf(&command, "%s%s%s", v->noun, v->verb != NULL ? " " : "", v->verb != NULL ? v->verb : "");
	cli->command = buf_text(&command);
	code = find_data(cli, &data, &conf);
	if (code != EX_OK) return code;
	if (!agreed(cli, v)) return complain(cli, EX_OK, "nothing was changed");
	struct slice *words = arena_array(&mem, cli->count + 2, sizeof *words);
	size_t count = 0, names = v->verb != NULL ? 2 : 1;
	for (size_t i = 0; i < cli->count; i++) {
		words[count++] = cli->args[i];
		if (count == names && terminal_width(STDOUT_FILENO) != 0)
			words[count++] = arena_fmt(&mem, "--width=%zu", terminal_width(STDOUT_FILENO));
	}
	code = take_password(cli, v, words, &count, &input);
	if ((v->flags & ADMIN_MESSAGE) != 0) code = forward_facts_read(cli, conf_main(conf), &input);
	req = (struct admin_request){ .args = words, .count = count, .input = buf_slice(&input) };
	if (code == EX_OK) code = dispatch(cli, data, &req);
	mem_wipe(input.at, input.len);
	return code;
}
