/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
#include "base/slice.h"
/* How many deliveries go to one destination at one time: more after those that got through, fewer after those that did
 * not reach a server (SCHEDULER_README of Postfix). */
struct feedback {
	double amount;
	enum feedback_by {
		FEEDBACK_FIXED,
		FEEDBACK_BY_WINDOW,
		FEEDBACK_BY_ROOT
	} by; /* divided by the window, or by its root */
};
/* "1", "0.5", "1/3", "1/concurrency", "2 / sqrt_concurrency". False: none of these; *out is as it was. */
bool feedback_parse(struct slice text, struct feedback *out);

struct window {
	size_t open;         /* deliveries at one time; at least 1 once it was set */
	double gained, lost; /* not yet enough for one more, or one fewer */
};
void window_gain(struct window *w, const struct feedback *f, size_t most);
void window_lose(struct window *w, const struct feedback *f);
