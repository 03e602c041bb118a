/* SPDX-License-Identifier: Apache-2.0 */
/* Unicode's tables are slow and most text does not need them: ASCII, kana, Han and Hangul syllables stay as they are
 * but for A to Z. Such a plain character never joins with the one before it, so text may be cut before it. One that is
 * followed by anything else goes to the tables with it: an accent may join. */
#include "mime/fold.h"
#include "base/encode.h"

#include <unicase.h>
#include <uninorm.h>

/* Bytes of the plain character at i, 0: it is something else. */
static size_t plain_at(struct slice s, size_t i) {
	unsigned char a = (unsigned char)s.at[i];
	if (a < 0x80) return 1;
	if (a < 0xE3 || a > 0xED || i + 2 >= s.len) return 0;
	unsigned b = (unsigned char)s.at[i + 1] ^ 0x80u, c = (unsigned char)s.at[i + 2] ^ 0x80u;
	if (b > 0x3f || c > 0x3f) return 0;
	unsigned u = (a & 0xfu) << 12 | b << 6 | c;
	bool plain = (u >= 0x3001 && u <= 0x3003) || (u >= 0x3008 && u <= 0x3011) || (u >= 0x3041 && u <= 0x3096)
	             || (u >= 0x30A1 && u <= 0x30FC) || (u >= 0x3400 && u <= 0x4DBF) || (u >= 0x4E00 && u <= 0x9FFF)
	             || (u >= 0xAC00 && u <= 0xD7A3);
	return plain ? 3 : 0;
}

static void add_plain(struct buf *out, struct slice s) {
	char *at = buf_room(out, s.len);
	if (at == NULL) return;
	for (size_t i = 0; i < s.len; i++) at[i] = ascii_lower(s.at[i]);
	out->len += s.len;
}

static void add_by_tables(struct buf *out, struct slice s) {
	AUTO_BUF struct buf clean = BUF(s.len * 3 + 16);
	utf8_add_clean(&clean, s);
	uint8_t room[256];
	size_t len = sizeof room;
	uint8_t *folded = u8_casefold((const uint8_t *)clean.at, clean.len, NULL, UNINORM_NFKC, room, &len);
	buf_add(out, folded != NULL ? slice_from(folded, len) : buf_slice(&clean));
	if (folded != room) free(folded);
}

size_t text_ascii(struct slice s) {
	size_t n = 0;
	for (uint64_t word; n + sizeof word <= s.len; n += sizeof word) { /* eight at once */
		memcpy(&word, s.at + n, sizeof word);
		if ((word & UINT64_C(0x8080808080808080)) != 0) break;
	}
	while (n < s.len && (unsigned char)s.at[n] < 0x80) n++;
	return n;
}

/* Where the run of plain characters at i ends, the last one left out when something else follows it. */
static size_t plain_end(struct slice s, size_t i) {
	size_t n = text_ascii(slice_skip(s, i)), last = i;
	if (n != 0) last = i + n - 1;
	for (i += n; i < s.len && (n = plain_at(s, i)) != 0; i += n) last = i;
	return i == s.len ? i : last;
}

/* Where what goes to the tables ends: before a plain character that is followed by another, or by nothing. */
static size_t other_end(struct slice s, size_t i) {
	size_t n = plain_at(s, i);
	for (i += n != 0 ? n : 1; i < s.len; i += n != 0 ? n : 1) {
		n = plain_at(s, i);
		if (n != 0 && (i + n == s.len || plain_at(s, i + n) != 0)) break;
	}
	return i;
}

void text_fold(struct buf *out, struct slice utf8) {
	for (size_t i = 0, end; i < utf8.len; i = end) {
		end = plain_end(utf8, i);
		if (end > i) {
			add_plain(out, slice_head(slice_skip(utf8, i), end - i));
			continue;
		}
		end = other_end(utf8, i);
		add_by_tables(out, slice_head(slice_skip(utf8, i), end - i));
	}
}

size_t text_fold_whole(struct slice text) {
	size_t n = text.len;
	while (n > text.len / 2 && !ascii_space(text.at[n - 1])) n--;
	if (n > text.len / 2) return n;
	for (n = text.len; n > 0 && text.len - n < 4 && ((unsigned char)text.at[n - 1] & 0xc0) == 0x80;) n--;
	return n > 1 ? n - 1 : text.len;
}
