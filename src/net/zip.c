/* SPDX-License-Identifier: Apache-2.0 */
/* An IMAP session is idle nearly always, so nothing of zlib may outlive a burst of work. What we send never refers to
 * what was sent before the last pause: the packer is simply thrown away at a byte boundary (a sync flush) and a new one
 * goes on. The peer may refer to the last 32 KiB of what it sent, so that much history is kept, packed when it is long.
 */
#include "net/zip.h"
#include "base/fail.h"

#include <zlib.h>

enum { RAW = -15, LEVEL = 3, HISTORY = 32768, SMALL_HISTORY = 2048, STEP = 16384 };
enum { PACKER_SIZE = 268 * 1024, UNPACKER_SIZE = 40 * 1024 };

struct zip {
	z_stream *packer, *unpacker;       /* NULL while relaxed */
	bool unflushed;                    /* the packer holds text back */
	bool at_rest; /* the unpacker is between two blocks, at a byte boundary: its history says all */
	char *history;                     /* of a relaxed unpacker */
	size_t history_len, history_plain; /* as kept; as it was. Equal: not packed */
};

struct zip *zip_new(void) {
	return mem_get(sizeof(struct zip));
}

static void packer_free(struct zip *z) {
	if (z->packer != NULL) deflateEnd(z->packer);
	free(z->packer);
	z->packer = NULL;
}

static void unpacker_free(struct zip *z) {
	if (z->unpacker != NULL) inflateEnd(z->unpacker);
	free(z->unpacker);
	z->unpacker = NULL;
}

static void history_free(struct zip *z) {
	free(z->history);
	z->history = NULL;
	z->history_len = z->history_plain = 0;
}

void zip_free(struct zip **zp) {
	struct zip *z = TAKE(*zp);
	if (z == NULL) return;
	packer_free(z);
	unpacker_free(z);
	history_free(z);
	free(z);
}

static void history_give(struct zip *z) {
	unsigned char plain[HISTORY];
	unsigned long len = sizeof plain;
	const unsigned char *at = (const unsigned char *)z->history;
	if (z->history_len != z->history_plain) {
		must(uncompress(plain, &len, at, z->history_len) == Z_OK);
		at = plain;
	} else {
		len = z->history_len;
	}
	must(len == 0 || inflateSetDictionary(z->unpacker, at, (unsigned)len) == Z_OK);
	history_free(z);
}

static void unpacker_make(struct zip *z) {
	if (z->unpacker != NULL) return;
	z->unpacker = mem_get(sizeof *z->unpacker);
	if (inflateInit2(z->unpacker, RAW) != Z_OK) die_now("out of memory for inflate");
	history_give(z);
}

int zip_unpack(struct zip *z, struct slice *packed, char *to, size_t room, size_t *got) {
	unpacker_make(z);
	z_stream *u = z->unpacker;
	u->next_in = (unsigned char *)(uintptr_t)packed->at;
	u->avail_in = (unsigned)MIN_OF(packed->len, (size_t)STEP * 4);
	u->next_out = (unsigned char *)to;
	u->avail_out = (unsigned)MIN_OF(room, (size_t)STEP * 4);
	size_t in = u->avail_in, out = u->avail_out;
	int r = inflate(u, Z_SYNC_FLUSH);
	*packed = slice_skip(*packed, in - u->avail_in);
	*got = out - u->avail_out;
	u->next_in = NULL;
	/* a call without any input tells nothing */
	if (in != u->avail_in || *got != 0) z->at_rest = (u->data_type & 128) != 0 && (u->data_type & 127) == 0;
	if (r == Z_OK || r == Z_BUF_ERROR) return 0;
	if (r == Z_STREAM_END) return *got != 0 ? 0 : fail("the peer has ended its compressed stream");
	return fail("what the peer sends does not unpack: %s", u->msg != NULL ? u->msg : zError(r));
}

bool zip_pack(struct zip *z, struct slice *plain, struct buf *out, size_t most) {
	if (z->packer == NULL) {
		z->packer = mem_get(sizeof *z->packer);
		if (deflateInit2(z->packer, LEVEL, Z_DEFLATED, RAW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
			die_now("out of memory for deflate");
	}
	z_stream *p = z->packer;
	z->unflushed |= plain->len != 0;
	while (z->unflushed && out->len < most) {
		char *to = buf_room(out, STEP);
		if (to == NULL) return false;
		p->next_in = (unsigned char *)(uintptr_t)plain->at;
		p->avail_in = (unsigned)MIN_OF(plain->len, (size_t)STEP * 4);
		p->next_out = (unsigned char *)to;
		p->avail_out = STEP;
		size_t in = p->avail_in;
		bool last = in == plain->len;
		must(deflate(p, last ? Z_SYNC_FLUSH : Z_NO_FLUSH) != Z_STREAM_ERROR);
		*plain = slice_skip(*plain, in - p->avail_in);
		out->len += STEP - p->avail_out;
		if (last && p->avail_in == 0 && p->avail_out != 0) z->unflushed = false;
	}
	return !z->unflushed;
}

static void history_keep(struct zip *z) {
	unsigned char plain[HISTORY], packed[HISTORY];
	unsigned len = sizeof plain;
	unsigned long packed_len = sizeof packed;
	if (inflateGetDictionary(z->unpacker, plain, &len) != Z_OK) return;
	bool small = len > SMALL_HISTORY && compress2(packed, &packed_len, plain, len, 1) == Z_OK && packed_len < len;
	z->history_plain = len;
	z->history_len = small ? packed_len : len;
	z->history = mem_get(z->history_len + 1);
	memcpy(z->history, small ? packed : plain, z->history_len);
	unpacker_free(z);
}

void zip_relax(struct zip *z) {
	if (!z->unflushed) packer_free(z);
	if (z->unpacker != NULL && z->at_rest) history_keep(z);
}

size_t zip_memory(const struct zip *z) {
	return sizeof *z + z->history_len + (z->packer != NULL ? PACKER_SIZE : 0) +
	       (z->unpacker != NULL ? UNPACKER_SIZE : 0);
}
