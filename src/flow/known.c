/* SPDX-License-Identifier: Apache-2.0 */
/* A table with four places for each hash: a newcomer takes the one that would be forgotten first. */
#include "flow/known.h"
#include "base/clock.h"
#include "base/map.h"

#include <pthread.h>

enum { PLACES = 1024, ROW = 4, LIFE_MS = 2000, ADDRESS_MAX = 512 };

struct known {
	const _Atomic uint64_t *version;
	pthread_mutex_t lock;
	struct known_place {
		uint64_t hash, version;
		int64_t until;
		char *address;
		size_t len;
	} places[PLACES];
};

struct known *known_new(const _Atomic uint64_t *version) {
	struct known *k = mem_get(sizeof *k);
	k->version = version;
	pthread_mutex_init(&k->lock, NULL);
	return k;
}

void known_free(struct known **kp) {
	struct known *k = *kp;
	if (k == NULL) return;
	*kp = NULL;
	for (size_t i = 0; i < PLACES; i++) free(k->places[i].address);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

static struct known_place *row_of(struct known *k, uint64_t hash) {
	return &k->places[hash % (PLACES / ROW) * ROW];
}

static bool is_at(const struct known_place *p, uint64_t hash, struct slice address) {
	return p->hash == hash && slice_eq(slice_from(p->address, p->len), address);
}

bool known_has(struct known *k, struct slice address) {
	uint64_t hash = hash_bytes(address);
	const struct known_place *p = row_of(k, hash), *end = p + ROW;
	pthread_mutex_lock(&k->lock);
	while (p < end && !is_at(p, hash, address)) p++;
	bool has = p < end && p->version == *k->version && p->until > clock_ms();
	pthread_mutex_unlock(&k->lock);
	return has;
}

/* Its own place, or the one that would be forgotten first. */
static struct known_place *place_for(struct known *k, uint64_t hash, struct slice address) {
	struct known_place *row = row_of(k, hash), *best = row;
	for (struct known_place *p = row; p < row + ROW; p++) {
		if (is_at(p, hash, address)) return p;
		if (p->until < best->until) best = p;
	}
	return best;
}

uint64_t known_version(const struct known *k) {
	return *k->version;
}

void known_add(struct known *k, struct slice address, uint64_t version) {
	if (address.len > ADDRESS_MAX) return;
	uint64_t hash = hash_bytes(address);
	char *copy = slice_text(address);
	pthread_mutex_lock(&k->lock);
	struct known_place *p = place_for(k, hash, address);
	free(p->address);
	*p = (struct known_place){ hash, version, deadline_in(LIFE_MS), copy, address.len };
	pthread_mutex_unlock(&k->lock);
}
