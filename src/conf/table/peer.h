/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "conf/table/inside.h"
#include "net/stream.h"
/* A server that a table asks: its address, and connections kept open between questions. Used by many threads; each
 * question has a connection of its own. For this folder only. */
struct peer;
#define PEER_WAIT SECONDS(30) /* for one question, connecting included; a mail client waits longer than that */
/* "inet:host:port", "host:port", "unix:path" (relative ones begin at queue_directory). NULL with fail_text(). */
struct peer *peer_new(const struct table *t, struct slice address);
void peer_free(struct peer **p);
/* A connection; *used: it answered before, so that a failure may mean only that it was idle for too long. */
struct stream *peer_take(struct peer *p, bool fresh, int64_t deadline, bool *used); /* NULL with fail_text() */
void peer_give(struct peer *p, struct stream *s);
/* Asks: puts the request and lets `read` take the answer; once more with a new connection when an old one fails. read
 * gives enum table_answer when the conversation can go on, <0 when the connection is useless. Result: enum
 * table_answer. */
typedef int peer_read(void *ctx, struct stream *s, int64_t deadline);
int peer_ask(struct peer *p, struct slice request, peer_read *read, void *ctx, int64_t wait);
/* STREAM_OK, or fail() for anything else. */
int peer_result(int stream_result);
