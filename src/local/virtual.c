/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody needs to exist on this machine for mail to be kept for him: a table says where, two more say as whom. What
 * they say is the administrator's word; all the same it never means root. */
#include "local/virtual.h"
#include "base/fail.h"

struct at_work {
	const struct virtual_params *p;
	struct slice address;
	struct arena *mem;
	struct local_outcome *out;
};

/* TABLE_FOUND, TABLE_MISSING, TABLE_LATER; the last with *out. */
static int ask(struct at_work *w, const struct lookup *l, struct slice *value) {
	struct lookup_hit hit;
	int r = lookup_address(l, w->address, LOOKUP_WHOLE | LOOKUP_AT_DOMAIN, w->p->delimiters, false, w->mem, &hit);
	if (r == TABLE_FOUND) *value = slice_trim(hit.value);
	else if (r != TABLE_MISSING)
		*w->out = local_said(w->mem, "4.3.0", "table lookup problem: %s", fail_text());
	return r == TABLE_FOUND || r == TABLE_MISSING ? r : TABLE_LATER;
}

static bool number(struct at_work *w, const struct lookup *l, const char *what, uint64_t least, uint64_t *out) {
	struct slice value = SLICE_NONE;
	int r = ask(w, l, &value);
	if (r == TABLE_MISSING)
		*w->out = local_said(w->mem, "4.3.5", "recipient %.*s: not found in virtual_%s_maps",
				     SLICE_ARG(w->address), what);
	if (r != TABLE_FOUND) return false;
	if (slice_number(value, INT_MAX, out) && *out >= least && *out != 0) return true;
	*w->out = local_said(w->mem, "4.3.5", "recipient %.*s: bad %s %.*s in virtual_%s_maps", SLICE_ARG(w->address),
			     what, SLICE_ARG(value), what);
	return false;
}

/* A path from a table must not climb above the base. */
static bool climbs(struct slice path) {
	struct slice rest = path;
	while (rest.at != NULL)
		if (slice_eq(slice_cut(&rest, '/'), S(".."))) return true;
	return false;
}

void virtual_deliver(const struct virtual_params *p, const struct local_message *m, const struct local_recipient *to,
		     struct arena *mem, struct local_outcome *out) {
	struct at_work w = { .p = p, .address = arena_lower(mem, to->address), .mem = mem, .out = out };
	struct slice box;
	uint64_t uid, gid;
	int r = ask(&w, &p->mailboxes, &box);
	if (r == TABLE_MISSING || (r == TABLE_FOUND && box.len == 0))
		*out = local_said(mem, "5.1.1", "unknown user: \"%.*s\"", SLICE_ARG(w.address));
	if (r != TABLE_FOUND || box.len == 0) return;
	if (!number(&w, &p->uids, "uid", p->least_uid, &uid) || !number(&w, &p->gids, "gid", 1, &gid)) return;
	struct slice path = p->base.len != 0 ? arena_fmt(mem, "%.*s/%.*s", SLICE_ARG(p->base), SLICE_ARG(box)) : box;
	path = arena_slice(mem, path);
	if (path.at[0] != '/' || climbs(path)) {
		*out = local_said(mem, "4.3.5", "recipient %.*s: bad mailbox %.*s (virtual_mailbox_base)",
				  SLICE_ARG(w.address), SLICE_ARG(path));
		return;
	}
	struct rights who = { .uid = (uid_t)uid, .gid = (gid_t)gid, .name = arena_fmt(mem, "%u", (unsigned)uid) };
	bool maildir = slice_ends(path, S("/"));
	struct placing place = {
		.who = &who,
		.copy = { .message = m,
			  .sender = m->sender,
			  .original = to->original.len != 0 ? to->original : to->address,
			  .delivered = to->address,
			  .flags = COPY_RETURN_PATH | COPY_DELIVERED | (p->original_header ? COPY_ORIGINAL : 0u) |
				   (maildir ? 0u : COPY_FROM | COPY_QUOTE | COPY_BLANK),
			  .date = copy_date(mem, wall_s()) },
		.file_limit = p->size_limit,
		.done = maildir ? S("delivered to maildir") : S("delivered to mailbox"),
		.trouble = maildir ? S("maildir delivery failed: ")
				   : arena_fmt(mem, "delivery failed to mailbox %.*s: ", SLICE_ARG(path)),
	};
	if (maildir) {
		struct maildir dir = { .path = path.at, .host = arena_text(mem, p->host), .make_parents = true };
		place_maildir(&place, &dir, mem, out);
		return;
	}
	struct mbox file = {
		.path = path.at, .locks = p->locks, .uid = who.uid, .gid = who.gid, .strict = p->owner_needed
	};
	place_mbox(&place, &file, mem, out);
}
