/* SPDX-License-Identifier: Apache-2.0 */
/* Expansion happens when the message comes in, and not in a delivery agent: all that an alias leads to is entered in
 * one transaction, and a table that cannot be asked keeps the message where it is. */
#include "flow/alias.h"
#include "base/fail.h"
#include "flow/route_private.h"
#include "local/forward.h"
#include "net/file.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

struct expansion {
	struct way *way;
	struct step *up;
	const struct alias_params *params;
	struct slice name, hop;   /* the name in the table */
	struct slice extension;   /* for addresses, when it is propagated */
	struct slice rights, owner, domain;
	bool has_owner;
	bool included;            /* from a file */
	unsigned depth;           /* of files in files */
};

/* What Delivered-To will say of whoever the alias leads to (local(8), frozen_delivered_to): the address that it all
 * began with. A list with an owner, or from a file, sends its members a message of their own, which says that it came
 * by it. */
static void name_delivered(const struct expansion *x, struct step *s) {
	struct slice first = x->up->delivered.len != 0 ? x->up->delivered : x->up->address;
	bool sent_on = (x->included || x->has_owner) && s->target_kind == RELAY_ADDRESS;
	s->below = sent_on ? first : x->up->below;
	if (!sent_on && x->params->frozen) s->delivered = first;
}

static struct step *add(struct expansion *x, struct slice address) {
	struct step *s = way_add(x->way, x->up, address);
	name_delivered(x, s);
	s->aliased = s->marked = true;
	s->alias = x->name;
	if (x->has_owner) s->owner = x->owner;
	return s;
}

static void add_address(struct expansion *x, struct slice text) {
	struct slice local = text, domain;
	if (x->extension.len != 0) {
		text = rewrite_parts(text, &local, &domain)
			       ? arena_fmt(x->way->mem, "%.*s%.*s@%.*s", SLICE_ARG(local), SLICE_ARG(x->extension),
					   SLICE_ARG(domain))
			       : arena_fmt(x->way->mem, "%.*s%.*s", SLICE_ARG(text), SLICE_ARG(x->extension));
	}
	add(x, text)->rewrite = true;
}

static void add_target(struct expansion *x, enum relay_target kind, struct slice text, bool allowed, const char *what) {
	if (!allowed) {
		way_nowhere(x->way, x->up, "5.7.1", arena_fmt(x->way->mem, "mail to %s is restricted", what));
		return;
	}
	struct step *s = add(x, x->up->address);
	s->target_kind = kind;
	name_delivered(x, s);
	s->target = text;
	s->rights = x->rights;
	s->hop = x->hop;
}

static int expand(struct expansion *x, struct slice text);

/* The text of a file, and whose it is. */
static int read_include(struct expansion *x, const char *path, struct slice *text) {
	struct stat st;
	struct passwd entry, *user = NULL;
	char room[4096];
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0) return fail_errno("cannot open include file %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > ALIAS_INCLUDE_MAX)
		return fail("include file %s: not a file, or too large", path);
	char *at = arena_get(x->way->mem, (size_t)st.st_size + 1);
	ssize_t n = pread(fd, at, (size_t)st.st_size, 0);
	if (n < 0) return fail_errno("cannot read include file %s", path);
	*text = slice_from(at, (size_t)n);
	x->rights = SLICE_NONE;
	if (st.st_uid != 0 && getpwuid_r(st.st_uid, &entry, room, sizeof room, &user) == 0 && user != NULL)
		x->rights = arena_slice(x->way->mem, slice_of(user->pw_name));
	return 0;
}

static int include(struct expansion *x, struct slice path) {
	struct expansion inner = *x;
	struct slice text;
	inner.included = true;
	if (++inner.depth > ROUTE_DEPTH) return fail("include files lead in a circle: %.*s", SLICE_ARG(path));
	if (read_include(&inner, arena_text(x->way->mem, path), &text) < 0) return -1;
	way_trace(x->way, ":include:", x->name, path, NULL);
	return expand(&inner, text);
}

