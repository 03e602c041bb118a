/* SPDX-License-Identifier: Apache-2.0 */
/* Readers differ in what they forgive, so the parser is strict about structure (it feeds decisions) while stripping is
 * generous: whatever any reader could take for a field of ours goes. */
#include "trust/authres.h"
#include "mime/header.h"

static bool is_token(char c) { /* RFC 2045 §5.1 */
	return c > ' ' && c < 127 && memchr("()<>@,;:\\\"/[]?=", c, 15) == NULL;
}

/* ---- reading ---- */

struct reader {
	struct slice rest; /* unfolded */
	struct arena *mem;
	char *spare;          /* for texts without their backslashes; as much as all of them can need */
	struct slice comment; /* the first since it was last cleared */
	bool bad;
};

/* A quoted-string or a comment (which may contain others) at the start of rest, without its outer delimiters and
 * backslashes. */
static struct slice take_delimited(struct reader *r, char open, char close) {
	char *text = r->spare;
	size_t len = 0, depth = 1, i = 1;
	for (; i < r->rest.len; i++) {
		char c = r->rest.at[i];
		if (c == '\\' && i + 1 < r->rest.len) c = r->rest.at[++i];
		else if (c == close && --depth == 0) break;
		else if (c == open) depth++;
		text[len++] = c;
	}
	if (i == r->rest.len) r->bad = true;
	r->rest = slice_skip(r->rest, i + 1);
	r->spare += len;
	return slice_from(text, len);
}

static struct reader reader_of(struct slice value, struct arena *mem) {
	struct slice line = header_unfold(value, mem);
	return (struct reader){ .rest = line,
				.mem = mem,
				.spare = arena_get(mem, 2 * line.len + 1) }; /* the first method is read twice */
}

static void skip_cfws(struct reader *r) {
	while (r->rest.len != 0 && !r->bad) {
		if (ascii_space(r->rest.at[0])) {
			r->rest = slice_skip(r->rest, 1);
		} else if (r->rest.at[0] == '(') {
			struct slice comment = take_delimited(r, '(', ')');
			if (r->comment.at == NULL) r->comment = slice_trim(comment);
		} else {
			return;
		}
	}
}

static bool next_is(struct reader *r, char c) {
	skip_cfws(r);
	return !r->bad && r->rest.len != 0 && r->rest.at[0] == c;
}

static bool take(struct reader *r, char c) {
	if (!next_is(r, c)) return false;
	r->rest = slice_skip(r->rest, 1);
	return true;
}

/* A Keyword, in lower case: letters, digits and hyphens. */
static struct slice take_word(struct reader *r) {
	skip_cfws(r);
	size_t n = 0;
	while (n < r->rest.len &&
	       (ascii_alpha(r->rest.at[n]) || ascii_digit(r->rest.at[n]) || memchr("-_", r->rest.at[n], 2) != NULL))
		n++;
	struct slice word = arena_lower(r->mem, slice_head(r->rest, n));
	if (n == 0) r->bad = true;
	r->rest = slice_skip(r->rest, n);
	return word;
}

/* value / [[local-part] "@"] domain-name. What is not quoted ends at a blank, a comment or a semicolon: people write
 * header.b=a/b= and header.i=@x without quotes. A quoted local part may be followed by its domain. */
static struct slice take_value(struct reader *r) {
	skip_cfws(r);
	struct slice quoted = SLICE_NONE;
	if (r->rest.len != 0 && r->rest.at[0] == '"') {
		struct slice whole = r->rest;
		quoted = take_delimited(r, '"', '"');
		if (r->rest.len == 0 || r->rest.at[0] != '@') return quoted;
		quoted = slice_head(whole, whole.len - r->rest.len); /* "a b"@c stays as it is written */
	}
	size_t n = 0;
	while (n < r->rest.len && !ascii_space(r->rest.at[n]) && memchr("();\"", r->rest.at[n], 4) == NULL) n++;
	struct slice bare = slice_head(r->rest, n);
	r->rest = slice_skip(r->rest, n);
	if (quoted.at != NULL) return arena_fmt(r->mem, "%.*s%.*s", SLICE_ARG(quoted), SLICE_ARG(bare));
	return bare;
}

static void take_properties(struct reader *r, struct authres_method *m) {
	size_t room = 0;
	while (!next_is(r, ';') && r->rest.len != 0 && !r->bad) {
		struct authres_property p = { .type = take_word(r) };
		if (slice_eq(p.type, S("reason")) && m->properties_count == 0 && m->reason.at == NULL && take(r, '=')) {
			m->reason = take_value(r);
			continue;
		}
		if (r->bad || !take(r, '.')) r->bad = true;
		else p.name = take_word(r);
		if (r->bad || !take(r, '=')) r->bad = true;
		else p.value = take_value(r);
		if (r->bad || m->properties_count == AUTHRES_PROPERTIES_MAX) {
			r->bad = true;
			return;
		}
		if (m->properties_count == room) {
			struct authres_property *more = arena_array(r->mem, room = room * 2 + 4, sizeof *more);
			for (size_t i = 0; i < m->properties_count; i++) more[i] = m->properties[i];
			m->properties = more;
		}
		m->properties[m->properties_count++] = p;
	}
}

