/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Bytes as text and back: base64 (RFC 4648), hex, and UTF-8 (RFC 3629). */
bool base64_add(struct buf *out, struct slice bytes);            /* no line breaks, padded */
/* Strict: right alphabet, right padding, nothing else (no blanks). False adds nothing. */
bool base64_read(struct buf *out, struct slice text);
bool hex_add(struct buf *out, struct slice bytes);               /* lower case */
bool hex_read(struct buf *out, struct slice text);
bool utf8_valid(struct slice s);                                 /* no surrogates, no overlong forms */
/* The next character of *s, which is moved behind it; U+FFFD for one broken byte. Must not be called on an empty slice.
 */
uint32_t utf8_next(struct slice *s);
bool utf8_add(struct buf *out, uint32_t c); /* U+FFFD for what is no character (surrogates, > 10FFFF) */
/* Adds s with every broken byte replaced by U+FFFD. */
bool utf8_add_clean(struct buf *out, struct slice s);
void random_fill(void *at, size_t len);                          /* getrandom(2) */
uint64_t random_below(uint64_t bound);                           /* uniform in [0, bound) */
