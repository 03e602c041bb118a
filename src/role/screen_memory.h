/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "base/map.h"
#include "net/addr.h"
/* Who has passed which of postscreen's tests, and until when that counts (postscreen_cache_map has its place here). For many
 * threads. Kept over restarts as packed text (role/keep.h). */
enum screen_test_id { SCREEN_GREET, SCREEN_DNSBL, SCREEN_PIPELINING, SCREEN_NON_SMTP, SCREEN_BARE_NEWLINE, SCREEN_TESTS };
struct screen_record {
	int64_t until[SCREEN_TESTS]; /* seconds since 1970; 0: never passed */
};
struct screen_memory;
struct screen_memory *screen_memory_new(void) NONNULL_RESULT;
void screen_memory_free(struct screen_memory **m);
/* False: nobody knows it. */
bool screen_memory_find(struct screen_memory *m, const struct addr *peer, struct screen_record *out);
/* Fields above zero replace what is there. */
void screen_memory_add(struct screen_memory *m, const struct addr *peer, const struct screen_record *r);
/* Those whose last test still counts. changed: rises with every add. */
uint64_t screen_memory_changes(struct screen_memory *m);
void screen_memory_pack(struct screen_memory *m, struct buf *out);
void screen_memory_unpack(struct screen_memory *m, struct slice packed); /* adds what is well-formed */
