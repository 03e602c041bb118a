/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* A buffer owns bytes, grows by itself and never passes its limit. Once an addition did not fit, nothing more is added
 * and `full` stays set until buf_clear: a chain of additions needs one check, at its end. */
struct buf {
	char *at;
	size_t len, room, limit;
	bool full;
};
#define AUTO_BUF AUTO(buf_done)
/* An empty buffer that may grow to limit bytes. No memory is taken yet. */
#define BUF(limit_) ((struct buf){ .limit = (limit_) })
void buf_done(struct buf *b);    /* frees the bytes; the limit stays, the buffer can be used again */
void buf_clear(struct buf *b);   /* empty, memory kept */
bool buf_grow_add(struct buf *b, struct slice s); /* buf_add when there is no room yet */
static inline bool buf_add(struct buf *b, struct slice s) {
	if (s.len >= b->room - b->len || b->full) return buf_grow_add(b, s);
	if (s.len != 0) memcpy(b->at + b->len, s.at, s.len);
	b->len += s.len;
	return true;
}
static inline bool buf_byte(struct buf *b, char c) {
	if (b->room - b->len < 2 || b->full) return buf_grow_add(b, (struct slice){ &c, 1 });
	b->at[b->len++] = c;
	return true;
}
bool buf_number(struct buf *b, uint64_t n);  /* decimal digits, many times faster than buf_addf */
bool buf_addf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
bool buf_addv(struct buf *b, const char *format, va_list args) PRINTF_LIKE(2, 0);
/* Room for n more bytes at b->at + b->len, which the caller fills and then counts with b->len += …; NULL: over the
 * limit. */
char *buf_room(struct buf *b, size_t n);
void buf_eat(struct buf *b, size_t n); /* drops n bytes from the front */
static inline struct slice buf_slice(const struct buf *b) { return (struct slice){ b->at, b->len }; }
/* The text with a NUL behind it (not counted in len); "" when empty. Valid until the next change. */
const char *buf_text(struct buf *b) NONNULL_RESULT;
