/* SPDX-License-Identifier: Apache-2.0 */
/* STORE, and taking messages away for ever: EXPUNGE, UID EXPUNGE (RFC 4315), CLOSE. */
#include "access/imap/place.h"
#include "access/imap/walk.h"

enum { FLAG_PAGE = 64 * 1024, EXPUNGE_SLICE = 10000 };

struct flagging {
	struct imap_session *s;
	struct imap_set set;
	struct flag_change change;
	struct imap_own_change own;
	uint32_t seen;              /* rows walked */
};

static const struct { const char *word; enum flag_how how; bool silent; } ways[] = {
	{ "FLAGS", FLAGS_REPLACE, false },    { "+FLAGS", FLAGS_ADD, false },
	{ "-FLAGS", FLAGS_REMOVE, false },    { "FLAGS.SILENT", FLAGS_REPLACE, true },
	{ "+FLAGS.SILENT", FLAGS_ADD, true }, { "-FLAGS.SILENT", FLAGS_REMOVE, true },
};

static int changed(void *ctx, const struct message *m) {
	(void)ctx;
	(void)m;
	return 0;
}

static int change_flags(struct db_conn *tx, void *arg) {
	struct flagging *f = arg;
	int r = imap_own_begin(tx, f->s->box.box, &f->own);
	return r != 0 ? r : store_flags(tx, f->s->box.box, imap_uid_set(&f->set), &f->change, changed, NULL, f, &f->own.after);
}

static int put_row(void *ctx, struct db_conn *c, const struct message *m) {
	struct flagging *f = ctx;
	struct buf *out = imap_out(f->s);
	uint32_t number = view_number(&f->s->box.view, m->uid);
	(void)c;
	if (number == 0) return 0;
	f->seen++;
	buf_addf(out, "* %u FETCH (UID %u FLAGS ", number, m->uid);
	imap_put_flags(out, m->flags, m->keywords, m->uid >= f->s->box.recent_from);
	buf_add(out, S(")\r\n"));
	return out->len < FLAG_PAGE ? 0 : WALK_PAGE_FULL;
}

static int drain(void *ctx) {
	struct flagging *f = ctx;
	return imap_drain(f->s) ? 0 : WALK_PAGE_FULL;
}

IMAP_COMMAND(imap_do_store) {
	struct imap_parse *p = &call->p;
	struct flagging f = { .s = s };
	struct imap_flags flags;
	size_t way = 0;
	if (!imap_parse_messages(s, call, &f.set) || !imap_parse_space(p)) return imap_bad(p);
	while (way < LEN(ways) && !imap_parse_take_word(p, ways[way].word)) way++;
	if (way == LEN(ways)) imap_parse_fail(p, "Expected FLAGS, +FLAGS or -FLAGS.");
	if (!imap_parse_space(p) || !imap_parse_flags(s, p, &flags) || !imap_parse_end(p)) return imap_bad(p);
	f.change = (struct flag_change){ .how = ways[way].how, .flags = flags.bits, .keywords = flags.keywords };
	if (!imap_limit_flags(s->box.rights, &f.change)) return imap_no("[NOPERM] None of these flags may be changed here.");
	if (f.set.count == 0) return imap_ok("Store completed.");
	int r = db_write(s->context->db, change_flags, &f);
	if (r != 0) return imap_refused(s, r, "store");
	imap_own_end(s, &f.own);
	if (ways[way].silent) return imap_ok("Store completed.");
	const struct imap_walk walk = { .each = put_row, .page = drain, .ctx = &f };
	if ((r = imap_walk(s, &f.set, &walk)) != 0) return imap_refused(s, r, "store");
	if (!call->uid && f.seen < imap_view_count(s, &f.set))
		return imap_no("[EXPUNGEISSUED] Some of the messages no longer exist.");
	return imap_ok("Store completed.");
}

/* Expunging. */

struct expunging { struct imap_session *s; struct imap_set set; };

static int expunged(void *ctx, uint32_t uid) {
	(void)ctx;
	(void)uid;
	return 0;
}

static int expunge(struct db_conn *tx, void *arg) {
	struct expunging *e = arg;
	return store_expunge(tx, e->s->box.box, imap_uid_set(&e->set), true, expunged, e);
}

/* In slices, so that others can write in between. */
static int expunge_set(struct imap_session *s, const struct imap_set *set) {
	const struct view *v = &s->box.view;
	for (size_t i = 0; i < set->count; i++) {
		uint32_t first = set->ranges[i].first;
		while (first <= set->ranges[i].last) {
			uint32_t number = 1, last = set->ranges[i].last;
			if (v->loaded && (number = view_number(v, first)) != 0 && v->count - number >= EXPUNGE_SLICE)
				last = MIN_OF(last, view_uid(v, number + EXPUNGE_SLICE - 1));
			struct imap_range slice = { first, last };
			struct expunging e = { s, { &slice, 1 } };
			int r = db_write(s->context->db, expunge, &e);
			if (r != 0) return r;
			first = last + 1;
		}
	}
	return 0;
}

static int nothing_deleted(struct imap_session *s, bool *nothing) {
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct mailbox m;
	int r = c == NULL ? -1 : store_mailbox(c, &s->mem, s->box.box, &m);
	if (r == 0) *nothing = m.deleted == 0;
	return r;
}

static int expunge_all(struct imap_session *s) {
	bool nothing = true;
	int r = nothing_deleted(s, &nothing);
	if (r != 0 || nothing || s->box.view.count == 0) return r;
	struct imap_range all = { 1, s->box.view.count };
	struct imap_set set = { &all, 1 };
	return imap_messages_of(s, false, &set) ? expunge_set(s, &set) : 0;
}

IMAP_COMMAND(imap_do_expunge) {
	struct imap_set set;
	int r;
	if ((s->box.rights & ACL_EXPUNGE) == 0) return imap_refused(s, STORE_NO_RIGHT, "expunge");
	if (call->uid) {
		if (!imap_parse_messages(s, call, &set) || !imap_parse_end(&call->p)) return imap_bad(&call->p);
		r = expunge_set(s, &set);
	} else {
		if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
		r = expunge_all(s);
	}
	return r == 0 ? imap_ok("Expunge completed.") : imap_refused(s, r, "expunge");
}

IMAP_COMMAND(imap_do_close) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	int r = s->box.read_only || (s->box.rights & ACL_EXPUNGE) == 0 ? 0 : expunge_all(s);
	if (r != 0) return imap_refused(s, r, "close");
	imap_deselect(s);
	return imap_ok("Close completed.");
}
