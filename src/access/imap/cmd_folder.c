/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that make, change and remove mailboxes, and the subscriptions (RFC 3501 §6.3.3 to §6.3.7, RFC 6154). */
#include "access/imap/name.h"
#include "access/imap/place.h"
#include "access/imap/status.h"

struct names { struct imap_session *s; struct slice name, other; uint32_t use; bool on; struct box box; };

static const struct { const char *name; uint32_t use;
} uses[] = {
	{ "\\All", USE_ALL },         { "\\Archive", USE_ARCHIVE },     { "\\Drafts", USE_DRAFTS },
	{ "\\Flagged", USE_FLAGGED }, { "\\Junk", USE_JUNK },           { "\\Sent", USE_SENT },
	{ "\\Trash", USE_TRASH },     { "\\Important", USE_IMPORTANT },
};

void imap_put_special_use(struct buf *out, uint32_t use) {
	for (size_t i = 0; i < LEN(uses); i++)
		if ((use & uses[i].use) != 0) buf_addf(out, " %s", uses[i].name);
}

static struct imap_answer write_names(struct imap_session *s, int (*fn)(struct db_conn *tx, void *arg), struct names *n,
				      const char *done) {
	n->s = s;
	int r = db_write(s->context->db, fn, n);
	return r == 0 ? imap_ok(done) : imap_refused(s, r, done);
}

static int create(struct db_conn *tx, void *arg) {
	struct names *n = arg;
	struct imap_place place;
	int r = imap_name_new(n->name) ? imap_place(n->s, tx, n->name, &place) : STORE_BAD_NAME;
	if (r == 0 && place.name.len == 0) r = STORE_EXISTS; /* the root of a namespace */
	if (r == 0) r = imap_may_create(n->s, tx, &place);
	if (r == 0 && n->use != 0 && !place.own) r = STORE_NO_RIGHT;
	return r == 0 ? store_create(tx, place.account, place.name, n->use, &n->box) : r;
}

static int delete(struct db_conn *tx, void *arg) {
	struct names *n = arg;
	struct imap_found f;
	int r = imap_find_with(n->s, tx, n->name, ACL_REMOVE, &f);
	if (r != 0) return r;
	n->box = f.m.box;
	return store_delete(tx, f.place.account, f.place.name);
}

/* Mail stays with its owner: a mailbox cannot be renamed into somebody else's. */
static int rename_it(struct db_conn *tx, void *arg) {
	struct names *n = arg;
	struct imap_found f;
	struct imap_place to;
	int r = imap_find_with(n->s, tx, n->name, ACL_REMOVE, &f);
	if (r == 0) r = imap_name_new(n->other) ? imap_place(n->s, tx, n->other, &to) : STORE_BAD_NAME;
	if (r == 0 && to.name.len == 0) r = STORE_EXISTS;
	if (r == 0) r = imap_may_create(n->s, tx, &to);
	if (r != 0) return r;
	if (to.account != f.place.account || (!to.own && slice_same(f.place.name, S("INBOX")))) return STORE_BAD_NAME;
	return store_rename(tx, to.account, f.place.name, to.name);
}

static int subscribe(struct db_conn *tx, void *arg) {
	struct names *n = arg;
	return store_subscribe(tx, n->s->account, n->name, n->on);
}

bool imap_read_special_use(struct slice words, uint32_t *out) {
	uint32_t use = 0;
	for (struct slice word; (word = slice_word(&words, " ")).len != 0;) {
		size_t i = 0;
		while (i < LEN(uses) && !slice_same(word, slice_of(uses[i].name))) i++;
		if (i == LEN(uses)) return false;
		use |= uses[i].use;
	}
	*out = use;
	return true;
}

/* (USE (\Sent …)) */
static bool parse_uses(struct imap_parse *p, uint32_t *out, bool *unknown) {
	uint32_t use = 0;
	bool first = true;
	if (!imap_parse_need(p, '(') || !imap_parse_take_word(p, "USE") || !imap_parse_space(p) ||
	    !imap_parse_need(p, '('))
		return imap_parse_fail(p, "Expected (USE (...)).");
	while (!imap_parse_take(p, ')')) {
		size_t i = 0;
		struct slice word;
		if (!first && !imap_parse_space(p)) return false;
		first = false;
		while (i < LEN(uses) && !imap_parse_take_word(p, uses[i].name)) i++;
		if (i < LEN(uses)) use |= uses[i].use;
		else if (!imap_parse_take(p, '\\') || !imap_parse_atom(p, &word))
			return imap_parse_fail(p, "Expected a special use.");
		else *unknown = true;
	}
	*out = use;
	return imap_parse_need(p, ')');
}

IMAP_COMMAND(imap_do_create) {
	struct imap_parse *p = &call->p;
	struct names n = { 0 };
	bool unknown = false;
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &n.name) ||
	    (imap_parse_take(p, ' ') && !parse_uses(p, &n.use, &unknown)) || !imap_parse_end(p))
		return imap_bad(p);
	if (unknown) return imap_no("[USEATTR] Unknown special use.");
	struct imap_answer a = write_names(s, create, &n, "Create completed.");
	if (a.status != IMAP_OK) return a;
	imap_tell_composed(s, n.name, n.name, "");
	AUTO_BUF struct buf id = BUF(256);
	imap_put_mailbox_id(&id, n.box.account, n.box.id);
	return imap_ok(arena_fmt(&s->mem, "[MAILBOXID (%s)] Create completed.", buf_text(&id)).at); /* RFC 8474 §4.1 */
}

IMAP_COMMAND(imap_do_delete) {
	struct imap_parse *p = &call->p;
	struct names n = { 0 };
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &n.name) || !imap_parse_end(p)) return imap_bad(p);
	struct imap_answer a = write_names(s, delete, &n, "Delete completed.");
	if (a.status == IMAP_OK && s->box.open && s->box.box.id == n.box.id && s->box.box.account == n.box.account)
		imap_deselect(s);
	if (a.status == IMAP_OK) imap_tell_composed(s, n.name, n.name, "\\NonExistent");
	return a;
}

IMAP_COMMAND(imap_do_rename) {
	struct imap_parse *p = &call->p;
	struct names n = { 0 };
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &n.name) || !imap_parse_space(p) ||
	    !imap_parse_mailbox(s, p, &n.other) || !imap_parse_end(p))
		return imap_bad(p);
	struct imap_answer a = write_names(s, rename_it, &n, "Rename completed.");
	if (a.status == IMAP_OK) imap_tell_composed(s, n.other, n.name, "");
	return a;
}

static struct imap_answer set_subscription(struct imap_session *s, struct imap_parse *p, bool on, const char *done) {
	struct names n = { .on = on };
	if (!imap_parse_space(p) || !imap_parse_mailbox(s, p, &n.name) || !imap_parse_end(p)) return imap_bad(p);
	return write_names(s, subscribe, &n, done);
}

IMAP_COMMAND(imap_do_subscribe) {
	return set_subscription(s, &call->p, true, "Subscribe completed.");
}

IMAP_COMMAND(imap_do_unsubscribe) {
	return set_subscription(s, &call->p, false, "Unsubscribe completed.");
}
