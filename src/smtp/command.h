/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "smtp/server.h"
/* The words of command lines (RFC 5321 §4.1.1). Parsers answer with the refusal to send, or with code 0 for "well
 * formed". What they find is borrowed from the line or built in mem; outputs are untouched on refusal. */

/* The next word, separated by blanks and tabs; empty when none is left. */
struct slice command_word(struct slice *rest);

enum command_line {
	COMMAND_LINE_OK,
	COMMAND_LINE_BARE_CR,
	COMMAND_LINE_CONTROL, /* NUL and its like: nobody types these, and each server reads them differently */
	COMMAND_LINE_NOT_UTF8,
};
/* Looks at a whole line, without its CRLF. */
enum command_line command_line_check(struct slice line);

/* "FROM:<path> [parameters]" and "TO:<path> [parameters]". offer: enum smtp_offer, what parameters the client was
 * told of. utf8: the transaction was begun with SMTPUTF8. */
struct smtp_reply command_mail(struct slice args, const struct smtp_server_params *params, unsigned offer,
                               struct arena *mem, struct smtp_mail *out);
struct smtp_reply command_rcpt(struct slice args, const struct smtp_server_params *params, unsigned offer, bool utf8,
                               struct arena *mem, struct smtp_rcpt *out);
/* "count [LAST]" (RFC 3030). */
bool command_bdat(struct slice args, uint64_t *count, bool *last);
