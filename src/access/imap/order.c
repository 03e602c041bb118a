/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/order.h"

enum { LEAST_RUN = 16 };

struct order { order_rest *rest; const void *ctx; };

static bool before(const struct order *o, const struct order_entry *a, const struct order_entry *b) {
	if (a->first != b->first) return a->first < b->first;
	return o->rest != NULL && o->rest(o->ctx, a->thing, b->thing) < 0;
}

/* The end of the run that starts at `from`: rising, or strictly falling and then turned around; short ones are made
 * longer by insertion. */
static size_t make_run(const struct order *o, struct order_entry *at, size_t from, size_t count) {
	size_t end = from + 1;
	if (end < count && before(o, &at[end], &at[from])) {
		while (end < count && before(o, &at[end], &at[end - 1])) end++;
		for (size_t i = from, j = end - 1; i < j; i++, j--) {
			struct order_entry swap = at[i];
			at[i] = at[j];
			at[j] = swap;
		}
	}
	while (end < count && !before(o, &at[end], &at[end - 1])) end++;
	for (size_t least = MIN_OF(from + LEAST_RUN, count); end < least; end++) {
		struct order_entry e = at[end];
		size_t i = end;
		for (; i > from && before(o, &e, &at[i - 1]); i--) at[i] = at[i - 1];
		at[i] = e;
	}
	return end;
}

static void merge(const struct order *o, const struct order_entry *a, const struct order_entry *a_end,
		  const struct order_entry *b, const struct order_entry *b_end, struct order_entry *to) {
	while (a != a_end && b != b_end) *to++ = before(o, b, a) ? *b++ : *a++;
	if (a != a_end) memcpy(to, a, (size_t)(a_end - a) * sizeof *a);
	else if (b != b_end) memcpy(to, b, (size_t)(b_end - b) * sizeof *b);
}

void order_sort(struct order_entry *at, size_t count, order_rest *rest, const void *ctx) {
	const struct order o = { rest, ctx };
	if (count < 2) return;
	AUTO_FREE struct order_entry *spare = mem_array(count, sizeof *spare);
	AUTO_FREE size_t *ends = mem_array(count / LEAST_RUN + 2, sizeof *ends); /* of the runs */
	size_t runs = 0;
	struct order_entry *from = at, *to = spare;
	for (size_t i = 0; i < count; i = ends[runs++]) ends[runs] = make_run(&o, at, i, count);
	while (runs > 1) { /* pairs of runs, from one array into the other */
		size_t kept = 0, start = 0;
		for (size_t i = 0; i < runs; i += 2) {
			size_t middle = ends[i], end = i + 1 < runs ? ends[i + 1] : middle;
			merge(&o, from + start, from + middle, from + middle, from + end, to + start);
			ends[kept++] = start = end;
		}
		runs = kept;
		struct order_entry *swap = from;
		from = to;
		to = swap;
	}
	if (from != at) memcpy(at, from, count * sizeof *at);
}
