/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* Mailbox files (RFC 4155, and what programs really write), one message after the other. The file may be of any size
 * and broken in any way: what cannot be told apart stays text of the message before, and tell() hears the line. */
enum mbox_format {
	MBOX_ANY, /* reading: mboxcl2 where a Content-Length leads to the next From_ line or the end; else mboxrd */
	MBOX_O,   /* ">From " was "From " */
	MBOX_RD,  /* one '>' before any number of '>' and "From " */
	MBOX_CL,  /* Content-Length, and quoted as in mboxrd */
	MBOX_CL2, /* Content-Length, nothing is quoted */
};
bool mbox_format_read(struct slice word, enum mbox_format *out); /* "mboxo", "mboxrd", "mboxcl", "mboxcl2" */

struct mbox_message {
	uint64_t line;         /* of its From_ line, from 1 */
	int64_t from_us;       /* what that says; 0: nothing that can be read */
	struct slice header;   /* with the empty line behind it; without what mbox files keep there. Until mbox_next */
	uint32_t flags;        /* FLAG_…: Status, X-Status, X-Mozilla-Status */
	struct slice keywords; /* blank-separated: X-Keywords, X-Mozilla-Keys */
	uint32_t uid;          /* X-UID; 0: none */
	bool hidden;           /* no mail: Pine's and Dovecot's notes to themselves; expunged in Thunderbird */
};
/* X-IMAPbase or X-IMAP of the first message, as Dovecot, UW IMAP and mutt leave it; 0: none. */
struct mbox_base {
	uint32_t uidvalidity, last_uid;
};

typedef void mbox_tell(void *ctx, uint64_t line, const char *what);
struct mbox;
/* fd: a regular file, borrowed. */
struct mbox *mbox_open(int fd, enum mbox_format format, mbox_tell *tell, void *ctx);
void mbox_close(struct mbox **m); /* NULL is fine */
/* 1: *out is the next one; 0: there is none; <0: the file cannot be read. Skips what is left of the one before. */
int mbox_next(struct mbox *m, struct mbox_message *out);
/* The body of that one, once, with line ends as they are; a result of take other than 0 ends it. */
int mbox_body(struct mbox *m, int (*take)(void *ctx, struct slice piece), void *ctx);
struct mbox_base mbox_base(const struct mbox *m); /* once the first mbox_next was made */
bool mbox_is(struct slice head);                  /* do these first bytes look like one? */

/* "From sender Mon Nov 23 06:36:09 2026", a zone before or behind the year; without one it is the time here. False: no
 * such line. */
bool mbox_from_read(struct slice line, int64_t *us);

/* Writing. */
void mbox_from_put(struct buf *out, struct slice sender, int64_t us); /* "From …\n"; an empty sender: MAILER-DAEMON */
/* "Status: RO\nX-Status: AF\nX-Keywords: …\n", where there is something to say; and X-UID. */
void mbox_status_put(struct buf *out, uint32_t flags, struct slice keywords, uint32_t uid);
bool mbox_own_field(struct slice name); /* a header field that only mailbox files have */
/* How many '>' this line must begin with more in that format: 0 or 1. */
bool mbox_quotes(enum mbox_format format, struct slice line);
