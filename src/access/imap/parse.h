/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* The words of an IMAP command (RFC 3501 §9, RFC 7888 literals). The text is a whole command without its last line end;
 * literals stand in it as they came: "{3}" CRLF and three bytes. Reading is linear and the first error sticks: each
 * function returns false from then on, and `error` says what was wrong, in words for the client. */
struct imap_parse {
	struct slice rest;
	struct arena *mem;   /* for quoted strings that had to be unescaped, and for what sets and lists need */
	const char *error;   /* NULL: none */
	bool utf8;           /* quoted strings are UTF-8 (RFC 6855 §3, RFC 9051 §4.3.1): others are refused */
};
#define IMAP_PARSE(text_, mem_) ((struct imap_parse){ .rest = (text_), .mem = (mem_) })
bool imap_parse_fail(struct imap_parse *p, const char *why); /* keeps the first error; returns false */

bool imap_parse_next_is(const struct imap_parse *p, char c);
bool imap_parse_take(struct imap_parse *p, char c);  /* eats c if it is next; no error if not */
bool imap_parse_need(struct imap_parse *p, char c);
bool imap_parse_space(struct imap_parse *p);         /* exactly one */
bool imap_parse_end(struct imap_parse *p);           /* nothing may follow */
/* Eats the word when it comes next (case ignored) and a word ends there. */
bool imap_parse_take_word(struct imap_parse *p, const char *word);

bool imap_parse_tag(struct imap_parse *p, struct slice *out);
bool imap_parse_atom(struct imap_parse *p, struct slice *out);
bool imap_parse_string(struct imap_parse *p, struct slice *out);   /* quoted or literal */
bool imap_parse_octets(struct imap_parse *p, struct slice *out);   /* a string, or a literal8, which may hold NUL */
bool imap_parse_astring(struct imap_parse *p, struct slice *out);
bool imap_parse_pattern(struct imap_parse *p, struct slice *out);  /* list-mailbox: an astring with % and * */
bool imap_parse_number(struct imap_parse *p, uint64_t max, uint64_t *out);
/* A parenthesised list of astrings and nstrings, at most limit of them (ID's parameters). */
bool imap_parse_strings(struct imap_parse *p, size_t limit, struct slice **out, size_t *count);

/* Does the line end with the announcement of a literal? waits: "{n}", which wants a "+" before the bytes are sent. A
 * number too large for 63 bits is a size of INT64_MAX. */
struct imap_literal { uint64_t size; bool waits; };
bool imap_literal_at_end(struct slice line, struct imap_literal *out);

/* As a quoted string, or as a literal when it holds what a quoted string cannot. */
struct buf;
void imap_put_string(struct buf *out, struct slice s);
void imap_put_astring(struct buf *out, struct slice s); /* as an atom where that is possible */
