/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* From the bytes of a body part to text people read, in stages that may be fed in pieces of any size: the pieces do not
 * change the result. Broken input is decoded as far as it goes; nothing fails. Outputs respect the limit of `out`. */

/* Content-Transfer-Encoding (RFC 2045 §6). base64 skips what is not of its alphabet, quoted-printable keeps a broken
 * escape as it stands and drops blanks at line ends. An unknown encoding is passed through. */
enum encoding { ENCODING_NONE, ENCODING_BASE64, ENCODING_QP };
enum encoding encoding_of(struct slice name); /* of the field's value: "Base64" */
struct transfer {
	enum encoding encoding;
	uint32_t bits;     /* base64: digits not written yet */
	unsigned state;    /* base64: how many digits; qp: how much of an escape has been seen */
	char digit;        /* qp: the first of an escape */
	unsigned held;     /* qp: blanks that are dropped if a line end follows; longer runs are text */
	char blanks[64];
};
struct transfer transfer_start(enum encoding encoding);
void transfer_feed(struct transfer *t, struct slice in, struct buf *out);
void transfer_finish(struct transfer *t, struct buf *out); /* writes what is left */

/* Any charset to UTF-8, through iconv(3). Names are taken as mail has them: aliases, wrong case, quotes. What cannot be
 * converted becomes U+FFFD. No name, us-ascii or an unknown name: read as UTF-8, bytes that are not as Windows-1252. */
struct charset;
struct charset *charset_open(struct slice name) NONNULL_RESULT;
bool charset_known(struct slice name); /* us-ascii is; an empty or unknown name is not */
void charset_feed(struct charset *c, struct slice in, struct buf *out);
void charset_finish(struct charset **c, struct buf *out); /* writes what is left, frees, clears; NULL is fine */
/* Loads the tables of the common charsets for good, so that they work after chroot(2). Called once, before threads. */
void charset_preload(void);

/* HTML to words: tags, comments, scripts and styles go, entities become characters, block tags become a line break.
 * Input and output are UTF-8. */
struct html {
	enum { HTML_TEXT, HTML_OPEN, HTML_TAG, HTML_QUOTED, HTML_COMMENT, HTML_ENTITY } state;
	char word[16];         /* the name of the tag or entity */
	unsigned len, dashes;  /* of word; comment: dashes just seen */
	char last, quote;      /* tag: the byte before, the quote that is open */
	const char *until;     /* inside <script>, <style> or <title>: the tag that ends it */
};
void html_feed(struct html *h, struct slice in, struct buf *out); /* struct html h = {0}; */
void html_finish(struct html *h, struct buf *out);

/* What the charset of a text is that does not say it, or says us-ascii and is not: from its first bytes (the more, the
 * surer; whole, or the first 4096). HTML: its own <meta>. Japanese mail is told by its escapes or its kana. SLICE_NONE:
 * nothing better is known than what charset_open does without a name. */
struct slice charset_guess(struct slice start, bool html);

/* All stages in a row, for one body part. What names no charset that we know is guessed (charset_guess). */
struct text_decoder;
struct text_decoder *text_decoder_open(struct slice encoding, struct slice charset, bool html) NONNULL_RESULT;
void text_decoder_feed(struct text_decoder *d, struct slice in, struct buf *out);
/* writes what is left, frees, clears; NULL is fine */
void text_decoder_finish(struct text_decoder **d, struct buf *out);
