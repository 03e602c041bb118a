/* SPDX-License-Identifier: Apache-2.0 */
/* The same change is told in several languages; which one is decided here and nowhere else, so that no command can say
 * EXPUNGE to a client that counts on VANISHED. */
#include "access/imap/tell.h"
#include "access/imap/live.h"
#include "base/fail.h"
#include "store/acl.h"

enum { RANGES_IN_A_LINE = 500 };

void news_done(struct news *n) {
	buf_done(&n->rows);
	buf_done(&n->fresh);
	imap_set_builder_done(&n->gone);
}

struct gathering { struct news *n; uint32_t uidnext; };

static int add_changed(void *ctx, const struct message *m) {
	struct gathering *g = ctx;
	struct news *n = g->n;
	if (m->uid >= g->uidnext)
		return buf_add(&n->fresh, slice_from(&m->uid, sizeof(m->uid))) ? 0 : fail("too many new messages");
	struct news_row row = { m->uid, m->flags, m->modseq, arena_slice(&n->s->mem, m->keywords) };
	return buf_add(&n->rows, slice_from(&row, sizeof(row))) ? 0 : fail("too many changes");
}

static int add_vanished(void *ctx, uint32_t first, uint32_t last) {
	struct gathering *g = ctx;
	if (first < g->uidnext) imap_set_append(&g->n->gone, first, MIN_OF(last, g->uidnext - 1));
	return 0;
}

int news_gather(struct news *n, struct db_conn *c, struct box box, uint64_t since, uint32_t uidnext) {
	struct gathering g = { n, uidnext };
	return store_changes(c, box, since, add_changed, add_vanished, &g);
}

/* One row. */

void imap_put_fetch(struct imap_session *s, uint32_t uid) {
	bool by_uid = imap_enabled(s, IMAP_UIDONLY);
	buf_add(imap_out(s), S("* "));
	buf_number(imap_out(s), by_uid ? uid : view_number(&s->box.view, uid));
	buf_add(imap_out(s), by_uid ? S(" UIDFETCH (") : S(" FETCH ("));
}

void imap_put_message_flags(struct imap_session *s, uint32_t uid, uint32_t bits, struct slice keywords) {
	bool recent = uid >= s->box.recent_from && !imap_enabled(s, IMAP_REV2);
	imap_put_flags(imap_out(s), bits, keywords, recent);
}

void imap_put_change(struct imap_session *s, const struct message *m, bool flags) {
	bool modseq = imap_enabled(s, IMAP_CONDSTORE);
	struct buf *out = imap_out(s);
	if (!flags && !modseq) return;
	imap_put_fetch(s, m->uid);
	if (!imap_enabled(s, IMAP_UIDONLY)) {
		buf_add(out, S("UID "));
		buf_number(out, m->uid);
		buf_byte(out, ' ');
	}
	if (flags) {
		buf_add(out, S("FLAGS "));
		imap_put_message_flags(s, m->uid, m->flags, m->keywords);
	}
	if (modseq) {
		buf_add(out, flags ? S(" MODSEQ (") : S("MODSEQ ("));
		buf_number(out, m->modseq);
		buf_byte(out, ')');
	}
	buf_add(out, S(")\r\n"));
}

/* The whole mailbox. */

void tell_keywords(struct imap_session *s, struct slice keywords) {
	struct buf *out = imap_out(s);
	buf_add(out, S("* FLAGS "));
	imap_put_flags(out, FLAG_ALL, keywords, false);
	buf_add(out, S("\r\n* OK [PERMANENTFLAGS ("));
	if (!s->box.read_only) {
		uint32_t may = s->box.rights;
		bool write = (may & ACL_WRITE) != 0;
		buf_add(out, write ? S("\\Answered \\Flagged ") : S(""));
		buf_add(out, (may & ACL_DELETE) != 0 ? S("\\Deleted ") : S(""));
		buf_add(out, (may & ACL_SEEN) != 0 ? S("\\Seen ") : S(""));
		buf_add(out, write ? S("\\Draft ") : S(""));
		if (keywords.len != 0 && write) {
			buf_add(out, keywords);
			buf_byte(out, ' ');
		}
		if (write) buf_add(out, S("\\*"));
		else if (slice_ends(buf_slice(out), S(" "))) out->len--;
	}
	buf_add(out, S(")] "));
	imap_say(s, s->box.read_only ? "Read-only mailbox." : "Flags permitted.");
	s->box.keywords_told = keywords.len;
}

void tell_exists(struct imap_session *s) {
	buf_addf(imap_out(s), "* %u EXISTS\r\n", s->box.view.count);
	if (!imap_enabled(s, IMAP_REV2)) buf_addf(imap_out(s), "* %u RECENT\r\n", s->box.view.recent);
}

static int uid_order(const void *a, const void *b) {
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

void tell_fresh(struct imap_session *s, struct buf *fresh) {
	struct view *v = &s->box.view;
	size_t count = fresh->len / sizeof(uint32_t);
	if (count == 0) return;
	qsort(fresh->at, count, sizeof(uint32_t), uid_order);
	for (size_t i = 0; i < count; i++) {
		uint32_t uid;
		memcpy(&uid, fresh->at + i * sizeof(uid), sizeof(uid));
		view_append(v, uid);
		v->recent += uid >= s->box.recent_from;
	}
	s->box.recent_taken = true;
	tell_exists(s);
}

void tell_rows(struct imap_session *s, const struct buf *rows) {
	for (size_t i = 0; i < rows->len / sizeof(struct news_row) && imap_drain(s); i++) {
		struct news_row row;
		memcpy(&row, rows->at + i * sizeof(row), sizeof(row));
		const struct message m = {
			.uid = row.uid, .flags = row.flags, .modseq = row.modseq, .keywords = row.keywords
		};
		if (view_number(&s->box.view, row.uid) != 0) imap_put_change(s, &m, true);
	}
}

void tell_vanished(struct imap_session *s, const struct imap_set *set, bool earlier) {
	for (size_t i = 0; i < set->count && imap_drain(s); i += RANGES_IN_A_LINE) {
		struct imap_set part = { set->ranges + i, MIN_OF(set->count - i, (size_t)RANGES_IN_A_LINE) };
		buf_add(imap_out(s), earlier ? S("* VANISHED (EARLIER) ") : S("* VANISHED "));
		imap_put_set(imap_out(s), &part);
		buf_add(imap_out(s), S("\r\n"));
	}
}

static void tell_expunge(void *ctx, uint32_t number) {
	struct imap_session *s = ctx;
	if (imap_drain(s)) buf_addf(imap_out(s), "* %u EXPUNGE\r\n", number);
}

static void tell_nothing(void *ctx, uint32_t number) {
	(void)ctx;
	(void)number;
}

void tell_gone(struct imap_session *s) {
	struct imap_set_builder *gone = &s->box.gone;
	if (gone->set.count == 0) return;
	bool vanished = imap_enabled(s, IMAP_QRESYNC | IMAP_UIDONLY);
	imap_set_settle(&gone->set, 0);
	live_gone(s, &gone->set);
	if (vanished) tell_vanished(s, &gone->set, false);
	view_remove(&s->box.view, &gone->set, s->box.recent_from, vanished ? tell_nothing : tell_expunge, s);
	imap_set_builder_done(gone);
}
