/* SPDX-License-Identifier: Apache-2.0 */
/* Digests are made at delivery. A message without one (stored by an older program, or one of an older kind) gets it
 * when it is first sorted; they are stored after the search, so that only the first one is slow. */
#include "access/imap/search.h"
#include "base/fail.h"
#include "base/log.h"

enum { STORED_AT_ONCE = 2000 };

struct search_digest { int64_t blob_id; size_t len; };

static int make(struct search_run *run) {
	struct summary_head head;
	buf_clear(&run->stored);
	buf_clear(&run->packed);
	int r = run->m->summary.len != 0 ? 0 : blob_summary(run->c, run->m->blob_id, &run->stored);
	if (r != 0) return r;
	struct slice packed = run->m->summary.len != 0 ? run->m->summary : buf_slice(&run->stored);
	if (!summary_head(packed, &head)) {
		if ((r = search_need_head(run)) != 0) return r;
		head = run->head;
	}
	digest_add(&run->packed, &head);
	struct search_digest d = { run->m->blob_id, run->packed.len };
	buf_add(&run->part->digests, slice_from(&d, sizeof d));
	buf_add(&run->part->digests, buf_slice(&run->packed));
	return digest_read(buf_slice(&run->packed), &run->digest) ? 0 : fail("digest of a message is too large");
}

int search_need_digest(struct search_run *run) {
	return digest_read(run->m->digest, &run->digest) ? 0 : make(run);
}

struct storing { struct slice rest, next; };

static int store_some(struct db_conn *tx, void *arg) {
	struct storing *s = arg;
	struct slice rest = s->rest;
	int r = 0;
	for (size_t i = 0; i < STORED_AT_ONCE && rest.len != 0 && r == 0; i++) {
		struct search_digest d;
		memcpy(&d, rest.at, sizeof d);
		r = blob_digest(tx, d.blob_id, slice_head(slice_skip(rest, sizeof d), d.len));
		rest = slice_skip(rest, sizeof d + d.len);
	}
	s->next = rest;
	return r;
}

void search_digests_store(struct search_scan *scan) {
	for (size_t i = 0; i < scan->part_count; i++) {
		struct storing s = { .rest = buf_slice(&scan->parts[i].digests) };
		if (scan->parts[i].digests.full) continue; /* cut off in the middle of one */
		for (; s.rest.len != 0; s.rest = s.next) {
			if (db_write(scan->s->context->db, store_some, &s) == 0) continue;
			note(L_WARN, "imap", scan->s->log_session, NULL, "digests are not stored: ", FP(fail_text()));
			return;
		}
	}
}
