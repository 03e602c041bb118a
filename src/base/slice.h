/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
/* A slice is borrowed text: where it starts and how long it is. It owns nothing and promises no NUL. */
struct slice {
	const char *at;
	size_t len;
};
#define S(literal) ((struct slice){ "" literal "", sizeof(literal) - 1 })
#define SLICE_NONE ((struct slice){ NULL, 0 })
/* for printf's %.*s */
#define SLICE_ARG(s) (int)MIN_OF((s).len, (size_t)INT_MAX), (s).at != NULL ? (s).at : ""

static inline struct slice slice_of(const char *text) {
	return (struct slice){ text, text != NULL ? strlen(text) : 0 };
}
static inline struct slice slice_from(const void *at, size_t len) { return (struct slice){ at, len }; }
/* Both clamp: never leave the slice. */
static inline struct slice slice_skip(struct slice s, size_t n) {
	n = MIN_OF(n, s.len);
	return (struct slice){ s.len ? s.at + n : s.at, s.len - n };
}
static inline struct slice slice_head(struct slice s, size_t n) { return (struct slice){ s.at, MIN_OF(n, s.len) }; }

bool slice_eq(struct slice a, struct slice b);
bool slice_same(struct slice a, struct slice b);          /* equal, ASCII case ignored */
/* Which of these names it is, ASCII case ignored; -1: none. */
int slice_among(struct slice s, const char *const *names, size_t count);
int slice_order(struct slice a, struct slice b);          /* like memcmp, shorter first */
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_same(struct slice s, struct slice prefix); /* ASCII case ignored */
bool slice_ends(struct slice s, struct slice suffix);
bool slice_ends_same(struct slice s, struct slice suffix);
/* A pattern in which * stands for any text, also none; case is ignored. Takes at most the product of both lengths. */
bool slice_matches(struct slice pattern, struct slice text);
/* Position of the first (last) such byte, or s.len when there is none. */
size_t slice_find(struct slice s, char c);
size_t slice_find_last(struct slice s, char c);
size_t slice_search(struct slice s, struct slice needle); /* s.len when absent; an empty needle is at 0 */
struct slice slice_trim(struct slice s);                  /* without blanks (SP HT CR LF) at both ends */
/* Cuts the part before the first c off *rest and returns it; the c is dropped. Without c: everything, *rest becomes
 * empty with at == NULL. Loop: while (rest.at != NULL) { part = slice_cut(&rest, ','); … } */
struct slice slice_cut(struct slice *rest, char c);
/* The next word of *rest, separated by any of the bytes in seps; empty when none is left. */
struct slice slice_word(struct slice *rest, const char *seps);
/* Decimal digits only, the whole slice, at most max; false leaves *out as it was. */
bool slice_number(struct slice s, uint64_t max, uint64_t *out);
char *slice_text(struct slice s) NONNULL_RESULT;          /* NUL-terminated copy, freed with free() */
bool slice_is_ascii(struct slice s);                      /* no byte above 127 */

/* ASCII only, whatever the locale. */
static inline char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }
static inline char ascii_upper(char c) { return c >= 'a' && c <= 'z' ? (char)(c - 32) : c; }
static inline bool ascii_digit(char c) { return c >= '0' && c <= '9'; }
static inline bool ascii_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static inline bool ascii_blank(char c) { return c == ' ' || c == '\t'; }
static inline bool ascii_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }
static inline bool ascii_control(char c) { return (unsigned char)c < 32 || c == 127; }
int ascii_hex(char c); /* 0 to 15, or -1 */
