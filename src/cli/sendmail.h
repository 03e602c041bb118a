/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "cli/submit.h"
/* What sendmail needs the rest of hato for. */
struct tool;
struct sendmail_rest {
	int (*data)(const struct tool *t, struct buf *data);
	int (*hello)(const struct tool *t, struct submit_hello *out);
	void (*serve)(int fd, const char *data, const struct submit_hello *hello); /* standalone.h */
	int (*newaliases)(const struct tool *t, const char *file);
	int (*other)(int argc, char **argv); /* another program, by its name */
};
/* The program. With rest NULL it answers SENDMAIL_WHOLE, before it has read or said anything, where it needs it. */
enum { SENDMAIL_WHOLE = -1 };
int sendmail_run(int argc, char **argv, const struct sendmail_rest *rest);
/* The text of a message as sendmail takes it in. */
struct reading {
	enum submit_ends ends;    /* set by the caller: which CR LF of the input are line ends */
	struct buf text;          /* CRLF; the header as it came */
	size_t header_end;        /* where it may be added to: behind the last header line */
	bool has_from, has_resent_from;
	bool resent;              /* a Resent-… field */
	bool has_resent;          /* a Resent-To, -Cc or -Bcc: then only these name recipients */
	bool eight_bit_header;
	bool too_big;
	struct slice *to;         /* recipients that the header names, in order */
	size_t to_count;
	struct arena mem;
};
/* Reads standard input to its end, or to a line with only a dot unless dot_is_text. Line ends become CRLF, what SMTP
 * cannot carry (NUL, stray CR) goes, leading "From " lines of mailbox files too. limit: bytes, 0: none. <0: errno. */
int reading_take(struct reading *r, int fd, bool dot_is_text, uint64_t limit);
void reading_header(struct reading *r, bool recipients); /* what is in the header; recipients: also r->to */
void reading_add_field(struct reading *r, struct slice field); /* "From: x", at the header's end */
void reading_done(struct reading *r);
