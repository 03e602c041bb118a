/* SPDX-License-Identifier: Apache-2.0 */
#include "flow/etrn.h"
#include "base/clock.h"
#include "queue/queue.h"

struct flush {
	struct slice domain;
	struct db_conn *tx;
	size_t flushed;
};

static int flush_message(void *ctx, const struct queue_message *m) {
	struct flush *f = ctx;
	for (size_t i = 0; i < m->recipient_count; i++) {
		const struct queue_recipient *r = &m->recipients[i];
		if (!slice_same(slice_skip(r->address, slice_find_last(r->address, '@') + 1), f->domain)) continue;
		int done = queue_flush(f->tx, m->id, r->hop, wall_us());
		if (done < 0) return done;
		f->flushed += done == 0;
	}
	return 0;
}

static int flush_all(struct db_conn *tx, void *arg) {
	struct flush *f = arg;
	f->flushed = 0;
	f->tx = tx;
	return queue_each(tx, flush_message, f);
}

int etrn_flush(struct db *db, struct slice domain, size_t *flushed) {
	struct flush f = { .domain = domain };
	int r = db_write(db, flush_all, &f);
	if (r == 0) *flushed = f.flushed;
	return r;
}
