/* SPDX-License-Identifier: Apache-2.0 */
/* Values with parameters. Programs forget quotes, semicolons and the order of RFC 2231 pieces; what they meant is
 * nearly always clear, and a lost boundary or file name costs more than a strict reading is worth. */
#include "mime/decode.h"
#include "mime/header.h"
#include "mime/inside.h"

enum { PIECES_MAX = 99 };

/* "type / subtype": blanks only count when no slash is next to them; what follows such a blank belongs to the
 * parameters. */
static struct slice take_value(struct slice *rest, struct arena *mem) {
	char *value = arena_get(mem, rest->len + 1);
	size_t n = 0;
	for (;;) {
		size_t before = rest->len;
		skip_blanks(rest);
		if (rest->len == 0 || rest->at[0] == ';') break;
		bool gap = rest->len != before && n != 0 && value[n - 1] != '/' && rest->at[0] != '/';
		if (gap) break;
		value[n++] = ascii_lower(rest->at[0]);
		*rest = slice_skip(*rest, 1);
	}
	return slice_from(value, n);
}

static struct slice take_quoted(struct slice *rest, struct arena *mem) {
	size_t end = 1;
	while (end < rest->len && rest->at[end] != '"') end += rest->at[end] == '\\' ? 2 : 1;
	end = MIN_OF(end, rest->len);
	char *text = arena_get(mem, end + 1);
	size_t n = 0;
	for (size_t i = 1; i < end; i++) {
		char c = rest->at[i];
		if (c == '\\' && i + 1 < end) c = rest->at[++i];
		if (c != '\r' && c != '\n') text[n++] = c;
	}
	*rest = slice_skip(*rest, end + 1);
	return slice_from(text, n);
}

/* A word and its = : where a semicolon was forgotten, the next parameter. */
static bool param_starts(struct slice s) {
	size_t n = 0;
	while (n < s.len && n < 80 && (ascii_alpha(s.at[n]) || ascii_digit(s.at[n]) || s.at[n] == '-' ||
		s.at[n] == '*')) n++;
	return n != 0 && n < s.len && s.at[n] == '=';
}

/* Without quotes: to the semicolon or a comment; blanks inside are tolerated (filename=my file.pdf). */
static struct slice take_bare(struct slice *rest, struct arena *mem) {
	size_t n = 0;
	for (; n < rest->len && rest->at[n] != ';'; n++) {
		bool word = n != 0 && ascii_space(rest->at[n - 1]) && !ascii_space(rest->at[n]);
		if (word && (rest->at[n] == '(' || param_starts(slice_skip(*rest, n)))) break;
	}
	struct slice text = slice_head(*rest, n);
	*rest = slice_skip(*rest, n);
	return header_unfold(text, mem);
}

static bool take_param(struct slice *rest, struct arena *mem, struct param *out) {
	skip_blanks(rest);
	while (rest->len != 0 && rest->at[0] == ';') {
		*rest = slice_skip(*rest, 1);
		skip_blanks(rest);
	}
	size_t n = 0;
	while (n < rest->len && rest->at[n] != '=' && rest->at[n] != ';' && !ascii_space(rest->at[n]) &&
		rest->at[n] != '(') n++;
	out->name = arena_lower(mem, slice_head(*rest, n));
	out->value = SLICE_NONE;
	*rest = slice_skip(*rest, n);
	skip_blanks(rest);
	if (rest->len == 0 || rest->at[0] != '=') return n != 0;
	*rest = slice_skip(*rest, 1);
	skip_blanks(rest);
	out->value = rest->len != 0 && rest->at[0] == '"' ? take_quoted(rest, mem) : take_bare(rest, mem);
	if (out->value.at == NULL) out->value = S("");
	size_t end = slice_find(*rest, ';');
	if (slice_find(slice_head(*rest, end), '=') == end)
		*rest = slice_skip(*rest, end); /* else the ; was forgotten */
	return true;
}

/* base*N or base*N*: which piece of which parameter. */
struct piece {
	struct slice base;
	uint64_t number;
	bool encoded;
};
static bool piece_of(struct slice name, struct piece *out) {
	struct piece p = { .encoded = name.len != 0 && name.at[name.len - 1] == '*' };
	if (p.encoded) name.len--;
	size_t star = slice_find_last(name, '*');
	if (star == name.len || !slice_number(slice_skip(name, star + 1), PIECES_MAX, &p.number)) return false;
	p.base = slice_head(name, star);
	*out = p;
	return true;
}

