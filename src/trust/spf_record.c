/* SPDX-License-Identifier: Apache-2.0 */
/* A record is read whole before any of it counts: an error behind the term that matches is an error (RFC 7208 §4.6). */
#include "trust/spf_private.h"

#include <arpa/inet.h>

bool spf_record_is(struct slice txt) {
	return slice_starts_same(txt, S("v=spf1")) && (txt.len == 6 || txt.at[6] == ' ');
}

static const struct mechanism {
	struct slice name;
	enum spf_kind kind;
	bool domain_needed, domain_allowed, dual;
} mechanisms[] = {
	{ S("all"), SPF_ALL, false, false, false },       { S("include"), SPF_INCLUDE, true, true, false },
	{ S("a"), SPF_A, false, true, true },             { S("mx"), SPF_MX, false, true, true },
	{ S("ptr"), SPF_PTR, false, true, false },        { S("exists"), SPF_EXISTS, true, true, false },
	{ S("ip4"), SPF_IP4, false, false, false },       { S("ip6"), SPF_IP6, false, false, false },
};

/* Digits without leading zeros, at most max. */
static bool read_bits(struct slice digits, unsigned max, unsigned *out) {
	uint64_t n;
	if ((digits.len > 1 && digits.at[0] == '0') || !slice_number(digits, max, &n)) return false;
	*out = (unsigned)n;
	return true;
}

static bool only_digits(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if (!ascii_digit(s.at[i])) return false;
	return s.len != 0;
}

/* Takes "/24", "//64" or "/24//64" off the end; a slash that is no such thing is part of the name. */
static bool take_dual(struct slice *rest, struct spf_term *t) {
	size_t slash = slice_find_last(*rest, '/');
	if (slash == rest->len || !only_digits(slice_skip(*rest, slash + 1))) return true;
	bool six = slash != 0 && rest->at[slash - 1] == '/';
	if (!read_bits(slice_skip(*rest, slash + 1), six ? 128 : 32, six ? &t->bits6 : &t->bits4)) return false;
	*rest = slice_head(*rest, six ? slash - 1 : slash);
	if (!six) return true;
	slash = slice_find_last(*rest, '/');
	if (slash == rest->len || !only_digits(slice_skip(*rest, slash + 1))) return true;
	if (!read_bits(slice_skip(*rest, slash + 1), 32, &t->bits4)) return false;
	*rest = slice_head(*rest, slash);
	return true;
}

static bool read_network(struct slice text, struct spf_term *t) {
	bool four = t->kind == SPF_IP4;
	char address[INET6_ADDRSTRLEN];
	size_t slash = slice_find(text, '/');
	if (slash != text.len && !read_bits(slice_skip(text, slash + 1), four ? 32 : 128, four ? &t->bits4 : &t->bits6))
		return false;
	if (slash >= sizeof address) return false;
	memcpy(address, text.at, slash);
	address[slash] = '\0';
	return memchr(address, '\0', slash) == NULL && inet_pton(four ? AF_INET : AF_INET6, address, t->network) == 1;
}

static bool read_mechanism(struct slice text, struct spf_term *t) {
	static const struct { char c; enum trust_result result; } qualifiers[] = {
		{ '+', TRUST_PASS }, { '-', TRUST_FAIL }, { '~', TRUST_SOFTFAIL }, { '?', TRUST_NEUTRAL } };
	*t = (struct spf_term){ .result = TRUST_PASS, .text = text, .bits4 = 32, .bits6 = 128 };
	for (size_t i = 0; i < LEN(qualifiers); i++) {
		if (text.at[0] != qualifiers[i].c) continue;
		t->result = qualifiers[i].result;
		text = slice_skip(text, 1);
		break;
	}
	size_t end = 0;
	while (end < text.len && (ascii_alpha(text.at[end]) || ascii_digit(text.at[end]))) end++;
	const struct mechanism *m = NULL;
	for (size_t i = 0; i < LEN(mechanisms) && m == NULL; i++)
		if (slice_same(slice_head(text, end), mechanisms[i].name)) m = &mechanisms[i];
	if (m == NULL) return false;
	t->kind = m->kind;
	struct slice rest = slice_skip(text, end);
	if (m->dual && !take_dual(&rest, t)) return false;
	bool colon = rest.len != 0 && rest.at[0] == ':';
	if (rest.len != 0 && !colon) return false;
	rest = slice_skip(rest, 1);
	if (m->kind == SPF_IP4 || m->kind == SPF_IP6) return colon && read_network(rest, t);
	if (!colon) return !m->domain_needed;
	t->domain = rest;
	return m->domain_allowed && spf_macro_valid(rest, SPF_TEXT_DOMAIN);
}

/* Is it "name=": then how long is the name? 0: no modifier. */
static size_t modifier_name(struct slice term) {
	size_t n = 0;
	if (!ascii_alpha(term.at[0])) return 0;
	while (n < term.len &&
	       (ascii_alpha(term.at[n]) || ascii_digit(term.at[n]) || memchr("-_.", term.at[n], 3) != NULL))
		n++;
	return n < term.len && term.at[n] == '=' ? n : 0;
}

static bool read_modifier(struct slice name, struct slice value, struct spf_record *out) {
	struct slice *to = slice_same(name, S("redirect")) ? &out->redirect
			   : slice_same(name, S("exp"))    ? &out->exp
							   : NULL;
	if (to == NULL) return spf_macro_valid(value, SPF_TEXT_MODIFIER);
	if (to->len != 0) return false; /* twice */
	*to = value;
	return spf_macro_valid(value, SPF_TEXT_DOMAIN);
}

bool spf_record_parse(struct slice text, struct arena *mem, struct spf_record *out, struct slice *reason) {
	struct spf_record r = {0};
	struct slice rest = slice_skip(text, 6), counted = rest, term;
	size_t most = 0;
	must(spf_record_is(text));
	while (slice_word(&counted, " ").len != 0) most++;
	r.terms = arena_array(mem, most + 1, sizeof *r.terms);
	while ((term = slice_word(&rest, " ")).len != 0) {
		size_t name = modifier_name(term);
		bool good = name != 0 ? read_modifier(slice_head(term, name), slice_skip(term, name + 1), &r)
		                      : read_mechanism(term, &r.terms[r.count]);
		if (!good) {
			AUTO_BUF struct buf shown = BUF(KIB(1));
			for (size_t i = 0; i < MIN_OF(term.len, (size_t)100); i++)
				buf_byte(&shown, term.at[i] > ' ' && term.at[i] <= '~' ? term.at[i] : '?');
			*reason = arena_fmt(mem, "\"%s\" is no SPF term", buf_text(&shown));
			return false;
		}
		r.count += name == 0;
	}
	*out = r;
	return true;
}
