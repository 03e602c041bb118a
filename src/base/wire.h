/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* Packing: how structs travel between our processes and rest in database columns. Numbers are LEB128, text is length +
 * bytes. Reading is bounds-checked and the first error sticks: check `bad` once, at the end.
 *
 * A struct's layout is said once, as a field list; both directions are made from it:
 *
 *   #define ENVELOPE_FIELDS(F) F(text, sender) F(u64, size) F(list, rcpts, rcpt_pack)
 *   WIRE_STRUCT(envelope, ENVELOPE_FIELDS)      → envelope_pack(struct buf *, const struct envelope *)
 *                                                 envelope_unpack(struct unwire *, struct envelope *)  */
struct unwire {
	struct slice rest;
	struct arena *mem;  /* where arrays are built; text is borrowed from the packed bytes */
	bool bad;
};
#define UNWIRE(slice_, arena_) ((struct unwire){ .rest = (slice_), .mem = (arena_) })

void wire_put_u64(struct buf *b, uint64_t v);
void wire_put_i64(struct buf *b, int64_t v); /* zig-zag */
void wire_put_text(struct buf *b, struct slice s);
uint64_t wire_get_u64(struct unwire *w);     /* 0 after an error */
int64_t wire_get_i64(struct unwire *w);
struct slice wire_get_text(struct unwire *w);
/* A count that is followed by that many items of at least min_bytes each: anything larger is an error, so that a
 * hostile count cannot make us take memory. */
size_t wire_get_count(struct unwire *w, size_t min_bytes);

/* Field kinds usable in a list. u32, bool_, int_ travel as u64/i64 and are range-checked on the way back. */
void wire_get_u32_to(struct unwire *w, uint32_t *v);
void wire_get_int_to(struct unwire *w, int *v);
void wire_get_bool_to(struct unwire *w, bool *v);

#define WIRE_PUT_u64(f) wire_put_u64(b, v->f);
#define WIRE_PUT_i64(f) wire_put_i64(b, v->f);
#define WIRE_PUT_u32(f) wire_put_u64(b, v->f);
#define WIRE_PUT_int_(f) wire_put_i64(b, v->f);
#define WIRE_PUT_bool_(f) wire_put_u64(b, v->f);
#define WIRE_PUT_text(f) wire_put_text(b, v->f);
#define WIRE_GET_u64(f) v->f = wire_get_u64(w);
#define WIRE_GET_i64(f) v->f = wire_get_i64(w);
#define WIRE_GET_u32(f) wire_get_u32_to(w, &v->f);
#define WIRE_GET_int_(f) wire_get_int_to(w, &v->f);
#define WIRE_GET_bool_(f) wire_get_bool_to(w, &v->f);
#define WIRE_GET_text(f) v->f = wire_get_text(w);
/* list: an array `f` of structs with its length in `f##_count`; item is the packed struct's name. */
#define WIRE_PUT_list(f, item) \
	wire_put_u64(b, v->f##_count); \
	for (size_t i_ = 0; i_ < v->f##_count; i_++) item##_pack(b, &v->f[i_]);
#define WIRE_GET_list(f, item) \
	v->f##_count = wire_get_count(w, 1); \
	v->f = v->f##_count == 0 ? NULL : arena_array(w->mem, v->f##_count, sizeof(v->f[0])); \
	for (size_t i_ = 0; i_ < v->f##_count && !w->bad; i_++) item##_unpack(w, &v->f[i_]); \
	if (w->bad) v->f##_count = 0;
/* part: a struct inside the struct */
#define WIRE_PUT_part(f, item) item##_pack(b, &v->f);
#define WIRE_GET_part(f, item) item##_unpack(w, &v->f);

#define WIRE_PUT_(kind, ...) WIRE_PUT_##kind(__VA_ARGS__)
#define WIRE_GET_(kind, ...) WIRE_GET_##kind(__VA_ARGS__)
#define WIRE_DECLARE(name) \
	void name##_pack(struct buf *b, const struct name *v); \
	void name##_unpack(struct unwire *w, struct name *v);
#define WIRE_STRUCT(name, FIELDS) \
	void name##_pack(struct buf *b, const struct name *v) { FIELDS(WIRE_PUT_) } \
	void name##_unpack(struct unwire *w, struct name *v) { FIELDS(WIRE_GET_) }
