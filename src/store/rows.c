/* SPDX-License-Identifier: Apache-2.0 */
/* A list of one mailbox is never changed: a newer one takes its place, and who is reading it reads on. It stands for
 * the mailbox at one modseq. What came after is merged into it; as every change of a row has a modseq of its own, that
 * and the number of messages tell whether a list is right. */
#include "store/rows.h"
#include "store/inside.h"
#include "base/map.h"

#include <pthread.h>

enum {
	MOST_MAILBOXES = 64,
	MESSAGES_LEAST = 1000, /* in smaller mailboxes and sets a walk costs as little */
	PART_LEAST = 8,        /* for less than this part of a mailbox no list is made */
	WORDS_MOST = 1000      /* different sets of keywords in a mailbox */
};

struct row {
	int64_t blob_id, received_us;
	uint64_t modseq;
	uint32_t uid, size, flags, words; /* words: from 1 on; 0: no keywords */
};

struct rows_list {
	struct box box;
	uint32_t uidvalidity;
	uint64_t modseq;     /* everything up to here is in it, and nothing from after it */
	unsigned holders;
	struct buf at;       /* struct row, uids rising */
	struct buf words;    /* struct slice, text in mem */
	struct map places;   /* of them: text to place, from 1 on */
	struct arena mem;
};

struct rows {
	pthread_mutex_t lock;
	size_t limit, bytes;
	struct rows_list *lists[MOST_MAILBOXES]; /* used last first; NULL at the end */
};

static size_t bytes_of(const struct rows_list *l) {
	return sizeof *l + l->at.room + l->words.room + arena_used(&l->mem);
}

static size_t count_of(const struct rows_list *l) {
	return l->at.len / sizeof(struct row);
}

static const struct row *row_at(const struct rows_list *l, size_t i) {
	return (const struct row *)(const void *)l->at.at + i;
}

static void list_free(struct rows_list **lp) {
	struct rows_list *l = TAKE(*lp);
	if (l == NULL) return;
	buf_done(&l->at);
	buf_done(&l->words);
	map_done(&l->places, NULL);
	arena_done(&l->mem);
	free(l);
}

struct rows *rows_new(size_t limit) {
	struct rows *r = mem_get(sizeof *r);
	r->limit = limit;
	pthread_mutex_init(&r->lock, NULL);
	return r;
}

