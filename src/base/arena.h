/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* An arena hands out memory that is freed all at once: with the command, the transaction or the session it serves.
 * `struct arena a = {0};` is a ready arena; it takes memory at first use. Not for use by two threads at once. */
struct arena_block;
struct arena {
	struct arena_block *last;
};
#define AUTO_ARENA AUTO(arena_done)
void arena_done(struct arena *a);  /* frees everything; may be used again */
void arena_reset(struct arena *a); /* like arena_done, but keeps one block for the next use */
void *arena_get(struct arena *a, size_t size) NONNULL_RESULT; /* zeroed, aligned for any type */
void *arena_array(struct arena *a, size_t count, size_t size) NONNULL_RESULT;
struct slice arena_slice(struct arena *a, struct slice s); /* a copy, with a NUL behind it */
char *arena_text(struct arena *a, struct slice s) NONNULL_RESULT;
struct slice arena_fmt(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3); /* NUL behind it */
struct slice arena_lower(struct arena *a, struct slice s); /* ASCII lower-case copy */
size_t arena_used(const struct arena *a); /* bytes handed out since the start or reset */
