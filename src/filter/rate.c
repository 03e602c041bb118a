/* SPDX-License-Identifier: Apache-2.0 */
#include "filter/rate.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/wire.h"

#include <pthread.h>

enum { SWEEP_FROM = 1024 };

struct client_key {
	struct addr_key from;
	unsigned char service[RATE_SERVICE_MAX]; /* with zeros behind it */
};

struct client {
	struct client_key key;
	unsigned live, counts[RATE_KINDS];
	int64_t since, unit_ms;
};

struct rates {
	pthread_mutex_t lock;
	struct map clients;
	size_t sweep_at;
};

struct rates *rates_new(void) {
	struct rates *r = mem_get(sizeof *r);
	pthread_mutex_init(&r->lock, NULL);
	r->sweep_at = SWEEP_FROM;
	return r;
}

void rates_free(struct rates **rp) {
	struct rates *r = *rp;
	if (r == NULL) return;
	*rp = NULL;
	map_done(&r->clients, free);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static struct slice key_text(const struct client_key *k) {
	return slice_from(k, sizeof *k);
}

static bool stale(const struct client *c, int64_t now) {
	return c->live == 0 && now - c->since >= c->unit_ms;
}

struct stale_list {
	struct client_key *keys;
	size_t count;
	int64_t now;
};

static bool collect_stale(void *ctx, struct slice key, void *value) {
	struct stale_list *list = ctx;
	(void)key;
	const struct client *c = value;
	if (stale(c, list->now)) list->keys[list->count++] = c->key;
	return true;
}

/* When the table has doubled, those who have gone are taken out: the cost of each new client stays the same. */
static void sweep(struct rates *r, int64_t now) {
	if (r->clients.count < r->sweep_at) return;
	struct stale_list list = { .keys = mem_array(r->clients.count, sizeof(struct client_key)), .now = now };
	map_each(&r->clients, collect_stale, &list);
	for (size_t i = 0; i < list.count; i++) free(map_take(&r->clients, key_text(&list.keys[i])));
	free(list.keys);
	r->sweep_at = MAX_OF(r->clients.count * 2, (size_t)SWEEP_FROM);
}

static struct client *find(struct rates *r, const struct rate_params *p, const struct addr *a) {
	struct client_key key = { .from = addr_key(a, addr_family(a) == AF_INET6 ? p->ipv6_bits : p->ipv4_bits) };
	if (p->service.len != 0) memcpy(key.service, p->service.at, MIN_OF(p->service.len, sizeof key.service));
	struct client *c = map_get(&r->clients, key_text(&key));
	int64_t now = clock_ms();
	if (c == NULL) {
		sweep(r, now);
		c = mem_get(sizeof *c);
		c->key = key;
		c->since = now;
		map_put(&r->clients, key_text(&key), c);
	}
	c->unit_ms = p->unit_ms;
	if (now - c->since >= p->unit_ms) {
		memset(c->counts, 0, sizeof c->counts);
		c->since = now;
	}
	return c;
}

bool rates_enter(struct rates *r, const struct rate_params *params, const struct addr *client) {
	pthread_mutex_lock(&r->lock);
	struct client *c = find(r, params, client);
	bool ok = params->connections == 0 || c->live < params->connections;
	if (ok) c->live++;
	pthread_mutex_unlock(&r->lock);
	return ok;
}

void rates_leave(struct rates *r, const struct rate_params *params, const struct addr *client) {
	pthread_mutex_lock(&r->lock);
	struct client *c = find(r, params, client);
	if (c->live != 0) c->live--;
	pthread_mutex_unlock(&r->lock);
}

static struct client *find_for(struct rates *r, const struct rate_params *params, const struct addr *client,
			       enum rate_kind kind) {
	struct rate_params all = *params;
	if (kind == RATE_AUTH) all.service = SLICE_NONE;
	return find(r, &all, client);
}

bool rates_count(struct rates *r, const struct rate_params *params, const struct addr *client, enum rate_kind kind) {
	pthread_mutex_lock(&r->lock);
	unsigned now = ++find_for(r, params, client, kind)->counts[kind];
	pthread_mutex_unlock(&r->lock);
	return params->most[kind] == 0 || now <= params->most[kind];
}

bool rates_over(struct rates *r, const struct rate_params *params, const struct addr *client, enum rate_kind kind) {
	pthread_mutex_lock(&r->lock);
	unsigned now = find_for(r, params, client, kind)->counts[kind];
	pthread_mutex_unlock(&r->lock);
	return params->most[kind] != 0 && now > params->most[kind];
}

/* Times as of the wall, since the other clock begins anew with the machine. */
struct packing {
	struct buf *out;
	int64_t now, wall;
};

static bool pack_one(void *ctx, struct slice key, void *value) {
	struct packing *p = ctx;
	const struct client *c = value;
	if (p->now - c->since >= c->unit_ms) return true;
	wire_put_text(p->out, key);
	wire_put_i64(p->out, p->wall - (p->now - c->since));
	wire_put_i64(p->out, c->unit_ms);
	for (size_t i = 0; i < RATE_KINDS; i++) wire_put_u64(p->out, c->counts[i]);
	return !p->out->full;
}

void rates_pack(struct rates *r, struct buf *out) {
	struct packing p = { out, clock_ms(), wall_us() / 1000 };
	pthread_mutex_lock(&r->lock);
	map_each(&r->clients, pack_one, &p);
	pthread_mutex_unlock(&r->lock);
}

void rates_unpack(struct rates *r, struct slice packed) {
	AUTO_ARENA struct arena mem = { 0 };
	struct unwire in = UNWIRE(packed, &mem);
	int64_t now = clock_ms(), wall = wall_us() / 1000;
	pthread_mutex_lock(&r->lock);
	while (in.rest.len != 0) {
		struct client c = { 0 };
		struct slice key = wire_get_text(&in);
		int64_t age = wall - wire_get_i64(&in);
		c.unit_ms = wire_get_i64(&in);
		for (size_t i = 0; i < RATE_KINDS; i++) c.counts[i] = (unsigned)wire_get_u64(&in);
		if (in.bad || key.len != sizeof c.key) break;
		if (age < 0 || age >= c.unit_ms || map_get(&r->clients, key) != NULL) continue;
		memcpy(&c.key, key.at, key.len);
		c.since = now - age;
		struct client *kept = mem_get(sizeof *kept);
		*kept = c;
		map_put(&r->clients, key, kept);
	}
	pthread_mutex_unlock(&r->lock);
}
