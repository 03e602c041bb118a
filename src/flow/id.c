/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/id.h"
#include "base/clock.h"
#include "base/encode.h"

#include <stdatomic.h>

/* no vowels: no words, and in the order of ASCII, so that ids sort by time */
static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

static _Atomic bool long_form;
static _Atomic uint64_t last; /* microsecond given out */

static void put(char *to, size_t width, uint64_t v, uint64_t base) {
	while (width-- != 0) {
		to[width] = digits[v % base];
		v /= base;
	}
}

static void put_hex(char *to, size_t width, uint64_t v) {
	for (; width-- != 0; v >>= 4) to[width] = "0123456789ABCDEF"[v & 15];
}

/* A microsecond of its own for each id of this process, even when the clock is set back. */
static uint64_t own_moment(void) {
	uint64_t now = (uint64_t)wall_us(), before = last, mine;
	do mine = MAX_OF(now, before + 1);
	while (!atomic_compare_exchange_weak(&last, &before, mine));
	return mine;
}

/* What another process or machine is unlikely to add to the same microsecond; fetched for many ids at once. */
static uint32_t tail_below(uint32_t bound) {
	static _Thread_local uint32_t drawn[32];
	static _Thread_local size_t left;
	if (left == 0) {
		random_fill(drawn, sizeof drawn);
		left = LEN(drawn);
	}
	return drawn[--left] % bound;
}

void queue_id_form(bool long_ids) {
	long_form = long_ids;
}

void queue_id_make(char out[QUEUE_ID_ROOM]) {
	uint64_t now = own_moment();
	if (!long_form) {
		put_hex(out, 13, now);
		put_hex(out + 13, 3, tail_below(0x1000));
		out[16] = '\0';
		return;
	}
	put(out, 6, now / 1000000, 52);
	put(out + 6, 4, now % 1000000, 52);
	out[10] = 'z';
	put(out + 11, 4, tail_below(51 * 51 * 51 * 51), 51); /* base 51: a "z" is the mark */
	out[15] = '\0';
}
