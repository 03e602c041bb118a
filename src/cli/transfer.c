/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/transfer.h"
#include "admin/json.h"
#include "base/fail.h"
#include "cli/hands.h"
#include "cli/importing.h"
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

static bool read_value(struct cli *cli, size_t *i, struct slice name, struct slice *value) {
	struct slice word = cli->args[*i];
	if (slice_eq(word, name) && *i + 1 < cli->count) *value = cli->args[++*i];
	else if (slice_starts(word, name) && slice_starts(slice_skip(word, name.len), S("=")))
		*value = slice_skip(word, name.len + 1);
	else return false;
	return true;
}

static int read_words(struct transfer *t, struct cli *cli) {
	bool kind = false;
	struct slice format = SLICE_NONE;
	for (size_t i = 0; i < cli->count; i++) {
		struct slice word = cli->args[i];
		if (slice_eq(word, S("--json"))) t->json = true;
		else if (slice_eq(word, S("-q"))) cli->quiet = true;
		else if (read_value(cli, &i, S("--account"), &t->account_name)) continue;
		else if (t->mbox && t->verb[0] == 'i' && read_value(cli, &i, S("--mailbox"), &t->mailbox)) continue;
		else if (t->mbox && read_value(cli, &i, S("--format"), &format)) continue;
		else if (slice_starts(word, S("-"))) return usage_error(cli, word);
		else if (!kind && slice_eq(word, S("maildir"))) kind = true;
		else if (!kind && slice_eq(word, S("mbox"))) kind = t->mbox = true;
		else if (kind && t->folder == NULL) t->folder = word.at;
		else return usage_error(cli, word);
	}
	if (format.len != 0 && !mbox_format_read(format, &t->format))
		return complain(cli, EX_USAGE, "--format %.*s: not known (mboxo, mboxrd, mboxcl or mboxcl2)",
				SLICE_ARG(format));
	if (!kind || t->folder == NULL || t->account_name.len == 0)
		return complain(cli, EX_USAGE, "what, and whose? (hato %s maildir|mbox %s --account NAME)", t->verb,
				t->verb[0] == 'i' ? "PATH" : "DIR");
	return EX_OK;
}

/* One mbox file: its folder, and its name there. */
static int find_file(struct transfer *t, char **folder) {
	struct stat st;
	struct slice path = slice_of(t->folder);
	if (stat(t->folder, &st) != 0) return complain(t->cli, EX_NOINPUT, "%s: %s", t->folder, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return t->mailbox.len == 0 ? EX_OK
					   : complain(t->cli, EX_USAGE,
						      "--mailbox is for one file: in a folder each file is a mailbox");
	size_t slash = slice_find_last(path, '/');
	t->file = slash < path.len ? slice_skip(path, slash + 1) : path;
	*folder = slice_text(slash == 0 ? S("/") : slash < path.len ? slice_head(path, slash) : S("."));
	t->folder = *folder;
	if (t->mailbox.len == 0) t->mailbox = S("INBOX");
	return EX_OK;
}

/* Reads the words, opens everything, runs the work for this format in the worker and reports. */
static int transfer_run(struct cli *cli, const char *verb, int (*maildir)(struct transfer *t),
			int (*mbox)(struct transfer *t)) {
	AUTO_CONF struct conf *conf = NULL;
	AUTO_FREE char *folder = NULL;
	struct job job = { .t = { .cli = cli, .verb = verb } };
	int code = read_words(&job.t, cli);
	job.work = job.t.mbox ? mbox : maildir;
	if (code == EX_OK) code = find_data(cli, &job.t.data, &conf);
	if (code == EX_OK && job.t.mbox && verb[0] == 'i') code = find_file(&job.t, &folder);
	if (code != EX_OK) return code;
	if (verb[0] == 'e' && file_make_dir(job.t.folder, 0700) < 0)
		return complain(cli, EX_CANTCREAT, "%s", fail_text());
	return hands_run(cli, job.t.folder, data_users_apart(job.t.data) ? data_users[CHILD_CORE] : NULL, work, &job);
}

int run_import(struct cli *cli) {
	return transfer_run(cli, "import", import_maildir, import_mbox);
}

int run_export(struct cli *cli) {
	return transfer_run(cli, "export", export_maildir, export_mbox);
}
