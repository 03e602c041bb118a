/* SPDX-License-Identifier: Apache-2.0 */
#include "store/kept_packs.h"

#include <pthread.h>

/* What is looked for stands close together: a walk looks through all of them for each pack. */
struct slot {
	struct box box;
	uint32_t kind, first, last;
	uint64_t used;          /* when last, in numbers of finds */
	struct kept_pack *pack; /* held */
};

enum { SLOTS = 1024 };

struct kept_packs {
	pthread_mutex_t lock;
	size_t limit, bytes, count;
	uint64_t now;
	struct slot slots[SLOTS];
};

struct kept_packs *kept_packs_new(size_t limit) {
	struct kept_packs *k = mem_get(sizeof *k);
	k->limit = limit;
	pthread_mutex_init(&k->lock, NULL);
	return k;
}

static size_t bytes_of(const struct kept_pack *p) {
	return sizeof *p + p->plain.room;
}

/* The lock is held. */
static void let_go(struct kept_pack *p) {
	if (--p->holders != 0) return;
	buf_done(&p->plain);
	free(p);
}

static void take_out(struct kept_packs *k, size_t i) {
	struct kept_pack *p = k->slots[i].pack;
	k->slots[i] = k->slots[--k->count];
	k->bytes -= bytes_of(p);
	let_go(p);
}

void kept_packs_free(struct kept_packs **kp) {
	struct kept_packs *k = TAKE(*kp);
	if (k == NULL) return;
	while (k->count != 0) take_out(k, 0);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static bool is_of(const struct slot *s, enum blob_kept kind, struct box box) {
	return s->kind == (uint32_t)kind && s->box.account == box.account && s->box.id == box.id;
}

static struct slot *slot_of(struct kept_packs *k, enum blob_kept kind, struct box box, uint32_t uid) {
	for (size_t i = 0; i < k->count; i++) {
		struct slot *s = &k->slots[i];
		if (uid >= s->first && uid <= s->last && is_of(s, kind, box)) return s;
	}
	return NULL;
}

struct kept_pack *kept_packs_find(struct kept_packs *k, enum blob_kept kind, struct box box, uint32_t uid) {
	pthread_mutex_lock(&k->lock);
	struct slot *s = slot_of(k, kind, box, uid);
	struct kept_pack *p = s != NULL ? s->pack : NULL;
	if (p != NULL) {
		s->used = ++k->now;
		p->holders++;
	}
	pthread_mutex_unlock(&k->lock);
	return p;
}

/* Which one leaves for a newcomer. */
static size_t leaver(const struct kept_packs *k, const struct kept_pack *newcomer) {
	size_t own = SIZE_MAX, other = SIZE_MAX;
	for (size_t i = 0; i < k->count; i++) {
		const struct slot *s = &k->slots[i];
		if (is_of(s, newcomer->kind, newcomer->box)) {
			if (own == SIZE_MAX || s->used > k->slots[own].used) own = i;
		} else if (other == SIZE_MAX || s->used < k->slots[other].used) {
			other = i;
		}
	}
	return other != SIZE_MAX ? other : own;
}

void kept_packs_keep(struct kept_packs *k, struct kept_pack *p) {
	size_t bytes = bytes_of(p);
	pthread_mutex_lock(&k->lock);
	/* two walks may have missed it at the same time */
	if (bytes <= k->limit / 8 && slot_of(k, p->kind, p->box, p->last) == NULL) {
		while (k->count == SLOTS || k->bytes + bytes > k->limit) take_out(k, leaver(k, p));
		k->slots[k->count++] = (struct slot){ p->box, (uint32_t)p->kind, p->first, p->last, ++k->now, p };
		k->bytes += bytes;
		p->holders++;
	}
	pthread_mutex_unlock(&k->lock);
}

void kept_packs_release(struct kept_packs *k, struct kept_pack **pp) {
	struct kept_pack *p = TAKE(*pp);
	if (p == NULL) return;
	pthread_mutex_lock(&k->lock);
	let_go(p);
	pthread_mutex_unlock(&k->lock);
}
