/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Writes JSON (RFC 8259), one line for each value of the outermost list. Keys are ours; texts may hold anything: what
 * is no UTF-8 becomes U+FFFD, and what could drive a terminal is escaped. key NULL: inside a list. */
struct json {
	struct buf *out;
	unsigned depth;
	bool more; /* a comma is needed before the next value */
};
void json_open(struct json *j, const char *key, char bracket); /* '{' or '[' */
void json_close(struct json *j, char bracket);                 /* '}' or ']' */
void json_text(struct json *j, const char *key, struct slice s); /* at == NULL: null */
void json_number(struct json *j, const char *key, int64_t v);
void json_bool(struct json *j, const char *key, bool v);
void json_time(struct json *j, const char *key, int64_t us);   /* "2026-11-22T04:31:39Z"; 0: null */
