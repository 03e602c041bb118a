/* SPDX-License-Identifier: Apache-2.0 */
/* COPY and MOVE (RFC 3501 §6.4.7, RFC 6851) with the UIDs that tell a client what became of its messages (RFC 4315). */
#include "access/imap/limit.h"
#include "access/imap/place.h"
#include "access/imap/walk.h"
#include "store/quota.h"

struct copying {
	struct imap_session *s;
	struct imap_set set;
	struct slice name;
	bool move;
	struct imap_set_builder from, to;
	struct copied done;
	struct quota quota;
	uint64_t bytes, messages; /* that the target's account grows by */
};

static void copying_done(struct copying *k) {
	imap_set_builder_done(&k->from);
	imap_set_builder_done(&k->to);
}

static int copied(void *ctx, uint32_t from_uid, uint32_t to_uid) {
	struct copying *k = ctx;
	imap_set_append(&k->from, from_uid, from_uid);
	imap_set_append(&k->to, to_uid, to_uid);
	return 0;
}

/* What comes from another mailbox of the same account and leaves it needs no room. */
static int make_room(struct db_conn *tx, struct copying *k, struct box to) {
	if (k->move && to.account == k->s->box.box.account) return 0;
	int r = imap_quota(k->s, tx, to.account, &k->quota);
	if (r == 0) r = store_quota_of(tx, k->s->box.box, imap_uid_set(&k->set), &k->bytes, &k->messages);
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
	return store_flags(tx, to->m.box, imap_uid_set(&k->to.set), &change, NULL, NULL, NULL, NULL);
}

static int copy(struct db_conn *tx, void *arg) {
	struct copying *k = arg;
	struct imap_found f;
	copying_done(k); /* the transaction may be run again */
	k->bytes = k->messages = 0;
	int r = imap_find_with(k->s, tx, k->name, ACL_INSERT, &f);
	if (r == 0) r = make_room(tx, k, f.m.box);
	if (r != 0) return r;
	r = (k->move ? store_move : store_copy)(tx, k->s->box.box, imap_uid_set(&k->set), f.m.box, copied, k, &k->done);
	if (r == 0 && !f.place.own && k->to.set.count != 0) r = limit_flags(tx, k, &f);
	return r == 0 && k->bytes != 0 ? store_quota_grown(tx, f.m.box.account, &k->quota, k->bytes, k->messages) : r;
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
	int r = db_write(s->context->db, copy, &k);
	if (r == STORE_NO_MAILBOX) return imap_no("[TRYCREATE] Mailbox doesn't exist.");
	if (r != 0) return imap_refused(s, r, move ? "move" : "copy");
	if (k.from.set.count == 0)
		return imap_limit_answer(s, lowest,
					 call->uid ? imap_ok("No messages found.")
						   : imap_no("[EXPUNGEISSUED] The messages no longer exist."));
	if (!move) {
		AUTO_BUF struct buf text = BUF(MIB(16));
		put_uids(&text, &k);
		buf_addf(&text, " %s", done);
		return imap_ok(arena_text(&s->mem, buf_slice(&text)));
	}
	buf_add(imap_out(s), S("* OK "));
	put_uids(imap_out(s), &k);
	buf_byte(imap_out(s), ' ');
	imap_say(s, "Moved UIDs.");
	return imap_limit_answer(s, lowest, imap_ok(done));
}

IMAP_COMMAND(imap_do_copy) {
	return copy_or_move(s, call, false);
}

IMAP_COMMAND(imap_do_move) {
	return copy_or_move(s, call, true);
}
