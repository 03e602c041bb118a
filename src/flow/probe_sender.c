/* SPDX-License-Identifier: Apache-2.0 */
/* There is no delimiter before the time: recipient_delimiter could make senders of long ago valid. */
#include "flow/probe_sender.h"

static const char digits[] = "0123456789BCDFGHJKLMNPQRSTVWXYZ";
enum { BASE = sizeof digits - 1, DIGITS_MOST = 13 };

struct slice probe_sender_at(const struct probe_sender *p, int64_t now_s, struct arena *mem) {
	if (p->base.len == 0 || p->ttl_s <= 0) return p->base;
	char text[DIGITS_MOST + 1] = { 0 };
	size_t at = DIGITS_MOST, split = slice_find_last(p->base, '@');
	for (uint64_t n = (uint64_t)(MAX_OF(now_s, 0) / p->ttl_s); at != 0 && (n != 0 || at == DIGITS_MOST); n /= BASE)
		text[--at] = digits[n % BASE];
	return arena_fmt(mem, "%.*s%s%.*s", SLICE_ARG(slice_head(p->base, split)), text + at,
			 SLICE_ARG(slice_skip(p->base, split)));
}

bool probe_sender_is(const struct probe_sender *p, struct slice address, int64_t now_s) {
	if (p->base.len == 0) return false;
	if (p->ttl_s <= 0) return slice_same(address, p->base);
	AUTO_ARENA struct arena mem = { 0 };
	for (int64_t slip = -p->ttl_s; slip <= p->ttl_s; slip += p->ttl_s)
		if (slice_same(address, probe_sender_at(p, now_s + slip, &mem))) return true;
	return false;
}
