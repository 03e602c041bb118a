/* SPDX-License-Identifier: Apache-2.0 */
/* STORE, and taking messages away for ever: EXPUNGE, UID EXPUNGE (RFC 4315), CLOSE. What concerns many messages is done
 * in slices, so that others can write in between, and so that the client is told of one while the next is written. */
#include "access/imap/limit.h"
#include "access/imap/place.h"
#include "access/imap/walk.h"

enum { FLAG_PAGE = 64 * 1024, STORE_SLICE = 10000, EXPUNGE_SLICE = 10000, ROWS_AT_ONCE = 32 };

struct flagging {
	struct imap_session *s;
	struct imap_set set, now;   /* now: the slice */
	struct flag_change change;
	struct imap_own_change own;
	uint32_t seen;              /* rows walked */
	bool at_once;               /* few: rows are read while the change is made, where they are at hand */
	struct message rows[ROWS_AT_ONCE];
	size_t row_count;
	bool silent, uid;
	uint32_t lowest;            /* where imapd_message_limit has cut the set; 0: nowhere */
	struct imap_set_builder stale, stale_now; /* UIDs that UNCHANGEDSINCE left alone */
};

static void flagging_done(struct flagging *f) {
	imap_set_builder_done(&f->stale);
	imap_set_builder_done(&f->stale_now);
}

static const struct { const char *word; enum flag_how how; bool silent; } ways[] = {
	{ "FLAGS", FLAGS_REPLACE, false },    { "+FLAGS", FLAGS_ADD, false },
	{ "-FLAGS", FLAGS_REMOVE, false },    { "FLAGS.SILENT", FLAGS_REPLACE, true },
	{ "+FLAGS.SILENT", FLAGS_ADD, true }, { "-FLAGS.SILENT", FLAGS_REMOVE, true },
};

static int add_stale(void *ctx, uint32_t uid) {
	struct flagging *f = ctx;
	if (view_number(&f->s->box.view, uid) != 0) imap_set_append(&f->stale_now, uid, uid);
	return 0;
}

static bool is_told(const struct flagging *f) {
	return !f->silent || imap_enabled(f->s, IMAP_CONDSTORE);
}

static unsigned told_columns(const struct flagging *f) {
	return imap_enabled(f->s, IMAP_CONDSTORE) ? WANT_BRIEF : WANT_LEAN;
}

static int keep_row(void *ctx, const struct message *m) {
	struct flagging *f = ctx;
	struct message *row = &f->rows[f->row_count++];
	*row = *m;
	if (m->keywords.len != 0) row->keywords = arena_slice(&f->s->mem, m->keywords);
	return 0;
}

static int change_flags(struct db_conn *tx, void *arg) {
	struct flagging *f = arg;
	const struct box box = f->s->box.box;
	struct uid_set set = imap_uid_set(&f->now);
	imap_set_builder_done(&f->stale_now); /* the transaction may be run again */
	f->row_count = 0;
	int r = imap_own_begin(tx, box, &f->own);
	if (r == 0) r = store_flags(tx, box, set, &f->change, NULL, add_stale, f, &f->own.after);
	return r == 0 && f->at_once ? store_each(tx, box, set, told_columns(f), keep_row, f) : r;
}

static int put_row(void *ctx, struct db_conn *c UNUSED, const struct message *m) {
	struct flagging *f = ctx;
	if (view_number(&f->s->box.view, m->uid) == 0) return 0;
	f->seen++;
	if (imap_set_has(&f->stale_now.set, m->uid)) return 0;
	imap_put_change(f->s, m, !f->silent);
	return imap_out(f->s)->len < FLAG_PAGE ? 0 : WALK_PAGE_FULL;
}

static int drain(void *ctx) {
	struct flagging *f = ctx;
	return imap_drain(f->s) ? 0 : WALK_PAGE_FULL;
}

