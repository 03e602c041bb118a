/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* Putting many things in order: a stable merge of the runs that are there already, since mailboxes mostly are in the
 * order of arrival. Most comparisons are of `first`, the start of the key; only ties go to the function. */
struct order_entry { uint64_t first; const void *thing; };
typedef int order_rest(const void *ctx, const void *a, const void *b); /* may be NULL: ties stay as they stand */
void order_sort(struct order_entry *at, size_t count, order_rest *rest, const void *ctx);
/* Numbers and texts as `first`: they compare like the whole, or are equal. */
static inline uint64_t order_of_number(int64_t n) { return (uint64_t)n ^ UINT64_C(1) << 63; }
static inline uint64_t order_of_text(struct slice s) {
	uint64_t v = 0;
	for (size_t i = 0; i < 8; i++) v = v << 8 | (i < s.len ? (unsigned char)s.at[i] : 0);
	return v;
}
