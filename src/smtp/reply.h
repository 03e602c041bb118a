/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* An SMTP reply (RFC 5321 §4.2) with its enhanced status code (RFC 3463): what a server says and what a client heard.
 */
/* Codes that are none: close the connection without a word; ask again when the time given with smtp_server_pause is
 * over. */
enum { SMTP_HANG_UP = 1, SMTP_PAUSE = 2 };
struct smtp_reply {
	int code;              /* 200 to 599; 0: none (connection lost) */
	char status[12];       /* "5.1.1", "" when there is none */
	struct slice text;     /* lines separated by LF, without codes; borrowed */
};
static inline bool smtp_reply_ok(const struct smtp_reply *r) { return r->code >= 200 && r->code < 300; }
static inline bool smtp_reply_later(const struct smtp_reply *r) { return r->code >= 400 && r->code < 500; }
static inline bool smtp_reply_never(const struct smtp_reply *r) { return r->code >= 500; }
/* With a text that lives as long as the literal or arena it points to. status may be NULL. */
struct smtp_reply smtp_reply(int code, const char *status, struct slice text);
struct smtp_reply smtp_reply_fmt(struct arena *mem, int code, const char *status, const char *format, ...)
	PRINTF_LIKE(4, 5);
