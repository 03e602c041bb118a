/* SPDX-License-Identifier: Apache-2.0 */
/* What the `hato` command knows already, for doveadm: the verb's JSON. */
#include "admin/admin.h"
#include "base/fail.h"
#include "cli/doveadm.h"
#include "cli/doveadm_query.h"
#include "cli/inside.h"

#include <jansson.h>
#include <sysexits.h>

static struct buf said = { .limit = 256 << 20 }; /* dispatch may answer from a child: then it prints, and we see nothing */
static bool hush;

static void keep(struct slice out, struct slice err) {
	buf_clear(&said);
	buf_add(&said, out);
	if (!hush) print_answer(S(""), err);
}

int dove_ask(struct doveadm *d, const struct slice *args, size_t count, struct slice input, json_t **out, bool quiet) {
	struct cli cli = { .conf_dir = d->tool.conf_dir, .command = d->name, .print = keep };
	struct admin_request req = { .args = args, .count = count, .input = input };
	buf_clear(&said);
	hush = quiet;
	int code = dispatch(&cli, buf_text(&d->data), &req);
	if (out == NULL || code != EX_OK) return code;
	*out = json_loadb(said.at != NULL ? said.at : "", said.len, 0, NULL);
	if (*out == NULL) return dove_error(d, EX_TEMPFAIL, "the server does not run (hato start)");
	return code;
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
