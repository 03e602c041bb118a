/* SPDX-License-Identifier: Apache-2.0 */
#include "base/encode.h"

#include <sys/random.h>

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_add(struct buf *out, struct slice bytes) {
	char *at = buf_room(out, (bytes.len + 2) / 3 * 4);
	if (at == NULL) return false;
	const unsigned char *in = (const unsigned char *)bytes.at;
	size_t n = 0;
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t have = MIN_OF(bytes.len - i, (size_t)3);
		uint32_t v = (uint32_t)in[i] << 16;
		if (have > 1) v |= (uint32_t)in[i + 1] << 8;
		if (have > 2) v |= in[i + 2];
		at[n++] = base64_alphabet[v >> 18];
		at[n++] = base64_alphabet[v >> 12 & 63];
		at[n++] = have > 1 ? base64_alphabet[v >> 6 & 63] : '=';
		at[n++] = have > 2 ? base64_alphabet[v & 63] : '=';
	}
	out->len += n;
	return true;
}

static int base64_value(char c) {
	if (c >= 'A' && c <= 'Z') return c - 'A';
	if (c >= 'a' && c <= 'z') return c - 'a' + 26;
	if (c >= '0' && c <= '9') return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_read(struct buf *out, struct slice text) {
	if (text.len % 4 != 0) return false;
	size_t padding = 0;
	while (padding < 2 && padding < text.len && text.at[text.len - 1 - padding] == '=') padding++;
	size_t total = text.len / 4 * 3 - padding, n = 0;
	char *at = buf_room(out, total);
	if (at == NULL) return false;
	for (size_t i = 0; i < text.len; i += 4) {
		uint32_t v = 0;
		for (size_t k = 0; k < 4; k++) {
			bool pad = i + k >= text.len - padding;
			int digit = pad ? 0 : base64_value(text.at[i + k]);
			if (digit < 0) return false;
			v = v << 6 | (uint32_t)digit;
		}
		for (int shift = 16; shift >= 0 && n < total; shift -= 8) at[n++] = (char)(v >> shift);
		bool last = i + 4 == text.len;
		if (last && ((padding == 1 && (v & 0xff) != 0) || (padding == 2 && (v & 0xffff) != 0))) return false;
	}
	out->len += total;
	return true;
}

bool hex_add(struct buf *out, struct slice bytes) {
	char *at = buf_room(out, bytes.len * 2);
	if (at == NULL) return false;
	for (size_t i = 0; i < bytes.len; i++) {
		at[2 * i] = "0123456789abcdef"[(unsigned char)bytes.at[i] >> 4];
		at[2 * i + 1] = "0123456789abcdef"[bytes.at[i] & 15];
	}
	out->len += bytes.len * 2;
	return true;
}

bool hex_read(struct buf *out, struct slice text) {
	char *at = text.len % 2 == 0 ? buf_room(out, text.len / 2) : NULL;
	if (at == NULL) return false;
	for (size_t i = 0; i < text.len; i += 2) {
		int high = ascii_hex(text.at[i]), low = ascii_hex(text.at[i + 1]);
		if (high < 0 || low < 0) return false;
		at[i / 2] = (char)(high << 4 | low);
	}
	out->len += text.len / 2;
	return true;
}

/* RFC 3629 §4, by the ranges of its second bytes. Returns the length of the character at s, or 0. */
static size_t utf8_length(struct slice s) {
	const unsigned char *u = (const unsigned char *)s.at;
	if (u[0] < 0x80) return 1;
	if (u[0] < 0xc2 || u[0] > 0xf4) return 0;
	size_t n = u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
	if (s.len < n) return 0;
	unsigned char least = u[0] == 0xe0 ? 0xa0 : u[0] == 0xf0 ? 0x90 : 0x80;
	unsigned char most = u[0] == 0xed ? 0x9f : u[0] == 0xf4 ? 0x8f : 0xbf;
	if (u[1] < least || u[1] > most) return 0;
	for (size_t i = 2; i < n; i++)
		if ((u[i] & 0xc0) != 0x80) return 0;
	return n;
}

bool utf8_valid(struct slice s) {
	while (s.len != 0) {
		size_t n = utf8_length(s);
		if (n == 0) return false;
		s = slice_skip(s, n);
	}
	return true;
}

uint32_t utf8_next(struct slice *s) {
	const unsigned char *u = (const unsigned char *)s->at;
	size_t n = utf8_length(*s);
	uint32_t c = 0xfffd;
	if (n == 1) c = u[0];
	else if (n == 2) c = (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
	else if (n == 3) c = (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	else if (n == 4) c = (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
	*s = slice_skip(*s, MAX_OF(n, (size_t)1));
	return c;
}

bool utf8_add(struct buf *out, uint32_t c) {
	if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) c = 0xfffd;
	char bytes[4];
	size_t n = 0;
	if (c < 0x80) {
		bytes[n++] = (char)c;
	} else if (c < 0x800) {
		bytes[n++] = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		bytes[n++] = (char)(0xe0 | c >> 12);
		bytes[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		bytes[n++] = (char)(0xf0 | (c >> 18 & 7));
		bytes[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		bytes[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80) bytes[n++] = (char)(0x80 | (c & 0x3f));
	return buf_add(out, slice_from(bytes, n));
}

bool utf8_add_clean(struct buf *out, struct slice s) {
	while (s.len != 0) utf8_add(out, utf8_next(&s));
	return !out->full;
}

void random_fill(void *at, size_t len) {
	char *bytes = at;
	while (len != 0) {
		ssize_t n = getrandom(bytes, len, 0);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) die_now("getrandom: %m");
		bytes += n;
		len -= (size_t)n;
	}
}

uint64_t random_below(uint64_t bound) {
	must(bound != 0);
	uint64_t reject = (0 - bound) % bound, v;
	do random_fill(&v, sizeof v);
	while (v < reject);
	return v % bound;
}
