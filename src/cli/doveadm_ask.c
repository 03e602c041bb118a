/* SPDX-License-Identifier: Apache-2.0 */
/* What the `hato` command knows already, for doveadm: the verb's JSON. */
#include "admin/admin.h"
#include "base/fail.h"
#include "cli/doveadm.h"
#include "cli/doveadm_query.h"
#include "cli/inside.h"
#include "net/file.h"

#include <jansson.h>
#include <sys/mman.h>
#include <sysexits.h>

/* Without a server the answer comes from a child: a file is seen from both sides. */
static int answers = -1;
static bool hush;

static void keep(struct slice out, struct slice err) {
	if (file_write_all(answers, out) < 0) fprintf(stderr, "doveadm: %s\n", fail_text());
	if (!hush) print_answer(S(""), err);
}

static int take_answer(struct buf *out) {
	off_t size = lseek(answers, 0, SEEK_END);
	char *room = size > 0 ? buf_room(out, (size_t)size) : NULL;
	if (room == NULL || pread(answers, room, (size_t)size, 0) != size) return -1;
	out->len += (size_t)size;
	return 0;
}

int dove_ask(struct doveadm *d, const struct slice *args, size_t count, struct slice input, json_t **out, bool quiet) {
	struct cli cli = { .conf_dir = d->tool.conf_dir, .command = d->name, .print = keep };
	struct admin_request req = { .args = args, .count = count, .input = input };
	AUTO_BUF struct buf said = BUF(256 << 20);
	AUTO_FD int file = memfd_create("answer", MFD_CLOEXEC);
	if (file < 0) return dove_error(d, EX_OSERR, "memfd_create: %s", strerror(errno));
	answers = file;
	hush = quiet;
	int code = dispatch(&cli, buf_text(&d->data), &req);
	if (out == NULL || code != EX_OK) return code;
	*out = take_answer(&said) == 0 ? json_loadb(said.at, said.len, 0, NULL) : NULL;
	return *out != NULL ? code : dove_error(d, EX_SOFTWARE, "hato %s: no answer", d->name);
}

int dove_users(struct doveadm *d, struct slice mask, struct slice **out, size_t *count) {
	json_t *list = NULL, *row;
	size_t i;
	int code = dove_ask(d, (struct slice[]){ S("account"), S("list"), S("--json") }, 3, S(""), &list, false);
	*count = 0;
	if (code != EX_OK) return code;
	*out = arena_array(&d->mem, json_array_size(list) + 1, sizeof **out);
	json_array_foreach(list, i, row) {
		const char *name = json_string_value(json_object_get(row, "address"));
		if (name != NULL && dove_wild_match(mask, slice_of(name)))
			(*out)[(*count)++] = arena_slice(&d->mem, slice_of(name));
	}
	json_decref(list);
	return EX_OK;
}
