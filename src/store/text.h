/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/blob.h"
#include "mime/summary.h"
/* What the text of a message is, for whoever looks for words in it: IMAP's SEARCH and the search index ask this one
 * function, so that they cannot differ.
 *
 * HEADER: every field of the message's own header, as "Name: decoded value". BODY: the headers of messages inside, the
 * text of all text parts (charset and transfer encoding decoded, HTML stripped), names of attachments. Each field, name
 * and part ends with a line end. */
enum store_text { STORE_TEXT_HEADER = 1, STORE_TEXT_BODY = 2 };
/* more: what a program made of attachments (store/extract.h), a part of BODY; may be empty. */
/* The text, folded (mime/fold.h), in pieces: together they are one text, a word may go over the end of a piece. take: 0
 * goes on, anything else ends with that result. Memory is bounded, whatever the message. <0: failed. */
int store_text(struct blob *b, const struct summary *s, unsigned what, struct slice more,
	       int (*take)(void *ctx, struct slice folded), void *ctx);
/* The summary of a body, from its packed form, into mem. One that we do not understand (older or newer than this
 * program, or none) is made again from the body. */
int store_summary(struct slice packed, struct blob *b, struct arena *mem, struct summary *out);
int store_summary_scan(struct blob *b, struct arena *mem, struct summary *out); /* from the body, always */

/* Finds a folded needle in the pieces of store_text: struct text_finder f = TEXT_FINDER(needle); store_text(…,
 * text_find, &f). */
struct text_finder {
	struct slice needle;
	bool found;
	struct buf seen; /* the end of what was looked at, and the next piece */
};
#define TEXT_FINDER(needle_) ((struct text_finder){ (needle_), (needle_).len == 0, BUF(SIZE_MAX / 2) })
int text_find(void *finder, struct slice folded); /* 1: found */
void text_finder_done(struct text_finder *f);
#define AUTO_TEXT_FINDER AUTO(text_finder_done)
