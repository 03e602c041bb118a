/* SPDX-License-Identifier: Apache-2.0 */
/* A zstd context is some hundred KiB and slow to make: they are shared by all threads and a few are kept, so that
 * many workers do not each own one. */
#include "db/inside.h"

#include <zstd.h>

enum { IDLE_CONTEXTS = 8, LEVEL = 1, QUICK_LEVEL = -1 /* no entropy tables to be built for a few KB */ };

struct pack_pool {
	pthread_mutex_t lock;
	ZSTD_CCtx *packers[IDLE_CONTEXTS];
	ZSTD_DCtx *unpackers[IDLE_CONTEXTS];
};

struct pack_pool *pack_pool_new(void) {
	struct pack_pool *pool = mem_get(sizeof *pool);
	pthread_mutex_init(&pool->lock, NULL);
	return pool;
}

void pack_pool_free(struct pack_pool **poolp) {
	struct pack_pool *pool = TAKE(*poolp);
	if (pool == NULL) return;
	for (size_t i = 0; i < IDLE_CONTEXTS; i++) {
		ZSTD_freeCCtx(pool->packers[i]);
		ZSTD_freeDCtx(pool->unpackers[i]);
	}
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

static void *borrow(struct pack_pool *pool, void **idle) {
	void *context = NULL;
	pthread_mutex_lock(&pool->lock);
	for (size_t i = 0; i < IDLE_CONTEXTS && context == NULL; i++)
		if (idle[i] != NULL) context = TAKE(idle[i]);
	pthread_mutex_unlock(&pool->lock);
	return context;
}

/* What is left over is returned, to be freed. */
static void *give_back(struct pack_pool *pool, void **idle, void *context) {
	pthread_mutex_lock(&pool->lock);
	for (size_t i = 0; i < IDLE_CONTEXTS && context != NULL; i++)
		if (idle[i] == NULL) idle[i] = TAKE(context);
	pthread_mutex_unlock(&pool->lock);
	return context;
}

size_t pack_bound(size_t plain) {
	return ZSTD_compressBound(plain);
}

int pack(struct pack_pool *pool, struct slice plain, bool quick, char *at, size_t room, size_t *len) {
	ZSTD_CCtx *c = borrow(pool, (void **)pool->packers);
	if (c == NULL) {
		c = ZSTD_createCCtx();
		if (c == NULL) die_now("out of memory for a zstd context");
		ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
	}
	ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, quick ? QUICK_LEVEL : LEVEL);
	size_t n = ZSTD_compress2(c, at, room, plain.at != NULL ? plain.at : "", plain.len);
	ZSTD_freeCCtx(give_back(pool, (void **)pool->packers, c));
	if (ZSTD_isError(n)) return fail("zstd: %s", ZSTD_getErrorName(n));
	*len = n;
	return 0;
}

int unpack(struct pack_pool *pool, struct slice packed, char *at, size_t plain) {
	ZSTD_DCtx *c = borrow(pool, (void **)pool->unpackers);
	if (c == NULL) c = ZSTD_createDCtx();
	if (c == NULL) die_now("out of memory for a zstd context");
	size_t n = ZSTD_decompressDCtx(c, at, plain, packed.at, packed.len);
	ZSTD_freeDCtx(give_back(pool, (void **)pool->unpackers, c));
	if (ZSTD_isError(n)) return fail("zstd: %s", ZSTD_getErrorName(n));
	return n == plain ? 0 : fail("zstd: %zu bytes where %zu should be", n, plain);
}
