/* SPDX-License-Identifier: Apache-2.0 */
/* What a character becomes depends on nothing around it, so text may be cut between any two of them, and Unicode's slow
 * tables are asked once for each page of 256 characters. Pages are made when they are first met and stay. Most text is
 * ASCII, or Han, which is its own key. */
#include "base/collate.h"
#include "base/encode.h"

#include <stdatomic.h>
#include <unicase.h>
#include <uninorm.h>

enum { PAGE = 256, PAGES = 0x110000 / PAGE, KEY_MAX = 128 /* bytes of one character; U+FDFA has 33 */ };

struct page {
	uint32_t from[PAGE + 1]; /* of character i: bytes from[i] to from[i + 1] */
	char bytes[];
};
static struct page as_it_is;     /* every character is its own key */
static _Atomic(struct page *) pages[PAGES];

static size_t key_of(uint32_t c, char *out) {
	ucs4_t title = uc_totitle(c);
	uint32_t room[KEY_MAX / 4];
	size_t count = LEN(room);
	AUTO_BUF struct buf key = BUF(KEY_MAX);
	uint32_t *parts = u32_normalize(UNINORM_NFKD, &title, 1, room, &count);
	if (parts == NULL) return 0;
	for (size_t i = 0; i < count; i++) utf8_add(&key, parts[i]);
	if (parts != room) free(parts);
	memcpy(out, key.at, key.len);
	return key.len;
}

static struct page *page_make(uint32_t number) {
	AUTO_BUF struct buf bytes = BUF((size_t)PAGE * KEY_MAX);
	AUTO_BUF struct buf plain = BUF((size_t)PAGE * 4);
	uint32_t from[PAGE + 1] = { 0 };
	for (uint32_t i = 0; i < PAGE; i++) {
		char key[KEY_MAX];
		utf8_add(&plain, number * PAGE + i);
		buf_add(&bytes, slice_from(key, key_of(number * PAGE + i, key)));
		from[i + 1] = (uint32_t)bytes.len;
	}
	if (slice_eq(buf_slice(&bytes), buf_slice(&plain))) return &as_it_is;
	struct page *p = mem_get(sizeof *p + bytes.len);
	memcpy(p->from, from, sizeof from);
	memcpy(p->bytes, bytes.at, bytes.len);
	return p;
}

static const struct page *page_of(uint32_t number) {
	struct page *p = atomic_load_explicit(&pages[number], memory_order_acquire), *none = NULL;
	if (p != NULL) return p;
	p = page_make(number);
	if (atomic_compare_exchange_strong(&pages[number], &none, p)) return p;
	if (p != &as_it_is) free(p);
	return none; /* another thread was quicker */
}

static size_t ascii_run(struct slice s) {
	size_t n = 0;
	while (n < s.len && (unsigned char)s.at[n] < 0x80) n++;
	return n;
}

void collate_casemap(struct buf *out, struct slice utf8) {
	while (utf8.len != 0) {
		size_t n = ascii_run(utf8);
		char *at = buf_room(out, MAX_OF(n, (size_t)1));
		if (at == NULL) return;
		for (size_t i = 0; i < n; i++) at[i] = ascii_upper(utf8.at[i]);
		out->len += n;
		utf8 = slice_skip(utf8, n);
		while (utf8.len != 0 && (unsigned char)utf8.at[0] >= 0x80) {
			uint32_t c = utf8_next(&utf8);
			const struct page *p = page_of(c / PAGE);
			if (p == &as_it_is) {
				utf8_add(out, c);
				continue;
			}
			uint32_t from = p->from[c % PAGE];
			buf_add(out, slice_from(p->bytes + from, p->from[c % PAGE + 1] - from));
		}
	}
}

struct slice collate_composed(struct arena *mem, struct slice utf8) {
	size_t len = 0;
	if (ascii_run(utf8) == utf8.len) return utf8;
	uint8_t *made = u8_normalize(UNINORM_NFC, (const uint8_t *)utf8.at, utf8.len, NULL, &len);
	if (made == NULL) return utf8; /* broken: as it is */
	struct slice out = slice_from((const char *)made, len);
	out = slice_eq(out, utf8) ? utf8 : arena_slice(mem, out);
	free(made);
	return out;
}
