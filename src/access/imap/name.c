/* SPDX-License-Identifier: Apache-2.0 */
/* Modified UTF-7 has exactly one spelling for each name; every other spelling is refused, because two names for one
 * mailbox would give clients two copies of it. */
#include "access/imap/name.h"
#include "base/encode.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static int sextet(char c) {
	const char *at = c != '\0' ? strchr(alphabet, c) : NULL;
	return at != NULL ? (int)(at - alphabet) : -1;
}

/* What stands between '&' and '-': UTF-16 in base64. */
static bool read_shifted(struct buf *out, struct slice s) {
	uint32_t bits = 0, held = 0, high = 0;
	for (size_t i = 0; i < s.len; i++) {
		int v = sextet(s.at[i]);
		if (v < 0) return false;
		bits = (bits << 6 | (uint32_t)v) & 0x3fffff;
		held += 6;
		if (held < 16) continue;
		held -= 16;
		uint32_t unit = bits >> held & 0xffff;
		if (high != 0) {
			if (unit < 0xdc00 || unit > 0xdfff) return false;
			utf8_add(out, 0x10000 + ((high - 0xd800) << 10) + (unit - 0xdc00));
			high = 0;
		} else if (unit >= 0xd800 && unit <= 0xdbff) {
			high = unit;
		} else if (unit < 0x20 || (unit >= 0x20 && unit <= 0x7f) || (unit >= 0xdc00 && unit <= 0xdfff)) {
			return false; /* control, superfluous, lone half */
		} else {
			utf8_add(out, unit);
		}
	}
	return high == 0 && held < 6 && (bits & ((1U << held) - 1)) == 0;
}

bool imap_name_read(struct buf *out, struct slice said) {
	bool shifted_before = false;
	if (!utf8_valid(said)) return false;
	for (size_t i = 0; i < said.len; i++) {
		char c = said.at[i];
		if (ascii_control(c)) return false;
		if (c != '&') {
			buf_byte(out, c);
			shifted_before = false;
			continue;
		}
		struct slice rest = slice_skip(said, i + 1);
		size_t end = slice_find(rest, '-');
		if (end == rest.len) return false;
		if (end == 0) buf_byte(out, '&');
		else if (shifted_before || !read_shifted(out, slice_head(rest, end))) return false;
		shifted_before = end != 0;
		i += end + 1;
	}
	return !out->full;
}

static void put_unit(struct buf *out, uint32_t *bits, uint32_t *held, uint32_t unit) {
	*bits = *bits << 16 | unit;
	*held += 16;
	for (; *held >= 6; *held -= 6) buf_byte(out, alphabet[*bits >> (*held - 6) & 63]);
	*bits &= 63;
}

bool imap_name_put(struct buf *out, struct slice utf8) {
	uint32_t bits = 0, held = 0;
	bool shifted = false;
	while (utf8.len != 0) {
		uint32_t c = utf8_next(&utf8);
		bool plain = c >= 0x20 && c < 0x7f;
		if (plain && shifted) {
			if (held != 0) buf_byte(out, alphabet[bits << (6 - held) & 63]);
			buf_byte(out, '-');
		}
		if (!plain && !shifted) {
			buf_byte(out, '&');
			bits = held = 0;
		}
		shifted = !plain;
		if (plain) {
			buf_byte(out, (char)c);
			if (c == '&') buf_byte(out, '-');
		} else if (c < 0x10000) {
			put_unit(out, &bits, &held, c);
		} else {
			put_unit(out, &bits, &held, 0xd800 + ((c - 0x10000) >> 10));
			put_unit(out, &bits, &held, 0xdc00 + ((c - 0x10000) & 0x3ff));
		}
	}
	if (shifted) {
		if (held != 0) buf_byte(out, alphabet[bits << (6 - held) & 63]);
		buf_byte(out, '-');
	}
	return !out->full;
}

bool imap_name_new(struct slice utf8) {
	while (utf8.len != 0) {
		uint32_t c = utf8_next(&utf8);
		if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029) return false;
	}
	return true;
}

/* row[j]: the first j bytes of the pattern match what has been read of the name. One row is enough, and no pattern can
 * be built that takes longer than the product of both lengths. */
static bool match(struct slice pattern, struct slice name) {
	bool row[IMAP_NAME_MAX + 1] = { true };
	for (size_t j = 0; j < pattern.len; j++) row[j + 1] = row[j] && (pattern.at[j] == '*' || pattern.at[j] == '%');
	for (size_t i = 0; i < name.len; i++) {
		bool before = row[0];
		row[0] = false;
		for (size_t j = 0; j < pattern.len; j++) {
			bool kept = row[j + 1];
			if (pattern.at[j] == '*') row[j + 1] = row[j] || kept;
			else if (pattern.at[j] == '%') row[j + 1] = row[j] || (kept && name.at[i] != '/');
			else row[j + 1] = before && pattern.at[j] == name.at[i];
			before = kept;
		}
	}
	return row[pattern.len];
}

bool imap_name_match(struct slice pattern, struct slice name) {
	if (pattern.len > IMAP_NAME_MAX) return false;
	if (match(pattern, name)) return true;
	/* INBOX has no case: try the pattern with its first name in the store's spelling */
	size_t first = slice_find(name, '/');
	if (!slice_eq(slice_head(name, first), S("INBOX"))) return false;
	char upper[IMAP_NAME_MAX];
	size_t level = slice_find(pattern, '/');
	for (size_t i = 0; i < pattern.len; i++) upper[i] = i < level ? ascii_upper(pattern.at[i]) : pattern.at[i];
	return match(slice_from(upper, pattern.len), name);
}
