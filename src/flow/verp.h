/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* Variable envelope return paths (VERP_README): the sender list@origin, seen by user@domain, is list+user=domain@origin
 * with the delimiters "+=". Whoever gets a bounce then knows of whom it speaks. */
struct slice verp_sender(struct slice sender, struct slice delimiters, struct slice recipient, struct arena *mem);
enum { ACCEPT_VERP = 16 }; /* from this bit of accept_flags on */
/* The delimiters as they travel in accept_flags, and back: empty when there are none. */
uint32_t verp_flags(struct slice delimiters);
struct slice verp_delimiters(uint32_t flags, struct arena *mem);
/* Two characters, both among filter (verp_delimiter_filter). */
bool verp_delimiters_valid(struct slice delimiters, struct slice filter);
