/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* One question to a web server, asked with libcurl, which is loaded by the first who asks (base/library.h). Redirects
 * are not followed: who is asked gets secrets. Connections are kept for the next question for a minute or two. May be
 * called from many threads; waits. */
struct http_ask {
	const char *url;                 /* http: or https: */
	const char *user, *password;     /* HTTP Basic; user NULL: none */
	struct slice bearer;             /* Authorization: Bearer; empty: none */
	struct slice form; /* application/x-www-form-urlencoded, sent by POST; at == NULL: GET */
	const char *ca_file;             /* roots for https; NULL: the system's */
	int64_t timeout_ms;
	size_t most;                     /* bytes of an answer that are taken */
};
struct http_answer {
	int status;                      /* 200 */
	struct slice body;               /* in mem */
};
/* <0: no answer; fail_text() says why, without what was sent. */
int http_call(const struct http_ask *ask, struct arena *mem, struct http_answer *out) MUST_USE;
int http_ready(void) MUST_USE; /* <0: the library is not there */
/* Adds "name=value", percent-encoded, with & before it where something stands in out already. */
struct buf;
void http_form_add(struct buf *out, const char *name, struct slice value);
