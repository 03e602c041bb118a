/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Messages that Dovecot's zlib (mail_compress) plugin wrote: gzip, zstd, and LZ4 in a form of Dovecot's own. A stream
 * goes in piece by piece, the plain bytes come out the same way; never more than two MiB of it are in memory.
 * The first bytes of a file say what it is; sixteen are enough. */
enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD, PACKING_LZ4, PACKING_OTHER /* known, but not read here */ };
enum packing packing_of(struct slice head);

struct unpacking;
struct unpacking *unpacking_new(enum packing p, int (*write)(void *ctx, struct slice plain), void *ctx);
/* Above zero: damaged, or a bomb; fail_text() says which. What write returns other than 0 is returned. */
int unpacking_feed(struct unpacking *u, struct slice packed);
int unpacking_end(struct unpacking *u); /* no more comes: is it whole? */
void unpacking_free(struct unpacking **u); /* NULL is fine */
