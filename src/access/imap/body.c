/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/body.h"
#include "base/fail.h"

enum { SUMMARY_LIMIT = 8 * 1024 * 1024 };

void imap_body_close(struct imap_body *b) {
	blob_close(&b->blob);
	b->summary = NULL;
}

int imap_body_open(struct imap_body *b, struct db_conn *c) {
	return b->blob != NULL ? 0 : blob_open(c, b->m->blob_id, &b->blob);
}

static int feed(void *ctx, struct slice piece) {
	summary_scan_feed(ctx, piece);
	return 0;
}

static int scan_again(struct imap_body *b, struct arena *mem) {
	AUTO_BUF struct buf packed = BUF(SUMMARY_LIMIT);
	struct summary scanned;
	struct summary_scan *scan = summary_scan_new();
	int r = blob_each(b->blob, feed, scan);
	if (r == 0) {
		summary_scan_finish(scan, &scanned);
		summary_pack(&packed, &scanned);
	}
	summary_scan_free(&scan);
	if (r != 0 || packed.full) return r != 0 ? r : fail("summary is too large");
	struct unwire w = UNWIRE(arena_slice(mem, buf_slice(&packed)), mem);
	summary_unpack(&w, b->summary);
	return w.bad ? fail("summary does not unpack") : 0;
}

int imap_body_summary(struct imap_body *b, struct db *db, struct db_conn *c, struct arena *mem) {
	struct unwire w = UNWIRE(b->m->summary, mem);
	if (b->summary != NULL) return 0;
	b->summary = arena_get(mem, sizeof(*b->summary));
	w.bad = b->m->summary.len == 0;
	if (!w.bad) summary_unpack(&w, b->summary);
	if (!w.bad) return 0;
	AUTO_READ struct db_conn *borrowed = c == NULL ? db_read(db) : NULL;
	if (c == NULL && borrowed == NULL) return -1;
	int r = imap_body_open(b, c != NULL ? c : borrowed);
	return r != 0 ? r : scan_again(b, mem);
}
