/* SPDX-License-Identifier: Apache-2.0 */
/* h= may name a hundred thousand fields, and a header may have as many: each name is looked up in a table once and has
 * a chain of its fields, the lowest first. */
#include "base/map.h"
#include "trust/dkim_private.h"

struct place {
	struct slice field;
	struct place *above; /* the next of the same name */
};

struct name {
	struct slice name;
	uint64_t hash;
	struct place *lowest, *next;
	size_t count, left;
	uint64_t round; /* next and left count in this round */
	struct name *chain;
};

struct header_index {
	struct name **slots;
	size_t mask;
	uint64_t round;
};

enum { SHORT = 64 };

/* Keyed, over lower case: nobody can choose names that collide. */
static uint64_t name_hash(struct slice name, struct arena *mem) {
	char room[SHORT];
	if (name.len > SHORT) return hash_bytes(arena_lower(mem, name));
	for (size_t i = 0; i < name.len; i++) room[i] = ascii_lower(name.at[i]);
	return hash_bytes(slice_from(room, name.len));
}

static struct name *name_find(const struct header_index *x, struct slice name, uint64_t hash) {
	struct name *n = x->slots[hash & x->mask];
	while (n != NULL && (n->hash != hash || !slice_same(n->name, name))) n = n->chain;
	return n;
}

static void field_put(struct header_index *x, struct slice name, struct slice whole, struct arena *mem) {
	uint64_t hash = name_hash(name, mem);
	struct name *n = name_find(x, name, hash);
	if (n == NULL) {
		struct name **slot = &x->slots[hash & x->mask];
		n = arena_get(mem, sizeof *n);
		*n = (struct name){ .name = name, .hash = hash, .chain = *slot };
		*slot = n;
	}
	struct place *p = arena_get(mem, sizeof *p);
	*p = (struct place){ whole, n->lowest };
	n->lowest = p;
	n->count++;
}

struct header_index *header_index_new(struct slice header, struct arena *mem) {
	struct header_index *x = arena_get(mem, sizeof *x);
	struct field field;
	size_t lines = 0, room = 64;
	for (struct fields f = { .block = header }; fields_next(&f, &field);) lines++;
	while (room < lines) room *= 2;
	x->mask = room - 1;
	x->round = 1;
	x->slots = arena_array(mem, room, sizeof *x->slots);
	for (struct fields f = { .block = header }; fields_next(&f, &field);)
		field_put(x, field.name, slice_from(header.at + field.start, field.end - field.start), mem);
	return x;
}

void header_index_restart(struct header_index *x) {
	x->round++;
}

static struct name *name_now(struct header_index *x, struct slice name) {
	AUTO_ARENA struct arena mem = { 0 };
	struct name *n = name_find(x, name, name_hash(name, &mem));
	if (n != NULL && n->round != x->round) {
		n->round = x->round;
		n->next = n->lowest;
		n->left = n->count;
	}
	return n;
}

bool header_index_take(struct header_index *x, struct slice name, struct slice *field) {
	struct name *n = name_now(x, name);
	if (n == NULL || n->next == NULL) return false;
	*field = n->next->field;
	n->next = n->next->above;
	n->left--;
	return true;
}

size_t header_index_left(struct header_index *x, struct slice name) {
	struct name *n = name_now(x, name);
	return n != NULL ? n->left : 0;
}
