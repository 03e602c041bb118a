/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/walk.h"
#include "store/rows.h"

struct walking { const struct imap_walk *walk; struct db_conn *c; struct uid_set all; uint32_t last; };

static int step(void *ctx, const struct message *m) {
	struct walking *w = ctx;
	w->last = m->uid;
	return w->walk->each(w->walk->ctx, w->c, m);
}

static int one_page(struct imap_session *s, struct walking *w, struct uid_set rest) {
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	unsigned want = w->walk->want;
	if (c == NULL) return -1;
	w->c = c;
	bool first = w->last == 0, kept = (want & (WANT_LEAN | WANT_BRIEF)) != 0 && !w->walk->changed;
	struct rows_list *l = kept ? rows_of(s->context->rows, c, s->box.box, w->all, first) : NULL;
	if (l == NULL && first) store_ahead(c, s->box.box, rest, want);
	int r = l != NULL ? rows_each(l, c, rest, want, step, w) : store_each(c, s->box.box, rest, want, step, w);
	rows_release(s->context->rows, &l);
	return r;
}

/* How many of the set's messages have been walked over. */
static uint64_t done_of(const struct imap_session *s, const struct imap_set *uids, uint32_t last) {
	const struct view *v = &s->box.view;
	uint64_t n = 0;
	for (size_t i = 0; i < uids->count && uids->ranges[i].first <= last; i++)
		n += view_number_from(v, MIN_OF(uids->ranges[i].last, last) + 1) -
		     view_number_from(v, uids->ranges[i].first);
	return n;
}

int imap_walk(struct imap_session *s, const struct imap_set *uids, const struct imap_walk *walk) {
	struct walking w = { .walk = walk, .all = imap_uid_set(uids) };
	struct imap_range *ranges = arena_array(&s->mem, uids->count + 1, sizeof(*ranges));
	size_t at = 0;
	if (uids->count == 0) return 0;
	memcpy(ranges, uids->ranges, uids->count * sizeof(*ranges));
	for (;;) {
		struct imap_set rest = { ranges + at, uids->count - at };
		int r = one_page(s, &w, imap_uid_set(&rest));
		int paged = r == 0 || r == WALK_PAGE_FULL ? (walk->page != NULL ? walk->page(walk->ctx) : 0) : 0;
		if (r != WALK_PAGE_FULL || paged != 0) return paged != 0 ? paged : r;
		if (clock_ms() >= s->progress_due &&
		    !imap_progress(s, done_of(s, uids, w.last), imap_view_count(s, uids)))
			return 0;
		while (at < uids->count && ranges[at].last <= w.last) at++;
		if (at == uids->count) return 0;
		ranges[at].first = MAX_OF(ranges[at].first, w.last + 1);
	}
}

void imap_view_numbers(const struct imap_session *s, const struct imap_set *uids, struct imap_set_builder *out) {
	for (size_t i = 0; i < uids->count; i++)
		imap_set_append(out, view_number(&s->box.view, uids->ranges[i].first),
				view_number(&s->box.view, uids->ranges[i].last));
}

uint32_t imap_view_count(const struct imap_session *s, const struct imap_set *uids) {
	return (uint32_t)done_of(s, uids, UINT32_MAX - 1);
}
