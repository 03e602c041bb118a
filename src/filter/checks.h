/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "conf/lookup.h"
/* header_checks, mime_header_checks, nested_header_checks, body_checks (header_checks(5), body_checks(5)) and their
 * likes for mail that leaves: a message goes through line by line, each header field and each line of the body is
 * looked up, and what the table says is done or told to the owner. Memory is bounded; lines and fields longer than the
 * limits are looked at to the limit. */
struct checks_params {
	struct lookup header, mime, nested, body; /* count 0: not looked at */
	size_t header_limit;     /* header_size_limit: more of a field is not looked at, nor changed */
	size_t line_limit;       /* line_length_limit: longer lines of a body are looked up in pieces */
	uint64_t body_limit;     /* body_checks_size_limit: of each part of a message */
	bool flat;               /* disable_mime_input_processing: parts are not looked into */
	size_t boundary_limit;   /* mime_boundary_length_limit: more of a boundary does not count; 0: 2048 */
	bool strict_header;      /* strict_7bit_headers: 8-bit text in a header is refused */
	bool strict_body;        /* strict_8bitmime_body: and in a body that does not declare it */
	bool strict_encoding;    /* strict_mime_encoding_domain: and encoded multiparts and messages */
	bool strict_end; /* non_empty_end_of_header_action = reject: a header that no empty line ends is refused */
	bool convert;            /* force_mime_input_conversion: declared 8-bit text becomes quoted-printable first */
	bool outgoing;           /* smtp_header_checks …: only what changes text or tells */
};
bool checks_wanted(const struct checks_params *p); /* is there any table, or anything strict, or to convert? */

enum checks_action {
	CHECKS_NOTHING, /* DUNNO, OK, or nothing found */
	CHECKS_DROP,    /* IGNORE: the owner is not told */
	CHECKS_STRIP,
	CHECKS_PREPEND,
	CHECKS_REPLACE, /* done here, and told */
	CHECKS_INFO,
	CHECKS_WARN,
	CHECKS_PASS, /* told only; after PASS the rest of the message is not looked at */
	CHECKS_REJECT,
	CHECKS_HOLD,
	CHECKS_DISCARD,
	CHECKS_FILTER,
	CHECKS_REDIRECT,
	CHECKS_BCC,   /* the owner does them */
	CHECKS_LATER, /* a table cannot be asked now: text says which */
	CHECKS_WRONG, /* text: what is wrong with the table's entry; nothing is done */
};
struct checks_hit {
	enum checks_action action;
	const char *word;        /* for the log: "reject", "warning", … as Postfix writes it */
	struct slice text;       /* what follows the action, may be empty */
	struct slice subject;    /* what was looked up: a field with LF between its lines, or a line */
	bool in_body;
	const char *fault;       /* what is wrong with the message itself; NULL: a table said it */
};
/* One look-up. text of out lives in mem. name: of the parameter, for complaints. */
void checks_find(const struct lookup *l, const char *name, struct slice subject, bool outgoing, struct arena *mem,
		 struct checks_hit *out);

struct checks_ops {
	void (*put)(void *ctx, struct slice bytes);          /* what stays of the message, in order */
	void (*act)(void *ctx, const struct checks_hit *hit); /* borrowed */
	/* Instead of any look-up: what would be looked up (postmap -h, -b, -m). NULL: the tables are asked. */
	void (*see)(void *ctx, struct slice subject, bool in_body);
};
struct checks;
struct checks *checks_new(const struct checks_params *params, const struct checks_ops *ops, void *ctx) NONNULL_RESULT;
void checks_feed(struct checks *c, struct slice bytes); /* CRLF text, cut anywhere */
void checks_end(struct checks *c);                      /* all of it has come */
void checks_free(struct checks **c);
