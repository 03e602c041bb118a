/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks in a chain, the newest first; each is twice as large as the one before it, up to 64 KiB. */
#include "base/arena.h"

#include <stdalign.h>

enum { FIRST_BLOCK = 992, /* with its head within what malloc keeps at hand for each thread */ LARGEST_BLOCK = 65536 };

struct arena_block {
	struct arena_block *before;
	size_t room, used;
	alignas(max_align_t) char bytes[];
};

static void free_chain(struct arena_block *b) {
	while (b != NULL) {
		struct arena_block *before = b->before;
		free(b);
		b = before;
	}
}

void arena_done(struct arena *a) {
	free_chain(a->last);
	a->last = NULL;
}

void arena_reset(struct arena *a) {
	struct arena_block *keep = a->last;
	if (keep == NULL) return;
	free_chain(keep->before);
	keep->before = NULL;
	if (keep->room > LARGEST_BLOCK) { /* one oversized command must not cost memory for the whole session */
		free(keep);
		a->last = NULL;
		return;
	}
	keep->used = 0;
}

void *arena_get(struct arena *a, size_t size) {
	size_t step = alignof(max_align_t);
	must(size < SIZE_MAX / 2);
	size_t need = (MAX_OF(size, (size_t)1) + step - 1) / step * step;
	struct arena_block *b = a->last;
	if (b == NULL || b->room - b->used < need) {
		size_t room = b == NULL ? FIRST_BLOCK : MIN_OF(b->room * 2, (size_t)LARGEST_BLOCK);
		room = MAX_OF(room, need);
		b = malloc(sizeof *b + room);
		if (b == NULL) die_now("out of memory, wanted %zu bytes", room);
		*b = (struct arena_block){ .before = a->last, .room = room };
		a->last = b;
	}
	void *at = b->bytes + b->used;
	b->used += need;
	return memset(at, 0, need);
}

void *arena_array(struct arena *a, size_t count, size_t size) {
	size_t total;
	if (__builtin_mul_overflow(count, size, &total)) die_now("array of %zu times %zu bytes", count, size);
	return arena_get(a, total);
}

struct slice arena_slice(struct arena *a, struct slice s) {
	char *at = arena_get(a, s.len + 1);
	if (s.len != 0) memcpy(at, s.at, s.len);
	return slice_from(at, s.len);
}

char *arena_text(struct arena *a, struct slice s) {
	char *at = arena_get(a, s.len + 1);
	if (s.len != 0) memcpy(at, s.at, s.len);
	return at;
}

struct slice arena_fmt(struct arena *a, const char *format, ...) {
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	must(n >= 0);
	char *at = arena_get(a, (size_t)n + 1);
	vsnprintf(at, (size_t)n + 1, format, again);
	va_end(again);
	va_end(args);
	return slice_from(at, (size_t)n);
}

struct slice arena_lower(struct arena *a, struct slice s) {
	char *at = arena_text(a, s);
	for (size_t i = 0; i < s.len; i++) at[i] = ascii_lower(at[i]);
	return slice_from(at, s.len);
}

size_t arena_used(const struct arena *a) {
	size_t total = 0;
	for (const struct arena_block *b = a->last; b != NULL; b = b->before) total += b->used;
	return total;
}
