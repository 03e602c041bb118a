/* SPDX-License-Identifier: Apache-2.0 */
/* Separate chaining. The hash is SipHash-1-3 with a key drawn once per process. */
#include "base/map.h"
#include "base/encode.h"

#include <pthread.h>

struct map_entry {
	struct map_entry *next;
	uint64_t hash;
	void *value;
	size_t len;
	char key[];
};

static uint64_t secret[2];
static pthread_once_t secret_drawn = PTHREAD_ONCE_INIT;

static void draw_secret(void) {
	random_fill(secret, sizeof secret);
}

static inline uint64_t rotate(uint64_t v, int by) {
	return v << by | v >> (64 - by);
}

static inline void sip_round(uint64_t v[4]) {
	v[0] += v[1]; v[1] = rotate(v[1], 13); v[1] ^= v[0]; v[0] = rotate(v[0], 32);
	v[2] += v[3]; v[3] = rotate(v[3], 16); v[3] ^= v[2];
	v[0] += v[3]; v[3] = rotate(v[3], 21); v[3] ^= v[0];
	v[2] += v[1]; v[1] = rotate(v[1], 17); v[1] ^= v[2]; v[2] = rotate(v[2], 32);
}

uint64_t hash_bytes(struct slice s) {
	pthread_once(&secret_drawn, draw_secret);
	uint64_t v[4] = { secret[0] ^ 0x736f6d6570736575u, secret[1] ^ 0x646f72616e646f6du,
		          secret[0] ^ 0x6c7967656e657261u, secret[1] ^ 0x7465646279746573u };
	uint64_t word;
	size_t i = 0;
	for (; i + 8 <= s.len; i += 8) {
		memcpy(&word, s.at + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)s.len << 56;
	for (size_t k = 0; i + k < s.len; k++) word |= (uint64_t)(unsigned char)s.at[i + k] << (8 * k);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int k = 0; k < 3; k++) sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static struct map_entry **find(const struct map *m, uint64_t hash, struct slice key) {
	struct map_entry **at = &m->slots[hash & (m->room - 1)];
	while (*at != NULL && !((*at)->hash == hash && slice_eq(slice_from((*at)->key, (*at)->len), key)))
		at = &(*at)->next;
	return at;
}

static void grow(struct map *m) {
	size_t room = m->room != 0 ? m->room * 2 : 16;
	struct map_entry **slots = mem_array(room, sizeof(struct map_entry *));
	for (size_t i = 0; i < m->room; i++) {
		for (struct map_entry *e = m->slots[i], *next; e != NULL; e = next) {
			next = e->next;
			e->next = slots[e->hash & (room - 1)];
			slots[e->hash & (room - 1)] = e;
		}
	}
	free(m->slots);
	m->slots = slots;
	m->room = room;
}

void map_done(struct map *m, void (*free_value)(void *)) {
	for (size_t i = 0; i < m->room; i++) {
		for (struct map_entry *e = m->slots[i], *next; e != NULL; e = next) {
			next = e->next;
			if (free_value != NULL) free_value(e->value);
			free(e);
		}
	}
	free(m->slots);
	*m = (struct map){ 0 };
}

void *map_get(const struct map *m, struct slice key) {
	if (m->count == 0) return NULL;
	struct map_entry *e = *find(m, hash_bytes(key), key);
	return e != NULL ? e->value : NULL;
}

void *map_put(struct map *m, struct slice key, void *value) {
	if (m->count >= m->room - m->room / 4) grow(m);
	uint64_t hash = hash_bytes(key);
	struct map_entry **at = find(m, hash, key);
	if (*at != NULL) {
		void *old = (*at)->value;
		(*at)->value = value;
		return old;
	}
	struct map_entry *e = mem_get(sizeof *e + key.len);
	e->hash = hash;
	e->value = value;
	e->len = key.len;
	if (key.len != 0) memcpy(e->key, key.at, key.len);
	*at = e;
	m->count++;
	return NULL;
}

void *map_take(struct map *m, struct slice key) {
	if (m->count == 0) return NULL;
	struct map_entry **at = find(m, hash_bytes(key), key), *e = *at;
	if (e == NULL) return NULL;
	void *value = e->value;
	*at = e->next;
	free(e);
	m->count--;
	return value;
}

void map_each(const struct map *m, bool (*visit)(void *ctx, struct slice key, void *value), void *ctx) {
	for (size_t i = 0; i < m->room; i++)
		for (struct map_entry *e = m->slots[i]; e != NULL; e = e->next)
			if (!visit(ctx, slice_from(e->key, e->len), e->value)) return;
}
