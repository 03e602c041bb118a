/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed text. Everything here works on bytes and on ASCII: no locale can change a protocol. */
#include "base/slice.h"

bool slice_eq(struct slice a, struct slice b) {
	return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static bool same_bytes(const char *a, const char *b, size_t len) {
	for (size_t i = 0; i < len; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i])) return false;
	return true;
}

bool slice_same(struct slice a, struct slice b) {
	return a.len == b.len && same_bytes(a.at, b.at, a.len);
}

int slice_among(struct slice s, const char *const *names, size_t count) {
	for (size_t i = 0; i < count; i++)
		if (slice_same(s, slice_of(names[i]))) return (int)i;
	return -1;
}

int slice_order(struct slice a, struct slice b) {
	size_t shorter = MIN_OF(a.len, b.len);
	int order = shorter != 0 ? memcmp(a.at, b.at, shorter) : 0;
	if (order != 0) return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

bool slice_starts(struct slice s, struct slice prefix) {
	return s.len >= prefix.len && slice_eq(slice_head(s, prefix.len), prefix);
}

bool slice_starts_same(struct slice s, struct slice prefix) {
	return s.len >= prefix.len && same_bytes(s.at, prefix.at, prefix.len);
}

bool slice_ends(struct slice s, struct slice suffix) {
	return s.len >= suffix.len && slice_eq(slice_skip(s, s.len - suffix.len), suffix);
}

bool slice_ends_same(struct slice s, struct slice suffix) {
	return s.len >= suffix.len && slice_same(slice_skip(s, s.len - suffix.len), suffix);
}

size_t slice_find(struct slice s, char c) {
	const char *hit = s.len != 0 ? memchr(s.at, c, s.len) : NULL;
	return hit != NULL ? (size_t)(hit - s.at) : s.len;
}

size_t slice_find_last(struct slice s, char c) {
	const char *hit = s.len != 0 ? memrchr(s.at, c, s.len) : NULL;
	return hit != NULL ? (size_t)(hit - s.at) : s.len;
}

size_t slice_search(struct slice s, struct slice needle) {
	if (needle.len == 0) return 0;
	if (s.len < needle.len) return s.len;
	const char *hit = memmem(s.at, s.len, needle.at, needle.len);
	return hit != NULL ? (size_t)(hit - s.at) : s.len;
}

struct slice slice_trim(struct slice s) {
	while (s.len != 0 && ascii_space(s.at[0])) s = slice_skip(s, 1);
	while (s.len != 0 && ascii_space(s.at[s.len - 1])) s.len--;
	return s;
}

struct slice slice_cut(struct slice *rest, char c) {
	size_t n = slice_find(*rest, c);
	struct slice part = slice_head(*rest, n);
	*rest = n < rest->len ? slice_skip(*rest, n + 1) : SLICE_NONE;
	return part;
}

struct slice slice_word(struct slice *rest, const char *seps) {
	size_t from = 0;
	while (from < rest->len && strchr(seps, rest->at[from]) != NULL && rest->at[from] != '\0') from++;
	size_t to = from;
	while (to < rest->len && (rest->at[to] == '\0' || strchr(seps, rest->at[to]) == NULL)) to++;
	struct slice word = slice_skip(slice_head(*rest, to), from);
	*rest = slice_skip(*rest, to);
	return word;
}

bool slice_number(struct slice s, uint64_t max, uint64_t *out) {
	uint64_t v = 0;
	if (s.len == 0) return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!ascii_digit(s.at[i])) return false;
		uint64_t digit = (uint64_t)(s.at[i] - '0');
		if (v > (max - MIN_OF(digit, max)) / 10 || (max < digit && v == 0)) return false;
		v = v * 10 + digit;
	}
	*out = v;
	return true;
}

char *slice_text(struct slice s) {
	char *text = mem_get(s.len + 1);
	if (s.len != 0) memcpy(text, s.at, s.len);
	return text;
}

bool slice_is_ascii(struct slice s) {
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.at[i] > 127) return false;
	return true;
}

int ascii_hex(char c) {
	if (ascii_digit(c)) return c - '0';
	char low = ascii_lower(c);
	return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

bool slice_matches(struct slice pattern, struct slice text) {
	size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;
	while (t < text.len) {
		if (p < pattern.len && pattern.at[p] == '*') {
			star = p++;
			resume = t;
		} else if (p < pattern.len && ascii_lower(pattern.at[p]) == ascii_lower(text.at[t])) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++resume;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.at[p] == '*') p++;
	return p == pattern.len;
}
