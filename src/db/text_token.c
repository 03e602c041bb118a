/* SPDX-License-Identifier: Apache-2.0 */
#include "db/text_token.h"
#include "base/encode.h"

static bool is_blank(uint32_t c) {
	return c <= 0x20 || c == 0x7f;
}

static bool is_dense(uint32_t c) {
	if (c < 0x1100) return false;
	return c <= 0x11FF || (c >= 0x2E80 && c <= 0x2FDF) || (c >= 0x3005 && c <= 0x3007) ||
	       (c >= 0x3021 && c <= 0x3029) || (c >= 0x3041 && c <= 0x31FF) || (c >= 0x3400 && c <= 0x4DBF) ||
	       (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xA960 && c <= 0xA97F) || (c >= 0xAC00 && c <= 0xD7FF) ||
	       (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x1B000 && c <= 0x1B16F) || (c >= 0x20000 && c <= 0x3FFFF);
}

/* The most common case by far, without taking characters apart: 3 bytes of ASCII make a token when none is blank; one
 * that is blank ends what begins before it. Stops at what else there is. */
static bool ascii_token(struct slice *rest, struct text_token *out) {
	const unsigned char *at = (const unsigned char *)rest->at;
	size_t n = 0;
	for (; rest->len - n >= 3; n++) {
		unsigned a = at[n], b = at[n + 1], c = at[n + 2];
		if (is_blank(a) || (a < 0x7f && is_blank(b)) || (a < 0x7f && b < 0x7f && is_blank(c))) continue;
		if ((a | b | c) >= 0x80) break;
		*out = (struct text_token){ slice_from(at + n, 3), (uint64_t)a << 42 | (uint64_t)b << 21 | c };
		*rest = slice_skip(*rest, n + 1);
		return true;
	}
	*rest = slice_skip(*rest, n);
	return false;
}

bool text_token_next(struct slice *rest, struct text_token *out) {
	while (rest->len != 0) {
		if (rest->len >= 3 && ascii_token(rest, out)) return true;
		struct slice s = *rest, from = *rest;
		uint32_t c = utf8_next(&s);
		*rest = s;
		if (is_blank(c)) continue;
		uint64_t key = c;
		int want = is_dense(c) ? 1 : 2, got = 0;
		for (; got < want && s.len != 0; got++) {
			uint32_t d = utf8_next(&s);
			if (is_blank(d)) break;
			key = key << 21 | d;
		}
		if (got < want) continue;
		*out = (struct text_token){ slice_head(from, from.len - s.len), key };
		return true;
	}
	return false;
}
