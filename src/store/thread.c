/* SPDX-License-Identifier: Apache-2.0 */
/* Only answers are remembered, and only by hashes: Message-ID → first message. A message that answers nothing begins a
 * conversation of its own Message-ID, which needs no row. */
#include "store/thread.h"
#include "base/clock.h"
#include "db/blob.h"
#include "db/memo.h"
#include "mime/digest.h"

#include <inttypes.h>

enum { KEPT_DAYS = 60 };

struct answer { uint64_t first, last; /* of those it names; 0: it answers nothing */ };

static struct answer answer_of(const struct digest *d) {
	struct answer a = { 0 };
	struct slice rest = d->references;
	for (uint64_t id; summary_reference_next(&rest, &id); a.last = id)
		if (a.first == 0) a.first = id;
	return a;
}

static struct slice key_of(struct db_conn *tx, uint64_t id) {
	return arena_fmt(db_memory(tx), "%016" PRIx64, id);
}

/* DB_ROW: *root is where the conversation of that message began. */
static int recall(struct db_conn *tx, uint64_t id, uint64_t *root) {
	struct slice value;
	int r = memo_get(tx, MEMO_THREAD, key_of(tx, id), db_memory(tx), &value, NULL);
	if (r != DB_ROW) return r;
	struct unwire w = UNWIRE(value, NULL);
	*root = wire_get_u64(&w);
	return w.bad || *root == 0 ? DB_DONE : DB_ROW;
}

static int remember(struct db_conn *tx, uint64_t id, uint64_t root) {
	AUTO_BUF struct buf value = BUF(16);
	wire_put_u64(&value, root);
	return memo_put(tx, MEMO_THREAD, key_of(tx, id), buf_slice(&value),
			wall_us() + (int64_t)KEPT_DAYS * 86400 * 1000000);
}

/* What was said of a Message-ID first holds: a second message with it changes nothing for those that answer it. */
static int find_root(struct db_conn *tx, const struct digest *d, uint64_t *root) {
	struct answer a = answer_of(d);
	*root = a.first;
	if (a.first == 0) return 0;
	int r = d->id != 0 ? recall(tx, d->id, root) : DB_DONE;
	if (r != DB_DONE) return MIN_OF(r, 0);
	r = recall(tx, a.last, root);
	if (r < 0 || d->id == 0 || d->id == *root) return MIN_OF(r, 0);
	return remember(tx, d->id, *root);
}

int store_digest(struct db_conn *tx, int64_t blob_id, struct slice digest) {
	struct digest d;
	uint64_t root = 0;
	if (!digest_read(digest, &d)) return blob_digest(tx, blob_id, digest);
	int r = find_root(tx, &d, &root);
	if (r == 0 && root != answer_of(&d).first) {
		AUTO_BUF struct buf packed = BUF(digest.len + 16);
		buf_add(&packed, digest);
		digest_add_root(&packed, root);
		digest = arena_slice(db_memory(tx), buf_slice(&packed));
	}
	return r == 0 ? blob_digest(tx, blob_id, digest) : r;
}
