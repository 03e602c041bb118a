/* SPDX-License-Identifier: Apache-2.0 */
/* Growth by doubling, up to the limit. One byte more than asked is always kept, for the NUL of buf_text. */
#include "base/buf.h"

void buf_done(struct buf *b) {
	free(b->at);
	*b = BUF(b->limit);
}

void buf_clear(struct buf *b) {
	b->len = 0;
	b->full = false;
}

char *buf_room(struct buf *b, size_t n) {
	if (b->full || n > b->limit - b->len) {
		b->full = true;
		return NULL;
	}
	size_t wanted = b->len + n + 1;
	if (wanted > b->room) {
		size_t room = MAX_OF(wanted, b->room * 2);
		room = MAX_OF(room, (size_t)128);
		if (b->limit < SIZE_MAX && room > b->limit + 1) room = b->limit + 1;
		b->at = mem_resize(b->at, room);
		b->room = room;
	}
	return b->at + b->len;
}

bool buf_grow_add(struct buf *b, struct slice s) {
	if (s.len == 0) return !b->full;
	char *at = buf_room(b, s.len);
	if (at == NULL) return false;
	memcpy(at, s.at, s.len);
	b->len += s.len;
	return true;
}

bool buf_number(struct buf *b, uint64_t n) {
	char digits[20];
	size_t at = sizeof digits;
	while (n >> 32 != 0) {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	}
	uint32_t rest = (uint32_t)n;
	do digits[--at] = (char)('0' + rest % 10);
	while ((rest /= 10) != 0);
	return buf_add(b, slice_from(digits + at, sizeof digits - at));
}

bool buf_addv(struct buf *b, const char *format, va_list args) {
	va_list again;
	va_copy(again, args);
	char small[256];
	int n = vsnprintf(small, sizeof small, format, args);
	bool ok = n >= 0;
	if (ok && (size_t)n < sizeof small) {
		ok = buf_add(b, slice_from(small, (size_t)n));
	} else if (ok) {
		char *at = buf_room(b, (size_t)n);
		ok = at != NULL;
		if (ok) {
			vsnprintf(at, (size_t)n + 1, format, again);
			b->len += (size_t)n;
		}
	}
	va_end(again);
	return ok;
}

bool buf_addf(struct buf *b, const char *format, ...) {
	va_list args;
	va_start(args, format);
	bool ok = buf_addv(b, format, args);
	va_end(args);
	return ok;
}

void buf_eat(struct buf *b, size_t n) {
	must(n <= b->len);
	b->len -= n;
	if (b->len != 0 && n != 0) memmove(b->at, b->at + n, b->len);
}

const char *buf_text(struct buf *b) {
	if (b->at == NULL) return "";
	b->at[b->len] = '\0';
	return b->at;
}
