/* SPDX-License-Identifier: Apache-2.0 */
/* COPY and MOVE (RFC 3501 §6.4.7, RFC 6851) with the UIDs that tell a client what became of its messages (RFC 4315).
 * A COPY is whole or not at all, in one transaction; a MOVE of many messages goes in slices, so that others can write
 * in between and the client hears how far it is. */
#include "access/imap/limit.h"
#include "access/imap/place.h"
#include "access/imap/walk.h"
#include "store/quota.h"

struct copying {
	struct imap_session *s;
	struct imap_set set, now; /* now: the slice */
	struct slice name;
	bool move, blind;         /* blind: he may put messages there, but not look at them */
	struct imap_set_builder from, to, from_now, to_now;
	struct copied done;
	struct quota quota;
	uint64_t bytes, messages; /* that the target's account grows by */
};

static void copying_done(struct copying *k) {
	imap_set_builder_done(&k->from);
	imap_set_builder_done(&k->to);
	imap_set_builder_done(&k->from_now);
	imap_set_builder_done(&k->to_now);
}

static int copied(void *ctx, uint32_t from_uid, uint32_t to_uid) {
	struct copying *k = ctx;
	imap_set_append(&k->from_now, from_uid, from_uid);
	imap_set_append(&k->to_now, to_uid, to_uid);
	return 0;
}

/* What comes from another mailbox of the same account and leaves it needs no room. */
static int make_room(struct db_conn *tx, struct copying *k, struct box to) {
	if (k->move && to.account == k->s->box.box.account) return 0;
	int r = imap_quota(k->s, tx, to.account, &k->quota);
	if (r == 0) r = store_quota_of(tx, k->s->box.box, imap_uid_set(&k->now), &k->bytes, &k->messages);
	return r == 0 ? store_quota_fits(tx, to.account, &k->quota, k->bytes, k->messages) : r;
}

/* Flags the user may not set there have not come along. */
static int limit_flags(struct db_conn *tx, struct copying *k, const struct imap_found *to) {
	struct flag_change denied = { .how = FLAGS_REPLACE };
	imap_limit_flags(to->rights, &denied);
	if (denied.fixed == 0) return 0;
	struct flag_change change = { .how = FLAGS_REPLACE,
				      .fixed = FLAG_ALL & ~denied.fixed,
				      .words_fixed = !denied.words_fixed };
	return store_flags(tx, to->m.box, imap_uid_set(&k->to_now.set), &change, NULL, NULL, NULL, NULL);
}

static int copy(struct db_conn *tx, void *arg) {
	struct copying *k = arg;
	struct imap_found f;
	imap_set_builder_done(&k->from_now); /* the transaction may be run again */
	imap_set_builder_done(&k->to_now);
	k->bytes = k->messages = 0;
	int r = imap_find_with(k->s, tx, k->name, ACL_INSERT, &f);
	if (r == 0) r = make_room(tx, k, f.m.box);
	if (r != 0) return r;
	k->blind = (f.rights & ACL_READ) == 0;
	r = (k->move ? store_move : store_copy)(tx, k->s->box.box, imap_uid_set(&k->now), f.m.box, copied, k, &k->done);
	if (r == 0 && !f.place.own && k->to_now.set.count != 0) r = limit_flags(tx, k, &f);
	return r == 0 && k->bytes != 0 ? store_quota_grown(tx, f.m.box.account, &k->quota, k->bytes, k->messages) : r;
}

static void add_all(struct imap_set_builder *to, const struct imap_set *set) {
	for (size_t i = 0; i < set->count; i++) imap_set_append(to, set->ranges[i].first, set->ranges[i].last);
}

static int copy_slice(struct copying *k) {
	int r = db_write_repeatable(k->s->context->db, copy, k);
	if (r != 0) return r;
	add_all(&k->from, &k->from_now.set);
	add_all(&k->to, &k->to_now.set);
	return 0;
}

static int copy_all(struct copying *k) {
	enum { MOVE_SLICE = 20000 };
	struct imap_slices slices = { .set = &k->set, .most = k->move ? MOVE_SLICE : UINT32_MAX };
	uint64_t done = 0, all = imap_view_count(k->s, &k->set);
	int r = 0;
	if (!imap_next_slice(k->s, &slices)) return copy_slice(k); /* of nothing: whether the mailbox is there */
	do {
		if (done != 0 && !imap_progress(k->s, done, all)) break;
		k->now = slices.now;
		r = copy_slice(k);
		done += imap_view_count(k->s, &k->now);
	} while (r == 0 && !k->s->broken && imap_next_slice(k->s, &slices));
	return r;
}

static void put_uids(struct buf *out, const struct copying *k) {
	buf_addf(out, "[COPYUID %u ", k->done.uidvalidity);
	imap_put_set(out, &k->from.set);
	buf_byte(out, ' ');
	imap_put_set(out, &k->to.set);
	buf_byte(out, ']');
}

static struct imap_answer copy_or_move(struct imap_session *s, struct imap_call *call, bool move) {
	AUTO(copying_done) struct copying k = { .s = s, .move = move };
	if (!imap_parse_messages(s, call, &k.set) || !imap_parse_space(&call->p) ||
	    !imap_parse_mailbox(s, &call->p, &k.name) || !imap_parse_end(&call->p))
		return imap_bad(&call->p);
	enum { MOVES = ACL_DELETE | ACL_EXPUNGE };
	if (move && (s->box.rights & MOVES) != MOVES) return imap_refused(s, STORE_NO_RIGHT, "move");
	const char *done = move ? "Move completed." : "Copy completed.";
	uint64_t limit = move ? imap_messages_limit(s) : imap_saves_limit(s);
	uint32_t lowest = imap_limit_set(s, limit, &k.set);
	if (lowest != 0 && !move)
		return imap_no(imap_limit_text(s, limit, lowest, "Too many messages in one command."));
	int r = copy_all(&k);
	if (move && k.from.set.count != 0 && !k.blind) {
		buf_add(imap_out(s), S("* OK "));
		put_uids(imap_out(s), &k);
		buf_byte(imap_out(s), ' ');
		imap_say(s, "Moved UIDs.");
	}
	if (r == STORE_NO_MAILBOX) return imap_no("[TRYCREATE] Mailbox doesn't exist.");
	if (r != 0) return imap_refused(s, r, move ? "move" : "copy");
	if (k.from.set.count == 0) /* an empty "$" fits nothing, which is no mistake (RFC 5182 §2.1) */
		return imap_limit_answer(s, lowest,
					 call->uid || k.set.count == 0
						 ? imap_ok("No messages found.")
						 : imap_no("[EXPUNGEISSUED] The messages no longer exist."));
	if (move) return imap_limit_answer(s, lowest, imap_ok(done));
	if (k.blind) return imap_ok(done); /* RFC 9051 §6.4.7 */
	AUTO_BUF struct buf text = BUF(MIB(16));
	put_uids(&text, &k);
	buf_addf(&text, " %s", done);
	return imap_ok(arena_text(&s->mem, buf_slice(&text)));
}

IMAP_COMMAND(imap_do_copy) {
	return copy_or_move(s, call, false);
}

IMAP_COMMAND(imap_do_move) {
	return copy_or_move(s, call, true);
}
