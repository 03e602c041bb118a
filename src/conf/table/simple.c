/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that need no file: what they answer stands in their name or in the process (DATABASE_README). */
#include "conf/table/inside.h"
#include "base/map.h"

/* static:value, static:{value with blanks} */

static int open_static(struct table *t) {
	struct slice v = t->rest;
	if (v.len >= 2 && v.at[0] == '{' && v.at[v.len - 1] == '}')
		t->rest = slice_trim(slice_head(slice_skip(v, 1), v.len - 2));
	return TABLE_FOUND;
}

static int find_static(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	(void)key;
	*value = arena_slice(mem, t->rest);
	return TABLE_FOUND;
}

/* inline:{key=value, {key = value with blanks}} */

struct pair {
	struct slice key, value;
};
struct pairs {
	struct arena mem;
	struct map by_key;
	struct pair *at; /* as they were written */
	size_t count;
};

static int add_pair(const struct table *t, struct pairs *p, struct slice member) {
	if (member.len >= 2 && member.at[0] == '{' && member.at[member.len - 1] == '}')
		member = slice_trim(slice_head(slice_skip(member, 1), member.len - 2));
	size_t equals = slice_find(member, '=');
	struct slice key = slice_trim(slice_head(member, equals)), value = slice_trim(slice_skip(member, equals + 1));
	struct slice rest = key, word = slice_word(&rest, " \t\r\n");
	if (equals == member.len || word.len == 0 || word.len < key.len)
		return fail("%s: \"%.*s\" is not key=value (write inline:{key=value, {key = value with blanks}})",
			    t->name, SLICE_ARG(member));
	struct pair *pair = &p->at[p->count];
	*pair = (struct pair){ arena_lower(&p->mem, key), value };
	if (value.len == 0)
		table_tell(t, L_WARN, "%s: key %.*s: empty string result is not allowed", t->name, SLICE_ARG(key));
	if (map_get(&p->by_key, pair->key) != NULL) {
		table_tell(t, L_WARN, "%s: duplicate entry: \"%.*s\"", t->name, SLICE_ARG(pair->key));
		return 0;
	}
	map_put(&p->by_key, pair->key, pair);
	p->count++;
	return 0;
}

static int open_inline(struct table *t) {
	struct pairs *p = t->state = mem_get(sizeof *p);
	struct slice *members;
	size_t count;
	if (t->rest.at[0] != '{')
		return fail("bad syntax: \"%s\"; need \"inline:{name=value...}\"", t->name), TABLE_BAD;
	if (table_members(t->rest, &p->mem, &members, &count) < 0) return fail_add("%s", t->name), TABLE_BAD;
	if (count == 0) return fail("bad syntax: \"%s\"; need \"inline:{name=value...}\"", t->name), TABLE_BAD;
	p->at = arena_array(&p->mem, count, sizeof *p->at);
	for (size_t i = 0; i < count; i++)
		if (add_pair(t, p, members[i]) < 0) return TABLE_BAD;
	return TABLE_FOUND;
}

static int find_inline(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	struct pairs *p = t->state;
	const struct pair *pair = map_get(&p->by_key, key);
	if (pair == NULL) return TABLE_MISSING;
	*value = arena_slice(mem, pair->value);
	return TABLE_FOUND;
}

static int each_inline(struct table *t, table_visit *visit, void *ctx) {
	struct pairs *p = t->state;
	int r = 0;
	for (size_t i = 0; r == 0 && i < p->count; i++) r = visit(ctx, p->at[i].key, p->at[i].value);
	return r;
}

static void close_inline(struct table *t) {
	struct pairs *p = t->state;
	map_done(&p->by_key, NULL);
	arena_done(&p->mem);
	free(p);
}

/* environ:anything, internal:anything (for this process only: always empty), fail:anything */

static int open_nothing(struct table *t) {
	(void)t;
	return TABLE_FOUND;
}

static int find_environ(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	(void)t;
	const char *found = getenv(arena_text(mem, key));
	if (found == NULL) return TABLE_MISSING;
	*value = arena_slice(mem, slice_of(found));
	return TABLE_FOUND;
}

static int find_internal(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	(void)t, (void)key, (void)mem, (void)value;
	return TABLE_MISSING;
}

static int find_fail(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	(void)key, (void)mem, (void)value;
	fail("%s: this table always fails, as its name says", t->name);
	return TABLE_LATER;
}

/* nis, nisplus, netinfo: directories that are gone. Debian's alias_maps names one. */

static int open_gone(struct table *t) {
	table_tell(t, L_INFO, "%s: tables of type %s are not supported and have no entries here", t->name,
		   t->type->name);
	return TABLE_FOUND;
}

const struct table_type table_nis = { "nis", 0, open_gone, find_internal, NULL, NULL },
			table_nisplus = { "nisplus", 0, open_gone, find_internal, NULL, NULL },
			table_netinfo = { "netinfo", 0, open_gone, find_internal, NULL, NULL };

const struct table_type table_static = { "static", TRAIT_PATTERN | TRAIT_FIXED, open_static, find_static, NULL, NULL },
			table_inline = { "inline", TRAIT_FIXED, open_inline, find_inline, each_inline, close_inline },
			table_environ = { "environ", 0, open_nothing, find_environ, NULL, NULL },
			table_internal = { "internal", 0, open_nothing, find_internal, NULL, NULL },
			table_fail = { "fail", TRAIT_PATTERN, open_nothing, find_fail, NULL, NULL };