/* "(UNCHANGEDSINCE 12) ", RFC 7162 §3.1.3 */
static bool parse_condition(struct imap_parse *p, struct flag_change *out) {
	if (!imap_parse_take(p, '(')) return true;
	if (!imap_parse_take_word(p, "UNCHANGEDSINCE")) return imap_parse_fail(p, "Unknown STORE modifier.");
	out->conditional = true;
	if (!imap_parse_space(p) || !imap_parse_number(p, INT64_MAX, &out->unchanged_since) || !imap_parse_need(p, ')'))
		return false;
	return imap_parse_space(p);
}

static bool parse_store(struct imap_session *s, struct imap_call *call, struct flagging *f) {
	struct imap_parse *p = &call->p;
	struct imap_flags flags;
	size_t way = 0;
	if (!imap_parse_messages(s, call, &f->set) || !imap_parse_space(p) || !parse_condition(p, &f->change))
		return false;
	while (way < LEN(ways) && !imap_parse_take_word(p, ways[way].word)) way++;
	if (way == LEN(ways)) return imap_parse_fail(p, "Expected FLAGS, +FLAGS or -FLAGS.");
	if (!imap_parse_space(p) || !imap_parse_flags(s, p, &flags) || !imap_parse_end(p)) return false;
	f->change.how = ways[way].how;
	f->change.flags = flags.bits;
	f->change.keywords = flags.keywords;
	f->silent = ways[way].silent;
	return true;
}

static struct imap_answer stored(struct flagging *f) {
	if (f->stale.set.count == 0) return imap_limit_answer(f->s, f->lowest, imap_ok("Store completed."));
	AUTO(imap_set_builder_done) struct imap_set_builder numbers = { 0 };
	AUTO_BUF struct buf text = BUF(MIB(16));
	if (!f->uid) imap_view_numbers(f->s, &f->stale.set, &numbers);
	buf_add(&text, S("[MODIFIED "));
	imap_put_set(&text, f->uid ? &f->stale.set : &numbers.set);
	buf_add(&text, S("] Conditional STORE failed for some."));
	return imap_limit_answer(f->s, f->lowest, imap_ok(arena_text(&f->s->mem, buf_slice(&text))));
}

static int store_slice(struct flagging *f) {
	struct imap_session *s = f->s;
	f->at_once = is_told(f) && imap_set_size(&f->now) <= ROWS_AT_ONCE;
	int r = db_write_repeatable(s->context->db, change_flags, f);
	if (r != 0) return r;
	imap_own_end(s, &f->own);
	for (size_t i = 0; i < f->stale_now.set.count; i++)
		imap_set_append(&f->stale, f->stale_now.set.ranges[i].first, f->stale_now.set.ranges[i].last);
	for (size_t i = 0; i < f->row_count; i++) put_row(f, NULL, &f->rows[i]);
	if (f->at_once || !is_told(f)) return 0;
	const struct imap_walk walk = {
		.want = told_columns(f), .each = put_row, .page = drain, .ctx = f, .changed = true
	};
	return imap_walk(s, &f->now, &walk);
}

static int store_all(struct flagging *f) {
	struct imap_session *s = f->s;
	struct imap_slices k = { .set = &f->set, .most = STORE_SLICE };
	uint64_t done = 0, all = imap_view_count(s, &f->set);
	int r = 0;
	while (r == 0 && !s->broken && imap_next_slice(s, &k)) {
		if (done != 0 && !imap_progress(s, done, all)) break;
		f->now = k.now;
		r = store_slice(f);
		done += imap_view_count(s, &f->now);
	}
	return r;
}

