/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "mime/summary.h"
/* Intake: a message while it comes in. Its bytes go once through the header filter, the summary and into memory, or,
 * when they are many, into an unlinked spool file. What is stored is `head` (trace fields of ours) and then the
 * content. */
struct intake {
	const char *spool_dir;
	size_t memory_limit;   /* larger contents go to the spool file */
	struct buf head;       /* set with intake_head before the first byte */
	struct buf content;    /* empty when spooled */
	int spool;             /* descriptor, or -1 */
	uint64_t spooled;      /* bytes in it */
	int error;             /* errno of the first write that failed, or 0 */
	struct summary_scan *scan;
	/* the header filter */
	bool in_header, dropping, line_start;
	struct buf name;       /* the field's name as far as it has come */
};
void intake_begin(struct intake *in, const char *spool_dir, size_t memory_limit);
void intake_done(struct intake *in); /* again and again; before intake_begin only with spool -1 */
void intake_head(struct intake *in, struct slice head);
/* CRLF text, cut anywhere. Header fields that only tell on others are dropped: Bcc, Resent-Bcc, Return-Path,
 * Content-Length (as Postfix's message_drop_headers). */
void intake_bytes(struct intake *in, struct slice bytes);
/* The summary of head and content; valid until intake_done or intake_again. */
void intake_summary(struct intake *in, struct summary *out);
/* Another head, after the content has come: everything is scanned again. <0: the spool file cannot be read. */
int intake_again(struct intake *in, struct slice head);
uint64_t intake_size(const struct intake *in);
