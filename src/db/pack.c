/* SPDX-License-Identifier: Apache-2.0 */
/* A context is some ten to hundred KiB and slow to make: they are shared by all threads and a few are kept, so that
 * many workers do not each own one. */
#include "db/inside.h"

#include <lz4frame.h>
#include <zstd.h>

enum { IDLE_CONTEXTS = 8, LEVEL = 1 };

struct pack_pool {
	pthread_mutex_t lock;
	ZSTD_CCtx *packers[IDLE_CONTEXTS];
	ZSTD_DCtx *unpackers[IDLE_CONTEXTS];
	LZ4F_cctx *quick_packers[IDLE_CONTEXTS];
	LZ4F_dctx *quick_unpackers[IDLE_CONTEXTS];
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
		LZ4F_freeCompressionContext(pool->quick_packers[i]);
		LZ4F_freeDecompressionContext(pool->quick_unpackers[i]);
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

int pack(struct pack_pool *pool, struct slice plain, char *at, size_t room, size_t *len) {
	ZSTD_CCtx *c = borrow(pool, (void **)pool->packers);
	if (c == NULL) {
		c = ZSTD_createCCtx();
		if (c == NULL) die_now("out of memory for a zstd context");
		ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
		ZSTD_CCtx_setParameter(c, ZSTD_c_compressionLevel, LEVEL);
	}
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

/* LZ4's own frame format: lz4(1) reads it. Checksums are of the packed bytes, block by block: that is what a disk
 * damages, and there are fewer of them; to check what came out cost more than to unpack it. */

static LZ4F_preferences_t quick_preferences(size_t plain) {
	return (LZ4F_preferences_t){ .frameInfo = { .blockSizeID = plain <= KIB(64) ? LZ4F_max64KB : LZ4F_max256KB,
						    .blockMode = LZ4F_blockIndependent,
						    .blockChecksumFlag = LZ4F_blockChecksumEnabled,
						    .contentSize = plain },
				     .autoFlush = 1 };
}

size_t pack_quick_bound(size_t plain) {
	LZ4F_preferences_t preferences = quick_preferences(plain);
	return LZ4F_compressFrameBound(plain, &preferences);
}

static size_t quick_frame(LZ4F_cctx *c, struct slice plain, char *at, size_t room) {
	LZ4F_preferences_t preferences = quick_preferences(plain.len);
	LZ4F_compressOptions_t options = { .stableSrc = 1 };
	size_t head = LZ4F_compressBegin(c, at, room, &preferences), body = 0, end = 0;
	if (!LZ4F_isError(head)) body = LZ4F_compressUpdate(c, at + head, room - head, plain.at, plain.len, &options);
	else return head;
	if (!LZ4F_isError(body)) end = LZ4F_compressEnd(c, at + head + body, room - head - body, &options);
	else return body;
	return LZ4F_isError(end) ? end : head + body + end;
}

int pack_quick(struct pack_pool *pool, struct slice plain, char *at, size_t room, size_t *len) {
	LZ4F_cctx *c = borrow(pool, (void **)pool->quick_packers);
	if (c == NULL && LZ4F_isError(LZ4F_createCompressionContext(&c, LZ4F_VERSION)))
		die_now("out of memory for an LZ4 context");
	if (plain.at == NULL) plain = S("");
	size_t n = quick_frame(c, plain, at, room);
	LZ4F_freeCompressionContext(give_back(pool, (void **)pool->quick_packers, c));
	if (LZ4F_isError(n)) return fail("LZ4: %s", LZ4F_getErrorName(n));
	*len = n;
	return 0;
}

int unpack_quick(struct pack_pool *pool, struct slice packed, char *at, size_t plain) {
	LZ4F_dctx *c = borrow(pool, (void **)pool->quick_unpackers);
	if (c == NULL && LZ4F_isError(LZ4F_createDecompressionContext(&c, LZ4F_VERSION)))
		die_now("out of memory for an LZ4 context");
	LZ4F_resetDecompressionContext(c);
	LZ4F_decompressOptions_t options = { .stableDst = 1 };
	size_t got = 0, left = 1;
	while (left != 0 && !LZ4F_isError(left)) {
		size_t out = plain - got, in = packed.len;
		left = LZ4F_decompress(c, at + got, &out, packed.at, &in, &options);
		got += out;
		packed = slice_skip(packed, in);
		if (out == 0 && in == 0) break; /* it wants more than there is, or has more than there should be */
	}
	LZ4F_freeDecompressionContext(give_back(pool, (void **)pool->quick_unpackers, c));
	if (LZ4F_isError(left)) return fail("LZ4: %s", LZ4F_getErrorName(left));
	bool whole = left == 0 && packed.len == 0 && got == plain;
	return whole ? 0 : fail("LZ4: %zu bytes where %zu should be", got, plain);
}

int db_pack(struct db *db, struct slice plain, struct buf *out) {
	size_t most = pack_quick_bound(plain.len), len = 0;
	char *room = buf_room(out, most);
	if (room == NULL) return fail("LZ4: %zu bytes are too many", plain.len);
	int r = pack_quick(db->packs, plain, room, most, &len);
	out->len += len;
	return r;
}

int db_unpack(struct db *db, struct slice packed, size_t plain, struct buf *out) {
	char *room = buf_room(out, plain);
	if (room == NULL) return fail("LZ4: %zu bytes are too many", plain);
	int r = unpack_quick(db->packs, packed, room, plain);
	if (r == 0) out->len += plain;
	return r;
}
