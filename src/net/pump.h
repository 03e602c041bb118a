/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/pool.h"
#include "net/stream.h"
/* A pump carries bytes between a client's stream (TLS ends here) and a socket whose other end another process serves.
 *It is what is left in edge of a client who has logged in; parked it holds no buffers. Stepped by its owner's task:
 *
 *	if (pump_step(p, why == WAKE_IO ? task_came(t) : PUMP_BOTH) == PUMP_PARK)
 *		task_park(t, pump_client_events(p), pump_inner_events(p), pump_deadline(p)); */
struct pump;
/* Borrows both; input that the stream already holds goes first. idle: milliseconds without a byte either way before it
 * is over. */
struct pump *pump_new(struct stream *client, int inner, int64_t idle) NONNULL_RESULT;
void pump_free(struct pump **p);
/* What the client says counts no more; what the serving end has to say to that is carried for so many milliseconds. */
void pump_end(struct pump *p, int64_t within);
enum pump_next { PUMP_PARK, PUMP_OVER };
/* came: where there may be something to read (the bits of task_came); the other side is not asked. */
enum { PUMP_CLIENT = 1, PUMP_INNER = 2, PUMP_BOTH = PUMP_CLIENT | PUMP_INNER };
enum pump_next pump_step(struct pump *p, unsigned came);
/* The serving end gives its client back: with the last byte of what it says there comes a descriptor (any), so that
 * both are seen at once, and not a byte of what the client answers goes there any more. <0: failed, or the deadline
 * came first. */
int pump_give_back(int served, char last, int64_t deadline);
bool pump_given_back(const struct pump *p); /* after PUMP_OVER; what the client has said since is in his stream */
uint32_t pump_client_events(const struct pump *p);
uint32_t pump_inner_events(const struct pump *p);
int64_t pump_deadline(const struct pump *p); /* the present when there is more to do at once */
