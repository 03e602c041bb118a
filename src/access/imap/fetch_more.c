/* SPDX-License-Identifier: Apache-2.0 */
/* What FETCH says of a message's history and identity, and its modifiers: CHANGEDSINCE and VANISHED (RFC 7162 §3.1.4.1,
 * §3.2.6) ask the store for what changed instead of looking at every message; PARTIAL (RFC 9394) takes a page of the
 * rest. */
#include "access/imap/fetch.h"
#include "access/imap/tell.h"
#include "base/fail.h"
#include "mime/digest.h"

bool fetch_put_modseq(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	struct buf *out = imap_out(f->s);
	buf_add(out, S("MODSEQ ("));
	buf_number(out, row->m.modseq);
	return buf_byte(out, ')');
}

bool fetch_put_email_id(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	(void)item;
	return buf_addf(imap_out(f->s), "EMAILID (M%llx)", (unsigned long long)row->m.email_id);
}

bool fetch_put_thread_id(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	AUTO_BUF struct buf packed = BUF(KIB(64));
	struct digest digest;
	(void)item;
	if (!digest_read(row->m.digest, &digest)) { /* stored by an older program, and never sorted since */
		if (!fetch_summary(f, row)) return false;
		digest_of_summary(&packed, row->body.summary);
		if (!digest_read(buf_slice(&packed), &digest)) digest = (struct digest){ .id = 0 };
	}
	return buf_addf(imap_out(f->s), "THREADID (T%llx)", (unsigned long long)imap_thread_id(&row->m, &digest));
}

bool fetch_put_save_date(struct fetch *f, const struct fetch_item *item, struct fetch_row *row) {
	struct buf *out = imap_out(f->s);
	(void)item;
	if (row->m.saved_us == 0) return buf_add(out, S("SAVEDATE NIL")); /* came before we kept it */
	buf_add(out, S("SAVEDATE \""));
	date_add_internal(out, (struct date){ row->m.saved_us / 1000000, 0 });
	return buf_byte(out, '"');
}

/* Modifiers. */

static bool parse_end_of_page(struct imap_parse *p, int64_t *out) {
	uint64_t n = 0;
	bool negative = imap_parse_take(p, '-');
	if (!imap_parse_number(p, UINT32_MAX, &n)) return false;
	if (n == 0) return imap_parse_fail(p, "PARTIAL counts from 1 or -1.");
	*out = negative ? -(int64_t)n : (int64_t)n;
	return true;
}

/* "-1:-100" or "1:500": both ends of one sign */
static bool parse_page(struct imap_parse *p, struct fetch *f) {
	if (!imap_parse_space(p) || !parse_end_of_page(p, &f->page_first) || !imap_parse_need(p, ':') ||
	    !parse_end_of_page(p, &f->page_last))
		return false;
	f->paged = true;
	return (f->page_first < 0) == (f->page_last < 0) || imap_parse_fail(p, "PARTIAL counts from one end.");
}

bool fetch_modifiers(struct imap_parse *p, struct fetch *f, bool uid) {
	if (!imap_parse_take(p, ' ')) return true;
	if (!imap_parse_need(p, '(')) return false;
	do {
		if (imap_parse_take_word(p, "CHANGEDSINCE")) {
			f->since = true;
			if (!imap_parse_space(p) || !imap_parse_number(p, INT64_MAX, &f->changed_since)) return false;
			if (f->changed_since == 0) return imap_parse_fail(p, "CHANGEDSINCE wants a number above 0.");
		} else if (imap_parse_take_word(p, "VANISHED")) {
			f->vanished = true;
		} else if (imap_parse_take_word(p, "PARTIAL")) {
			if (!parse_page(p, f)) return false;
		} else {
			return imap_parse_fail(p, "Unknown FETCH modifier.");
		}
	} while (imap_parse_take(p, ' '));
	if (f->vanished && (!uid || !f->since || !imap_enabled(f->s, IMAP_QRESYNC)))
		return imap_parse_fail(p, "VANISHED wants UID FETCH, CHANGEDSINCE, and QRESYNC enabled.");
	if (f->paged && !uid) return imap_parse_fail(p, "PARTIAL wants UID FETCH.");
	return imap_parse_need(p, ')');
}

struct changes { struct fetch *f; const struct imap_set *said; struct buf uids; struct imap_set_builder gone; };

static void changes_done(struct changes *h) {
	buf_done(&h->uids);
	imap_set_builder_done(&h->gone);
}

