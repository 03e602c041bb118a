/* SPDX-License-Identifier: Apache-2.0 */
/* One small record for each address, in a map that is emptied of the dead when it is full: an attacker with many
 * addresses can only make others wait six seconds once more. */
#include "role/screen_memory.h"
#include "base/clock.h"
#include "base/wire.h"

#include <pthread.h>

enum { REMEMBERED_MAX = 100000 };

struct screen_memory {
	pthread_mutex_t lock;
	struct map records; /* address → struct entry */
	struct screen_keep keep;
};
struct entry {
	struct addr_key key;
	struct screen_record record;
};

struct screen_memory *screen_memory_new(const struct screen_keep *keep) {
	struct screen_memory *m = mem_get(sizeof *m);
	if (keep != NULL) m->keep = *keep;
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void screen_memory_free(struct screen_memory **mp) {
	struct screen_memory *m = *mp;
	if (m == NULL) return;
	*mp = NULL;
	map_done(&m->records, free);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static struct slice key_text(const struct addr_key *k) {
	return slice_from(k->bytes, sizeof k->bytes);
}

static bool is_alive(const struct screen_record *r, int64_t now) {
	for (size_t i = 0; i < SCREEN_TESTS; i++)
		if (r->until[i] > now) return true;
	return false;
}

struct dead {
	struct addr_key *keys;
	size_t count;
	int64_t now;
};

static bool collect_dead(void *ctx, struct slice key, void *value) {
	struct dead *d = ctx;
	const struct entry *e = value;
	(void)key;
	if (!is_alive(&e->record, d->now)) d->keys[d->count++] = e->key;
	return true;
}

/* Takes out the dead; when nobody is, everybody. */
static void sweep(struct screen_memory *m) {
	struct dead d = { .keys = mem_array(m->records.count, sizeof *d.keys), .now = wall_s() };
	map_each(&m->records, collect_dead, &d);
	for (size_t i = 0; i < d.count; i++) free(map_take(&m->records, key_text(&d.keys[i])));
	if (d.count < REMEMBERED_MAX / 10) map_done(&m->records, free);
	free(d.keys);
}

static const struct screen_record *add(struct screen_memory *m, const struct addr_key *key,
				       const struct screen_record *r) {
	if (m->records.count >= REMEMBERED_MAX) sweep(m);
	struct entry *e = map_get(&m->records, key_text(key));
	if (e == NULL) {
		e = mem_get(sizeof *e);
		e->key = *key;
		map_put(&m->records, key_text(key), e);
	}
	for (size_t i = 0; i < SCREEN_TESTS; i++)
		if (r->until[i] > 0) e->record.until[i] = r->until[i];
	return &e->record;
}

static bool unpack(struct slice packed, struct screen_record *out) {
	AUTO_ARENA struct arena mem = { 0 };
	struct unwire in = UNWIRE(packed, &mem);
	struct screen_record r;
	for (size_t i = 0; i < SCREEN_TESTS; i++) r.until[i] = wire_get_i64(&in);
	if (!in.bad) *out = r;
	return !in.bad;
}

bool screen_memory_find(struct screen_memory *m, const struct addr *peer, struct screen_record *out) {
	struct addr_key key = addr_key(peer, 128);
	pthread_mutex_lock(&m->lock);
	const struct entry *e = map_get(&m->records, key_text(&key));
	if (e != NULL) *out = e->record;
	pthread_mutex_unlock(&m->lock);
	if (e != NULL || m->keep.recall == NULL) return e != NULL;
	AUTO_ARENA struct arena mem = { 0 };
	char text[ADDR_TEXT_ROOM];
	struct slice packed;
	if (!m->keep.recall(m->keep.ctx, slice_of(addr_text(peer, text)), &mem, &packed) || !unpack(packed, out))
		return false;
	pthread_mutex_lock(&m->lock);
	add(m, &key, out);
	pthread_mutex_unlock(&m->lock);
	return true;
}

void screen_memory_add(struct screen_memory *m, const struct addr *peer, const struct screen_record *r) {
	struct addr_key key = addr_key(peer, 128);
	struct screen_record whole;
	char text[ADDR_TEXT_ROOM];
	int64_t until = 0;
	pthread_mutex_lock(&m->lock);
	whole = *add(m, &key, r);
	pthread_mutex_unlock(&m->lock);
	if (m->keep.keep == NULL) return;
	AUTO_BUF struct buf packed = BUF(256);
	for (size_t i = 0; i < SCREEN_TESTS; i++) {
		wire_put_i64(&packed, whole.until[i]);
		until = MAX_OF(until, whole.until[i]);
	}
	m->keep.keep(m->keep.ctx, slice_of(addr_text(peer, text)), buf_slice(&packed), until);
}
