/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* A hash table from text to pointers. Keys are copied; the hash is keyed with a random secret, so that nobody can
 * choose colliding keys. Values are the caller's. `struct map m = {0};` is an empty map. */
struct map_entry;
struct map {
	struct map_entry **slots;
	size_t count, room;
};
void map_done(struct map *m, void (*free_value)(void *)); /* free_value may be NULL */
void *map_get(const struct map *m, struct slice key);     /* NULL when absent */
void *map_put(struct map *m, struct slice key, void *value); /* returns the value it replaced, or NULL */
void *map_take(struct map *m, struct slice key);          /* removes and returns; NULL when absent */
/* Visits every entry in no particular order until visit returns false. The map must not change meanwhile. */
void map_each(const struct map *m, bool (*visit)(void *ctx, struct slice key, void *value), void *ctx);
uint64_t hash_bytes(struct slice s); /* keyed per process: never store it */
