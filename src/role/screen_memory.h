/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "net/addr.h"
/* Who has passed which of postscreen's tests, and until when that counts (postscreen_cache_map has its place here). For
 * many threads. What is not in memory is asked of whoever keeps it over restarts. */
enum screen_test_id {
	SCREEN_GREET,
	SCREEN_DNSBL,
	SCREEN_PIPELINING,
	SCREEN_NON_SMTP,
	SCREEN_BARE_NEWLINE,
	SCREEN_TESTS
};
struct screen_record {
	int64_t until[SCREEN_TESTS]; /* seconds since 1970; 0: never passed */
};
/* May both wait for our own side. recall: false when nobody knows; keep: until_s, seconds since 1970. NULL: nothing is
 * kept. */
struct screen_keep {
	bool (*recall)(void *ctx, struct slice address, struct arena *mem, struct slice *packed);
	void (*keep)(void *ctx, struct slice address, struct slice packed, int64_t until_s);
	void *ctx;
};
struct screen_memory;
struct screen_memory *screen_memory_new(const struct screen_keep *keep) NONNULL_RESULT; /* keep may be NULL */
void screen_memory_free(struct screen_memory **m);
/* False: nobody knows it. */
bool screen_memory_find(struct screen_memory *m, const struct addr *peer, struct screen_record *out);
/* Fields above zero replace what is there. */
void screen_memory_add(struct screen_memory *m, const struct addr *peer, const struct screen_record *r);
