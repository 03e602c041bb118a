/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
/* The sender of address probes (address_verify_sender) that changes with time (address_verify_sender_ttl), so that
 * lists of addresses which spammers keep are soon out of date: "double-bounce" becomes "double-bounceNNNNN", where
 * NNNNN counts in base 31 (0-9B-Z without vowels) how often ttl_s has passed since 1970, as Postfix writes it. */
struct probe_sender {
	struct slice base; /* "double-bounce@example.org"; empty: the null sender, which never changes */
	int64_t ttl_s;     /* 0: it never changes */
};
struct slice probe_sender_at(const struct probe_sender *p, int64_t now_s, struct arena *mem);
/* Is it the sender of now, or the one before or behind it? Servers of one site may differ in time. */
bool probe_sender_is(const struct probe_sender *p, struct slice address, int64_t now_s);
