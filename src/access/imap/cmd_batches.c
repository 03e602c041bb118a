/* SPDX-License-Identifier: Apache-2.0 */
/* UIDBATCHES (draft-ietf-mailmaint-imap-uidbatches): the mailbox cut into ranges of UIDs with so many messages each,
 * the newest first, so that a client need not know any message to work in pieces. Ranges tile: one ends where the next
 * begins, down to 1. */
#include "access/imap/walk.h"

enum { SIZE_MIN = 500, BATCHES_MAX = 100000 };

static bool parse(struct imap_parse *p, uint64_t *size, uint64_t *first, uint64_t *last) {
	*first = 1;
	*last = UINT32_MAX;
	if (!imap_parse_space(p) || !imap_parse_number(p, UINT32_MAX, size)) return false;
	if (*size == 0) return imap_parse_fail(p, "A batch holds messages.");
	if (imap_parse_take(p, ' ')) {
		if (!imap_parse_number(p, UINT32_MAX, first) || !imap_parse_need(p, ':') ||
		    !imap_parse_number(p, UINT32_MAX, last))
			return false;
		if (*first == 0 || *first > *last)
			return imap_parse_fail(p, "[CLIENTBUG] Batches count upwards from 1.");
	}
	return imap_parse_end(p);
}

IMAP_COMMAND(imap_do_uidbatches) {
	struct buf *out = imap_out(s);
	const struct view *v = &s->box.view;
	uint64_t size = 0, first, last;
	if (!parse(&call->p, &size, &first, &last)) return imap_bad(&call->p);
	if (size < SIZE_MIN) return imap_no("[TOOFEW] A batch has at least 500 messages.");
	if (last != UINT32_MAX && last - first >= BATCHES_MAX)
		return imap_no("[TOOMANY] At most 100000 batches at once.");
	if (!imap_load(s)) return imap_no("");
	buf_add(out, S("* UIDBATCHES (TAG "));
	imap_put_string(out, call->tag);
	buf_byte(out, ')');
	uint64_t batches = (v->count + size - 1) / size;
	/* a hole between two batches belongs to the older one */
	for (uint64_t i = first; i <= MIN_OF(last, batches) && imap_drain(s); i++) {
		uint32_t newest = v->count - (uint32_t)((i - 1) * size),
			 after = i == batches ? 0 : newest - (uint32_t)size;
		uint32_t high = i == 1 ? view_last_uid(v) : view_uid(v, newest + 1) - 1,
			 low = after == 0 ? 1 : view_uid(v, after + 1);
		buf_addf(out, "%s%u:%u", i == first ? " " : ",", high, low);
	}
	buf_add(out, S("\r\n"));
	return imap_ok("Uidbatches completed.");
}
