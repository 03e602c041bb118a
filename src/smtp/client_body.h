/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* A message's text as DATA carries it (RFC 5321 §4.5.2): CRLF line ends, a dot doubled at the start of a line, no line
 * longer than line_limit (the rest follows on a line that starts with a blank). LF alone becomes CRLF, CR alone a
 * blank: neither can start a second message in the eyes of a careless server. Pieces may be cut anywhere. */
struct smtp_body_coder {
	size_t line_limit;       /* at least 100 */
	size_t column;           /* bytes in the line so far */
	bool plain;              /* dots stay as they are: the text itself is wanted, for a signature */
	bool cr;                 /* a CR was the last byte, nothing written for it yet */
};
/* Adds the piece to out, whose limit must leave room for 3 * piece.len + 8 bytes. False: it did not. */
bool smtp_body_code(struct smtp_body_coder *c, struct slice piece, struct buf *out);
/* Ends the last line if it is not. */
void smtp_body_line_end(struct smtp_body_coder *c, struct buf *out);
/* The same, and adds the line with the lone dot. */
bool smtp_body_end(struct smtp_body_coder *c, struct buf *out);
