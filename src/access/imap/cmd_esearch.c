/* SPDX-License-Identifier: Apache-2.0 */
/* ESEARCH: one search of many mailboxes (RFC 7377). Each is searched as it is in the store, not as a view, so that all
 * answers are UIDs; a mailbox in which nothing is found is not mentioned. */
#include "access/imap/mailboxes.h"
#include "access/imap/search.h"
#include "base/collate.h"

enum { SOURCES_MAX = 10000, TREES_MAX = 100 };

struct sources {
	struct imap_session *s;
	struct mailbox *at;
	size_t count, room;
	bool selected, subscribed, personal, one_level; /* what list_all looks for; below: a tree */
	struct slice below;
};

static void add_box(struct sources *w, const struct mailbox *m) {
	for (size_t i = 0; i < w->count; i++)
		if (w->at[i].box.id == m->box.id && w->at[i].box.account == m->box.account) return;
	if (w->count == w->room) {
		struct mailbox *more = arena_array(&w->s->mem, w->room * 2 + 8, sizeof *more);
		if (w->count != 0) memcpy(more, w->at, w->count * sizeof *more);
		w->at = more;
		w->room = w->room * 2 + 8;
	}
	w->at[w->count] = *m;
	w->at[w->count++].name = arena_slice(&w->s->mem, m->name);
}

static bool wanted(const struct sources *w, const struct mailbox *m) {
	if (w->personal) return m->box.account == w->s->account;
	return w->subscribed ? m->subscribed : imap_name_below(m->name, w->below, w->one_level);
}

/* Of others', only what may be read (RFC 7377 §2.2, RFC 4314 §4). */
static int list_all(struct sources *w) {
	AUTO_MAILBOXES struct imap_mailboxes all = { 0 };
	AUTO_READ struct db_conn *c = db_read(w->s->context->db);
	int r = c == NULL ? -1 : imap_mailboxes(w->s, c, &w->s->mem, &all);
	for (size_t i = 0; i < all.count && r == 0; i++) {
		uint32_t rights;
		if (all.at[i].nonexistent || !wanted(w, &all.at[i])) continue;
		r = imap_mailbox_rights(w->s, c, &all.at[i], &rights);
		if (r == 0 && (rights & ACL_READ) != 0) add_box(w, &all.at[i]);
	}
	return r;
}

static int find_one(struct sources *w, struct slice name) {
	struct imap_found f;
	AUTO_READ struct db_conn *c = db_read(w->s->context->db);
	int r = c == NULL ? -1 : imap_find_with(w->s, c, name, ACL_READ, &f);
	if (r == 0) add_box(w, &f.m);
	return MIN_OF(r, 0); /* what does not exist is passed over */
}

static int find_selected(struct sources *w) {
	struct mailbox m;
	AUTO_READ struct db_conn *c = db_read(w->s->context->db);
	int r = c == NULL ? -1 : store_mailbox(c, &w->s->mem, w->s->box.box, &m);
	if (r == 0) add_box(w, &m);
	return MIN_OF(r, 0);
}

/* "mailboxes", "subtree" or "subtree-one" with one name or a list. */
static int parse_names(struct sources *w, struct imap_parse *p, bool tree) {
	int r = 0;
	if (!imap_parse_space(p)) return 0;
	bool list = imap_parse_take(p, '(');
	for (size_t n = 0; r == 0; n++) {
		struct slice name;
		if (n == TREES_MAX) imap_parse_fail(p, "Too many mailboxes.");
		if (!imap_parse_mailbox(w->s, p, &name)) return 0;
		if (tree) {
			w->below = collate_composed(&w->s->mem, name);
			r = list_all(w);
			w->below = SLICE_NONE;
		} else {
			r = find_one(w, name);
		}
		if (!list || !imap_parse_take(p, ' ')) break;
	}
	if (list) imap_parse_need(p, ')');
	return r;
}

