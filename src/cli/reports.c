/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's view is made where the data is; a file is read, or written, here, with the rights of whoever asks. */
#include "base/arena.h"
#include "cli/inside.h"
#include "net/file.h"

#include <sysexits.h>

static struct slice page; /* what the server answered, for one call */
static struct buf page_text = { .limit = (size_t)64 << 20 };

static void keep_page(struct slice out, struct slice err) {
	buf_add(&page_text, out);
	page = buf_slice(&page_text);
	print_answer(S(""), err);
}

static int write_page(const struct cli *cli, struct slice name) {
	AUTO_FREE char *path = slice_text(name);
	AUTO_FILE FILE *f = strcmp(path, "-") == 0 ? fdopen(dup(STDOUT_FILENO), "w") : fopen(path, "we");
	if (f == NULL) return complain(cli, EX_CANTCREAT, "%s: %s", path, strerror(errno));
	bool good = fwrite(page.at, 1, page.len, f) == page.len && fflush(f) == 0;
	return good ? EX_OK : complain(cli, EX_IOERR, "%s: %s", path, strerror(errno));
}

/* --html FILE: the server is asked for the page, without the file. */
static int run_page(struct cli *cli, struct slice *words, size_t count, size_t at) {
	struct slice file, word = words[at];
	size_t equals = slice_find(word, '=');
	if (equals < word.len) {
		file = slice_skip(word, equals + 1);
	} else {
		if (at + 1 == count) return complain(cli, EX_USAGE, "--html needs a file");
		file = words[at + 1];
		memmove(&words[at + 1], &words[at + 2], (count - at - 2) * sizeof *words);
		count--;
	}
	words[at] = S("--html");
	cli->args = words;
	cli->count = count;
	cli->print = keep_page;
	int code = run_operator(cli);
	if (code == EX_OK && page.len != 0) code = write_page(cli, file);
	buf_done(&page_text);
	return code;
}

int run_reports(struct cli *cli) {
	AUTO_ARENA struct arena mem = { 0 };
	if (cli->count != 0 && slice_eq(cli->args[0], S("parse"))) {
		cli->command = "reports parse";
		cli->args++;
		cli->count--;
		return run_report_parse(cli);
	}
	struct slice *words = arena_array(&mem, cli->count + 1, sizeof *words);
	words[0] = S("reports");
	for (size_t i = 0; i < cli->count; i++) words[i + 1] = cli->args[i];
	for (size_t i = 1; i <= cli->count; i++)
		if (slice_eq(words[i], S("--html")) || slice_starts(words[i], S("--html=")))
			return run_page(cli, words, cli->count + 1, i);
	cli->args = words;
	cli->count++;
	return run_operator(cli);
}
