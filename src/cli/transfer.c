/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/transfer.h"
#include "admin/json.h"
#include "base/fail.h"
#include "cli/hands.h"
#include "net/file.h"
#include "role/data.h"
#include "user/user.h"

#include <sys/stat.h>
#include <sysexits.h>

struct job {
	struct transfer t;
	int (*work)(struct transfer *t);
};

void transfer_failed(struct transfer *t, const char *format, ...) {
	enum { TOLD_MOST = 20 };
	AUTO_BUF struct buf text = BUF(KIB(8));
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	if (++t->failed <= TOLD_MOST) complain(t->cli, 0, "%s", buf_text(&text));
	if (t->failed == TOLD_MOST) complain(t->cli, 0, "more of this is only counted");
}

bool transfer_read(struct transfer *t, struct slice path, struct buf *out) {
	struct stat st;
	AUTO_FD int fd = hands_open(t->hands, path);
	if (fd < 0 || fstat(fd, &st) != 0) {
		if (errno != ENOENT) transfer_failed(t, "%.*s: %s", SLICE_ARG(path), strerror(errno));
		return false;
	}
	for (;;) {
		char *room = buf_room(out, KIB(64));
		if (room == NULL) break;
		ssize_t n = read(fd, room, KIB(64));
		if (n == 0) return true;
		if (n < 0) break;
		out->len += (size_t)n;
	}
	transfer_failed(t, "%.*s: too large, or unreadable", SLICE_ARG(path));
	return false;
}

static int find_account(struct transfer *t) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_READ struct db_conn *c = db_read(t->db);
	struct account account;
	int r = c != NULL ? user_account_find(c, &mem, t->account_name, &account) : -1;
	if (r < 0) return complain(t->cli, EX_SOFTWARE, "%s", fail_text());
	if (r == USER_UNKNOWN)
		return complain(t->cli, EX_NOUSER, "%.*s: no such account (hato account add)",
				SLICE_ARG(t->account_name));
	t->account = account.id;
	return EX_OK;
}

static void report(const struct transfer *t) {
	AUTO_BUF struct buf out = BUF(KIB(4));
	if (t->json) {
		struct json j = { .out = &out };
		json_open(&j, NULL, '{');
		json_number(&j, "mailboxes", (int64_t)t->mailboxes);
		json_number(&j, "messages", (int64_t)t->messages);
		json_number(&j, "there_before", (int64_t)t->there);
		json_number(&j, "failed", (int64_t)t->failed);
		json_number(&j, "bytes", (int64_t)t->bytes);
		json_close(&j, '}');
		buf_byte(&out, '\n');
	} else if (!t->cli->quiet) {
		buf_addf(&out, "%llu messages in %llu mailboxes %sed", (unsigned long long)t->messages,
			 (unsigned long long)t->mailboxes, t->verb);
		if (t->there != 0) buf_addf(&out, ", %llu were there already", (unsigned long long)t->there);
		if (t->failed != 0) buf_addf(&out, ", %llu problems (see above)", (unsigned long long)t->failed);
		buf_byte(&out, '\n');
	}
	fputs(buf_text(&out), stdout);
}

static int work(int hands, void *ctx) {
	struct job *job = ctx;
	struct transfer *t = &job->t;
	t->hands = hands;
	if (db_open(t->data, NULL, &t->db) < 0) return complain(t->cli, EX_CANTCREAT, "%s", fail_text());
	int code = find_account(t);
	if (code == EX_OK) {
		progress_begin(t->verb[0] == 'i' ? "importing" : "exporting");
		code = job->work(t);
		progress_end();
		report(t);
		if (code == EX_OK && t->failed != 0) code = EX_DATAERR;
	}
	db_close(&t->db);
	return code;
}

static int read_words(struct transfer *t, struct cli *cli) {
	bool kind = false;
	for (size_t i = 0; i < cli->count; i++) {
		struct slice word = cli->args[i];
		if (slice_eq(word, S("--json"))) t->json = true;
		else if (slice_eq(word, S("-q"))) cli->quiet = true;
		else if (slice_eq(word, S("--account")) && i + 1 < cli->count) t->account_name = cli->args[++i];
		else if (slice_starts(word, S("--account="))) t->account_name = slice_skip(word, 10);
		else if (slice_starts(word, S("-"))) return usage_error(cli, word);
		else if (!kind && slice_eq(word, S("maildir"))) kind = true;
		else if (kind && t->folder == NULL) t->folder = word.at;
		else return usage_error(cli, word);
	}
	if (!kind || t->folder == NULL || t->account_name.len == 0)
		return complain(cli, EX_USAGE, "what, and whose? (hato %s maildir DIR --account NAME)", t->verb);
	return EX_OK;
}

int transfer_run(struct cli *cli, const char *verb, int (*work_)(struct transfer *t)) {
	AUTO_CONF struct conf *conf = NULL;
	struct job job = { .t = { .cli = cli, .verb = verb }, .work = work_ };
	int code = read_words(&job.t, cli);
	if (code == EX_OK) code = find_data(cli, &job.t.data, &conf);
	if (code != EX_OK) return code;
	if (verb[0] == 'e' && file_make_dir(job.t.folder, 0700) < 0)
		return complain(cli, EX_CANTCREAT, "%s", fail_text());
	return hands_run(cli, job.t.folder, data_users_apart(job.t.data) ? data_users[CHILD_CORE] : NULL, work, &job);
}
