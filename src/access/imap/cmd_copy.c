/* SPDX-License-Identifier: Apache-2.0 */
/* COPY and MOVE (RFC 3501 §6.4.7, RFC 6851) with the UIDs that tell a client what became of its messages (RFC 4315). */
#include "access/imap/walk.h"

struct copying {
	struct imap_session *s;
	struct imap_set set;
	struct slice name;
	bool move;
	struct imap_set_builder from, to;
	struct copied done;
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

static int copy(struct db_conn *tx, void *arg) {
	struct copying *k = arg;
	struct mailbox m;
	copying_done(k); /* the transaction may be run again */
	int r = store_find(tx, db_memory(tx), k->s->account, k->name, &m);
	if (r == 0 && m.nonexistent) r = STORE_NO_MAILBOX;
	if (r != 0) return r;
	return (k->move ? store_move : store_copy)(tx, k->s->box.box, imap_uid_set(&k->set), m.box, copied, k, &k->done);
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
	const char *done = move ? "Move completed." : "Copy completed.";
	int r = db_write(s->context->db, copy, &k);
	if (r == STORE_NO_MAILBOX) return imap_no("[TRYCREATE] Mailbox doesn't exist.");
	if (r != 0) return imap_refused(s, r, move ? "move" : "copy");
	if (k.from.set.count == 0)
		return call->uid ? imap_ok("No messages found.")
				 : imap_no("[EXPUNGEISSUED] The messages no longer exist.");
	if (!move) {
		AUTO_BUF struct buf text = BUF(MIB(16));
		put_uids(&text, &k);
		buf_addf(&text, " %s", done);
		return imap_ok(arena_text(&s->mem, buf_slice(&text)));
	}
	buf_add(imap_out(s), S("* OK "));
	put_uids(imap_out(s), &k);
	buf_add(imap_out(s), S(" Moved UIDs.\r\n"));
	return imap_ok(done);
}

IMAP_COMMAND(imap_do_copy) {
	return copy_or_move(s, call, false);
}

IMAP_COMMAND(imap_do_move) {
	return copy_or_move(s, call, true);
}
