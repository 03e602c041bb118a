/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "local/local.h"
/* The message as a mailbox file or a program gets it: headers of ours in front, line ends as wanted (mail_copy of
 * Postfix; the flags of pipe(8)). */
enum copy_flags {
	COPY_FROM = 1,         /* F: "From sender time" */
	COPY_RETURN_PATH = 2,  /* R */
	COPY_ORIGINAL = 4,     /* O: X-Original-To */
	COPY_DELIVERED = 8,    /* D: Delivered-To */
	COPY_QUOTE = 16,       /* >: ">" before lines that begin with "From " */
	COPY_DOT = 32,         /* .: "." before lines that begin with "." */
	COPY_BLANK = 64,       /* B: an empty line at the end */
};
struct copy {
	const struct local_message *message;
	struct slice sender;              /* empty: MAILER-DAEMON in the From_ line, <> in Return-Path */
	struct slice original, delivered, below; /* of the headers; below: a second Delivered-To, or empty */
	unsigned flags;
	struct slice eol;                 /* empty: "\n" */
	struct slice date; /* of the From_ line: copy_date(), made before a process is forked: the clock's tables
			    * have a lock */
};
struct slice copy_date(struct arena *mem, int64_t now_s);
/* A stream of it, so that the end that writes may wait for who reads. */
struct copy_reader {
	const struct copy *copy;
	struct buf out;                   /* what is ready to be written */
	uint64_t at;                      /* of the body */
	bool line_begins, cr, over;
};
void copy_begin(struct copy_reader *r, const struct copy *c);
/* Makes more ready, when nothing is left: some ten KiB. 1: there is something; 0: all has been given; <0: errno of
 * reading. */
int copy_more(struct copy_reader *r);
void copy_end(struct copy_reader *r);

enum copy_result { COPY_DONE, COPY_WRITE_FAILED, COPY_READ_FAILED }; /* errno says why */
int copy_to_fd(int fd, const struct copy *c, uint64_t *written);

/* Does its header have a Delivered-To of this address? (Case does not count.) <0: it cannot be read. */
int copy_has_delivered_to(const struct local_message *m, struct slice address);
