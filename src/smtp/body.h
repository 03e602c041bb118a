/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* A message on its way in: line ends are checked, stuffed dots removed, the end found (RFC 5321 §4.1.1.4, §4.5.2).
 *
 * Only CRLF ends a line, so only CRLF.CRLF ends the data; what other servers take for the end (LF.LF, LF.CRLF, CR.CR
 * …) does not. A message with a bare CR, a bare LF or a NUL is at fault: it is read to its true end, so that nothing
 * of it is ever taken for a command, and refused as a whole. That closes SMTP smuggling from both sides: we are
 * neither fooled, nor do we hand on text that could fool the next server.
 *
 * Long lines are no fault by default. RFC 5321 §4.5.3.1.6 wants 1000 bytes taken and asks for no limit where that
 * can be had; Postfix takes any length. Who sends the message on has to fold lines (longest tells whether). */
enum body_fault {
	BODY_FINE,
	BODY_BARE_LF,
	BODY_BARE_CR,
	BODY_NUL,
	BODY_CHARACTER, /* one of `rejected` */
	BODY_LONG_LINE, /* above line_limit */
	BODY_TOO_BIG,   /* above size_limit */
};
struct body {
	enum { BODY_LINE_START, BODY_IN_LINE, BODY_CR, BODY_DOT, BODY_DOT_CR, BODY_ENDED } state;
	enum body_fault fault; /* the first one found; from then on nothing is handed on */
	bool dots;             /* DATA: dots are stuffed and CRLF.CRLF ends it. BDAT: neither */
	uint64_t size;         /* bytes handed on */
	uint64_t taken;        /* bytes read, whatever became of them */
	size_t column;         /* bytes of the line under way, with its CR */
	size_t longest;        /* longest line without CRLF; lines below 64 bytes may not be counted */
	/* [256], NULL: none. CR and LF are never among them. A NUL that is stripped is no fault */
	const bool *stripped, *rejected;
	uint64_t size_limit;   /* 0: none */
	size_t line_limit;     /* 0: none; else at least 64 */
};
typedef void (*body_sink)(void *ctx, struct slice bytes);

struct body body_new(bool dots, uint64_t size_limit, size_t line_limit);
/* Takes bytes, hands what belongs to the message to sink in pieces of `in`. Returns how many it took: all of them,
 * unless the state became BODY_ENDED. */
size_t body_take(struct body *b, struct slice in, body_sink sink, void *ctx);
/* After the last BDAT chunk: a last line without CRLF gets one. */
void body_finish(struct body *b, body_sink sink, void *ctx);
