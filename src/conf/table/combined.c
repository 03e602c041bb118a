/* SPDX-License-Identifier: Apache-2.0 */
/* Tables made of tables: unionmap, pipemap, randmap, proxy and debug (DATABASE_README). The parts are tables of the
 * same process, so a file named in two of them is read once; the registry frees them. */
#include "conf/table/inside.h"
#include "base/encode.h"

struct parts {
	struct arena mem;
	struct table **at;
	struct slice *results; /* randmap */
	size_t count;
};

static void close_parts(struct table *t) {
	struct parts *p = t->state;
	if (p == NULL) return;
	arena_done(&p->mem);
	free(p);
}

/* "{a, b}" into members; empty lists are errors. */
static int take_members(struct table *t, struct parts *p, struct slice **members) {
	const char *of = t->type == &table_randmap ? "result" : "type:name";
	bool braced = t->rest.at[0] == '{';
	if (braced && table_members(t->rest, &p->mem, members, &p->count) < 0)
		return fail_add("%s", t->name), TABLE_BAD;
	if (!braced || p->count == 0)
		return fail("bad syntax: \"%s\"; need \"%s:{%s...}\"", t->name, t->type->name, of), TABLE_BAD;
	return TABLE_FOUND;
}

static int open_list(struct table *t) {
	struct parts *p = t->state = mem_get(sizeof *p);
	struct slice *members;
	if (take_members(t, p, &members) != TABLE_FOUND) return TABLE_BAD;
	p->at = arena_array(&p->mem, p->count, sizeof *p->at);
	unsigned fixed = TRAIT_FIXED;
	t->traits = 0;
	for (size_t i = 0; i < p->count; i++) {
		if (slice_find(members[i], ':') == members[i].len)
			return fail("bad syntax: \"%s\"; need \"%s:{type:name...}\"", t->name, t->type->name),
			       TABLE_BAD;
		if (table_open_part(t, members[i], &p->at[i]) != TABLE_FOUND) return fail_add("%s", t->name), TABLE_BAD;
		t->traits |=
			p->at[i]->traits & TRAIT_PATTERN; /* as in Postfix: one pattern table makes the whole one */
		fixed &= p->at[i]->traits;
	}
	t->traits |= fixed;
	return TABLE_FOUND;
}

static int find_union(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	const struct parts *p = t->state;
	AUTO_BUF struct buf all = BUF(TABLE_VALUE_MOST);
	bool found = false;
	for (size_t i = 0; i < p->count; i++) {
		struct slice one;
		int r = table_find(p->at[i], key, mem, &one);
		if (r == TABLE_MISSING) continue;
		if (r != TABLE_FOUND) return r;
		if (found) buf_byte(&all, ',');
		buf_add(&all, one);
		found = true;
	}
	if (!found) return TABLE_MISSING;
	if (all.full) return fail("%s: the results are longer than %zu bytes", t->name, TABLE_VALUE_MOST), TABLE_LATER;
	*value = arena_slice(mem, buf_slice(&all));
	return TABLE_FOUND;
}

static int find_pipe(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	const struct parts *p = t->state;
	for (size_t i = 0; i < p->count; i++) {
		int r = table_find(p->at[i], key, mem, &key);
		if (r != TABLE_FOUND) return r;
	}
	*value = key;
	return TABLE_FOUND;
}

static int open_random(struct table *t) {
	struct parts *p = t->state = mem_get(sizeof *p);
	return take_members(t, p, &p->results);
}

static int find_random(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	const struct parts *p = t->state;
	(void)key;
	*value = arena_slice(mem, p->results[random_below(p->count)]);
	return TABLE_FOUND;
}

/* proxy:type:name and debug:type:name: one part, whose answers they give. */

static int open_other(struct table *t) {
	struct parts *p = t->state = mem_get(sizeof *p);
	if (slice_find(t->rest, ':') == t->rest.len)
		return fail("bad syntax: \"%s\"; need \"%s:type:name\"", t->name, t->type->name), TABLE_BAD;
	p->count = 1;
	p->at = arena_array(&p->mem, 1, sizeof *p->at);
	if (table_open_part(t, t->rest, &p->at[0]) != TABLE_FOUND) return fail_add("%s", t->name), TABLE_BAD;
	t->traits = p->at[0]->traits;
	return TABLE_FOUND;
}

static int find_other(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	const struct parts *p = t->state;
	return table_find(p->at[0], key, mem, value);
}

static int each_other(struct table *t, table_visit *visit, void *ctx) {
	const struct parts *p = t->state;
	return table_each(p->at[0], visit, ctx);
}

static int find_debug(struct table *t, struct slice key, struct arena *mem, struct slice *value) {
	int r = find_other(t, key, mem, value);
	struct slice said = r == TABLE_FOUND ? *value : r == TABLE_MISSING ? S("not found") : slice_of(fail_text());
	table_tell(t, L_INFO, "%.*s lookup: \"%.*s\" = \"%.*s\"", SLICE_ARG(t->rest), SLICE_ARG(key), SLICE_ARG(said));
	return r;
}

const struct table_type table_unionmap = { "unionmap", 0, open_list, find_union, NULL, close_parts },
			table_pipemap = { "pipemap", 0, open_list, find_pipe, NULL, close_parts },
			table_randmap = { "randmap", TRAIT_PATTERN, open_random, find_random, NULL, close_parts },
			table_proxy = { "proxy", 0, open_other, find_other, each_other, close_parts },
			table_debug = { "debug", 0, open_other, find_debug, each_other, close_parts };