static int parse_filter(struct sources *w, struct imap_parse *p) {
	if (imap_parse_take_word(p, "selected-delayed") || imap_parse_take_word(p, "selected")) {
		w->selected = true;
		if (!w->s->box.open) imap_parse_fail(p, "No mailbox selected."); /* RFC 7377 §2.2 */
		return w->s->box.open ? find_selected(w) : 0;
	}
	if (imap_parse_take_word(p, "mailboxes")) return parse_names(w, p, false);
	if (imap_parse_take_word(p, "subtree-one")) {
		w->one_level = true;
		int r = parse_names(w, p, true);
		w->one_level = false;
		return r;
	}
	if (imap_parse_take_word(p, "subtree")) return parse_names(w, p, true);
	/* any mailbox may be delivered to, by its name behind the address (RFC 5465 §6.3) */
	w->personal = imap_parse_take_word(p, "personal") || imap_parse_take_word(p, "inboxes");
	w->subscribed = !w->personal && imap_parse_take_word(p, "subscribed");
	if (!w->personal && !w->subscribed) imap_parse_fail(p, "Unknown source of mailboxes.");
	int r = p->error == NULL ? list_all(w) : 0;
	w->personal = w->subscribed = false;
	return r;
}

/* " IN (…)", if it is there. sole: nothing but the selected mailbox is asked for. */
static int parse_sources(struct sources *w, struct imap_parse *p, bool *sole) {
	struct imap_parse before = *p;
	size_t filters = 0;
	int r = 0;
	*sole = true;
	if (!imap_parse_space(p)) return 0;
	if (!imap_parse_take_word(p, "IN")) {
		*p = before;
		w->selected = true;
		if (!w->s->box.open) imap_parse_fail(p, "No mailbox selected.");
		return p->error == NULL ? find_selected(w) : 0;
	}
	if (!imap_parse_space(p) || !imap_parse_need(p, '(')) return 0;
	do {
		r = parse_filter(w, p);
		if (++filters > TREES_MAX) imap_parse_fail(p, "Too many sources.");
	} while (r == 0 && imap_parse_take(p, ' '));
	imap_parse_need(p, ')');
	*sole = filters == 1 && w->selected;
	return r;
}

static int search_one(struct imap_session *s, struct imap_call *call, const struct search_ask *ask,
		      const struct sources *w, size_t i) {
	const struct mailbox *m = &w->at[i];
	AUTO(search_scan_done) struct search_scan scan = { .s = s, .box = m->box, .recent_from = m->recent_from,
		.root = ask->root, .steps_before = i, .steps = w->count };
	AUTO(search_result_done) struct search_result found = SEARCH_RESULT;
	AUTO_BUF struct buf source = BUF(KIB(8));
	if (m->exists == 0) return 0;
	search_scan_all(&scan, m->uidnext);
	int r = search_find(&scan, &found);
	if (r != 0) return r;
	if ((ask->returns & RETURN_SAVE) != 0 && !search_save(s, ask, &found)) return STORE_LIMIT;
	if (found.count == 0 || ask->returns == RETURN_SAVE) return 0;
	buf_add(&source, S(" MAILBOX "));
	imap_add_mailbox(s, &source, m->name);
	buf_addf(&source, " UIDVALIDITY %u", m->uidvalidity);
	search_put_extended(s, call->tag, true, ask, &found, buf_slice(&source));
	return imap_drain(s) ? 0 : -1;
}

IMAP_COMMAND(imap_do_esearch) {
	struct sources w = { .s = s };
	struct search_ask ask = { .mailboxes = true };
	bool sole;
	int r = parse_sources(&w, &call->p, &sole);
	if (r < 0) return imap_refused(s, r, "esearch");
	if (!search_parse(s, &call->p, &ask)) return imap_bad(&call->p);
	if (ask.returns == 0) ask.returns = RETURN_ALL;
	if (!sole && (ask.returns & (RETURN_SAVE | RETURN_UPDATE | RETURN_CONTEXT)) != 0)
		imap_parse_fail(&call->p, "SAVE, UPDATE and CONTEXT are for the selected mailbox alone.");
	else if ((ask.returns & RETURN_UPDATE) != 0)
		imap_parse_fail(&call->p, "UPDATE is for SEARCH and SORT.");
	if (call->p.error != NULL) return imap_bad(&call->p);
	if (ask.bad_charset) return search_bad_charset();
	if ((ask.returns & RETURN_SAVE) != 0) search_save_nothing(s);
	for (size_t i = 0; i < w.count; i++) {
		r = search_one(s, call, &ask, &w, i);
		if (s->broken) return imap_no("");
		if (r == STORE_NO_MAILBOX) continue; /* somebody has deleted it meanwhile */
		if (r == STORE_LIMIT) return imap_no("[NOTSAVED] Too many messages to keep as $.");
		if (r != 0) return imap_refused(s, r, "esearch");
	}
	return imap_ok("Search completed.");
}
