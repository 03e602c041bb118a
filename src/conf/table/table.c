/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a process, by name. Opening is rare and may wait for a disk, so it happens outside the lock; when two
 * threads open the same table at once, the second one's work is thrown away. */
#include "conf/table/inside.h"
#include "base/map.h"

struct tables {
	struct table_params params;
	pthread_mutex_t lock;
	struct map by_name; /* flags digit and name, to struct table */
};

static const struct table_type *const types[] = {
	/* ordered by name */
	&table_btree,   &table_cdb,      &table_cidr,    &table_dbm,      &table_debug,    &table_environ,
	&table_fail,    &table_hash,     &table_inline,  &table_internal,
#ifdef HATO_LDAP
	&table_ldap,
#endif
	&table_lmdb,    &table_memcache,
#ifdef HATO_MYSQL
	&table_mysql,
#endif
	&table_pcre,
#ifdef HATO_PGSQL
	&table_pgsql,
#endif
	&table_pipemap, &table_proxy,    &table_randmap, &table_regexp,   &table_sdbm,     &table_socketmap,
	&table_sqlite,  &table_static,   &table_tcp,     &table_texthash, &table_unionmap, &table_unix,
};
/* Accepted where they are named, but not among the types. */
static const struct table_type *const gone[] = { &table_netinfo, &table_nis, &table_nisplus };
/* Known, and perhaps not built in. */
static const char *const optional[] = { "ldap", "mysql", "pgsql" };

const char *const *table_types(void) {
	static const char *names[LEN(types) + 1];
	for (size_t i = 0; i < LEN(types); i++) names[i] = types[i]->name; /* always the same: safe from many threads */
	return names;
}

struct tables *tables_new(const struct table_params *params) {
	struct tables *t = mem_get(sizeof *t);
	t->params = *params;
	pthread_mutex_init(&t->lock, NULL);
	return t;
}

static void table_free(void *at) {
	struct table *t = at;
	if (t->type->close != NULL) t->type->close(t);
	free(t->name);
	free(t);
}

void tables_free(struct tables **tp) {
	struct tables *t = *tp;
	if (t == NULL) return;
	*tp = NULL;
	map_done(&t->by_name, table_free);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static const struct table_type *type_find(struct slice name) {
	for (size_t i = 0; i < LEN(types); i++)
		if (slice_eq(name, slice_of(types[i]->name))) return types[i];
	for (size_t i = 0; i < LEN(gone); i++)
		if (slice_eq(name, slice_of(gone[i]->name))) return gone[i];
	return NULL;
}

static int no_such_type(struct slice name) {
	for (size_t i = 0; i < LEN(optional); i++)
		if (slice_eq(name, slice_of(optional[i])))
			return fail("unsupported dictionary type: %s: this build has no %s client (meson setup "
				    "-D%s=enabled)",
				    optional[i], optional[i], optional[i]),
			       TABLE_BAD;
	return fail("unsupported dictionary type: %.*s (postconf -m lists the types)", SLICE_ARG(name)), TABLE_BAD;
}

static struct slice key_of(struct arena *mem, struct slice name, unsigned flags) {
	return arena_fmt(mem, "%u %.*s", flags & TABLE_ALIASES, SLICE_ARG(name));
}

static int make(struct tables *all, struct slice name, unsigned flags, unsigned depth, struct table **out) {
	size_t colon = slice_find(name, ':');
	struct slice type_name = colon < name.len ? slice_head(name, colon) : S("texthash");
	if (name.len == 0 || colon + 1 == name.len || memchr(name.at, '\0', name.len) != NULL)
		return fail("%.*s: expected type:name", SLICE_ARG(name)), TABLE_BAD;
	if (name.len > TABLE_NAME_MOST)
		return fail("%.*s…: the name of a table is longer than %zu bytes", 40, name.at, TABLE_NAME_MOST),
		       TABLE_BAD;
	if (depth > TABLE_DEPTH)
		return fail("%.*s: tables within tables more than %d deep", SLICE_ARG(name), TABLE_DEPTH), TABLE_BAD;
	const struct table_type *type = colon == 0 ? NULL : type_find(type_name);
	if (type == NULL) return no_such_type(type_name);
	struct table *t = mem_get(sizeof *t);
	*t = (struct table){ .type = type,
			     .owner = all,
			     .name = slice_text(name),
			     .flags = flags,
			     .depth = depth,
			     .traits = type->traits };
	t->rest = slice_of(t->name + (colon < name.len ? colon + 1 : 0));
	if (type->open(t) != TABLE_FOUND) {
		table_free(t);
		return TABLE_BAD;
	}
	*out = t;
	return TABLE_FOUND;
}

static int open_at(struct tables *all, struct slice name, unsigned flags, unsigned depth, struct table **out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct slice key = key_of(&mem, name, flags);
	pthread_mutex_lock(&all->lock);
	struct table *t = map_get(&all->by_name, key);
	pthread_mutex_unlock(&all->lock);
	if (t == NULL) {
		int r = make(all, name, flags, depth, &t);
		if (r != TABLE_FOUND) return r;
		pthread_mutex_lock(&all->lock);
		struct table *other = map_get(&all->by_name, key);
		if (other == NULL) map_put(&all->by_name, key, t);
		pthread_mutex_unlock(&all->lock);
		if (other != NULL) {
			table_free(t);
			t = other;
		}
	}
	*out = t;
	return TABLE_FOUND;
}

int table_open(struct tables *all, struct slice name, unsigned flags, struct table **out) {
	return open_at(all, slice_trim(name), flags, 0, out);
}

int table_open_part(const struct table *whole, struct slice name, struct table **out) {
	return open_at(whole->owner, slice_trim(name), whole->flags, whole->depth + 1, out);
}

int table_find(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	if ((t->traits & TRAIT_PATTERN) != 0) return t->type->find(t, key, mem, value);
	char low[256];
	if (key.len > sizeof low) return t->type->find(t, arena_lower(mem, key), mem, value);
	for (size_t i = 0; i < key.len; i++) low[i] = ascii_lower(key.at[i]);
	return t->type->find(t, slice_from(low, key.len), mem, value);
}

const char *table_name(const struct table *t) { return t->name; }
bool table_is_pattern(const struct table *t) { return (t->traits & TRAIT_PATTERN) != 0; }
bool table_is_fixed(const struct table *t) { return (t->traits & TRAIT_FIXED) != 0; }

int table_each(struct table *t, table_visit *visit, void *ctx) {
	if (t->type->each != NULL) return t->type->each(t, visit, ctx);
	fail("%s: a table of type %s cannot be listed", t->name, t->type->name);
	return TABLE_BAD;
}

/* For the types. */

const struct table_params *table_params_of(const struct table *t) { return &t->owner->params; }

static void tell(const struct table *t, enum log_level level, const char *text) {
	const struct table_params *p = table_params_of(t);
	if (p->tell != NULL) p->tell(p->ctx, (int)level, text);
	else say(level, p->service != NULL ? p->service : "table", "%s", text);
}

void table_tell(const struct table *t, enum log_level level, const char *format, ...) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	va_list args;
	va_start(args, format);
	buf_addv(&text, format, args);
	va_end(args);
	tell(t, level, buf_text(&text));
}

