/* SPDX-License-Identifier: Apache-2.0 */
/* What a user writes into ~/.forward is read, and its files opened, with his rights only: a link to somebody else's
 * file gives him nothing. */
#include "local/own.h"
#include "base/fail.h"
#include "local/forward.h"
#include "mime/address.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { FORWARD_SIZE = 1 << 20, INCLUDE_DEPTH = 10, READ_MS = 60000 };

struct reading {
	const struct local_params *p;
	const struct names *names;
	const struct rights *who;
	struct arena *mem;
	struct local_outcome *out;
	unsigned depth;
};

/* user, user+extension, user@one of our domains */
static bool is_self(const struct reading *r, struct slice text) {
	struct mailbox m = { 0 };
	enum address_answer kind = address_parse(text, ADDRESS_UTF8 | ADDRESS_LONG_LOCAL, r->mem, &m);
	if (kind == ADDRESS_BAD || kind == ADDRESS_EMPTY) return false;
	struct slice user = slice_head(m.local, local_extension(m.local, r->p->delimiters));
	if (!slice_same(user, r->names->user)) return false;
	return m.domain.len == 0 || slice_same(m.domain, r->p->host) ||
	       (r->p->destinations != NULL && domains_match(r->p->destinations, m.domain));
}

/* False: too many. */
static bool add(struct reading *r, enum local_target_kind kind, struct slice text) {
	struct local_outcome *o = r->out;
	for (size_t i = 0; i < o->targets_count; i++)
		if (o->targets[i].kind == kind && slice_eq(o->targets[i].text, text)) return true;
	if (o->targets_count == LOCAL_TARGETS_MAX) {
		*o = local_said(r->mem, "5.2.4", "too many forwarding addresses for %.*s", SLICE_ARG(r->names->user));
		return false;
	}
	o->targets[o->targets_count++] = (struct local_target){ kind, text };
	return true;
}

static bool list(struct reading *r, struct slice text, bool included);

static bool refuse(struct reading *r, const char *status, const char *what, struct slice text, const char *why) {
	*r->out = local_said(r->mem, status, "%s%.*s%s", what, SLICE_ARG(text), why);
	return false;
}

