/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/parse.h"
#include "base/buf.h"
/* Sets of message numbers or UIDs (RFC 3501 §9 sequence-set): sorted ranges that do not touch each other. */
struct imap_range { uint32_t first, last; };
struct imap_set {
	struct imap_range *ranges;
	size_t count;
	bool saved;              /* "$": no ranges yet, those of the last SEARCH RETURN (SAVE) (RFC 5182) */
};
/* As written: unsorted, "*" is 0, either end may be the larger; or "$". Memory from p->mem. */
bool imap_parse_set(struct imap_parse *p, struct imap_set *out);
/* Puts star in the place of "*", sorts, and merges what overlaps or touches. In place. */
void imap_set_settle(struct imap_set *set, uint32_t star);
/* What follows wants settled sets. */
bool imap_set_has(const struct imap_set *set, uint32_t n);
uint64_t imap_set_size(const struct imap_set *set);
/* Builds a settled set from ascending numbers; ranges live in `ranges`, an array that grows with realloc. */
struct imap_set_builder {
	struct imap_set set;
	size_t room;
};
void imap_set_append(struct imap_set_builder *b, uint32_t first, uint32_t last);
struct imap_set imap_set_copy(struct arena *mem, const struct imap_set *set);
void imap_set_common(struct imap_set_builder *out, const struct imap_set *a,
		     const struct imap_set *b); /* what is in both */
void imap_set_builder_done(struct imap_set_builder *b);
void imap_put_set(struct buf *out, const struct imap_set *set); /* "1:3,7" */