void rows_free(struct rows **rp) {
	struct rows *r = TAKE(*rp);
	if (r == NULL) return;
	for (size_t i = 0; i < MOST_MAILBOXES; i++) list_free(&r->lists[i]);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

/* The lock is held. */
static void let_go(struct rows_list *l) {
	if (--l->holders == 0) list_free(&l);
}

static void drop(struct rows *r, size_t i) {
	struct rows_list *l = r->lists[i];
	memmove(&r->lists[i], &r->lists[i + 1], (MOST_MAILBOXES - 1 - i) * sizeof(r->lists[0]));
	r->lists[MOST_MAILBOXES - 1] = NULL;
	r->bytes -= bytes_of(l);
	let_go(l);
}

static size_t place_of(const struct rows *r, struct box box) {
	size_t i = 0;
	while (i < MOST_MAILBOXES && r->lists[i] != NULL &&
	       (r->lists[i]->box.account != box.account || r->lists[i]->box.id != box.id))
		i++;
	return i;
}

static struct rows_list *find(struct rows *r, struct box box) {
	struct rows_list *l = NULL;
	pthread_mutex_lock(&r->lock);
	size_t i = place_of(r, box);
	if (i < MOST_MAILBOXES && r->lists[i] != NULL) {
		l = r->lists[i];
		memmove(&r->lists[1], &r->lists[0], i * sizeof(r->lists[0]));
		r->lists[0] = l;
		l->holders++;
	}
	pthread_mutex_unlock(&r->lock);
	return l;
}

/* In the place of what is kept of that mailbox. */
static void keep(struct rows *r, struct rows_list *l) {
	pthread_mutex_lock(&r->lock);
	size_t i = place_of(r, l->box);
	if (i < MOST_MAILBOXES && r->lists[i] != NULL) drop(r, i);
	if (bytes_of(l) <= r->limit) {
		if (r->lists[MOST_MAILBOXES - 1] != NULL) drop(r, MOST_MAILBOXES - 1);
		memmove(&r->lists[1], &r->lists[0], (MOST_MAILBOXES - 1) * sizeof(r->lists[0]));
		r->lists[0] = l;
		l->holders++;
		r->bytes += bytes_of(l);
	}
	for (i = MOST_MAILBOXES; r->bytes > r->limit && i-- > 1;)
		if (r->lists[i] != NULL) drop(r, i);
	pthread_mutex_unlock(&r->lock);
}

void rows_release(struct rows *r, struct rows_list **lp) {
	struct rows_list *l = TAKE(*lp);
	if (l == NULL) return;
	pthread_mutex_lock(&r->lock);
	let_go(l);
	pthread_mutex_unlock(&r->lock);
}

/* Reading. What does not fit in (a message of 4 GiB) makes the list unusable, and the rows are walked over. */

static bool words_place(struct rows_list *l, struct slice words, uint32_t *place) {
	*place = words.len != 0 ? (uint32_t)(uintptr_t)map_get(&l->places, words) : 0;
	if (words.len == 0 || *place != 0) return true;
	struct slice kept = arena_slice(&l->mem, words);
	if (l->words.len / sizeof kept >= WORDS_MOST || !buf_add(&l->words, slice_from(&kept, sizeof kept)))
		return false;
	*place = (uint32_t)(l->words.len / sizeof kept);
	map_put(&l->places, words, (void *)(uintptr_t)*place);
	return true;
}

static struct slice words_at(const struct rows_list *l, uint32_t place) {
	return place != 0 ? ((const struct slice *)(const void *)l->words.at)[place - 1] : SLICE_NONE;
}

static bool add_row(struct rows_list *l, struct row row, struct slice words) {
	return words_place(l, words, &row.words) && buf_add(&l->at, slice_from(&row, sizeof row));
}

static int add(void *ctx, const struct message *m) {
	const struct row row = { m->blob_id, m->received_us, m->modseq, m->uid, (uint32_t)m->size, m->flags, 0 };
	return m->size <= UINT32_MAX && add_row(ctx, row, m->keywords) ? 0 : STORE_LIMIT;
}

static int add_gone(void *ctx, uint32_t first, uint32_t last) {
	const struct uid_range range = { first, last };
	return buf_add(ctx, slice_from(&range, sizeof range)) ? 0 : STORE_LIMIT;
}

static int row_order(const void *a, const void *b) {
	const struct row *x = a, *y = b;
	return (x->uid > y->uid) - (x->uid < y->uid);
}

static int range_order(const void *a, const void *b) {
	const struct uid_range *x = a, *y = b;
	return (x->first > y->first) - (x->first < y->first);
}

static struct rows_list *list_new(struct box box) {
	struct rows_list *l = mem_get(sizeof *l);
	*l = (struct rows_list){ .box = box, .holders = 1, .at = BUF(SIZE_MAX / 2), .words = BUF(MIB(1)) };
	return l;
}

/* Those of old, without the vanished and with fresh ones in place of what they were. */
static bool merge(struct rows_list *l, const struct rows_list *old, const struct rows_list *fresh, struct buf *gone) {
	const struct uid_range *hole = (const struct uid_range *)(const void *)gone->at,
			       *end = hole + gone->len / sizeof *hole;
	size_t was = count_of(old), more = count_of(fresh), i = 0, j = 0;
	if (buf_room(&l->at, (was + more) * sizeof(struct row)) == NULL) return false;
	while (i < was || j < more) {
		const struct row *o = i < was ? row_at(old, i) : NULL, *f = j < more ? row_at(fresh, j) : NULL;
		if (o == NULL || (f != NULL && f->uid <= o->uid)) {
			i += o != NULL && f->uid == o->uid;
			j++;
			if (!add_row(l, *f, words_at(fresh, f->words))) return false;
			continue;
		}
		i++;
		while (hole < end && hole->last < o->uid) hole++;
		if (hole < end && hole->first <= o->uid) continue;
		if (!add_row(l, *o, words_at(old, o->words))) return false;
	}
	return true;
}

static bool change(struct rows_list *l, struct db_conn *c, const struct rows_list *old) {
	struct rows_list *fresh = list_new(l->box);
	AUTO_BUF struct buf gone = BUF(SIZE_MAX / 2);
	bool good = store_changes(c, l->box, old->modseq, add, NULL, fresh) == 0 &&
		    store_changes(c, l->box, old->modseq, NULL, add_gone, &gone) == 0;
	if (good && fresh->at.len != 0) qsort(fresh->at.at, count_of(fresh), sizeof(struct row), row_order);
	if (good && gone.len != 0)
		qsort(gone.at, gone.len / sizeof(struct uid_range), sizeof(struct uid_range), range_order);
	good = good && merge(l, old, fresh, &gone);
	list_free(&fresh);
	return good;
}

struct state { uint32_t uidvalidity; uint64_t modseq, messages; };

static bool state_of(struct db_conn *c, struct box box, struct state *out) {
	AUTO_STMT struct db_stmt *s = db_sql(c, "SELECT uidvalidity, highestmodseq, messages FROM mailbox"
						" WHERE account_id = ? AND id = ?");
	bind_box(s, box);
	if (db_step(s) != DB_ROW) return false;
	*out = (struct state){ (uint32_t)db_int(s, 0), (uint64_t)db_int(s, 1), (uint64_t)db_int(s, 2) };
	return true;
}

/* NULL: it cannot be made. old: what is to be brought up to date; NULL: all is read. */
static struct rows_list *make(struct db_conn *c, struct box box, const struct rows_list *old, const struct state *now) {
	struct rows_list *l = list_new(box);
	l->uidvalidity = now->uidvalidity;
	l->modseq = now->modseq;
	bool good = false;
	if (old != NULL) {
		good = change(l, c, old);
	} else if (buf_room(&l->at, now->messages * sizeof(struct row)) != NULL) {
		store_ahead(c, box, uid_all, WANT_BRIEF);
		good = store_each(c, box, uid_all, WANT_BRIEF | WANT_BLOB, add, l) == 0;
	}
	if (!good || count_of(l) != now->messages) list_free(&l);
	return l;
}

/* From the first uid of the set to the last. */
static uint64_t span_of(struct uid_set set) {
	return set.count != 0 ? set.at[set.count - 1].last - set.at[0].first + UINT64_C(1) : 0;
}

struct rows_list *rows_of(struct rows *r, struct db_conn *c, struct box box, struct uid_set set, bool may_make) {
	struct state now;
	uint64_t span = span_of(set);
	if (r == NULL || span < MESSAGES_LEAST || !state_of(c, box, &now) || now.messages < MESSAGES_LEAST) return NULL;
	struct rows_list *l = find(r, box), *made = NULL;
	bool same = l != NULL && l->uidvalidity == now.uidvalidity;
	if (same && l->modseq == now.modseq && count_of(l) == now.messages) return l;
	bool newer = same && l->modseq > now.modseq, fits = now.messages <= r->limit / sizeof(struct row) / 2;
	if (may_make && !newer && fits && span >= now.messages / PART_LEAST) {
		if (same && l->modseq != now.modseq) made = make(c, box, l, &now);
		if (made == NULL) made = make(c, box, NULL, &now);
	}
	rows_release(r, &l);
	if (made != NULL) keep(r, made);
	return made;
}

static size_t find_uid(const struct rows_list *l, uint32_t uid) { /* the first that is not below */
	size_t low = 0, high = count_of(l);
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (row_at(l, mid)->uid < uid) low = mid + 1;
		else high = mid;
	}
	return low;
}

int rows_each(const struct rows_list *l, struct db_conn *c, struct uid_set set, unsigned want,
	      int (*each)(void *ctx, const struct message *m), void *ctx) {
	AUTO(walks_close) struct walks walks = walks_open(c, l->box, set, want);
	struct message m = { .uid = 0 };
	int r = 0;
	for (size_t k = 0; k < set.count && r == 0; k++) {
		const struct row *row = row_at(l, find_uid(l, set.at[k].first)), *end = row_at(l, count_of(l));
		for (; row < end && row->uid <= set.at[k].last && r == 0; row++) {
			m.uid = row->uid;
			m.flags = row->flags;
			m.keywords = words_at(l, row->words);
			m.size = row->size;
			m.blob_id = row->blob_id;
			m.received_us = row->received_us;
			m.modseq = row->modseq;
			r = walks_to(&walks, &m);
			if (r == 0) r = each(ctx, &m);
		}
	}
	return r;
}
