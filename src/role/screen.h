/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/map.h"
#include "conf/conf.h"
#include "conf/lookup.h"
#include "net/addr.h"
#include "net/stream.h"
/* What postscreen does before the first word of a server: a client that talks before it was greeted is no mail server.
 * On where master.cf names postscreen (postscreen(8)). Log lines are Postfix's. Who waited is remembered while edge lives
 * (postscreen_greet_ttl); Postfix's cache on disk has no counterpart. */
struct screen_params {
	bool on;
	int64_t wait_ms, ttl_ms;
	const char *banner;          /* sent at once, as the first line of the greeting; NULL: none */
	int greet_action, deny_action; /* enum screen_action */
	const struct networks *networks;
	const struct slice *access;  /* postscreen_access_list */
	size_t access_count;
	struct tables *tables;       /* where those named in it are opened; borrowed */
	const char *log_name;        /* "postscreen" */
};
void screen_settings_make(struct screen_params *out, const struct conf_view *v, struct tables *tables);

/* Who has waited. For many threads. */
struct screen_memory;
struct screen_memory *screen_memory_new(void) NONNULL_RESULT;

/* One client under test. */
struct screen {
	const struct screen_params *params;
	struct screen_memory *memory;
	struct addr peer;
	int64_t started, deadline;
	bool failed;
	char name[2 * ADDR_TEXT_ROOM]; /* "[1.2.3.4]:56789" */
};
enum screen_verdict {
	SCREEN_WAIT,   /* until deadline, or until the client says something */
	SCREEN_PASSED, /* on to the session */
	SCREEN_REFUSE, /* on to a session in which every recipient is refused: screen_refusal */
	SCREEN_GONE,   /* hang up; what is to be said has been said */
};
/* After accept, and whenever the time is over or something has come: io says which. Bytes of the client stay in the
 * kernel's buffer. */
enum screen_verdict screen_begin(struct screen *s, const struct screen_params *params, struct screen_memory *memory,
				 struct stream *stream, const struct addr *peer);
enum screen_verdict screen_step(struct screen *s, struct stream *stream, bool io);
#define SCREEN_REFUSAL_STATUS "5.5.1"
#define SCREEN_REFUSAL_TEXT "Protocol error"