static bool include(struct reading *r, struct slice path) {
	if (path.at[0] != '/') return refuse(r, "5.3.5", ":include:", path, " uses a relative path");
	if (r->depth == INCLUDE_DEPTH)
		return refuse(r, "5.3.5", ":include: files within each other too deep: ", path, "");
	AUTO_FD int fd = open(arena_text(r->mem, path), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	if (fd < 0)
		return refuse(r, "4.2.0", "cannot open include file ", path,
			      arena_fmt(r->mem, ": %s", strerror(errno)).at);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return refuse(r, "5.2.0", ":include: file ", path, " is not a regular file");
	if ((st.st_mode & S_IWOTH) != 0) return refuse(r, "5.2.0", ":include: file ", path, " is world writable");
	AUTO_BUF struct buf text = BUF(FORWARD_SIZE);
	char *room = buf_room(&text, (size_t)MIN_OF(st.st_size, (off_t)FORWARD_SIZE));
	ssize_t n = room != NULL ? read(fd, room, (size_t)MIN_OF(st.st_size, (off_t)FORWARD_SIZE)) : 0;
	if (n < 0 || st.st_size > FORWARD_SIZE) return refuse(r, "4.2.0", "cannot read include file ", path, "");
	r->depth++;
	bool good = list(r, arena_slice(r->mem, slice_from(room, (size_t)n)), true);
	r->depth--;
	return good;
}

static bool item(struct reading *r, const struct forward_item *i, bool included) {
	switch (i->kind) {
	case FORWARD_INCLUDE: return include(r, i->text);
	case FORWARD_COMMAND:
		if (!(included ? r->p->include_commands : r->p->forward_commands))
			return refuse(r, "5.7.1", "mail to command is restricted", SLICE_NONE, "");
		return add(r, TARGET_COMMAND, i->text);
	case FORWARD_FILE:
		if (!(included ? r->p->include_files : r->p->forward_files))
			return refuse(r, "5.7.1", "mail to file is restricted", SLICE_NONE, "");
		return add(r, TARGET_FILE, i->text);
	default:
		if (is_self(r, i->text)) return add(r, TARGET_MAILBOX, SLICE_NONE);
		return add(r, TARGET_ADDRESS, i->text);
	}
}

static bool list(struct reading *r, struct slice text, bool included) {
	struct forward_list l = forward_parse(text, r->mem);
	for (size_t i = 0; i < l.count; i++)
		if (!item(r, &l.at[i], included)) return false;
	return true;
}

/* Sets *out when it cannot be used. */
static bool usable(struct reading *r, const char *path, const struct stat *st) {
	const char *why = !S_ISREG(st->st_mode)                           ? "is not a regular file"
			  : st->st_uid != 0 && st->st_uid != r->who->uid ? "has bad owner"
			  : (st->st_mode & S_IWOTH) != 0                 ? "is world writable"
									 : NULL;
	if (why == NULL) return true;
	*r->out = local_said(r->mem, "2.0.0", "file %s %s", path, why);
	return false;
}

static void read_file(struct reading *r, const char *path) {
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0) {
		*r->out = local_said(r->mem, "2.0.0", "cannot open file %s: %s", path, strerror(errno));
		return;
	}
	if (!usable(r, path, &st)) return;
	size_t want = (size_t)MIN_OF(st.st_size, (off_t)FORWARD_SIZE);
	char *text = arena_get(r->mem, want + 1);
	ssize_t n = pread(fd, text, want, 0);
	if (n < 0 || st.st_size > FORWARD_SIZE) {
		*r->out = local_said(r->mem, "4.2.0", "error reading forwarding file: %s",
				     n < 0 ? strerror(errno) : strerror(EFBIG));
		return;
	}
	*r->out = (struct local_outcome){ .fate = LOCAL_REDIRECTED,
					  .targets =
						  arena_array(r->mem, LOCAL_TARGETS_MAX, sizeof(struct local_target)) };
	if (list(r, slice_from(text, (size_t)n), false) && r->out->targets_count == 0)
		*r->out = local_said(r->mem, "2.0.0", "%s", ""); /* an empty file: no forwarding */
}

static void find(void *ctx, struct arena *mem, struct local_outcome *out) {
	struct reading *r = ctx;
	r->mem = mem;
	r->out = out;
	struct slice rest = r->p->forward_path, one;
	const char *home = arena_text(mem, r->who->home);
	struct stat st;
	*out = local_said(mem, "2.0.0", "%s", "");
	if (r->p->home_needed && stat(home, &st) != 0) {
		*out = local_said(mem, "4.3.0", "cannot access home directory %s: %s", home, strerror(errno));
		return;
	}
	while ((one = slice_word(&rest, ", \t\r\n")).len != 0) {
		AUTO_BUF struct buf path = BUF(PATH_MAX);
		if (names_lack(r->names, one)) continue;
		char *filter = r->p->forward_filter.len != 0 ? arena_text(mem, r->p->forward_filter) : NULL;
		if (names_expand(r->names, one, filter, &path) < 0 || path.full) continue;
		if (lstat(buf_text(&path), &st) != 0) continue;
		if (usable(r, buf_text(&path), &st)) read_file(r, buf_text(&path));
		return;
	}
}

void own_forward(const struct local_params *p, const struct names *names, const struct rights *who, struct arena *mem,
		 struct local_outcome *out) {
	struct reading r = { .p = p, .names = names, .who = who };
	struct rights_task task = { .who = who, .limit_ms = READ_MS, .run = find, .ctx = &r };
	rights_run(&task, mem, out);
}
