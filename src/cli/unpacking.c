/* SPDX-License-Identifier: Apache-2.0 */
/* What bzip2 and xz wrote is told apart, not read: their libraries would be there for this alone. */
#include "cli/unpacking.h"
#include "base/fail.h"

#include <lz4.h>
#include <zlib.h>
#include <zstd.h>

enum {
	PIECE = 128 * 1024,
	FREE_SIZE = 64 << 20, /* what no one need ask about; beyond it a message is at most so many times its file: */
	RATIO_MAX = 200,
	CHUNK_MAX = 1 << 20,  /* of Dovecot's LZ4, packed and plain */
	WINDOW_MAX = 27       /* 128 MiB, as zstd(1) has it; Dovecot's own windows have at most 8 */
};
#define LZ4_MAGIC "Dovecot-LZ4\r\x2a\x9b\xc5"
enum { LZ4_HEAD = sizeof LZ4_MAGIC - 1 + 4 };

struct unpacking {
	enum packing packing;
	int (*write)(void *ctx, struct slice plain);
	void *ctx;
	uint64_t in, out;
	bool ended;          /* between two members, frames or chunks: it may end here */
	char *room;          /* PIECE, or CHUNK_MAX */
	z_stream z;
	ZSTD_DStream *zstd;
	struct buf waiting;  /* LZ4: a head or chunk that is not whole yet */
	size_t plain_max;    /* LZ4: of a chunk; 0: the head was not read yet */
};

enum packing packing_of(struct slice head) {
	static const struct { struct slice magic; enum packing packing; } forms[] = {
		{ S("\x1f\x8b"), PACKING_GZIP },         { S("\x28\xb5\x2f\xfd"), PACKING_ZSTD },
		{ S("Dovecot-LZ4"), PACKING_LZ4 },       { S("BZh"), PACKING_OTHER },
		{ S("\x04\x22\x4d\x18"), PACKING_OTHER }, { S("\xfd" "7zXZ"), PACKING_OTHER },
	};
	for (size_t i = 0; i < LEN(forms); i++)
		if (slice_starts(head, forms[i].magic)) return forms[i].packing;
	return PACKING_NONE;
}

struct unpacking *unpacking_new(enum packing p, int (*write)(void *ctx, struct slice plain), void *ctx) {
	struct unpacking *u = mem_get(sizeof *u);
	*u = (struct unpacking){ .packing = p, .write = write, .ctx = ctx, .waiting = BUF(CHUNK_MAX + 4) };
	u->room = mem_get(p == PACKING_LZ4 ? CHUNK_MAX : PIECE);
	if (p == PACKING_GZIP) must(inflateInit2(&u->z, 15 + 16) == Z_OK);
	if (p == PACKING_ZSTD) {
		u->zstd = ZSTD_createDStream();
		must(u->zstd != NULL);
		ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, WINDOW_MAX);
	}
	return u;
}

void unpacking_free(struct unpacking **up) {
	struct unpacking *u = TAKE(*up);
	if (u == NULL) return;
	if (u->packing == PACKING_GZIP) inflateEnd(&u->z);
	ZSTD_freeDStream(u->zstd);
	buf_done(&u->waiting);
	free(u->room);
	free(u);
}

static int damaged(void) {
	return fail("compressed, and damaged or cut off"), 1;
}

static int put(struct unpacking *u, size_t len) {
	u->out += len;
	if (u->out > FREE_SIZE && u->out / RATIO_MAX > u->in)
		return fail("compressed, and unpacks to more than %d times its size (a bomb?)", RATIO_MAX), 1;
	return len != 0 ? u->write(u->ctx, slice_from(u->room, len)) : 0;
}

/* Members may follow each other, as gzip(1) reads them. */
static int feed_gzip(struct unpacking *u, struct slice packed) {
	u->z.next_in = (Bytef *)(uintptr_t)packed.at;
	u->z.avail_in = (uInt)packed.len;
	int r = 0;
	for (bool full = false; r == 0 && (u->z.avail_in != 0 || full);) {
		if (u->ended && inflateReset(&u->z) != Z_OK) return damaged();
		u->z.next_out = (Bytef *)u->room;
		u->z.avail_out = PIECE;
		int z = inflate(&u->z, Z_NO_FLUSH);
		full = u->z.avail_out == 0;
		u->ended = z == Z_STREAM_END;
		if (z != Z_OK && z != Z_STREAM_END && z != Z_BUF_ERROR) return damaged();
		r = put(u, PIECE - u->z.avail_out);
		if (u->ended) full = false;
	}
	return r;
}

static int feed_zstd(struct unpacking *u, struct slice packed) {
	ZSTD_inBuffer in = { packed.at, packed.len, 0 };
	int r = 0;
	for (bool full = false; r == 0 && (in.pos < in.size || full);) {
		ZSTD_outBuffer out = { u->room, PIECE, 0 };
		size_t left = ZSTD_decompressStream(u->zstd, &out, &in);
		if (ZSTD_isError(left)) return damaged();
		u->ended = left == 0;
		full = out.pos == out.size && !u->ended;
		r = put(u, out.pos);
	}
	return r;
}

static size_t big_endian(const char *at) {
	size_t v = 0;
	for (size_t i = 0; i < 4; i++) v = v << 8 | (unsigned char)at[i];
	return v;
}

/* How long what begins in waiting is, as far as that is known: the head, a chunk's length, the chunk. */
static size_t lz4_want(const struct unpacking *u) {
	return u->plain_max == 0 ? LZ4_HEAD : u->waiting.len < 4 ? 4 : big_endian(u->waiting.at) + 4;
}

static int lz4_take(struct unpacking *u, struct slice s) {
	if (u->plain_max == 0) {
		u->plain_max = big_endian(s.at + LZ4_HEAD - 4);
		bool good = slice_starts(s, S(LZ4_MAGIC)) && u->plain_max != 0 && u->plain_max <= CHUNK_MAX;
		return good ? 0 : damaged();
	}
	int n = LZ4_decompress_safe(s.at + 4, u->room, (int)(s.len - 4), (int)u->plain_max);
	return n < 0 ? damaged() : put(u, (size_t)n);
}

static int feed_lz4(struct unpacking *u, struct slice packed) {
	int r = 0;
	while (packed.len != 0 && r == 0) {
		size_t n = MIN_OF(lz4_want(u) - u->waiting.len, packed.len);
		buf_add(&u->waiting, slice_head(packed, n));
		packed = slice_skip(packed, n);
		u->ended = false;
		size_t want = lz4_want(u);
		if (want > CHUNK_MAX + 4 || (want == 4 && u->waiting.len == 4)) return damaged();
		if (u->waiting.len < want) continue;
		r = lz4_take(u, buf_slice(&u->waiting));
		u->ended = true;
		buf_clear(&u->waiting);
	}
	return r;
}

int unpacking_feed(struct unpacking *u, struct slice packed) {
	u->in += packed.len;
	return u->packing == PACKING_GZIP   ? feed_gzip(u, packed)
	       : u->packing == PACKING_ZSTD ? feed_zstd(u, packed)
					    : feed_lz4(u, packed);
}

int unpacking_end(struct unpacking *u) {
	return u->ended ? 0 : damaged();
}
