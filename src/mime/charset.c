/* SPDX-License-Identifier: Apache-2.0 */
/* iconv(3) knows every charset but not every name mail has for them, and its rare converters have had holes: only names
 * known from mail reach it. UTF-8, Windows-1252 and text that does not say what it is are converted here. */
#include <iconv.h>

#include "base/encode.h"
#include "mime/fold.h"
#include "mime/decode.h"

enum { TAIL_MAX = 16, NAME_MAX_LEN = 40 };

struct charset {
	enum { GUESSED, IS_UTF8, IS_1252, BY_ICONV } kind;
	iconv_t converter;
	char tail[TAIL_MAX]; /* the start of a character whose end has not come yet */
	size_t tail_len;
};

/* Mail's names. Latin-1 is Windows-1252 in practice, and so is each small set to the larger one that contains it. */
static const struct alias {
	const char *name, *iconv_name;
} aliases[] = {
	{ "us-ascii", "" },
	{ "ascii", "" },
	{ "ansi_x3.4-1968", "" },
	{ "646", "" },
	{ "unknown-8bit", "" },
	{ "x-unknown", "" },
	{ "utf-8", "utf-8" },
	{ "utf8", "utf-8" },
	{ "unicode-1-1-utf-8", "utf-8" },
	{ "utf-8mb4", "utf-8" },
	{ "cp65001", "utf-8" },
	{ "iso-8859-1", "windows-1252" },
	{ "iso8859-1", "windows-1252" },
	{ "iso_8859-1", "windows-1252" },
	{ "latin1", "windows-1252" },
	{ "latin-1", "windows-1252" },
	{ "windows-1252", "windows-1252" },
	{ "cp1252", "windows-1252" },
	{ "x-ansi", "windows-1252" },
	{ "iso-8859-8-i", "ISO-8859-8" },
	{ "iso-8859-8-e", "ISO-8859-8" },
	{ "iso-8859-6-i", "ISO-8859-6" },
	{ "iso-8859-9", "CP1254" },
	{ "iso-8859-11", "CP874" },
	{ "tis-620", "CP874" },
	{ "unicode-1-1-utf-7", "UTF-7" },
	{ "shift_jis", "CP932" },
	{ "shift-jis", "CP932" },
	{ "sjis", "CP932" },
	{ "x-sjis", "CP932" },
	{ "ms_kanji", "CP932" },
	{ "windows-31j", "CP932" },
	{ "cp932", "CP932" },
	{ "euc-jp", "EUC-JP-MS" },
	{ "x-euc-jp", "EUC-JP-MS" },
	{ "eucjp", "EUC-JP-MS" },
	{ "cp50220", "ISO-2022-JP-3" },
	{ "cp50221", "ISO-2022-JP-3" },
	{ "iso-2022-jp", "ISO-2022-JP-3" },
	{ "iso-2022-jp-ms", "ISO-2022-JP-3" },
	{ "iso-2022-jp-1", "ISO-2022-JP-2" },
	{ "iso-2022-jp-2004", "ISO-2022-JP-3" },
	{ "johab", "CP1361" },
	{ "x-johab", "CP1361" },
	{ "ks_c_5601-1992", "CP1361" },
	{ "gb2312", "GB18030" },
	{ "gbk", "GB18030" },
	{ "x-gbk", "GB18030" },
	{ "cp936", "GB18030" },
	{ "euc-cn", "GB18030" },
	{ "x-euc-cn", "GB18030" },
	{ "gb_2312-80", "GB18030" },
	{ "gb18030", "GB18030" },
	{ "big5", "BIG5-HKSCS" },
	{ "x-big5", "BIG5-HKSCS" },
	{ "cn-big5", "BIG5-HKSCS" },
	{ "big5-hkscs", "BIG5-HKSCS" },
	{ "ks_c_5601-1987", "CP949" },
	{ "ks_c_5601", "CP949" },
	{ "ksc5601", "CP949" },
	{ "euc-kr", "CP949" },
	{ "x-windows-949", "CP949" },
	{ "windows-949", "CP949" },
	{ "iso-2022-kr", "ISO-2022-KR" },
	{ "x-mac-roman", "MACINTOSH" },
	{ "macintosh", "MACINTOSH" },
	{ "x-mac-cyrillic", "MAC-CYRILLIC" },
	{ "x-mac-ce", "MACCENTRALEUROPE" },
	{ "koi8-r", "KOI8-R" },
	{ "koi8-u", "KOI8-U" },
	{ "utf-7", "UTF-7" },
	{ "utf-16", "UTF-16" },
	{ "utf-16le", "UTF-16LE" },
	{ "utf-16be", "UTF-16BE" },
	{ "utf-32", "UTF-32" },
};
/* Families whose names iconv knows as they are. */
static const char *const families[] = { "iso-8859-", "windows-125", "cp125", "cp85", "cp86", "cp437", "ibm8",
	"iso-2022-jp-" };

static const unsigned short windows_1252[32] = {
	0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0xfffd,
	0x017d, 0xfffd, 0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a,
	0x0153, 0xfffd, 0x017e, 0x0178,
};

static const char *known_as(struct slice name) {
	char first = name.len != 0 ? ascii_lower(name.at[0]) : '\0';
	for (size_t i = 0; i < LEN(aliases); i++)
		if (first == aliases[i].name[0] && slice_same(name, slice_of(aliases[i].name)))
			return aliases[i].iconv_name;
	return NULL;
}

static bool of_known_family(struct slice name) {
	for (size_t i = 0; i < LEN(families); i++)
		if (slice_starts_same(name, slice_of(families[i]))) return true;
	return false;
}

