/* SPDX-License-Identifier: Apache-2.0 */
#include "base/wire.h"

void wire_put_u64(struct buf *b, uint64_t v) {
	char bytes[10];
	size_t n = 0;
	for (; v >= 0x80; v >>= 7) bytes[n++] = (char)((v & 0x7f) | 0x80);
	bytes[n++] = (char)v;
	buf_add(b, slice_from(bytes, n));
}

void wire_put_i64(struct buf *b, int64_t v) {
	wire_put_u64(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

void wire_put_text(struct buf *b, struct slice s) {
	wire_put_u64(b, s.len);
	buf_add(b, s);
}

static uint64_t broken(struct unwire *w) {
	w->bad = true;
	w->rest = SLICE_NONE;
	return 0;
}

uint64_t wire_get_u64(struct unwire *w) {
	uint64_t v = 0;
	for (unsigned shift = 0, i = 0; i < 10 && i < w->rest.len; i++, shift += 7) {
		uint64_t byte = (unsigned char)w->rest.at[i];
		if (shift == 63 && byte > 1) return broken(w);
		v |= (byte & 0x7f) << shift;
		if (byte < 0x80) {
			w->rest = slice_skip(w->rest, i + 1);
			return v;
		}
	}
	return broken(w);
}

int64_t wire_get_i64(struct unwire *w) {
	uint64_t v = wire_get_u64(w);
	return (int64_t)(v >> 1 ^ (~(v & 1) + 1));
}

struct slice wire_get_text(struct unwire *w) {
	uint64_t len = wire_get_u64(w);
	if (w->bad || len > w->rest.len) {
		broken(w);
		return SLICE_NONE;
	}
	struct slice s = slice_head(w->rest, (size_t)len);
	w->rest = slice_skip(w->rest, (size_t)len);
	return s;
}

size_t wire_get_count(struct unwire *w, size_t min_bytes) {
	uint64_t count = wire_get_u64(w);
	if (!w->bad && count > w->rest.len / MAX_OF(min_bytes, (size_t)1)) broken(w);
	return w->bad ? 0 : (size_t)count;
}

void wire_get_u32_to(struct unwire *w, uint32_t *v) {
	uint64_t wide = wire_get_u64(w);
	if (wide > UINT32_MAX) wide = broken(w);
	*v = (uint32_t)wide;
}

void wire_get_int_to(struct unwire *w, int *v) {
	int64_t wide = wire_get_i64(w);
	if (wide < INT_MIN || wide > INT_MAX) wide = (int64_t)broken(w);
	*v = (int)wide;
}

void wire_get_bool_to(struct unwire *w, bool *v) {
	uint64_t wide = wire_get_u64(w);
	if (wide > 1) wide = broken(w);
	*v = wide != 0;
}
