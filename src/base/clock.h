/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/base.h"
/* Two clocks. Deadlines are milliseconds of the steady clock; what is stored is microseconds since 1970, UTC. */
int64_t clock_ms(void);     /* steady, never set back */
int64_t clock_us(void);     /* steady, for measuring */
int64_t wall_us(void);      /* since 1970 */
int64_t wall_s(void);
#define NEVER INT64_MAX     /* a deadline that does not come */
#define SECONDS(n) ((int64_t)(n) * 1000)
#define MINUTES(n) ((int64_t)(n) * 60000)
static inline int64_t deadline_in(int64_t ms) { return ms >= NEVER - clock_ms() ? NEVER : clock_ms() + ms; }
/* Milliseconds left for poll(2): 0 when over, -1 for NEVER. */
int deadline_left(int64_t deadline);
