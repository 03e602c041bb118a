/* SPDX-License-Identifier: Apache-2.0 */
/* A list of one mailbox is never changed: a newer one takes its place, and who is reading it reads on. The body of a
 * uid stays the same as long as UIDVALIDITY does, so that a list only lacks what came later; what vanished does no
 * harm. */
#include "store/bodies.h"

#include <pthread.h>

enum { MOST_MAILBOXES = 64 };

struct list {
	struct box box;
	uint32_t uidvalidity;
	uint64_t modseq;     /* everything up to here is in it */
	unsigned holders;
	size_t count;
	uint32_t *uids;      /* rising */
	int64_t *blobs;
};

struct bodies {
	pthread_mutex_t lock;
	size_t limit, bytes;
	struct list *lists[MOST_MAILBOXES]; /* used last first; NULL at the end */
};

static size_t bytes_of(const struct list *l) {
	return sizeof *l + l->count * (sizeof l->uids[0] + sizeof l->blobs[0]);
}

static void list_free(struct list **lp) {
	struct list *l = TAKE(*lp);
	if (l == NULL) return;
	free(l->uids);
	free(l->blobs);
	free(l);
}

struct bodies *bodies_new(size_t limit) {
	struct bodies *b = mem_get(sizeof *b);
	b->limit = limit;
	pthread_mutex_init(&b->lock, NULL);
	return b;
}

void bodies_free(struct bodies **bp) {
	struct bodies *b = TAKE(*bp);
	if (b == NULL) return;
	for (size_t i = 0; i < MOST_MAILBOXES; i++) list_free(&b->lists[i]);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

/* The lock is held. */
static void let_go(struct list *l) {
	if (--l->holders == 0) list_free(&l);
}

static void drop(struct bodies *b, size_t i) {
	struct list *l = b->lists[i];
	memmove(&b->lists[i], &b->lists[i + 1], (MOST_MAILBOXES - 1 - i) * sizeof(b->lists[0]));
	b->lists[MOST_MAILBOXES - 1] = NULL;
	b->bytes -= bytes_of(l);
	let_go(l);
}

static size_t place_of(const struct bodies *b, struct box box) {
	size_t i = 0;
	while (i < MOST_MAILBOXES && b->lists[i] != NULL &&
	       (b->lists[i]->box.account != box.account || b->lists[i]->box.id != box.id))
		i++;
	return i;
}

static void put_first(struct bodies *b, struct list *l) {
	memmove(&b->lists[1], &b->lists[0], (MOST_MAILBOXES - 1) * sizeof(b->lists[0]));
	b->lists[0] = l;
}

static struct list *find(struct bodies *b, struct box box) {
	struct list *l = NULL;
	pthread_mutex_lock(&b->lock);
	size_t i = place_of(b, box);
	if (i < MOST_MAILBOXES && b->lists[i] != NULL) {
		l = b->lists[i];
		memmove(&b->lists[1], &b->lists[0], i * sizeof(b->lists[0]));
		b->lists[0] = l;
		l->holders++;
	}
	pthread_mutex_unlock(&b->lock);
	return l;
}

/* In the place of what is kept of that mailbox. */
static void keep(struct bodies *b, struct list *l) {
	pthread_mutex_lock(&b->lock);
	size_t i = place_of(b, l->box);
	if (i < MOST_MAILBOXES && b->lists[i] != NULL) drop(b, i);
	if (bytes_of(l) <= b->limit) {
		if (b->lists[MOST_MAILBOXES - 1] != NULL) drop(b, MOST_MAILBOXES - 1);
		put_first(b, l);
		l->holders++;
		b->bytes += bytes_of(l);
	}
	for (i = MOST_MAILBOXES; b->bytes > b->limit && i-- > 1;)
		if (b->lists[i] != NULL) drop(b, i);
	pthread_mutex_unlock(&b->lock);
}

/* Reading. */

struct one { uint32_t uid; int64_t blob; };
struct reading { struct buf all; const struct list *known; };

static int add(void *ctx, uint32_t uid, int64_t blob_id) {
	struct reading *r = ctx;
	struct one one = { .uid = uid, .blob = blob_id };
	return buf_add(&r->all, slice_from(&one, sizeof one)) ? 0 : STORE_LIMIT;
}

static size_t find_uid(const struct list *l, uint32_t uid) { /* the first that is not below */
	size_t low = 0, high = l->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (l->uids[mid] < uid) low = mid + 1;
		else high = mid;
	}
	return low;
}

