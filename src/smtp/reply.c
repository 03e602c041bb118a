/* SPDX-License-Identifier: Apache-2.0 */
/* A reply is a value: who decides what to say does not write it to the wire. */
#include "smtp/reply.h"

static struct smtp_reply made(int code, const char *status, struct slice text) {
	struct smtp_reply r = { .code = code, .text = text };
	if (status != NULL) snprintf(r.status, sizeof r.status, "%s", status);
	return r;
}

struct smtp_reply smtp_reply(int code, const char *status, struct slice text) {
	return made(code, status, text);
}

struct smtp_reply smtp_reply_fmt(struct arena *mem, int code, const char *status, const char *format, ...) {
	char *text = NULL;
	va_list args;
	va_start(args, format);
	int len = vasprintf(&text, format, args);
	va_end(args);
	if (len < 0) die_now("out of memory for a reply");
	struct slice kept = arena_slice(mem, slice_from(text, (size_t)len));
	free(text);
	return made(code, status, kept);
}
