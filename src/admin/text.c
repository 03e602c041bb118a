/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/text.h"
#include "base/encode.h"

enum { REPLACEMENT = 0xFFFD };

static bool drives_terminal(uint32_t c) {
	return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == REPLACEMENT || c == 0x061C || c == 0xFEFF ||
	       (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
	       c >= 0xE0000;
}

static void clean(struct buf *out, struct slice s, bool lines) {
	while (s.len != 0) {
		if (lines && slice_starts(s, S("\r\n"))) s = slice_skip(s, 1);
		uint32_t c = utf8_next(&s);
		if (drives_terminal(c) && !(lines && (c == '\n' || c == '\t'))) c = '?';
		utf8_add(out, c);
	}
}

void text_clean(struct buf *out, struct slice s) {
	clean(out, s, false);
}

void text_clean_lines(struct buf *out, struct slice s) {
	clean(out, s, true);
}

static bool is_wide(uint32_t c) {
	static const struct { uint32_t first, last;
	} wide[] = {
		{ 0x1100, 0x115F },   { 0x2E80, 0x303E },   { 0x3041, 0xA4CF },   { 0xAC00, 0xD7A3 },
		{ 0xF900, 0xFAFF },   { 0xFE30, 0xFE6F },   { 0xFF00, 0xFF60 },   { 0xFFE0, 0xFFE6 },
		{ 0x1F300, 0x1F64F }, { 0x1F900, 0x1F9FF }, { 0x20000, 0x3FFFD },
	};
	for (size_t i = 0; i < LEN(wide) && c >= wide[i].first; i++)
		if (c <= wide[i].last) return true;
	return false;
}

size_t text_width(struct slice s) {
	size_t columns = 0;
	while (s.len != 0) columns += is_wide(utf8_next(&s)) ? 2 : 1;
	return columns;
}

void text_wrap(struct buf *out, struct slice s, size_t indent, size_t width) {
	AUTO_BUF struct buf cleaned = BUF(4 * s.len + 1);
	text_clean(&cleaned, s);
	struct slice rest = buf_slice(&cleaned);
	size_t column = 0;
	for (struct slice word; (word = slice_word(&rest, " ")).len != 0;) {
		size_t wide = text_width(word);
		if (column != 0 && width != 0 && column + 1 + wide > width) {
			buf_byte(out, '\n');
			column = 0;
		}
		if (column == 0) buf_addf(out, "%*s", (int)indent, "");
		else buf_byte(out, ' ');
		column = (column == 0 ? indent : column + 1) + wide;
		buf_add(out, word);
	}
	buf_byte(out, '\n');
}

void text_size(struct buf *out, uint64_t bytes) {
	static const char units[] = "KMGTPE";
	if (bytes < 1024) {
		buf_addf(out, "%llu", (unsigned long long)bytes);
		return;
	}
	size_t unit = 0;
	double v = (double)bytes / 1024;
	for (; v >= 999.5 && unit + 2 < sizeof units; unit++) v /= 1024;
	buf_addf(out, v < 9.95 ? "%.1f%c" : "%.0f%c", v, units[unit]);
}

void text_span(struct buf *out, int64_t us) {
	static const struct {
		int64_t seconds;
		char unit;
	} steps[] = { { 2 * 86400, 'd' }, { 2 * 3600, 'h' }, { 2 * 60, 'm' }, { 0, 's' } };
	static const int64_t units[] = { 86400, 3600, 60, 1 };
	int64_t s = us > 0 ? us / 1000000 : 0;
	size_t i = 0;
	while (s < steps[i].seconds) i++;
	buf_addf(out, "%lld%c", (long long)(s / units[i]), steps[i].unit);
}

static void put_time(struct buf *out, int64_t us, const char *format,
		     struct tm *(*split)(const time_t *, struct tm *)) {
	time_t seconds = (time_t)(us / 1000000);
	struct tm t;
	char text[40];
	if (split(&seconds, &t) == NULL) return;
	buf_add(out, slice_from(text, strftime(text, sizeof text, format, &t)));
}

void text_time(struct buf *out, int64_t us) {
	put_time(out, us, "%Y-%m-%d %H:%M:%S", localtime_r);
}

void text_stamp(struct buf *out, int64_t us) {
	put_time(out, us, "%Y-%m-%dT%H:%M:%SZ", gmtime_r);
}

bool text_read_size(struct slice s, uint64_t *out) {
	static const char units[] = "KMGT";
	if (slice_same(s, S("none")) || slice_same(s, S("unlimited"))) return *out = 0, true;
	uint64_t scale = 1, whole, tenths = 0;
	if (s.len > 1 && ascii_upper(s.at[s.len - 1]) == 'B' && !ascii_digit(s.at[s.len - 2])) s.len--;
	const char *unit =
		s.len != 0 && ascii_alpha(s.at[s.len - 1]) ? strchr(units, ascii_upper(s.at[s.len - 1])) : NULL;
	if (unit != NULL) {
		scale = UINT64_C(1) << (10 * (unit - units + 1));
		s.len--;
	}
	size_t dot = slice_find(s, '.');
	if (dot != s.len && (s.len != dot + 2 || scale == 1 || !slice_number(slice_skip(s, dot + 1), 9, &tenths)))
		return false;
	if (!slice_number(slice_head(s, dot), (UINT64_C(1) << 50) / scale, &whole)) return false;
	*out = whole * scale + tenths * scale / 10;
	return true;
}
