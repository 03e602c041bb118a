/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* Canonicalization of RFC 6376 §3.4, for DKIM and ARC. */
enum canon { CANON_SIMPLE, CANON_RELAXED };

/* One header field as it is hashed, with its CRLF. field: whole field with its line end. */
void canon_field(struct buf *out, enum canon c, struct slice field);

/* SHA-256 of a body that comes in pieces, cut anywhere. */
struct canon_body;
struct canon_body *canon_body_new(enum canon c, int64_t limit, struct arena *mem); /* limit: l=, or -1 */
void canon_body_bytes(struct canon_body *b, struct slice bytes);
void canon_body_end(struct canon_body *b, uint8_t digest[32]);
int64_t canon_body_size(const struct canon_body *b); /* canonical bytes seen in all, also behind the limit */

void sha256(struct slice bytes, uint8_t digest[32]);

/* tag=value; lists (RFC 6376 §3.2), as DKIM, ARC, DMARC and key records have them. */
struct tag {
	struct slice name, value; /* value: without blanks at its ends; folds inside are kept */
};
enum { TAGS_MAX = 64 };
/* How many; <0: malformed, twice the same tag, or more than TAGS_MAX. */
int tags_parse(struct slice text, struct tag tags[static TAGS_MAX]);
const struct tag *tag_find(const struct tag *tags, int count, struct slice name); /* NULL: absent */
/* The same list where whatever can be understood is: the next "name = value" of *rest, false at its end. A part without
 * "=" has no name. Empty text is one such part. */
bool tag_next(struct slice *rest, struct slice *name, struct slice *value);
/* base64 with folds in it. False: it is none. */
bool tag_base64(struct slice value, struct arena *mem, struct slice *out);
