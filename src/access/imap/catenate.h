/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/upload.h"
/* What APPEND and CATENATE read from the client, beyond the line that has come. */
struct append_reader {
	struct imap_session *s;
	struct imap_parse p;    /* over the line under way */
	struct slice line;      /* the line whose last literal has not been read; empty once that is under way */
};
/* The announcement of a literal that is next, at the line's end; "{n}" or "~{n}", which eight demands. */
bool append_literal(struct append_reader *in, bool eight, struct imap_literal *out);
/* Asks for it, hands its pieces to take, and goes on with the line behind it. What take said; <0 too when the client is
 * gone (s->broken). */
int append_receive(struct append_reader *in, struct imap_literal literal, int (*take)(void *ctx, struct slice piece),
		   void *ctx);
/* CATENATE's list of parts, from the blank before it on, put together in u. IMAP_OK, or what the command is answered.
 */
struct imap_answer catenate(struct append_reader *in, uint64_t limit, struct upload *u);
