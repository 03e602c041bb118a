/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "mime/summary.h"
/* Intake: a message while it comes in. Its header is gathered, given to `header` and kept in `head`; its body goes once
 * through the summary and into memory, or, when it is long, into an unlinked spool file. What is stored is `head` and
 * then the content.
 *
 * A line that is no field ends the header; an empty line is put before it then, as Postfix does. */
struct intake_params {
	const char *spool_dir;
	size_t memory_limit;   /* longer contents go to the spool file */
	size_t header_limit;   /* of the header; a longer one is error EMSGSIZE */
	/* The header as it came, whole lines, without the empty line behind it: adds to out what is to be stored.
	 * Returns 0 or an errno, which becomes `error`. NULL: stored as it is. */
	int (*header)(void *ctx, struct slice header, struct buf *out);
	void *ctx;
	bool note_end; /* a header that no empty line ended gets a MIME-Error field (non_empty_end_of_header_action) */
	bool scan_late;        /* the message will be changed when it is complete: the summary is made after that */
};
struct intake {
	const struct intake_params *params;
	struct buf head;       /* trace fields of ours, then the header, without the empty line */
	size_t trace;          /* bytes of head set with intake_head */
	struct buf content;    /* the empty line and the body; empty when spooled */
	int spool;             /* descriptor, or -1 */
	uint64_t spooled;      /* bytes in it */
	int error;             /* errno of what failed first, or 0 */
	struct summary_scan *scan;
	size_t inserted;       /* bytes of head that the scan has not seen */
	bool moved;            /* what the scan gave has been moved along by them */
	bool in_header;
	struct buf raw;        /* the header, when it comes in pieces */
	size_t line;           /* where its last line starts */
};
void intake_begin(struct intake *in, const struct intake_params *params); /* params are borrowed */
void intake_done(struct intake *in); /* again and again; before intake_begin only with spool -1 */
void intake_head(struct intake *in, struct slice trace); /* once, before the first byte */
/* CRLF text, cut anywhere. */
void intake_bytes(struct intake *in, struct slice bytes);
void intake_end(struct intake *in); /* all bytes have come: a header that is still open ends */
/* Fields found out while the message came in: between our trace fields and its header. After intake_end. */
void intake_insert(struct intake *in, struct slice fields);
void intake_insert_at(struct intake *in, size_t at, struct slice fields); /* the same, at this byte of head */
/* The summary of head and content; valid until intake_done or intake_changed. <0: the spool file cannot be read. */
int intake_summary(struct intake *in, struct summary *out);
void intake_changed(struct intake *in); /* head or content are others now: the next summary is made anew */
uint64_t intake_size(const struct intake *in);

/* The body, behind the empty line. Bytes from `at` on: how many, 0 at its end, <0 fail(). */
ssize_t intake_body(const struct intake *in, uint64_t at, char *room, size_t n);
/* Another body comes in pieces instead of this one; first: with the first of them. Errors are in `error`. */
void intake_replace_body(struct intake *in, struct slice piece, bool first);

/* For those who read the same bytes beside intake: where the header ends that starts text. *line: 0 at first, then as
 * it was left; *end: where the empty line is, or the line that is no field. */
enum intake_cut {
	INTAKE_MORE,           /* the header goes on */
	INTAKE_HEADER,
	INTAKE_MBOX,           /* text starts with an mbox line: ask again with intake_mbox_name before it */
};
enum intake_cut intake_cut(struct slice text, size_t *line, size_t *end);
#define intake_mbox_name S("Mailbox-Line: ")
