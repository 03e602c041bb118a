/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "smtp/reply.h"
/* A server's reply as a client hears it, line by line (RFC 5321 §4.2.1). Strict where it matters: three digits from 200
 * to 599, one code in all lines. Tolerant where servers are sloppy: no text, no blank before it, an enhanced status in
 * some lines only. Hostile lengths end the reply (too many lines) or are cut (text). */
enum {
	SMTP_REPLY_LINE_MAX = 4096,
	SMTP_REPLY_LINES_MAX = 100,
	SMTP_REPLY_TEXT_MAX = 65536,
	SMTP_REPLY_SAID_MAX = 8192
};

struct smtp_reply_reader {
	unsigned lines;
	int code;
	char status[12];
	struct buf text, said;
};
/* `struct smtp_reply_reader r = {0};` is ready; each finished reply makes it ready for the next. */
void smtp_reply_reader_done(struct smtp_reply_reader *r);

struct smtp_heard {
	struct smtp_reply reply; /* status empty when the server gave none or one of another class than the code */
	struct slice said;       /* as logs have it: "550-5.7.1 one 550 5.7.1 two", control and broken bytes as '?' */
};
enum smtp_reply_result { SMTP_REPLY_WHOLE, SMTP_REPLY_MORE, SMTP_REPLY_BROKEN };
/* One line without its line end. WHOLE fills *out, in mem's memory; BROKEN: this is not SMTP, nothing after it can be
 * trusted. */
enum smtp_reply_result smtp_reply_read(
	struct smtp_reply_reader *r, struct slice line, struct arena *mem, struct smtp_heard *out);
/* "5.1.1" at the start of text, of class '2', '4' or '5': its length, or 0. */
size_t smtp_status_length(struct slice text, char class);
