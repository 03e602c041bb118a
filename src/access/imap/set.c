/* SPDX-License-Identifier: Apache-2.0 */
/* A command line bounds the number of ranges (64 KiB hold fewer than 32,768), so sorting an array is all the machinery
 * that sets need; a million messages in one range stay one range. */
#include "access/imap/set.h"

static bool take_end(struct imap_parse *p, uint32_t *out) {
	uint64_t n = 0;
	if (imap_parse_take(p, '*')) {
		*out = 0;
		return true;
	}
	if (!imap_parse_number(p, UINT32_MAX, &n)) return false;
	if (n == 0) return imap_parse_fail(p, "0 is not a message number.");
	*out = (uint32_t)n;
	return true;
}

bool imap_parse_set(struct imap_parse *p, struct imap_set *out) {
	size_t room = 1;
	struct imap_set set = { 0 };
	if (p->error != NULL) return false;
	if (imap_parse_take(p, '$')) {
		*out = (struct imap_set){ .saved = true };
		return true;
	}
	for (size_t i = 0; i < p->rest.len && p->rest.at[i] != ' ' && p->rest.at[i] != ')'; i++)
		room += p->rest.at[i] == ',';
	set.ranges = arena_array(p->mem, room, sizeof(*set.ranges));
	do {
		struct imap_range *r = &set.ranges[set.count++];
		if (!take_end(p, &r->first)) return false;
		r->last = r->first;
		if (imap_parse_take(p, ':') && !take_end(p, &r->last)) return false;
	} while (imap_parse_take(p, ','));
	*out = set;
	return true;
}

static int range_order(const void *a, const void *b) {
	const struct imap_range *x = a, *y = b;
	return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x->last > y->last) - (x->last < y->last);
}

void imap_set_settle(struct imap_set *set, uint32_t star) {
	for (size_t i = 0; i < set->count; i++) {
		struct imap_range r = set->ranges[i];
		if (r.first == 0) r.first = star;
		if (r.last == 0) r.last = star;
		set->ranges[i] = (struct imap_range){ MIN_OF(r.first, r.last), MAX_OF(r.first, r.last) };
	}
	if (set->count == 0) return;
	qsort(set->ranges, set->count, sizeof(*set->ranges), range_order);
	size_t n = 0;
	for (size_t i = 1; i < set->count; i++) {
		struct imap_range *last = &set->ranges[n], r = set->ranges[i];
		if (r.first <= last->last || r.first - 1 == last->last) last->last = MAX_OF(last->last, r.last);
		else set->ranges[++n] = r;
	}
	set->count = n + 1;
}

bool imap_set_has(const struct imap_set *set, uint32_t n) {
	size_t low = 0, high = set->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (set->ranges[middle].last < n) low = middle + 1;
		else high = middle;
	}
	return low < set->count && set->ranges[low].first <= n;
}

uint64_t imap_set_size(const struct imap_set *set) {
	uint64_t n = 0;
	for (size_t i = 0; i < set->count; i++) n += (uint64_t)set->ranges[i].last - set->ranges[i].first + 1;
	return n;
}

void imap_set_append(struct imap_set_builder *b, uint32_t first, uint32_t last) {
	struct imap_set *s = &b->set;
	if (s->count != 0 && s->ranges[s->count - 1].last + 1 == first) {
		s->ranges[s->count - 1].last = last;
		return;
	}
	if (s->count == b->room) {
		b->room = b->room == 0 ? 8 : b->room * 2;
		s->ranges = mem_resize(s->ranges, b->room * sizeof(*s->ranges));
	}
	s->ranges[s->count++] = (struct imap_range){ first, last };
}

struct imap_set imap_set_copy(struct arena *mem, const struct imap_set *set) {
	struct imap_set copy = { arena_array(mem, set->count + 1, sizeof(*copy.ranges)), set->count };
	if (set->count != 0) memcpy(copy.ranges, set->ranges, set->count * sizeof(*copy.ranges));
	return copy;
}

void imap_set_common(struct imap_set_builder *out, const struct imap_set *a, const struct imap_set *b) {
	for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
		struct imap_range x = a->ranges[i], y = b->ranges[j];
		uint32_t first = MAX_OF(x.first, y.first), last = MIN_OF(x.last, y.last);
		if (first <= last) imap_set_append(out, first, last);
		if (x.last < y.last) i++;
		else j++;
	}
}

void imap_set_builder_done(struct imap_set_builder *b) {
	free(b->set.ranges);
	*b = (struct imap_set_builder){ 0 };
}

void imap_put_set(struct buf *out, const struct imap_set *set) {
	for (size_t i = 0; i < set->count; i++) {
		const struct imap_range *r = &set->ranges[i];
		if (i != 0) buf_byte(out, ',');
		buf_number(out, r->first);
		if (r->first == r->last) continue;
		buf_byte(out, ':');
		buf_number(out, r->last);
	}
}
