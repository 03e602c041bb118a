/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/pool.h"
#include "role/screen.h"
/* The conversation with a client that is to be refused, or that postscreen wants to see at work: enough SMTP to hear
 * who writes to whom, and no mail is taken. Every recipient gets what speaks against the client, or 450 4.3.2 where
 * nothing does: who passes comes again. Stepped like smtp/server.h. */
struct screen_talk;
struct screen_talk *screen_talk_new(struct screen *s, struct stream *stream) NONNULL_RESULT; /* both borrowed */
void screen_talk_free(struct screen_talk **t);
bool screen_talk_step(struct screen_talk *t, enum wake why); /* false: over, nothing is left to say */
uint32_t screen_talk_events(const struct screen_talk *t);
int64_t screen_talk_deadline(const struct screen_talk *t);
