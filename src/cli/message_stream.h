/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* A message from a file or a pipe, as its signatures were made over it: lines end with CRLF, whatever the file has. The
 * header comes whole (at most 1 MiB; an mbox's "From " line is not of it), the body in pieces, so that any size costs
 * the same memory. */
struct message_stream {
	void (*header)(void *ctx, struct slice header); /* once, first; with the CRLF of its last field */
	void (*body)(void *ctx, struct slice bytes);
	void *ctx;
};
enum message_streamed {
	MESSAGE_STREAMED,
	MESSAGE_UNREADABLE, /* errno says why */
	MESSAGE_NONE,       /* no header, or a longer one */
};
enum message_streamed message_stream_read(const struct message_stream *s, FILE *f);
