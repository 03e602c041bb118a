/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* A full-text index in a database file of its own, which may be thrown away at any time: it says which documents may
 * hold a needle. What it names has to be verified (a document may hold all tokens of the needle, but not beside each
 * other); what it does not name does not hold it. Documents are added in the order of their ids (positive, rising) and
 * never removed.
 *
 * A file that is damaged, or was made for another database (origin), is replaced by an empty one with a line in the
 * log; nothing here ever fails because of one. Thread-safe; one thread writes. */
struct text_index;
/* origin: a number that stays the same as long as the documents are those of the same database, folded the same way. */
int text_index_open(const char *dir, int64_t origin, struct text_index **out);
void text_index_close(struct text_index **x); /* NULL is fine */

/* What may hold a folded needle: ids rising, each once, in mem. Documents above known_to were not added yet. */
struct text_found {
	int64_t *ids;
	size_t count;
	int64_t known_to;
};
enum { TEXT_CANNOT = 1 }; /* the needle has no token, or nearly everything holds it */
int text_index_find(struct text_index *x, struct slice needle, struct arena *mem, struct text_found *out);

/* Adding: fn runs in one transaction of the index. The text of a document in pieces; then the next, or another piece of
 * text for a lower id (again: harmless). Memory is bounded. text_index_mark: all documents up to this id were added
 * that there will ever be. */
struct text_batch;
int text_index_write(struct text_index *x, int (*fn)(struct text_batch *b, void *ctx), void *ctx);
int text_index_add(struct text_batch *b, int64_t id, struct slice folded);
int text_index_mark(struct text_batch *b, int64_t known_to); /* never back */

struct text_index_state {
	int64_t known_to;
	uint64_t documents, text_bytes; /* added, dead ones included; of their folded text */
	uint64_t file_bytes;
};
int text_index_state(struct text_index *x, struct text_index_state *out);
/* The ids that were added, rising; each may come more than once. */
int text_index_each(struct text_index *x, int (*each)(void *ctx, int64_t id), void *ctx);

/* A second, empty index beside x, to be filled while x still answers; text_index_replace puts it in x's place. */
int text_index_beside(struct text_index *x, struct text_index **fresh);
int text_index_replace(struct text_index *x, struct text_index **fresh);
/* True when the file was removed or replaced under us: it was begun anew. */
bool text_index_look(struct text_index *x);
