/* SPDX-License-Identifier: Apache-2.0 */
#include "access/imap/body.h"
#include "store/text.h"

void imap_body_close(struct imap_body *b) {
	blob_close(&b->blob);
	b->summary = NULL;
}

int imap_body_open(struct imap_body *b, struct db_conn *c) {
	return b->blob != NULL ? 0 : blob_open(c, b->m->blob_id, &b->blob);
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
	return r != 0 ? r : store_summary_scan(b->blob, mem, b->summary);
}