static int add_changed(void *ctx, const struct message *m) {
	struct changes *h = ctx;
	if (!imap_set_has(&h->f->set, m->uid) || view_number(&h->f->s->box.view, m->uid) == 0) return 0;
	return buf_add(&h->uids, slice_from(&m->uid, sizeof(m->uid))) ? 0 : fail("too many changes");
}

static int add_gone(void *ctx, uint32_t first, uint32_t last) {
	struct changes *h = ctx;
	if (h->f->vanished) imap_set_append(&h->gone, first, last);
	return 0;
}

static int uid_order(const void *a, const void *b) {
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static struct imap_set set_of(struct arena *mem, struct buf *uids) {
	AUTO(imap_set_builder_done) struct imap_set_builder b = { 0 };
	size_t count = uids->len / sizeof(uint32_t);
	if (count != 0) qsort(uids->at, count, sizeof(uint32_t), uid_order); /* NULL is none of its arguments */
	for (size_t i = 0; i < count; i++) {
		uint32_t uid;
		memcpy(&uid, uids->at + i * sizeof(uid), sizeof(uid));
		imap_set_append(&b, uid, uid);
	}
	return imap_set_copy(mem, &b.set);
}

/* What the client does not know yet as vanished is told by the next response that may: VANISHED is a number of messages
 * less, VANISHED (EARLIER) is not. */
static void put_gone(struct fetch *f, struct changes *h) {
	AUTO(imap_set_builder_done) struct imap_set_builder asked = { 0 }, told = { 0 };
	imap_set_settle(&h->gone.set, 0);
	imap_set_common(&asked, &h->gone.set, h->said);
	for (size_t i = 0; i < asked.set.count; i++)
		for (uint64_t uid = asked.set.ranges[i].first; uid <= asked.set.ranges[i].last; uid++)
			if (view_number(&f->s->box.view, (uint32_t)uid) == 0)
				imap_set_append(&told, (uint32_t)uid, (uint32_t)uid);
	tell_vanished(f->s, &told.set, true);
}

static int keep_changed(struct fetch *f, const struct imap_set *said) {
	AUTO(changes_done) struct changes h = { .f = f, .said = said, .uids = BUF(NEWS_LIMIT) };
	struct db_conn *c = db_read(f->s->context->db);
	int r = c == NULL ? -1 : store_changes(c, f->s->box.box, f->changed_since, add_changed, add_gone, &h);
	db_release(&c); /* before any waiting for the client */
	if (r != 0) return r;
	f->set = set_of(&f->s->mem, &h.uids);
	if (f->vanished) put_gone(f, &h);
	return 0;
}

static void keep_page(struct fetch *f) {
	AUTO(imap_set_builder_done) struct imap_set_builder numbers = { 0 }, kept = { 0 };
	const struct view *v = &f->s->box.view;
	int64_t count = 0, first = f->page_first, last = f->page_last;
	for (size_t i = 0; i < f->set.count; i++) {
		uint32_t from = view_number_from(v, f->set.ranges[i].first),
			 to = view_number_from(v, f->set.ranges[i].last + 1);
		if (from < to) imap_set_append(&numbers, from, to - 1);
	}
	count = (int64_t)imap_set_size(&numbers.set);
	if (first < 0) first += count + 1, last += count + 1;
	if (first > last) first ^= last, last ^= first, first ^= last;
	int64_t at = 1; /* place of the range's first message among all of the set */
	for (size_t i = 0; i < numbers.set.count; i++) {
		struct imap_range r = numbers.set.ranges[i];
		int64_t from = MAX_OF(first - at, 0), to = MIN_OF(last - at, (int64_t)r.last - r.first);
		for (int64_t n = from; n <= to; n++) {
			uint32_t uid = view_uid(v, (uint32_t)(r.first + n));
			imap_set_append(&kept, uid, uid);
		}
		at += (int64_t)r.last - r.first + 1;
	}
	f->set = imap_set_copy(&f->s->mem, &kept.set);
}

int fetch_narrow(struct fetch *f, const struct imap_set *said) {
	for (size_t i = 0; i < f->item_count; i++)
		if (f->items[i].word->put == fetch_put_modseq) imap_enable(f->s, IMAP_CONDSTORE);
	if (f->since) imap_enable(f->s, IMAP_CONDSTORE);
	int r = f->since ? keep_changed(f, said) : 0;
	if (r == 0 && f->paged) keep_page(f);
	return r;
}
