/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar's small words. Each function eats what it understood and leaves the rest, so that a command's reading is
 * a chain of calls joined by &&, in the order of the RFC's formal syntax. */
#include "access/imap/parse.h"
#include "base/buf.h"
#include "base/encode.h"

enum { IS_ATOM = 1, IS_ASTRING = 2, IS_TAG = 4, IS_PATTERN = 8 };

static unsigned class_of(char c) {
	if (ascii_control(c) || (unsigned char)c > 127 || strchr(" (){\"\\", c) != NULL) return 0;
	switch (c) {
	case '%':
	case '*': return IS_PATTERN;
	case ']': return IS_ASTRING | IS_TAG | IS_PATTERN;
	case '+': return IS_ATOM | IS_ASTRING | IS_PATTERN;
	default: return IS_ATOM | IS_ASTRING | IS_TAG | IS_PATTERN;
	}
}

bool imap_parse_fail(struct imap_parse *p, const char *why) {
	if (p->error == NULL) p->error = why;
	return false;
}

bool imap_parse_next_is(const struct imap_parse *p, char c) {
	return p->error == NULL && p->rest.len != 0 && p->rest.at[0] == c;
}

bool imap_parse_take(struct imap_parse *p, char c) {
	if (!imap_parse_next_is(p, c)) return false;
	p->rest = slice_skip(p->rest, 1);
	return true;
}

bool imap_parse_need(struct imap_parse *p, char c) {
	if (imap_parse_take(p, c)) return true;
	switch (c) {
	case ' ': return imap_parse_fail(p, "Missing argument or space.");
	case '(': return imap_parse_fail(p, "Expected '('.");
	case ')': return imap_parse_fail(p, "Expected ')'.");
	default: return imap_parse_fail(p, "Unexpected character.");
	}
}

bool imap_parse_space(struct imap_parse *p) {
	return imap_parse_need(p, ' ');
}

bool imap_parse_end(struct imap_parse *p) {
	if (p->error != NULL) return false;
	return p->rest.len == 0 || imap_parse_fail(p, "Too many arguments.");
}

bool imap_parse_take_word(struct imap_parse *p, const char *word) {
	size_t len = strlen(word);
	if (p->error != NULL || !slice_starts_same(p->rest, slice_from(word, len))) return false;
	if (p->rest.len > len && (class_of(p->rest.at[len]) & IS_ATOM) != 0) return false;
	p->rest = slice_skip(p->rest, len);
	return true;
}

static bool take_class(struct imap_parse *p, unsigned class, struct slice *out) {
	size_t n = 0;
	if (p->error != NULL) return false;
	while (n < p->rest.len && (class_of(p->rest.at[n]) & class) != 0) n++;
	if (n == 0) return imap_parse_fail(p, p->rest.len == 0 ? "Missing argument." : "Invalid character in atom.");
	*out = slice_head(p->rest, n);
	p->rest = slice_skip(p->rest, n);
	return true;
}

bool imap_parse_tag(struct imap_parse *p, struct slice *out) {
	return take_class(p, IS_TAG, out);
}

bool imap_parse_atom(struct imap_parse *p, struct slice *out) {
	return take_class(p, IS_ATOM, out);
}

static bool take_quoted(struct imap_parse *p, struct slice *out) {
	struct slice s = slice_skip(p->rest, 1);
	size_t n = 0, escapes = 0;
	for (; n < s.len && s.at[n] != '"'; n++) {
		if (s.at[n] == '\r' || s.at[n] == '\n' || s.at[n] == '\0')
			return imap_parse_fail(p, "Invalid character in quoted string.");
		if (s.at[n] != '\\') continue;
		escapes++;
		if (++n == s.len || (s.at[n] != '"' && s.at[n] != '\\'))
			return imap_parse_fail(p, "Only \\\" and \\\\ may be escaped in a quoted string.");
	}
	if (n >= s.len) return imap_parse_fail(p, "Missing '\"'.");
	if (p->utf8 && !utf8_valid(slice_head(s, n))) return imap_parse_fail(p, "Quoted string is not valid UTF-8.");
	p->rest = slice_skip(s, n + 1);
	*out = slice_head(s, n);
	if (escapes == 0) return true;
	char *copy = arena_get(p->mem, n), *to = copy;
	for (size_t i = 0; i < n; i++) {
		if (s.at[i] == '\\') i++;
		*to++ = s.at[i];
	}
	*out = slice_from(copy, (size_t)(to - copy));
	return true;
}

