/* SPDX-License-Identifier: Apache-2.0 */
/* A table with one place for each hash: a newcomer simply takes the place of whoever is there. */
#include "flow/known.h"
#include "base/clock.h"
#include "base/map.h"

#include <pthread.h>

enum { PLACES = 1024, LIFE_MS = 2000, ADDRESS_MAX = 256 };

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

bool known_has(struct known *k, struct slice address) {
	uint64_t hash = hash_bytes(address);
	const struct known_place *p = &k->places[hash % PLACES];
	pthread_mutex_lock(&k->lock);
	bool has = p->hash == hash && p->version == *k->version && p->until > clock_ms() &&
		   slice_eq(slice_from(p->address, p->len), address);
	pthread_mutex_unlock(&k->lock);
	return has;
}

uint64_t known_version(const struct known *k) {
	return *k->version;
}

void known_add(struct known *k, struct slice address, uint64_t version) {
	if (address.len > ADDRESS_MAX) return;
	uint64_t hash = hash_bytes(address);
	struct known_place *p = &k->places[hash % PLACES];
	char *copy = slice_text(address);
	pthread_mutex_lock(&k->lock);
	free(p->address);
	*p = (struct known_place){ hash, version, deadline_in(LIFE_MS), copy, address.len };
	pthread_mutex_unlock(&k->lock);
}