static bool find_piece(const struct param *raw, size_t count, struct slice base, uint64_t number, size_t *at,
	bool *encoded) {
	for (size_t i = 0; i < count; i++) {
		struct piece p;
		if (!piece_of(raw[i].name, &p) || p.number != number || !slice_eq(p.base, base)) continue;
		*at = i;
		*encoded = p.encoded;
		return true;
	}
	return false;
}

/* In an encoded value plain pieces must not seem encoded: their % becomes %25. */
static void add_piece(struct buf *out, struct slice value, bool escape) {
	for (struct slice rest = value; rest.at != NULL;) {
		buf_add(out, escape ? slice_cut(&rest, '%') : rest);
		if (!escape) return;
		if (rest.at != NULL) buf_add(out, S("%25"));
	}
}

static struct param join_pieces(const struct param *raw, size_t count, struct slice base, struct arena *mem) {
	AUTO_BUF struct buf joined = BUF(MIB(1));
	size_t at;
	bool encoded, first_encoded = false;
	for (uint64_t number = 0; find_piece(raw, count, base, number, &at, &encoded); number++) {
		if (number == 0) first_encoded = encoded;
		add_piece(&joined, raw[at].value, first_encoded && !encoded);
	}
	return (struct param){ first_encoded ? arena_fmt(mem, "%.*s*", SLICE_ARG(base)) : base,
		arena_slice(mem, buf_slice(&joined)) };
}

void structured_parse(struct slice value, struct arena *mem, struct structured *out) {
	struct structured result = { .params_count = 0 };
	struct param raw[PARAMS_MAX];
	size_t count = 0;
	result.value = take_value(&value, mem);
	while (count < PARAMS_MAX && value.len != 0 && take_param(&value, mem, &raw[count]))
		if (raw[count].name.len != 0 && raw[count].value.at != NULL) count++;
	result.params = count != 0 ? arena_array(mem, count, sizeof *result.params) : NULL;
	for (size_t i = 0; i < count; i++) {
		struct piece p;
		bool piece = piece_of(raw[i].name, &p);
		if (piece && p.number != 0) continue;
		result.params[result.params_count++] = piece ? join_pieces(raw, count, p.base, mem) : raw[i];
	}
	*out = result;
}

struct slice param_raw(const struct param *params, size_t count, struct slice name) {
	for (size_t i = 0; i < count; i++)
		if (slice_eq(params[i].name, name)) return params[i].value;
	return SLICE_NONE;
}

static void add_percent_decoded(struct buf *out, struct slice s) {
	for (size_t i = 0; i < s.len; i++) {
		int high = i + 2 < s.len && s.at[i] == '%' ? ascii_hex(s.at[i + 1]) : -1;
		int low = high >= 0 ? ascii_hex(s.at[i + 2]) : -1;
		int byte = low >= 0 ? high << 4 | low : s.at[i];
		buf_byte(out, (char)byte);
		if (low >= 0) i += 2;
	}
}

struct slice param_text(const struct param *params, size_t count, struct slice name, struct arena *mem) {
	struct slice plain = param_raw(params, count, name);
	struct slice rest = param_raw(params, count, arena_fmt(mem, "%.*s*", SLICE_ARG(name)));
	if (rest.at == NULL) return plain.at == NULL ? plain : header_text(plain, mem);
	struct slice charset = slice_cut(&rest, '\'');
	slice_cut(&rest, '\'');
	if (rest.at == NULL) { /* no charset in front: broken, all of it is the value */
		rest = param_raw(params, count, arena_fmt(mem, "%.*s*", SLICE_ARG(name)));
		charset = SLICE_NONE;
	}
	AUTO_BUF struct buf bytes = BUF(MIB(1)), text = BUF(MIB(4));
	add_percent_decoded(&bytes, rest);
	struct charset *c = charset_open(charset);
	charset_feed(c, buf_slice(&bytes), &text);
	charset_finish(&c, &text);
	return arena_slice(mem, buf_slice(&text));
}
