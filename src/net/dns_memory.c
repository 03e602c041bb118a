/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a moment ago. libunbound keeps them too, but behind its thread: fetching one costs three changes of
 * threads, and a server that looks into three block lists does so for each message. An answer is forgotten when
 * its time to live is over. Four places for each hash; a newcomer takes the one that would be forgotten first. */
#include "base/clock.h"
#include "base/map.h"
#include "base/wire.h"
#include "net/dns_private.h"

#include <pthread.h>

enum { ROWS = 256, ROW = 4, LARGEST = 2048 /* packed; larger answers are not kept */, LONGEST_S = 3600 };

struct kept {
	uint64_t hash;
	int64_t until; /* clock_ms */
	char *packed;  /* key, then the answer */
	size_t len;
};

struct dns_memory {
	pthread_mutex_t lock;
	struct kept (*places)[ROW]; /* comes with the first answer */
};

struct dns_memory *dns_memory_new(void) {
	struct dns_memory *m = mem_get(sizeof *m);
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

void dns_memory_free(struct dns_memory **mp) {
	struct dns_memory *m = TAKE(*mp);
	if (m == NULL) return;
	for (size_t i = 0; i < ROWS * ROW && m->places != NULL; i++) free(m->places[i / ROW][i % ROW].packed);
	free(m->places);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* The name as it is compared, and the type. */
static struct slice key_make(const char *name, int type, char room[DNS_TEXT_ROOM + 8]) {
	size_t n = 0;
	for (; name[n] != '\0' && n < DNS_TEXT_ROOM; n++) room[n] = ascii_lower(name[n]);
	if (n > 1 && room[n - 1] == '.') n--;
	room[n++] = '\0';
	room[n++] = (char)(type & 0xff);
	room[n++] = (char)(type >> 8 & 0xff);
	return slice_from(room, n);
}

static bool is_at(const struct kept *k, uint64_t hash, struct slice key) {
	return k->packed != NULL && k->hash == hash && k->len >= key.len && memcmp(k->packed, key.at, key.len) == 0;
}

static void answer_pack(struct buf *out, const struct dns_answer *a) {
	wire_put_u64(out, (uint64_t)a->result);
	wire_put_u64(out, a->facts.secure);
	wire_put_text(out, a->facts.canonical);
	wire_put_u64(out, a->count);
	for (size_t i = 0; i < a->count; i++) wire_put_text(out, a->rdata[i]);
}

static void answer_unpack(struct unwire *in, uint32_t ttl, struct dns_answer *out) {
	struct dns_answer a = { .result = (int)wire_get_u64(in) };
	a.facts.secure = wire_get_u64(in) != 0;
	a.facts.ttl = ttl;
	a.facts.canonical = wire_get_text(in);
	a.count = wire_get_count(in, 1);
	if (a.count != 0) a.rdata = arena_array(in->mem, a.count, sizeof *a.rdata);
	for (size_t i = 0; i < a.count; i++) a.rdata[i] = wire_get_text(in);
	must(!in->bad);
	*out = a;
}

bool dns_memory_get(struct dns_memory *m, const char *name, int type, struct arena *mem, struct dns_answer *out) {
	char room[DNS_TEXT_ROOM + 8];
	struct slice key = key_make(name, type, room), packed = SLICE_NONE;
	uint64_t hash = hash_bytes(key);
	int64_t now = clock_ms(), until = 0;
	pthread_mutex_lock(&m->lock);
	const struct kept *k = m->places != NULL ? m->places[hash % ROWS] : NULL, *end = k != NULL ? k + ROW : NULL;
	while (k < end && !is_at(k, hash, key)) k++;
	if (k < end && k->until > now) {
		until = k->until;
		if (mem != NULL) packed = arena_slice(mem, slice_skip(slice_from(k->packed, k->len), key.len));
	}
	pthread_mutex_unlock(&m->lock);
	if (until == 0 || mem == NULL) return until != 0;
	struct unwire in = UNWIRE(packed, mem);
	answer_unpack(&in, (uint32_t)((until - now + 999) / 1000), out);
	return true;
}

/* Its own place, or the one that would be forgotten first. */
static struct kept *place_for(struct dns_memory *m, uint64_t hash, struct slice key) {
	if (m->places == NULL) m->places = mem_array(ROWS, sizeof *m->places);
	struct kept *row = m->places[hash % ROWS], *best = row;
	for (struct kept *k = row; k < row + ROW; k++) {
		if (is_at(k, hash, key)) return k;
		if (k->until < best->until) best = k;
	}
	return best;
}

void dns_memory_keep(struct dns_memory *m, const char *name, int type, const struct dns_answer *answer) {
	if (answer->result == DNS_LATER || answer->facts.ttl == 0) return;
	char room[DNS_TEXT_ROOM + 8];
	struct slice key = key_make(name, type, room);
	struct buf packed = BUF(LARGEST);
	buf_add(&packed, key);
	answer_pack(&packed, answer);
	if (!packed.full) {
		uint64_t hash = hash_bytes(key);
		int64_t until = deadline_in(SECONDS(MIN_OF(answer->facts.ttl, (uint32_t)LONGEST_S)));
		pthread_mutex_lock(&m->lock);
		struct kept *k = place_for(m, hash, key);
		free(k->packed);
		*k = (struct kept){ hash, until, packed.at, packed.len };
		packed = BUF(LARGEST); /* taken */
		pthread_mutex_unlock(&m->lock);
	}
	buf_done(&packed);
}
