/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
/* Both directions of a compressed connection: raw DEFLATE without header or end (RFC 1951, RFC 4978 COMPRESS=DEFLATE).
 * Working it takes 300 KB; relaxed, while nothing goes over the connection, it keeps the few KB of history that what
 * the peer sends next may refer to. */
struct zip;
struct zip *zip_new(void) NONNULL_RESULT;
void zip_free(struct zip **z);
/* Makes at most room bytes of plain text at `to` from *packed, which moves on; *got is how many. 0 of them: *packed is
 * used up and more is needed. <0: not DEFLATE, or the peer has ended it. */
int zip_unpack(struct zip *z, struct slice *packed, char *to, size_t room, size_t *got);
/* Packs *plain, which moves on, until all of it is taken or out holds `most` bytes. True: all is taken and out has, in
 * the end, everything that the peer needs to read it. */
bool zip_pack(struct zip *z, struct slice *plain, struct buf *out, size_t most);
/* Nothing is under way: frees what can be made again. */
void zip_relax(struct zip *z);
/* Bytes of memory held, zlib's own structs included (about). */
size_t zip_memory(const struct zip *z);
