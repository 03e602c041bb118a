/* SPDX-License-Identifier: Apache-2.0 */
/* One small record for each address, in a map that is emptied of the dead when it is full: an attacker with many addresses can
 * only make others wait six seconds once more. */
#include "role/screen_memory.h"
#include "base/clock.h"
#include "base/wire.h"

#include <pthread.h>

enum { REMEMBERED_MAX = 100000, RECORD_LEAST = 17 + SCREEN_TESTS, PACKED_VERSION = 1 };

struct screen_memory {
	pthread_mutex_t lock;
	struct map records; /* address → struct entry */
	uint64_t changes;
};
struct entry {
	struct addr_key key;
	struct screen_record record;
};

struct screen_memory *screen_memory_new(void) {
	struct screen_memory *m = mem_get(sizeof *m);
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

static void add(struct screen_memory *m, const struct addr_key *key, const struct screen_record *r) {
	if (m->records.count >= REMEMBERED_MAX) sweep(m);
	struct entry *e = map_get(&m->records, key_text(key));
	if (e == NULL) {
		e = mem_get(sizeof *e);
		e->key = *key;
		map_put(&m->records, key_text(key), e);
	}
	for (size_t i = 0; i < SCREEN_TESTS; i++)
		if (r->until[i] > 0) e->record.until[i] = r->until[i];
	m->changes++;
}

bool screen_memory_find(struct screen_memory *m, const struct addr *peer, struct screen_record *out) {
	struct addr_key key = addr_key(peer, 128);
	pthread_mutex_lock(&m->lock);
	const struct entry *e = map_get(&m->records, key_text(&key));
	if (e != NULL) *out = e->record;
	pthread_mutex_unlock(&m->lock);
	return e != NULL;
}

void screen_memory_add(struct screen_memory *m, const struct addr *peer, const struct screen_record *r) {
	struct addr_key key = addr_key(peer, 128);
	pthread_mutex_lock(&m->lock);
	add(m, &key, r);
	pthread_mutex_unlock(&m->lock);
}

uint64_t screen_memory_changes(struct screen_memory *m) {
	pthread_mutex_lock(&m->lock);
	uint64_t changes = m->changes;
	pthread_mutex_unlock(&m->lock);
	return changes;
}

struct packing {
	struct buf *out;
	int64_t now;
};

static bool pack_one(void *ctx, struct slice key, void *value) {
	struct packing *p = ctx;
	const struct entry *e = value;
	if (!is_alive(&e->record, p->now)) return true;
	wire_put_text(p->out, key);
	for (size_t i = 0; i < SCREEN_TESTS; i++) wire_put_i64(p->out, e->record.until[i]);
	return !p->out->full;
}

void screen_memory_pack(struct screen_memory *m, struct buf *out) {
	struct packing p = { out, wall_s() };
	wire_put_u64(out, PACKED_VERSION);
	pthread_mutex_lock(&m->lock);
	map_each(&m->records, pack_one, &p);
	pthread_mutex_unlock(&m->lock);
}

void screen_memory_unpack(struct screen_memory *m, struct slice packed) {
	AUTO_ARENA struct arena mem = { 0 };
	struct unwire in = UNWIRE(packed, &mem);
	if (wire_get_u64(&in) != PACKED_VERSION) return;
	pthread_mutex_lock(&m->lock);
	while (in.rest.len >= RECORD_LEAST && m->records.count < REMEMBERED_MAX) {
		struct addr_key key;
		struct screen_record r;
		struct slice text = wire_get_text(&in);
		for (size_t i = 0; i < SCREEN_TESTS; i++) r.until[i] = wire_get_i64(&in);
		if (in.bad || text.len != sizeof key.bytes) break;
		memcpy(key.bytes, text.at, sizeof key.bytes);
		add(m, &key, &r);
	}
	pthread_mutex_unlock(&m->lock);
}
