/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* A header is a block of fields (RFC 5322 §2.2). These functions work on the raw block as it stands in the message,
 * lines ending in CRLF or LF, and stop at its empty line, so that a whole message may be given as well. All of them are
 * linear and accept any bytes. */

/* One field. The value is raw: everything between the colon and the end of the field's last line, folds included. A
 * line that is no field (no colon, or blanks inside the name) is skipped together with its continuation lines. */
struct field {
	struct slice name, value;
	size_t start, end; /* of the whole field with its line end, counted from the start of the block */
};
/* struct fields f = { .block = raw }; while (fields_next(&f, &field)) … */
struct fields {
	struct slice block;
	size_t at; /* where the next field starts; after the last: where the header ends (before the empty line) */
};
bool fields_next(struct fields *f, struct field *out);
bool header_find(struct slice block, struct slice name, struct field *out);       /* the first of that name */
bool header_find_from(struct fields *f, struct slice name, struct field *out);    /* the next of that name */
/* Length of the header with its empty line; block.len when there is no empty line. */
size_t header_length(struct slice block);

/* The value on one line: line ends taken out, blanks at both ends removed (RFC 5322 §2.2.3). A copy is made only when
 * needed. */
struct slice header_unfold(struct slice value, struct arena *mem);
/* The value for people: unfolded, RFC 2047 words decoded, always valid UTF-8. What does not decode stays as it is, raw
 * 8-bit text is read as UTF-8 or else Windows-1252. */
struct slice header_text(struct slice value, struct arena *mem);
void header_text_add(struct buf *out, struct slice value);

/* A value with parameters (Content-Type, Content-Disposition; RFC 2045 §5.1, RFC 2183). `value` is the part before the
 * first semicolon, without comments and blanks, lower case: "text/plain". Names of parameters are lower case, values
 * without quotes. RFC 2231 pieces are joined: title*0="a"; title*1="b" gives title=ab; an encoded value keeps its form
 * and the asterisk: title*=utf-8''%e2%82%ac. Parameters above PARAMS_MAX are dropped. */
enum { PARAMS_MAX = 64 };
struct param {
	struct slice name, value;
};
struct structured {
	struct slice value;
	struct param *params;
	size_t params_count;
};
void structured_parse(struct slice value, struct arena *mem, struct structured *out);
/* As it stands; SLICE_NONE when absent. */
struct slice param_raw(const struct param *params, size_t count, struct slice name);
/* As UTF-8: the RFC 2231 form if there is one, else the plain form with RFC 2047 words decoded (forbidden, common). */
struct slice param_text(const struct param *params, size_t count, struct slice name, struct arena *mem);

/* The next message id of Message-ID, References or In-Reply-To (RFC 5322 §3.6.4), without <>; blanks inside stay. */
bool msgid_next(struct slice *rest, struct slice *id);
/* A number for an id that is the same in every process and release (it is stored); blanks do not count, nor does
 * quoting: <"a"@b> is <a@b> (RFC 5256 §3). */
uint64_t msgid_hash(struct slice id);
