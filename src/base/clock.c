/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

static int64_t read_us(clockid_t id) {
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_ms(void) {
	return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_us(void) {
	return read_us(CLOCK_MONOTONIC);
}

int64_t wall_us(void) {
	return read_us(CLOCK_REALTIME);
}

int64_t wall_s(void) {
	return read_us(CLOCK_REALTIME) / 1000000;
}

int deadline_left(int64_t deadline) {
	if (deadline == NEVER) return -1;
	int64_t left = deadline - clock_ms();
	if (left <= 0) return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}