static struct authres_method take_method(struct reader *r) {
	struct authres_method m = { .method = take_word(r) };
	if (take(r, '/')) take_word(r);
	if (r->bad || !take(r, '=')) {
		r->bad = true;
		return m;
	}
	m.result = take_word(r);
	r->comment = SLICE_NONE;
	take_properties(r, &m);
	m.comment = r->comment;
	return m;
}

static void take_id(struct reader *r, struct authres *a) {
	a->id = take_value(r);
	if (a->id.len == 0) r->bad = true;
	skip_cfws(r);
	if (r->rest.len == 0 || !ascii_digit(r->rest.at[0])) return;
	struct slice version = take_word(r);
	if (!slice_eq(version, S("1"))) r->bad = true;
}

bool authres_parse(struct slice value, struct arena *mem, struct authres *out) {
	if (value.len > AUTHRES_LENGTH_MAX) return false;
	struct reader r = reader_of(value, mem);
	struct authres a = {0};
	size_t room = 0;
	take_id(&r, &a);
	bool none = false;
	while (!r.bad && take(&r, ';')) {
		skip_cfws(&r);
		if (r.rest.len == 0) break; /* a last semicolon, as many write it */
		struct slice before = r.rest;
		if (a.methods_count == 0 && slice_same(take_word(&r), S("none")) && !next_is(&r, '=')) {
			none = true;
			break;
		}
		r.rest = before;
		struct authres_method m = take_method(&r);
		if (r.bad || a.methods_count == AUTHRES_METHODS_MAX) return false;
		if (a.methods_count == room) {
			struct authres_method *more = arena_array(mem, room = room * 2 + 4, sizeof *more);
			for (size_t i = 0; i < a.methods_count; i++) more[i] = a.methods[i];
			a.methods = more;
		}
		a.methods[a.methods_count++] = m;
	}
	skip_cfws(&r);
	if (r.bad || r.rest.len != 0 || (a.methods_count == 0 && !none)) return false;
	*out = a;
	return true;
}

/* ---- writing ---- */

enum { LINE_MAX_WANTED = 78, FIELD_NAME = sizeof "Authentication-Results: " - 1, PIECE_MAX = 900, TAB = 8 };

struct writer {
	struct buf *out;
	size_t column;
};

/* One piece that cannot be folded, with a blank before it unless it begins a line. */
static void write_piece(struct writer *w, struct slice text) {
	if (w->column + 1 + text.len > LINE_MAX_WANTED && w->column > TAB) {
		buf_add(w->out, S("\r\n\t"));
		w->column = TAB;
	} else if (w->column > TAB) {
		w->column += buf_byte(w->out, ' ');
	}
	buf_add(w->out, text);
	w->column += text.len;
}

static char harmless(char c) { return ascii_control(c) && c != '\t' ? '?' : c; }

/* local@domain or @domain that needs no quotes: dot-atoms. */
static bool is_address(struct slice s) {
	size_t at = slice_find(s, '@');
	if (at == s.len || at + 1 == s.len) return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];
		bool ok = ascii_alpha(c) || ascii_digit(c) || (unsigned char)c >= 0x80 || c == '-' || c == '_' ||
			  (c == '.' && i != 0 && s.at[i - 1] != '.' && s.at[i - 1] != '@' && i + 1 != at &&
			   i + 1 != s.len) ||
			  (i < at && memchr("!#$%&'*+/=?^`{|}~", c, 17) != NULL);
		if (!ok && i != at) return false;
	}
	return true;
}

static void quoted_add(struct buf *out, struct slice text) {
	text = slice_head(text, PIECE_MAX);
	buf_byte(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] == '"' || text.at[i] == '\\') buf_byte(out, '\\');
		buf_byte(out, harmless(text.at[i]));
	}
	buf_byte(out, '"');
}

static void value_add(struct buf *out, struct slice value) {
	bool bare = value.len != 0 && value.len <= PIECE_MAX;
	for (size_t i = 0; i < value.len && bare; i++) bare = is_token(value.at[i]);
	if (bare || (value.len <= PIECE_MAX && is_address(value))) buf_add(out, value);
	else quoted_add(out, value);
}

