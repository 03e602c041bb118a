/* SPDX-License-Identifier: Apache-2.0 */
/* Guessing is for what can be told with next to no doubt: a wrong guess hides text that Windows-1252 would have shown.
 * So of 8-bit charsets only the Japanese ones are told, whose running text is full of kana in few, known rows. */
#include "base/encode.h"
#include "mime/decode.h"

enum { KANA_LEAST = 3 };

/* "charset=x" inside a <meta …>, as RFC 2854 and HTML 5 write it. */
static struct slice meta_charset(struct slice s) {
	while (s.len != 0) {
		size_t at = slice_find(s, '<');
		s = slice_skip(s, at);
		if (!slice_starts_same(s, S("<meta"))) {
			s = slice_skip(s, 1);
			continue;
		}
		struct slice tag = slice_head(s, slice_find(s, '>'));
		for (struct slice rest = tag; rest.len > 8; rest = slice_skip(rest, 1)) {
			if (!slice_starts_same(rest, S("charset"))) continue;
			struct slice name = slice_skip(rest, 7);
			while (name.len != 0 && ascii_space(name.at[0])) name = slice_skip(name, 1);
			if (name.len == 0 || name.at[0] != '=') continue;
			name = slice_skip(name, 1);
			while (name.len != 0 && (ascii_space(name.at[0]) || name.at[0] == '"' || name.at[0] == '\''))
				name = slice_skip(name, 1);
			size_t n = 0;
			while (n < name.len && !ascii_space(name.at[n]) && strchr("\"';/>", name.at[n]) == NULL) n++;
			name = slice_head(name, n);
			/* it was read as ASCII, so it cannot be in one of these */
			bool wide = slice_starts_same(name, S("utf-16")) || slice_starts_same(name, S("utf-32")) ||
				    slice_starts_same(name, S("utf-7"));
			return wide ? SLICE_NONE : name;
		}
		s = slice_skip(s, tag.len);
	}
	return SLICE_NONE;
}

static bool has_jis_escape(struct slice s) {
	return slice_search(s, S("\x1b$B")) < s.len || slice_search(s, S("\x1b$@")) < s.len;
}

struct count { size_t pairs, kana; bool possible; };

static bool between(unsigned char c, unsigned char low, unsigned char high) {
	return c >= low && c <= high;
}

/* Rows 4 and 5 of JIS X 0208 are hiragana and katakana. The last character may be cut off. */
static struct count count_euc(struct slice s) {
	struct count n = { .possible = true };
	for (size_t i = 0; i < s.len && n.possible; i++) {
		unsigned char c = (unsigned char)s.at[i];
		if (c < 0x80) continue;
		if (i + 1 == s.len) break;
		unsigned char d = (unsigned char)s.at[++i];
		n.possible = (between(c, 0xa1, 0xfe) && between(d, 0xa1, 0xfe)) ||
			     (c == 0x8e && between(d, 0xa1, 0xdf));
		n.pairs++;
		n.kana += c == 0xa4 || c == 0xa5;
	}
	return n;
}

static struct count count_sjis(struct slice s) {
	struct count n = { .possible = true };
	for (size_t i = 0; i < s.len && n.possible; i++) {
		unsigned char c = (unsigned char)s.at[i];
		if (c < 0x80 || between(c, 0xa1, 0xdf)) continue; /* half-width katakana */
		if (i + 1 == s.len) break;
		unsigned char d = (unsigned char)s.at[++i];
		n.possible = (between(c, 0x81, 0x9f) || between(c, 0xe0, 0xfc)) && between(d, 0x40, 0xfc) && d != 0x7f;
		n.pairs++;
		n.kana += (c == 0x82 && between(d, 0x9f, 0xf1)) || (c == 0x83 && between(d, 0x40, 0x96));
	}
	return n;
}

static bool sure(struct count n) {
	return n.possible && n.kana >= KANA_LEAST && n.kana * 4 >= n.pairs;
}

/* Is it UTF-8, but for a character that is cut off at the end? */
static bool is_utf8(struct slice s) {
	for (size_t cut = 0; cut < 4 && cut <= s.len; cut++)
		if (utf8_valid(slice_head(s, s.len - cut))) return true;
	return false;
}

struct slice charset_guess(struct slice start, bool html) {
	struct slice said = html ? meta_charset(start) : SLICE_NONE;
	if (has_jis_escape(start)) return S("iso-2022-jp");
	if (slice_is_ascii(start)) return said;
	if (is_utf8(start)) return SLICE_NONE; /* whatever a page says that was converted on its way */
	if (said.len != 0 && charset_known(said)) return said;
	struct count euc = count_euc(start), sjis = count_sjis(start);
	if (sure(euc) && (!sure(sjis) || euc.kana >= sjis.kana)) return S("euc-jp");
	return sure(sjis) ? S("shift_jis") : SLICE_NONE;
}
