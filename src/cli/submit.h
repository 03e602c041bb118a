/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* Handing a message to the server, or to its maildrop folder while it does not answer (role/pickup.h has the other
 * end). */
struct submission {
	struct slice sender;              /* empty: null sender */
	const struct slice *recipients;
	size_t count;
	const struct slice *each;  /* parameters of each recipient, as " NOTIFY=NEVER ORCPT=rfc822;x"; NULL: none */
	struct slice verp;         /* "XVERP" or "XVERP=+="; empty: none */
	struct slice notify, ret, envid,
		body; /* RFC 3461 and 6152, as parameters: "NEVER", "HDRS", xtext, "8BITMIME"; empty: none */
	bool utf8;                        /* SMTPUTF8 */
	const char *mode;                 /* "submit", "gateway", "verify", "deliver": the name given with EHLO */
	struct slice text;                /* CRLF */
};
/* What the server says first. */
struct submit_hello {
	char host[256], origin[256];      /* myorigin: the domain of addresses without one */
	uint64_t size_limit;              /* 0: none */
	char charset[40];                 /* full_name_encoding_charset */
	bool obsolete_from;               /* header_from_format: "address (name)" */
	enum submit_ends {
		SUBMIT_ENDS_ALWAYS,
		SUBMIT_ENDS_STRICT,
		SUBMIT_ENDS_NEVER
	} ends; /* sendmail_fix_line_endings */
};
/* A session with the server: the descriptor, or -1 when nobody answers. */
int submit_open(const char *data, struct submit_hello *hello);

enum submit_result {
	SUBMIT_DONE,
	SUBMIT_LATER,    /* not taken, or not known; said: why */
	SUBMIT_DENIED,   /* this user may not hand in mail */
	SUBMIT_REFUSED,  /* never; said: why */
};
/* Sends it. said is made from a reply of the server, or of errno. */
enum submit_result submit_send(int fd, const struct submission *s, struct buf *said);
/* Leaves it in the maildrop folder, on disk when this returns: SUBMIT_DONE or SUBMIT_LATER. */
enum submit_result submit_drop(const char *data, const struct submission *s, struct buf *said);