static int add_unknown(void *ctx, const struct message *m) {
	struct reading *r = ctx;
	size_t i = find_uid(r->known, m->uid);
	bool known = i < r->known->count && r->known->uids[i] == m->uid;
	return known ? 0 : add(r, m->uid, m->blob_id);
}

static int order(const void *a, const void *b) {
	const struct one *x = a, *y = b;
	return (x->uid > y->uid) - (x->uid < y->uid);
}

/* What was there, and what came. */
static struct list *list_of(struct box box, const struct mailbox *m, const struct list *old, struct buf *fresh) {
	size_t more = fresh->len / sizeof(struct one), was = old != NULL ? old->count : 0, i = 0, j = 0;
	struct one *news = (struct one *)(void *)fresh->at;
	struct list *l = mem_get(sizeof *l);
	*l = (struct list){ .box = box, .uidvalidity = m->uidvalidity, .modseq = m->highestmodseq, .holders = 1 };
	l->uids = mem_array(was + more + 1, sizeof l->uids[0]);
	l->blobs = mem_array(was + more + 1, sizeof l->blobs[0]);
	if (more > 1) qsort(news, more, sizeof *news, order);
	for (; i < was || j < more; l->count++) {
		bool from_old = j == more || (i < was && old->uids[i] < news[j].uid);
		l->uids[l->count] = from_old ? old->uids[i] : news[j].uid;
		l->blobs[l->count] = from_old ? old->blobs[i++] : news[j++].blob;
	}
	return l;
}

/* The list as it should be in this snapshot, held; NULL: *result says why. */
static struct list *bring_up(struct bodies *b, struct db_conn *c, struct box box, struct list *old, int *result) {
	static const struct uid_range whole = { 1, UINT32_MAX };
	AUTO_ARENA struct arena mem = { 0 };
	struct reading r = { .all = BUF(SIZE_MAX / 2), .known = old };
	struct mailbox m;
	*result = store_mailbox(c, &mem, box, &m);
	if (*result != 0) return NULL;
	bool same = old != NULL && old->uidvalidity == m.uidvalidity;
	if (same && old->modseq >= m.highestmodseq) return old;
	*result = same ? store_changes(c, box, old->modseq, add_unknown, NULL, &r)
		       : store_bodies(c, box, (struct uid_set){ &whole, 1 }, add, &r);
	struct list *l = *result == 0 ? list_of(box, &m, same ? old : NULL, &r.all) : NULL;
	buf_done(&r.all);
	if (l != NULL) keep(b, l);
	return l;
}

int bodies_each(struct bodies *b, struct db_conn *c, struct box box, struct uid_set set,
		int (*each)(void *ctx, uint32_t uid, int64_t blob_id), void *ctx) {
	struct list *old = find(b, box);
	int r = 0;
	struct list *l = bring_up(b, c, box, old, &r);
	for (size_t k = 0; l != NULL && k < set.count && r == 0; k++)
		for (size_t i = find_uid(l, set.at[k].first); i < l->count && l->uids[i] <= set.at[k].last && r == 0;
		     i++)
			r = each(ctx, l->uids[i], l->blobs[i]);
	pthread_mutex_lock(&b->lock);
	if (l != NULL && l != old) let_go(l);
	if (old != NULL) let_go(old);
	pthread_mutex_unlock(&b->lock);
	return r;
}