IMAP_COMMAND(imap_do_store) {
	AUTO(flagging_done) struct flagging f = { .s = s, .uid = call->uid };
	if (!parse_store(s, call, &f)) return imap_bad(&call->p);
	if (f.change.conditional) imap_enable(s, IMAP_CONDSTORE);
	if (!imap_limit_flags(s->box.rights, &f.change))
		return imap_no("[NOPERM] None of these flags may be changed here.");
	if (f.set.count == 0) return imap_ok("Store completed.");
	if (f.change.keywords.len != 0) s->box.others = 0; /* a new one is told, though it may change no message */
	f.lowest = imap_limit_set(s, imap_messages_limit(s), &f.set);
	int r = store_all(&f);
	if (r != 0) return imap_refused(s, r, "store");
	if (!is_told(&f)) return stored(&f);
	if (!call->uid && f.stale.set.count == 0 && f.seen < imap_view_count(s, &f.set))
		return imap_limit_answer(s, f.lowest,
					 imap_no("[EXPUNGEISSUED] Some of the messages no longer exist."));
	return stored(&f);
}

/* Expunging. */

struct expunging { struct imap_session *s; struct imap_set set; };

static int expunge(struct db_conn *tx, void *arg) {
	struct expunging *e = arg;
	return store_expunge(tx, e->s->box.box, imap_uid_set(&e->set), true, NULL, NULL);
}

static int expunge_set(struct imap_session *s, const struct imap_set *set) {
	struct imap_slices k = { .set = set, .most = EXPUNGE_SLICE };
	uint64_t done = 0, all = imap_view_count(s, set);
	int r = 0;
	while (r == 0 && imap_next_slice(s, &k)) {
		if (done != 0 && !imap_progress(s, done, all)) break;
		struct expunging e = { s, k.now };
		r = db_write_repeatable(s->context->db, expunge, &e);
		done += imap_view_count(s, &k.now);
	}
	return r;
}

static int nothing_deleted(struct imap_session *s, bool *nothing) {
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct mailbox_state m;
	int r = c == NULL ? -1 : store_mailbox_state(c, &s->mem, s->box.box, &m);
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

struct marked { struct imap_session *s; struct imap_set_builder uids; };

static int add_marked(void *ctx, struct db_conn *c, const struct message *m) {
	struct marked *k = ctx;
	(void)c;
	if ((m->flags & FLAG_DELETED) != 0 && view_number(&k->s->box.view, m->uid) != 0)
		imap_set_append(&k->uids, m->uid, m->uid);
	return 0;
}

/* Of UID EXPUNGE only messages that are \Deleted count (RFC 9738 §3.1). */
static int limit_marked(struct imap_session *s, struct imap_set *set, uint32_t *lowest) {
	uint64_t limit = imap_messages_limit(s);
	struct marked k = { .s = s };
	const struct imap_walk walk = { .want = WANT_BRIEF, .each = add_marked, .ctx = &k };
	if (limit == 0 || imap_view_count(s, set) <= limit) return 0;
	int r = imap_walk(s, set, &walk);
	if (r == 0) *set = imap_set_copy(&s->mem, &k.uids.set);
	imap_set_builder_done(&k.uids);
	if (r == 0) *lowest = imap_limit_set(s, limit, set);
	return r;
}

IMAP_COMMAND(imap_do_expunge) {
	struct imap_set set;
	uint32_t lowest = 0;
	int r;
	if ((s->box.rights & ACL_EXPUNGE) == 0) return imap_refused(s, STORE_NO_RIGHT, "expunge");
	if (call->uid) {
		if (!imap_parse_messages(s, call, &set) || !imap_parse_end(&call->p)) return imap_bad(&call->p);
		r = limit_marked(s, &set, &lowest);
		if (r == 0) r = expunge_set(s, &set);
	} else {
		if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
		r = expunge_all(s);
	}
	return r == 0 ? imap_limit_answer(s, lowest, imap_ok("Expunge completed.")) : imap_refused(s, r, "expunge");
}

IMAP_COMMAND(imap_do_close) {
	if (!imap_parse_end(&call->p)) return imap_bad(&call->p);
	int r = s->box.read_only || (s->box.rights & ACL_EXPUNGE) == 0 ? 0 : expunge_all(s);
	if (r != 0) return imap_refused(s, r, "close");
	imap_deselect(s);
	return imap_ok("Close completed.");
}
