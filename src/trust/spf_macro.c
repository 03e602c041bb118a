/* SPDX-License-Identifier: Apache-2.0 */
/* Macros put strangers' words into names that we look up. One reader serves the check of a record and the expansion, so
 * that what was checked is what is expanded (RFC 7208 §7). */
#include "trust/spf_private.h"
#include "base/clock.h"

/* One piece: a byte as it stands, or a macro. */
struct token {
	char byte;               /* of a piece that is no macro with a letter; '\0' else */
	bool expands;            /* came from "%": %{…}, %%, %_, %- */
	bool url;                /* "%-" or an upper-case letter: to be escaped */
	char letter;
	bool reverse;
	uint64_t parts;          /* 0: all */
	struct slice delimiters;
};

/* Behind "%{". */
static bool read_braces(struct slice *rest, struct token *t) {
	size_t end = slice_find(*rest, '}');
	struct slice in = slice_head(*rest, end);
	if (end == rest->len || in.len == 0) return false;
	*rest = slice_skip(*rest, end + 1);
	t->letter = ascii_lower(in.at[0]);
	t->url = t->letter != in.at[0];
	if (memchr("slodiphcrtv", t->letter, 11) == NULL) return false;
	in = slice_skip(in, 1);
	size_t digits = 0;
	while (digits < in.len && ascii_digit(in.at[digits])) digits++;
	if (digits != 0 && (!slice_number(slice_head(in, digits), 100000, &t->parts) || t->parts == 0)) return false;
	in = slice_skip(in, digits);
	t->reverse = in.len != 0 && ascii_lower(in.at[0]) == 'r';
	if (t->reverse) in = slice_skip(in, 1);
	for (size_t i = 0; i < in.len; i++)
		if (memchr(".-+,/_=", in.at[i], 7) == NULL) return false;
	t->delimiters = in.len != 0 ? in : S(".");
	return true;
}

static bool token_next(struct slice *rest, bool blanks, struct token *t) {
	char c = rest->at[0];
	*t = (struct token){ .byte = c };
	*rest = slice_skip(*rest, 1);
	if (c != '%') return (c > ' ' && c <= '~') || (blanks && c == ' ');
	if (rest->len == 0) return false;
	c = rest->at[0];
	*rest = slice_skip(*rest, 1);
	t->expands = true;
	t->byte = c == '%' ? '%' : c == '_' || c == '-' ? ' ' : '\0';
	t->url = c == '-';
	return t->byte != '\0' || (c == '{' && read_braces(rest, t));
}

/* toplabel of §7.1: letters, digits and inner hyphens, not digits alone. */
static bool is_toplabel(struct slice s) {
	bool other = false;
	for (size_t i = 0; i < s.len; i++) {
		if (!ascii_alpha(s.at[i]) && !ascii_digit(s.at[i]) && s.at[i] != '-') return false;
		other = other || !ascii_digit(s.at[i]);
	}
	return other && s.at[0] != '-' && s.at[s.len - 1] != '-';
}

bool spf_macro_valid(struct slice text, enum spf_text what) {
	struct slice rest = text, tail = text; /* behind the last macro */
	struct token t = {0};
	while (rest.len != 0) {
		if (!token_next(&rest, what == SPF_TEXT_EXPLANATION, &t)) return false;
		/* §7.2: these are for explanations only; the value of an unknown modifier means nothing to us */
		if (what == SPF_TEXT_DOMAIN && t.byte == '\0' && memchr("crt", t.letter, 3) != NULL) return false;
		if (t.expands) tail = rest;
	}
	if (what != SPF_TEXT_DOMAIN) return true;
	if (t.expands) return true; /* ends with a macro */
	if (slice_ends(tail, S("."))) tail.len--;
	size_t dot = slice_find_last(tail, '.');
	return dot < tail.len && is_toplabel(slice_skip(tail, dot + 1));
}

static void add_escaped(struct buf *out, bool url, struct slice s) {
	for (size_t i = 0; i < s.len; i++) {
		char c = s.at[i];
		bool plain = ascii_alpha(c) || ascii_digit(c) || (c != '\0' && strchr("-._~", c) != NULL);
		if (url && !plain) buf_addf(out, "%%%02X", (unsigned char)c);
		else buf_byte(out, c);
	}
}

/* The address as %{i} has it: nibbles with dots for IPv6. */
static void add_address(struct buf *out, const struct addr *a) {
	struct addr_key key = addr_key(a, 128);
	char room[ADDR_TEXT_ROOM];
	if (addr_family(a) == AF_INET) {
		buf_add(out, slice_of(addr_text(a, room)));
		return;
	}
	for (size_t i = 0; i < sizeof key.bytes; i++)
		buf_addf(out, "%s%x.%x", i != 0 ? "." : "", key.bytes[i] >> 4, key.bytes[i] & 15);
}

static void add_value(struct buf *out, char letter, const struct spf_macros *m) {
	char room[ADDR_TEXT_ROOM];
	switch (letter) {
	case 's': buf_addf(out, "%.*s@%.*s", SLICE_ARG(m->local), SLICE_ARG(m->sender_domain)); break;
	case 'l': buf_add(out, m->local); break;
	case 'o': buf_add(out, m->sender_domain); break;
	case 'd': buf_add(out, m->domain); break;
	case 'i': add_address(out, m->client); break;
	case 'p': buf_add(out, m->validated(m->ctx)); break;
	case 'v': buf_add(out, addr_family(m->client) == AF_INET ? S("in-addr") : S("ip6")); break;
	case 'h': buf_add(out, m->helo); break;
	case 'c': buf_add(out, slice_of(addr_text(m->client, room))); break;
	case 'r': buf_add(out, m->receiver); break;
	case 't': buf_addf(out, "%lld", (long long)wall_s()); break;
	}
}

enum { PARTS_MAX = 512 }; /* no value of ours has more; further ones count as one */

static void add_transformed(struct buf *out, const struct token *t, struct slice value) {
	struct slice parts[PARTS_MAX];
	size_t n = 0, start = 0;
	for (size_t i = 0; i <= value.len; i++) {
		bool cut = i < value.len && n + 1 < PARTS_MAX &&
			   memchr(t->delimiters.at, value.at[i], t->delimiters.len) != NULL;
		if (!cut && i != value.len) continue;
		parts[n++] = slice_head(slice_skip(value, start), i - start);
		start = i + 1;
	}
	size_t keep = t->parts == 0 ? n : MIN_OF((size_t)t->parts, n);
	for (size_t i = n - keep; i < n; i++) {
		if (i != n - keep) buf_byte(out, '.');
		add_escaped(out, t->url, parts[t->reverse ? n - 1 - i : i]);
	}
}

bool spf_macro_expand(struct slice text, const struct spf_macros *m, struct buf *out) {
	AUTO_BUF struct buf value = BUF(KIB(2));
	struct token t;
	while (text.len != 0 && !out->full) {
		must(token_next(&text, true, &t));
		if (t.byte != '\0') {
			if (t.expands && t.url) buf_add(out, S("%20"));
			else buf_byte(out, t.byte);
			continue;
		}
		buf_clear(&value);
		add_value(&value, t.letter, m);
		add_transformed(out, &t, buf_slice(&value));
	}
	return !out->full;
}
