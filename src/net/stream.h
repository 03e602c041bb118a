/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "net/tls.h"
/* A stream: bytes both ways over a connected socket, plain or TLS, with a buffer for each direction. The descriptor is
 * non-blocking underneath and TCP_NODELAY is set. Used by one thread at a time.
 *
 * Two ways to use it:
 *  stepped (servers): stream_fill when woken, consume with stream_line/stream_peek, queue replies with stream_put, then
 *     stream_flush once (replies that belong together leave in one write), park for stream_events();
 *  waiting (clients, users who have logged in): stream_wait_* with a deadline.
 * Results: STREAM_OK or a named answer; below zero: fail() text. */
enum stream_result { STREAM_OK, STREAM_AGAIN, STREAM_CLOSED, STREAM_LATE, STREAM_LONG };

struct stream;
struct pool;
/* Takes the descriptor over (also makes it non-blocking). Limits are for each buffer; what passes them is STREAM_LONG
 * for lines, and stops reading for the rest. */
struct stream *stream_new(int fd, size_t in_limit, size_t out_limit);
void stream_close(struct stream **s); /* closes the descriptor; does not flush */
/* For servers that end a connection themselves: says that nothing more comes, and a task of the pool drops what the
 * client still sends until it ends too (two seconds at most). A plain close with bytes unread makes the kernel send a
 * reset, which takes the last reply away with it (RFC 1122 §4.2.2.13). Does not flush. */
void stream_part(struct stream **s, struct pool *pool);
int stream_fd(const struct stream *s);
bool stream_is_bare(const struct stream *s); /* clear text, and nothing held: another may go on with the descriptor */
int stream_take_fd(struct stream **s); /* frees the stream, hands the descriptor back; must be bare */

/* TLS. Begins the handshake on the next fill/flush; everything buffered from the clear text part must have been
 * consumed: bytes left in the in-buffer are an injection (RFC 3207 §6, CVE-2011-0411) and make both fail. */
int stream_start_tls_server(struct stream *s, struct tls_server *server);
int stream_start_tls_client(struct stream *s, struct tls_client *client, const char *server_name);
bool stream_is_tls(const struct stream *s); /* handshake finished */
struct tls *stream_tls(const struct stream *s); /* NULL before stream_start_tls_… */

/* From here on both directions are compressed (net/zip.h, RFC 4978): inside of TLS where there is TLS. What was queued
 * must have been flushed; input that has come already counts as compressed. The limits hold for the plain text. */
void stream_start_zip(struct stream *s);
bool stream_is_zipped(const struct stream *s);

/* Stepped. stream_fill: goes on with a handshake under way, then reads what has arrived: STREAM_OK (something new is in
 * the in-buffer), STREAM_AGAIN (nothing now), STREAM_CLOSED (the peer ended; buffered bytes can still be consumed). */
int stream_fill(struct stream *s);
struct slice stream_peek(const struct stream *s); /* what is buffered; valid until the next fill or eat */
void stream_eat(struct stream *s, size_t n);
/* A whole line if one is buffered: STREAM_OK and *line without its line end (CRLF or LF; *bare is set for LF alone when
 * bare is not NULL), STREAM_AGAIN, or STREAM_LONG when more than max bytes came without a line end. The line is
 * borrowed until the next fill; it counts as eaten. */
int stream_line(struct stream *s, size_t max, struct slice *line, bool *bare);
bool stream_put(struct stream *s, struct slice bytes); /* false: over the limit; the stream is then useless */
bool stream_putf(struct stream *s, const char *format, ...) PRINTF_LIKE(2, 3);
struct buf *stream_out(struct stream *s);             /* the out-buffer itself, to build replies in place */
int stream_flush(struct stream *s);                    /* STREAM_OK (all written), STREAM_AGAIN, STREAM_CLOSED */
uint32_t stream_events(const struct stream *s);        /* what to park for */
bool stream_has_input(const struct stream *s);         /* bytes already here (buffer or inside TLS): do not park */
/* Of the last fill: it took all that was there, so that the next one would find nothing. Whether something has come
 * since the poller tells. */
bool stream_is_drained(const struct stream *s);
void stream_relax(struct stream *s);                   /* about to be parked: free empty buffers */

/* Waiting. STREAM_LATE when the deadline passed. */
int stream_wait_handshake(struct stream *s, int64_t deadline);
int stream_wait_fill(struct stream *s, int64_t deadline); /* at least one new byte */
/* For who needs n bytes, or as many as come before the end, and can do nothing with less: it may return with fewer (one
 * at least), but is mostly woken once for what a client says in several pieces. */
int stream_wait_bytes(struct stream *s, size_t n, int64_t deadline);
/* The same, for an answer to what has just been said: it is hardly ever there yet, and not looked for before it is. */
int stream_wait_answer(struct stream *s, int64_t deadline);
int stream_wait_line(struct stream *s, size_t max, struct slice *line, int64_t deadline);
int stream_wait_flush(struct stream *s, int64_t deadline);
/* Writes bytes through (flushing what is queued first), without keeping more than the out limit in memory. */
int stream_wait_put(struct stream *s, struct slice bytes, int64_t deadline);
/* How many bytes went through, both ways, TLS overhead not counted. */
uint64_t stream_bytes_in(const struct stream *s);
uint64_t stream_bytes_out(const struct stream *s);
