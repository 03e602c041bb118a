/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/window.h"

#include <stdlib.h>

/* A decimal number without a sign, and nothing else. */
static bool number(struct slice text, double *out) {
	char room[32], *end;
	text = slice_trim(text);
	if (text.len == 0 || text.len >= sizeof room) return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] != '.' && (text.at[i] < '0' || text.at[i] > '9')) return false;
	memcpy(room, text.at, text.len);
	room[text.len] = '\0';
	*out = strtod(room, &end);
	return *end == '\0';
}

bool feedback_parse(struct slice text, struct feedback *out) {
	struct slice above = slice_head(text, slice_find(text, '/')),
		     below = slice_trim(slice_skip(text, above.len + 1));
	struct feedback f = { .by = FEEDBACK_FIXED };
	double by;
	if (!number(above, &f.amount)) return false;
	if (slice_eq(below, S("concurrency"))) f.by = FEEDBACK_BY_WINDOW;
	else if (slice_eq(below, S("sqrt_concurrency"))) f.by = FEEDBACK_BY_ROOT;
	else if (above.len < text.len) {
		if (!number(below, &by) || by <= 0) return false;
		f.amount /= by;
	}
	*out = f;
	return true;
}

/* Newton's: windows are small, and nothing else here needs the mathematics library. */
static double root(double x) {
	double r = x;
	for (int i = 0; i < 30; i++) r = (r + x / r) / 2;
	return r;
}

static double step(const struct window *w, const struct feedback *f) {
	double open = (double)MAX_OF(w->open, (size_t)1);
	switch (f->by) {
	case FEEDBACK_BY_WINDOW: return f->amount / open;
	case FEEDBACK_BY_ROOT: return f->amount / root(open);
	default: return f->amount;
	}
}

void window_gain(struct window *w, const struct feedback *f, size_t most) {
	w->lost = 0;
	if (w->open >= most) return;
	for (w->gained += step(w, f); w->gained >= 1 && w->open < most; w->gained -= 1) w->open++;
	if (w->open >= most) w->gained = 0;
}

void window_lose(struct window *w, const struct feedback *f) {
	w->gained = 0;
	for (w->lost += step(w, f); w->lost >= 1 && w->open > 1; w->lost -= 1) w->open--;
	if (w->open <= 1) w->lost = 0;
}