/* A comment may be folded at its blanks, and its parentheses are escaped. Its last word is left in `word`. */
static void write_comment(struct writer *w, struct slice comment, struct buf *word) {
	struct slice rest = slice_trim(comment);
	buf_byte(word, '(');
	while (rest.len != 0) {
		struct slice part = slice_head(slice_word(&rest, " \t\r\n"), PIECE_MAX);
		for (size_t i = 0; i < part.len; i++) {
			if (memchr("()\\", part.at[i], 3) != NULL) buf_byte(word, '\\');
			buf_byte(word, harmless(part.at[i]));
		}
		rest = slice_trim(rest);
		if (rest.len == 0) break;
		write_piece(w, buf_slice(word));
		buf_clear(word);
	}
	buf_byte(word, ')');
}

static void write_method(struct writer *w, const struct authres_method *m, bool last) {
	AUTO_BUF struct buf piece = BUF(3 * PIECE_MAX + 16);
	buf_addf(&piece, "%.*s=%.*s", SLICE_ARG(m->method), SLICE_ARG(m->result));
	if (m->comment.len != 0) {
		write_piece(w, buf_slice(&piece));
		buf_clear(&piece);
		write_comment(w, m->comment, &piece);
	}
	if (m->reason.len != 0) {
		write_piece(w, buf_slice(&piece));
		buf_clear(&piece);
		buf_add(&piece, S("reason="));
		quoted_add(&piece, m->reason);
	}
	for (size_t i = 0; i < m->properties_count; i++) {
		const struct authres_property *p = &m->properties[i];
		write_piece(w, buf_slice(&piece));
		buf_clear(&piece);
		buf_addf(&piece, "%.*s.%.*s=", SLICE_ARG(p->type), SLICE_ARG(p->name));
		value_add(&piece, p->value);
	}
	if (!last) buf_byte(&piece, ';');
	write_piece(w, buf_slice(&piece));
}

void authres_add(struct buf *out, const struct authres *a) {
	struct writer w = { .out = out, .column = FIELD_NAME };
	size_t start = out->len;
	value_add(out, a->id);
	buf_add(out, a->methods_count == 0 ? S("; none") : S(";"));
	w.column += out->len - start;
	for (size_t i = 0; i < a->methods_count; i++) {
		buf_add(out, S("\r\n\t"));
		w.column = TAB;
		write_method(&w, &a->methods[i], i + 1 == a->methods_count);
	}
}

/* ---- taking forged ones out ---- */

static bool contains_same(struct slice s, struct slice needle) {
	for (size_t i = 0; i + needle.len <= s.len; i++)
		if (slice_same(slice_from(s.at + i, needle.len), needle)) return true;
	return false;
}

bool authres_is_id(struct slice text, struct slice id) {
	text = slice_head(text, slice_find(text, '/')); /* a queue id behind it */
	if (text.len != 0 && text.at[text.len - 1] == '.') text.len--;
	if (slice_starts(id, S("."))) return slice_ends_same(text, id);
	return slice_eq(id, S("*")) || slice_same(text, id);
}

static bool all_digits(struct slice s) {
	uint64_t n;
	return s.len > 9 ? false : slice_number(s, UINT64_MAX, &n);
}

/* What stands before the first semicolon: its first word, and all words as one, for readers that take comments and
 * blanks out before they look (a version number behind does not count). */
static bool claims(struct slice value, struct slice id) {
	AUTO_ARENA struct arena mem = {0};
	if (slice_eq(id, S("*"))) return true;
	if (value.len > AUTHRES_LENGTH_MAX) return contains_same(slice_head(value, AUTHRES_LENGTH_MAX), id);
	struct reader r = reader_of(value, &mem);
	AUTO_BUF struct buf joined = BUF(AUTHRES_LENGTH_MAX);
	for (size_t words = 0;; words++) {
		skip_cfws(&r);
		if (r.bad || r.rest.len == 0 || r.rest.at[0] == ';') break;
		struct slice word;
		if (r.rest.at[0] == '"') {
			word = take_delimited(&r, '"', '"');
		} else {
			size_t n = 0;
			while (n < r.rest.len && is_token(r.rest.at[n])) n++;
			word = slice_head(r.rest, n);
			r.rest = slice_skip(r.rest, n != 0 ? n : 1); /* any other byte only separates */
		}
		if (words == 0 && authres_is_id(word, id)) return true;
		if (words == 0 || !all_digits(word)) buf_add(&joined, word);
	}
	return authres_is_id(buf_slice(&joined), id) || (r.bad && contains_same(value, id));
}

size_t authres_strip(struct slice header, struct slice id, struct buf *out) {
	struct fields f = { .block = header };
	struct field field;
	size_t copied = 0, stripped = 0;
	if (id.len != 0 && id.at[id.len - 1] == '.') id.len--;
	while (id.len != 0 && header_find_from(&f, S("Authentication-Results"), &field)) {
		if (!claims(field.value, id)) continue;
		buf_add(out, slice_from(header.at + copied, field.start - copied));
		copied = field.end;
		stripped++;
	}
	buf_add(out, slice_skip(header, copied));
	return stripped;
}