static int expand(struct expansion *x, struct slice text) {
	struct forward_list list = forward_parse(text, x->way->mem);
	const struct alias_params *p = x->params;
	for (size_t i = 0; i < list.count; i++) {
		struct slice item = list.at[i].text;
		switch (list.at[i].kind) {
		case FORWARD_ADDRESS: add_address(x, item); break;
		case FORWARD_SELF: {
			struct step *s = add(x, item);
			s->rewrite = s->no_aliases = true;
			break;
		}
		case FORWARD_COMMAND:
			add_target(x, RELAY_COMMAND, item, x->included ? p->include_commands : p->commands, "command");
			break;
		case FORWARD_FILE:
			add_target(x, RELAY_FILE, item, x->included ? p->include_files : p->files, "file");
			break;
		case FORWARD_INCLUDE:
			if (include(x, item) < 0) return -1;
			break;
		}
	}
	return 0;
}

/* How this name came to be asked for: not at all, by its own entry, or by way of others that it led to. */
static enum { NEW, ITSELF, CIRCLE } seen(const struct step *s, struct slice name) {
	unsigned depth = 0;
	if (slice_same(s->alias, name)) return ITSELF;
	for (const struct step *up = s; up != NULL; up = up->up)
		if ((up->alias.len != 0 && slice_same(up->alias, name)) || ++depth > ALIAS_DEPTH) return CIRCLE;
	return NEW;
}

static struct slice standard(const struct expansion *x, struct slice name) {
	const struct rewrite_params *r = &x->way->params->rewrite;
	return rewrite_standard(r, r->origin, r->domain, name, x->way->mem);
}

/* owner-NAME. ALIAS_LATER, or 0. */
static int find_owner(struct expansion *x) {
	struct lookup_hit hit;
	struct slice key = arena_fmt(x->way->mem, "owner-%.*s", SLICE_ARG(x->name));
	if (slice_starts_same(x->name, S("owner-")) || x->way->from->sender.len == 0) return 0;
	int r = lookup_key(&x->params->maps, key, x->way->mem, &hit);
	if (r == TABLE_LATER) return ALIAS_LATER;
	if (r == TABLE_FOUND) {
		x->has_owner = true;
		struct forward_list list = forward_parse(hit.value, x->way->mem);
		bool plain = list.count == 1 && list.at[0].kind == FORWARD_ADDRESS;
		x->owner = standard(x, x->params->expand_owner && plain ? list.at[0].text : key);
		way_trace(x->way, "owner", key, x->owner, table_name(hit.table));
	}
	return 0;
}

static struct slice rights_of(const struct alias_params *p, const struct table *table) {
	for (size_t i = 0; i < p->maps.count && p->rights != NULL; i++)
		if (p->maps.tables[i] == table) return p->rights[i];
	return SLICE_NONE;
}

int alias_follow(struct way *w, struct step *s, struct slice hop) {
	const struct alias_params *p = w->params->aliases;
	struct expansion x = { .way = w, .up = s, .params = p, .hop = hop };
	struct slice local = s->address;
	struct lookup_hit hit;
	rewrite_parts(s->address, &local, &x.domain);
	if (p->maps.count == 0) return ALIAS_NONE;
	int r = lookup_address(&p->maps, local, LOOKUP_NAME, rewrite_delimiters(&w->params->rewrite, local), true,
			       w->mem, &hit);
	if (r != TABLE_FOUND) return r == TABLE_LATER ? ALIAS_LATER : ALIAS_NONE;
	x.name = hit.key;
	x.rights = rights_of(p, hit.table);
	if ((w->params->rewrite.extend & REWRITE_EXTEND_ALIAS) != 0) x.extension = hit.extension;
	switch (seen(s, x.name)) {
	case ITSELF: return ALIAS_NONE;
	case CIRCLE: way_nowhere(w, s, "5.4.6", S("alias database loop")); return ALIAS_FOUND;
	default: break;
	}
	way_trace(w, "alias_maps", hit.key, hit.value, table_name(hit.table));
	if (find_owner(&x) != 0) return ALIAS_LATER;
	return expand(&x, hit.value) < 0 ? ALIAS_LATER : ALIAS_FOUND;
}
