/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/id.h"
#include "base/clock.h"
#include "base/encode.h"

/* no vowels: no words, and in the order of ASCII, so that ids sort by time */
static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

static void put(char *to, size_t width, uint64_t v, uint64_t base) {
	while (width-- != 0) {
		to[width] = digits[v % base];
		v /= base;
	}
}

void queue_id_make(char out[QUEUE_ID_ROOM]) {
	uint64_t now = (uint64_t)wall_us();
	put(out, 6, now / 1000000, 52);
	put(out + 6, 4, now % 1000000, 52);
	out[10] = 'z';
	put(out + 11, 4, random_below(51u * 51 * 51 * 51), 51); /* base 51: a "z" is the mark */
	out[15] = '\0';
}
