/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "filter/milter.h"
#include "net/stream.h"
/* Inside of the milter client: one milter of a session, and what all of them share. */
enum milter_state {
	MILTER_CLOSED,           /* not yet spoken to */
	MILTER_ON,
	MILTER_PLEASED_MESSAGE,  /* accepts the rest of this message unseen */
	MILTER_PLEASED,          /* accepts the rest of the session unseen */
	MILTER_REFUSES,          /* refused the session: `kept` is the answer to all */
	MILTER_FAILED,           /* its default action, for the rest of the session */
};
struct milter {
	struct milter_spec *spec;
	enum milter_state state;
	struct stream *wire;
	struct milter_offer offer;     /* what was agreed; its texts in the session's arena */
	size_t taken;                  /* bytes at the front of the wire that were used */
	bool in_message;               /* something of a message was sent, and its end not */
	struct milter_verdict kept;
	struct buf out;                /* commands that wait to be sent together */
};
struct milters {
	const struct milter_params *params;
	const struct milter_ops *ops;
	void *ctx;
	struct arena mem;
	struct slice host;             /* of the client */
	struct addr peer;
	size_t count;
	struct milter milters[];
};

/* What a command is. */
struct milter_send {
	enum milter_command command;
	enum milter_stage stage;       /* whose macros go before it; MILTER_STAGES: none */
	uint32_t unwanted, silent;     /* enum milter_step: not sent; not answered */
	int64_t ms;                    /* time limit for the answer */
};

/* The connection (milter.c). False: it failed, as the state says now. */
bool milter_open(struct milters *all, struct milter *m);
bool milter_close(struct milter *m);
void milter_fail(struct milters *all, struct milter *m, const char *format, ...) PRINTF_LIKE(3, 4);
/* Adds macros and command with this data to m->out. */
void milter_send(struct milters *all, struct milter *m, const struct milter_send *what, struct slice data,
		 struct arena *mem);
bool milter_flush(struct milters *all, struct milter *m, int64_t ms);
/* Reads one answer; progress reports are waited out. Texts until the next call. */
bool milter_receive(struct milters *all, struct milter *m, const struct milter_send *what, struct arena *mem,
		    struct milter_reply *out);
/* What an answer that ends a step means; also sets the state. */
struct milter_verdict milter_judge(struct milters *all, struct milter *m, const struct milter_send *what,
				   const struct milter_reply *reply);
struct milter_verdict milter_default_verdict(const struct milter *m);

/* One step with one milter: whether it is told at all, the command, its answer. */
struct milter_verdict milter_step(struct milters *all, struct milter *m, const struct milter_send *what,
				  struct slice data, struct arena *mem);
/* The message (milter_message.c). */
struct milter_verdict milter_show(struct milters *all, struct milter *m, struct arena *mem);
