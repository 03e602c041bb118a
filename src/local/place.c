/* SPDX-License-Identifier: Apache-2.0 */
/* The three ways in which a message leaves us for good differ in what the child does only; becoming somebody and
 * telling what happened are the same. */
#include "local/place.h"
#include "base/fail.h"

enum { FILE_MS = 600000, COMMAND_GRACE_MS = 10000 };

struct work {
	const struct placing *place;
	const struct mbox *box;
	const struct maildir *dir;
	const struct command *command;
};

static void say_result(const struct work *w, const char *bad, struct arena *mem, struct local_outcome *out) {
	const struct placing *p = w->place;
	if (bad == NULL) *out = local_said(mem, "2.0.0", "%.*s", SLICE_ARG(p->done));
	else *out = local_said(mem, bad, "%.*s%s", SLICE_ARG(p->trouble), fail_text());
}

static void run_mbox(void *ctx, struct arena *mem, struct local_outcome *out) {
	struct work *w = ctx;
	say_result(w, mbox_append(w->box, &w->place->copy, "5.2.0"), mem, out);
}

static void run_maildir(void *ctx, struct arena *mem, struct local_outcome *out) {
	struct work *w = ctx;
	say_result(w, maildir_add(w->dir, &w->place->copy, "4.2.0"), mem, out);
}

static void run_command(void *ctx, struct arena *mem, struct local_outcome *out) {
	struct work *w = ctx;
	struct command c = *w->command;
	c.copy = w->place->copy;
	command_run(&c, mem, out);
	if (out->fate != LOCAL_DELIVERED) return;
	struct slice printed = out->text;
	*out = local_said(mem, "2.0.0", "%.*s%s%.*s%s", SLICE_ARG(w->place->done), printed.len != 0 ? " (" : "",
			  SLICE_ARG(printed), printed.len != 0 ? ")" : "");
}

static void run(const struct work *w, void (*how)(void *, struct arena *, struct local_outcome *), int64_t limit_ms,
		struct arena *mem, struct local_outcome *out) {
	const struct placing *p = w->place;
	struct rights_task task = { .who = p->who,
				    .root = p->root,
				    .keep = { p->copy.message->fd },
				    .keep_count = 1,
				    .new_privileges = w->command != NULL,
				    .file_limit = p->file_limit,
				    .limit_ms = limit_ms,
				    .run = how,
				    .ctx = (void *)(uintptr_t)w };
	rights_run(&task, mem, out);
}

void place_mbox(const struct placing *p, const struct mbox *box, struct arena *mem, struct local_outcome *out) {
	run(&(struct work){ .place = p, .box = box }, run_mbox, FILE_MS, mem, out);
}

void place_maildir(const struct placing *p, const struct maildir *dir, struct arena *mem, struct local_outcome *out) {
	run(&(struct work){ .place = p, .dir = dir }, run_maildir, FILE_MS, mem, out);
}

void place_command(const struct placing *p, const struct command *c, struct arena *mem, struct local_outcome *out) {
	run(&(struct work){ .place = p, .command = c }, run_command, c->limit_ms + COMMAND_GRACE_MS, mem, out);
}