static void report(struct report *r, unsigned line, bool error, const char *format, va_list args) {
	AUTO_BUF struct buf text = BUF(KIB(4));
	if (r->told == REPORT_MOST) table_tell(r->table, L_WARN, "%s: more lines are not as they should be", r->path);
	if (r->told++ >= REPORT_MOST) return;
	bool rules = table_is_pattern(r->table); /* Postfix's words, which differ */
	buf_addf(&text, "%s%s%s, line %u: ", rules ? r->table->type->name : "", rules ? " map " : "", r->path, line);
	buf_addv(&text, format, args);
	if (error) buf_add(&text, rules ? S(": skipping this rule") : S(" -- ignoring this line"));
	tell(r->table, L_WARN, buf_text(&text));
}

void report_error(struct report *r, unsigned line, const char *format, ...) {
	va_list args;
	va_start(args, format);
	report(r, line, true, format, args);
	va_end(args);
	r->errors++;
}

void report_warning(struct report *r, unsigned line, const char *format, ...) {
	va_list args;
	va_start(args, format);
	report(r, line, false, format, args);
	va_end(args);
}

bool table_line_next(struct logical_lines *l, struct arena *mem, struct slice *line, unsigned *number,
		     struct report *r) {
	while (logical_line_next(l, mem, line, number)) {
		if (line->len <= TABLE_LINE_MOST) return true;
		report_error(r, *number, "a line of %zu bytes; the longest that is read has %zu", line->len,
			     TABLE_LINE_MOST);
	}
	return false;
}

/* One member: up to a comma or blank outside of braces. False: braces that do not pair. */
static bool next_member(struct slice *rest, struct slice *out) {
	while (rest->len > 0 && (ascii_space(rest->at[0]) || rest->at[0] == ',')) *rest = slice_skip(*rest, 1);
	size_t n = 0, depth = 0;
	for (; n < rest->len; n++) {
		char c = rest->at[n];
		if (c == '{') depth++;
		else if (c == '}' && depth-- == 0) return false;
		else if (depth == 0 && (ascii_space(c) || c == ',')) break;
	}
	*out = slice_head(*rest, n);
	*rest = slice_skip(*rest, n);
	return depth == 0;
}

int table_members(struct slice list, struct arena *mem, struct slice **out, size_t *count) {
	list = slice_trim(list);
	if (list.len >= 2 && list.at[0] == '{' && list.at[list.len - 1] == '}')
		list = slice_head(slice_skip(list, 1), list.len - 2);
	size_t n = 0, room = 0;
	struct slice *at = NULL, member;
	for (;;) {
		if (!next_member(&list, &member)) return fail("%.*s: braces that do not pair", SLICE_ARG(list));
		if (member.len == 0) break;
		if (n == room) {
			room = room == 0 ? 8 : room * 2;
			struct slice *more = arena_array(mem, room, sizeof *more);
			if (n > 0) memcpy(more, at, n * sizeof *more);
			at = more;
		}
		at[n++] = member;
	}
	*out = at;
	*count = n;
	return 0;
}