static bool take_octets(struct imap_parse *p, struct slice *out) {
	size_t end = slice_find(p->rest, '\n');
	struct imap_literal literal;
	struct slice head = slice_head(p->rest, end);
	if (end == p->rest.len) return imap_parse_fail(p, "Invalid literal.");
	if (slice_ends(head, S("\r"))) head.len--;
	if (!imap_literal_at_end(head, &literal) || head.at[head.len - 1] != '}' || slice_find_last(head, '{') != 0)
		return imap_parse_fail(p, "Invalid literal.");
	struct slice body = slice_skip(p->rest, end + 1);
	if (literal.size > body.len) return imap_parse_fail(p, "Invalid literal.");
	*out = slice_head(body, literal.size);
	p->rest = slice_skip(body, literal.size);
	return true;
}

static bool take_literal(struct imap_parse *p, struct slice *out) {
	if (!take_octets(p, out)) return false;
	return memchr(out->at, '\0', out->len) == NULL || imap_parse_fail(p, "NUL in literal.");
}

bool imap_parse_octets(struct imap_parse *p, struct slice *out) {
	return imap_parse_take(p, '~') ? take_octets(p, out) : imap_parse_string(p, out);
}

bool imap_parse_string(struct imap_parse *p, struct slice *out) {
	if (imap_parse_next_is(p, '"')) return take_quoted(p, out);
	if (imap_parse_next_is(p, '{')) return take_literal(p, out);
	return imap_parse_fail(p, p->rest.len == 0 ? "Missing argument." : "Expected a string.");
}

static bool take_string_or(struct imap_parse *p, unsigned class, struct slice *out) {
	if (imap_parse_next_is(p, '"') || imap_parse_next_is(p, '{')) return imap_parse_string(p, out);
	return take_class(p, class, out);
}

bool imap_parse_astring(struct imap_parse *p, struct slice *out) {
	return take_string_or(p, IS_ASTRING, out);
}

bool imap_parse_pattern(struct imap_parse *p, struct slice *out) {
	return take_string_or(p, IS_PATTERN, out);
}

bool imap_parse_number(struct imap_parse *p, uint64_t max, uint64_t *out) {
	size_t n = 0;
	if (p->error != NULL) return false;
	while (n < p->rest.len && ascii_digit(p->rest.at[n])) n++;
	if (!slice_number(slice_head(p->rest, n), max, out))
		return imap_parse_fail(p, n == 0 ? "Expected a number." : "Number too large.");
	p->rest = slice_skip(p->rest, n);
	return true;
}

bool imap_parse_strings(struct imap_parse *p, size_t limit, struct slice **out, size_t *count) {
	struct slice *all = arena_array(p->mem, limit + 1, sizeof(*all));
	size_t n = 0;
	if (!imap_parse_need(p, '(')) return false;
	while (!imap_parse_take(p, ')')) {
		if (n == limit) return imap_parse_fail(p, "Too many strings in the list.");
		if (n != 0 && !imap_parse_space(p)) return false;
		if (imap_parse_take_word(p, "NIL")) all[n] = SLICE_NONE;
		else if (!imap_parse_astring(p, &all[n])) return false;
		n++;
	}
	*out = all;
	*count = n;
	return true;
}

bool imap_literal_at_end(struct slice line, struct imap_literal *out) {
	if (line.len < 3 || line.at[line.len - 1] != '}') return false;
	size_t end = line.len - 1, at;
	bool waits = line.at[end - 1] != '+';
	if (!waits) end--;
	for (at = end; at > 0 && ascii_digit(line.at[at - 1]);) at--;
	if (at == end || at == 0 || line.at[at - 1] != '{') return false;
	uint64_t size = INT64_MAX;
	slice_number(slice_from(line.at + at, end - at), INT64_MAX, &size);
	*out = (struct imap_literal){ size, waits };
	return true;
}

void imap_put_string(struct buf *out, struct slice s) {
	size_t awkward = 0;
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.at[i];
		if (c == '\r' || c == '\n' || c == '\0' || c > 127) awkward = 1;
	}
	if (awkward != 0 || s.len > 1000) {
		buf_addf(out, "{%zu}\r\n", s.len);
		buf_add(out, s);
		return;
	}
	buf_byte(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.at[i] == '"' || s.at[i] == '\\') buf_byte(out, '\\');
		buf_byte(out, s.at[i]);
	}
	buf_byte(out, '"');
}

void imap_put_astring(struct buf *out, struct slice s) {
	bool atom = s.len != 0 && !slice_same(s, S("NIL"));
	for (size_t i = 0; i < s.len && atom; i++) atom = (class_of(s.at[i]) & IS_ASTRING) != 0;
	if (atom) buf_add(out, s);
	else imap_put_string(out, s);
}
