/* SPDX-License-Identifier: Apache-2.0 */
/* Runs stay sorted by both UID and number, so that either is found by halving. Removing rebuilds the runs in one pass,
 * however many messages go: EXPUNGE of every second message of a large mailbox is linear. */
#include "access/imap/view.h"

void view_done(struct view *v) {
	free(v->runs);
	*v = (struct view){ 0 };
}

static uint32_t run_end(const struct view *v, size_t i) { /* the number behind the run's last */
	return i + 1 < v->run_count ? v->runs[i + 1].number : v->count + 1;
}

static void add_run(struct view *v, uint32_t uid, uint32_t number) {
	if (v->run_count == v->room) {
		v->room = v->room == 0 ? 4 : v->room * 2;
		v->runs = mem_resize(v->runs, v->room * sizeof(*v->runs));
	}
	v->runs[v->run_count++] = (struct view_run){ uid, number };
}

void view_append(struct view *v, uint32_t uid) {
	if (v->loaded && (v->count == 0 || view_last_uid(v) + 1 != uid)) add_run(v, uid, v->count + 1);
	v->count++;
	v->uidnext = uid + 1;
}

uint32_t view_uid(const struct view *v, uint32_t number) {
	size_t low = 0, high = v->run_count;
	must(number >= 1 && number <= v->count && v->loaded);
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (v->runs[middle].number <= number) low = middle;
		else high = middle;
	}
	return v->runs[low].uid + (number - v->runs[low].number);
}

uint32_t view_number(const struct view *v, uint32_t uid) {
	size_t low = 0, high = v->run_count;
	if (high == 0 || uid < v->runs[0].uid) return 0;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (v->runs[middle].uid <= uid) low = middle;
		else high = middle;
	}
	uint32_t number = v->runs[low].number + (uid - v->runs[low].uid);
	return number < run_end(v, low) ? number : 0;
}

uint32_t view_number_from(const struct view *v, uint32_t uid) {
	size_t low = 0, high = v->run_count;
	if (high == 0) return v->count + 1;
	if (uid <= v->runs[0].uid) return 1;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (v->runs[middle].uid <= uid) low = middle;
		else high = middle;
	}
	return MIN_OF(v->runs[low].number + (uid - v->runs[low].uid), run_end(v, low));
}

uint32_t view_last_uid(const struct view *v) {
	return v->count != 0 ? view_uid(v, v->count) : 0;
}

void view_known(const struct view *v, struct imap_range range, struct imap_set_builder *out) {
	size_t low = 0, high = v->run_count;
	while (low < high) { /* the first run that ends behind the range's start */
		size_t middle = (low + high) / 2;
		if (v->runs[middle].uid + (run_end(v, middle) - v->runs[middle].number) <= range.first)
			low = middle + 1;
		else high = middle;
	}
	for (; low < v->run_count && v->runs[low].uid <= range.last; low++) {
		uint32_t last = v->runs[low].uid + (run_end(v, low) - v->runs[low].number) - 1;
		imap_set_append(out, MAX_OF(v->runs[low].uid, range.first), MIN_OF(last, range.last));
	}
}

void view_remove(struct view *v, const struct imap_set *uids, uint32_t recent_from,
		 void (*told)(void *ctx, uint32_t number), void *ctx) {
	struct view kept = { .loaded = true, .recent = v->recent };
	size_t at = 0;
	for (size_t i = 0; i < v->run_count; i++) {
		uint32_t uid = v->runs[i].uid, end = uid + (run_end(v, i) - v->runs[i].number);
		while (uid < end) {
			while (at < uids->count && uids->ranges[at].last < uid) at++;
			struct imap_range hole =
				at < uids->count ? uids->ranges[at] : (struct imap_range){ UINT32_MAX, UINT32_MAX };
			uint32_t keep_to = MIN_OF(end, MAX_OF(hole.first, uid));
			if (keep_to > uid) { /* the part of the run before the hole */
				if (kept.count == 0 || view_last_uid(&kept) + 1 != uid)
					add_run(&kept, uid, kept.count + 1);
				kept.count += keep_to - uid;
			}
			for (uid = keep_to; uid < end && uid >= hole.first && uid <= hole.last; uid++) {
				if (uid >= recent_from && kept.recent != 0) kept.recent--;
				told(ctx, kept.count + 1);
			}
		}
	}
	kept.uidnext = v->uidnext;
	view_done(v);
	*v = kept;
}