/* The name as it is meant: without quotes, and without the language of RFC 2231 §5. */
static struct slice bare_name(struct slice name) {
	name = slice_head(name, slice_find(name, '*'));
	while (name.len != 0 && (ascii_space(name.at[0]) || name.at[0] == '"' || name.at[0] == '\'')) {
		name = slice_skip(name, 1);
	}
	size_t n = 0;
	for (; n < name.len; n++) {
		char c = name.at[n];
		if (!ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_' && c != '.') break;
	}
	return slice_head(name, n);
}

struct charset *charset_open(struct slice name) {
	struct charset *c = mem_get(sizeof *c);
	char copy[NAME_MAX_LEN + 1] = "";
	name = bare_name(name);
	const char *known = known_as(name);
	if (known == NULL && name.len <= NAME_MAX_LEN && of_known_family(name)) known = memcpy(copy, name.at, name.len);
	if (known == NULL || *known == '\0') return c;
	if (strcmp(known, "utf-8") == 0) c->kind = IS_UTF8;
	else if (strcmp(known, "windows-1252") == 0) c->kind = IS_1252;
	else if ((c->converter = iconv_open("UTF-8", known)) != (iconv_t)-1) c->kind = BY_ICONV;
	return c;
}

bool charset_known(struct slice name) {
	AUTO_BUF struct buf none = BUF(64);
	name = bare_name(name);
	if (slice_same(name, S("us-ascii")) || slice_same(name, S("ascii"))) return true;
	struct charset *c = charset_open(name);
	bool known = c->kind != GUESSED;
	charset_finish(&c, &none);
	return known;
}

static void add_1252(struct buf *out, unsigned char byte) {
	utf8_add(out, byte >= 0x80 && byte < 0xa0 ? windows_1252[byte - 0x80] : byte);
}

/* How many more bytes a character at the end of the text would need: 0 when it is complete or cannot become one. */
static size_t missing_bytes(struct slice s) {
	unsigned char first = (unsigned char)s.at[0];
	size_t need = first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
	if (s.len >= need) return 0;
	unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (s.len > 1 && ((unsigned char)s.at[1] < least || (unsigned char)s.at[1] > most)) return 0;
	if (s.len > 2 && ((unsigned char)s.at[2] & 0xc0) != 0x80) return 0;
	return need - s.len;
}

/* Returns how much was converted; the rest is the start of a character. */
static size_t convert_utf8(const struct charset *c, struct slice in, bool last, struct buf *out) {
	size_t whole = in.len;
	while (in.len != 0) {
		size_t n = text_ascii(in);
		buf_add(out, slice_head(in, n));
		in = slice_skip(in, n);
		if (in.len == 0 || (!last && missing_bytes(in) != 0)) break;
		struct slice before = in;
		uint32_t character = utf8_next(&in);
		bool broken = character == 0xfffd && before.len - in.len == 1;
		if (broken && c->kind == GUESSED) add_1252(out, (unsigned char)before.at[0]);
		else utf8_add(out, character);
	}
	return whole - in.len;
}

static size_t convert_iconv(const struct charset *c, struct slice in, bool last, struct buf *out) {
	char *from = (char *)(uintptr_t)in.at, text[1024];
	size_t left = in.len;
	while (left != 0) {
		char *to = text;
		size_t room = sizeof text;
		size_t r = iconv(c->converter, &from, &left, &to, &room);
		int why = errno;
		buf_add(out, slice_from(text, sizeof text - room));
		if (r != (size_t)-1 || why == E2BIG) continue;
		if (why == EINVAL && !last && left < TAIL_MAX) break;
		utf8_add(out, 0xfffd);
		from++;
		left--;
	}
	return in.len - left;
}

static size_t convert(const struct charset *c, struct slice in, bool last, struct buf *out) {
	if (c->kind == BY_ICONV) return convert_iconv(c, in, last, out);
	if (c->kind != IS_1252) return convert_utf8(c, in, last, out);
	for (size_t i = 0; i < in.len; i++) add_1252(out, (unsigned char)in.at[i]);
	return in.len;
}

/* The tail of the piece before is finished byte by byte, so that its converter sees the same text as without pieces. */
void charset_feed(struct charset *c, struct slice in, struct buf *out) {
	while (c->tail_len != 0 && in.len != 0) {
		c->tail[c->tail_len++] = in.at[0];
		in = slice_skip(in, 1);
		size_t used = convert(c, slice_from(c->tail, c->tail_len), c->tail_len == TAIL_MAX, out);
		c->tail_len -= used;
		memmove(c->tail, c->tail + used, c->tail_len);
	}
	if (in.len == 0) return;
	size_t used = convert(c, in, false, out);
	c->tail_len = in.len - used;
	memcpy(c->tail, in.at + used, c->tail_len);
}

void charset_finish(struct charset **cp, struct buf *out) {
	struct charset *c = TAKE(*cp);
	if (c == NULL) return;
	convert(c, slice_from(c->tail, c->tail_len), true, out);
	if (c->kind == BY_ICONV) {
		char text[64], *to = text;
		size_t room = sizeof text;
		iconv(c->converter, NULL, NULL, &to, &room); /* some converters keep a character back */
		buf_add(out, slice_from(text, sizeof text - room));
		iconv_close(c->converter);
	}
	free(c);
}

/* An open converter keeps its table loaded; these stay open, and reachable, until the process ends. */
void charset_preload(void) {
	static struct charset *kept[LEN(aliases)];
	for (size_t i = 0; i < LEN(aliases); i++)
		if (kept[i] == NULL) kept[i] = charset_open(slice_of(aliases[i].name));
}
