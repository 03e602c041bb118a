/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Words for a person at a terminal. Strangers' text (senders, replies, Message-IDs) goes through text_clean: no byte of
 * it may move the cursor, colour the screen, change the direction of writing or begin a line of its own. */
void text_clean(struct buf *out, struct slice s);       /* controls and broken UTF-8 become '?' */
void text_clean_lines(struct buf *out,
		      struct slice s); /* keeps line ends (CRLF becomes LF) and tabs: for whole messages */
size_t text_width(struct slice s);                      /* columns on a terminal; East Asian wide characters take two */
/* Cleaned and broken at blanks, so that no line passes width (0: one line); every line is indented. Ends with a line
 * end. */
void text_wrap(struct buf *out, struct slice s, size_t indent, size_t width);
void text_size(struct buf *out, uint64_t bytes);        /* 812, 1.4K, 25M: binary, as ls -h */
void text_span(struct buf *out, int64_t us);            /* 12s, 5m, 3h, 2d */
void text_time(struct buf *out, int64_t us);            /* 2026-11-22 13:31:39, where this machine is */
void text_stamp(struct buf *out, int64_t us);           /* 2026-11-22T04:31:39Z */
/* "500M", "2G", "1.5G", "1000", "none": bytes; false: neither */
bool text_read_size(struct slice s, uint64_t *out);
