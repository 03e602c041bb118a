/* SPDX-License-Identifier: Apache-2.0 */
/* The selected mailbox as the client sees it, and how it catches up with the store. Nothing is pushed into a session:
 * it asks for what changed since the modseq it has told, in one snapshot, and tells that at a moment the RFC allows.
 * The list of UIDs is loaded when a number is first needed; then it is rebuilt as of the told modseq (what vanished
 * since is put back), so that it makes no difference when that was. */
#include "access/imap/live.h"
#include "access/imap/notify.h"
#include "access/imap/place.h"
#include "access/imap/status.h"
#include "access/imap/tell.h"
#include "base/fail.h"
#include "base/log.h"

#include <stdatomic.h>

static int uid_order(const void *a, const void *b) {
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/* Adds the vanished UIDs to the list again and brings it into order. */
static void put_back(struct buf *uids, struct imap_set_builder *gone) {
	for (size_t i = 0; i < gone->set.count; i++)
		for (uint32_t uid = gone->set.ranges[i].first; uid <= gone->set.ranges[i].last; uid++)
			if (!buf_add(uids, slice_from(&uid, sizeof(uid)))) return;
	qsort(uids->at, uids->len / sizeof(uint32_t), sizeof(uint32_t), uid_order);
}

static bool lost(struct imap_session *s, const char *why) {
	imap_refused(s, fail("%s", why), "selected mailbox");
	imap_say(s, "* BYE [SERVERBUG] The mailbox's state was lost, please log in again.");
	imap_end(s, "Mailbox state lost");
	return false;
}

static bool deleted(struct imap_session *s) {
	imap_say(s, "* BYE [NONEXISTENT] The selected mailbox was deleted.");
	imap_end(s, "Selected mailbox was deleted");
	return false;
}

/* When as many are left as there are numbers from the first to the last, no row between them has to be looked at. */
static bool load_dense(struct imap_session *s, struct db_conn *c, struct view *fresh) {
	const struct view *v = &s->box.view;
	uint32_t first = 0, last = 0;
	if (v->count == 0 || store_uid_ends(c, s->box.box, v->uidnext, &first, &last) != 0) return false;
	if (first == 0 || last - first + 1 != v->count) return false;
	view_append(fresh, first);
	fresh->count = v->count;
	return true;
}

/* gone: what vanished since the told modseq, in the snapshot that c is. */
static bool load(struct imap_session *s, struct db_conn *c, struct imap_set_builder *gone) {
	struct view *v = &s->box.view, fresh = { .loaded = true, .recent = v->recent };
	AUTO_BUF struct buf uids = BUF(NEWS_LIMIT);
	if (v->loaded) return true;
	bool dense = gone->set.count == 0 && load_dense(s, c, &fresh);
	if (!dense && store_uids(c, s->box.box, 1, &uids) != 0) return lost(s, fail_text());
	if (gone->set.count != 0) put_back(&uids, gone);
	for (size_t i = 0; i < uids.len / sizeof(uint32_t); i++) {
		uint32_t uid;
		memcpy(&uid, uids.at + i * sizeof(uid), sizeof(uid));
		if (uid < v->uidnext && uid >= fresh.uidnext) view_append(&fresh, uid);
	}
	if (fresh.count != v->count) {
		view_done(&fresh);
		return lost(s, "the list of messages does not fit their number");
	}
	fresh.uidnext = v->uidnext;
	view_done(v);
	*v = fresh;
	return true;
}

static bool gather(struct news *n, struct db_conn *c) {
	struct imap_session *s = n->s;
	if (news_gather(n, c, s->box.box, s->box.modseq, s->box.view.uidnext) == 0) return true;
	return lost(s, fail_text());
}

bool imap_load(struct imap_session *s) {
	if (s->box.view.loaded) return true;
	AUTO_NEWS struct news n = NEWS(s);
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct mailbox_state m;
	int r = c != NULL ? store_mailbox_state(c, &s->mem, s->box.box, &m) : -1;
	if (r != 0) return r == STORE_NO_MAILBOX ? deleted(s) : lost(s, fail_text());
	if (m.highestmodseq > s->box.modseq && !gather(&n, c)) return false;
	return load(s, c, &n.gone);
}

/* Most commands find nothing new, and that is known without a look: what this process wrote was announced (before
 * anybody was answered), and no other one wrote. */
static void note_news(void *ctx, const struct change *change) {
	struct imap_session *s = ctx;
	uint64_t before = atomic_load(&s->news), now = change->mailbox == 0 ? UINT64_MAX : change->modseq;
	if (change->mailbox != 0 && change->mailbox != s->box.box.id) return;
	while (before < now && !atomic_compare_exchange_weak(&s->news, &before, now)) {}
}

static void watch_box(struct imap_session *s) {
	s->box_watch = change_watch(s->context->hub, s->box.box.account, 0, note_news, s);
}

/* Who sleeps until something happens (IDLE, NOTIFY) is woken by another watch, perhaps before ours has heard of it. */
static bool nothing_new(struct imap_session *s, bool may_expunge) {
	const struct imap_selected *box = &s->box;
	bool pending = (may_expunge && box->gone.set.count != 0) || box->live != NULL;
	return !pending && !s->idling && s->notify == NULL && box->others != 0 &&
	       db_others(s->context->db) == box->others && atomic_load(&s->news) <= box->modseq;
}

void imap_sync(struct imap_session *s, bool may_expunge) {
	if (!s->box.open || s->over || !imap_notify_wants(s, NOTIFY_MESSAGES) || nothing_new(s, may_expunge)) return;
	s->box.others = db_others(s->context->db); /* before the look, as what was announced */
	atomic_store(&s->news, 0);
	AUTO_NEWS struct news n = NEWS(s);
	struct db_conn *c = db_read(s->context->db);
	struct mailbox_state m = { 0 };
	int r = c != NULL ? store_mailbox_state(c, &s->mem, s->box.box, &m) : -1;
	bool good = r == 0;
	if (good && m.highestmodseq > s->box.modseq) {
		good = gather(&n, c) && ((n.rows.len == 0 && n.gone.set.count == 0) || load(s, c, &n.gone));
	}
	db_release(&c); /* before any waiting for the client */
	/* between commands (NOTIFY) it is kept quiet: the next may be SELECT, which needs no BYE */
	if (r == STORE_NO_MAILBOX && (s->running.len != 0 || s->idling)) deleted(s);
	if (!good) s->box.others = 0; /* the next one looks again */
	if (!good) return;
	if (s->box.gone.set.count == 0) s->box.gone_since = s->box.modseq;
	for (size_t i = 0; i < n.gone.set.count; i++)
		imap_set_append(&s->box.gone, n.gone.set.ranges[i].first, n.gone.set.ranges[i].last);
	if (may_expunge) tell_gone(s);
	if (m.keywords.len > s->box.keywords_told) tell_keywords(s, m.keywords);
	tell_fresh(s, &n.fresh);
	if (imap_notify_wants(s, NOTIFY_FLAGS)) tell_rows(s, &n.rows);
	s->box.view.uidnext = MAX_OF(s->box.view.uidnext, m.uidnext);
	s->box.modseq = MAX_OF(s->box.modseq, m.highestmodseq);
	live_news(s);
	if (n.fresh.len != 0) imap_notify_fetch(s, &n.fresh);
}

/* Opening and closing. */

static int take_recent(struct db_conn *tx, void *arg) {
	struct imap_selected *box = arg;
	return store_take_recent(tx, box->box, &box->recent_from);
}

static int count_recent(struct db_conn *c, const struct mailbox *m, uint32_t from, uint32_t *count) {
	AUTO_BUF struct buf uids = BUF(NEWS_LIMIT);
	*count = from <= 1 ? (uint32_t)m->exists : 0;
	if (from <= 1 || from >= m->uidnext) return 0;
	int r = store_uids(c, m->box, from, &uids);
	if (r == 0) *count = (uint32_t)(uids.len / sizeof(uint32_t));
	return r;
}

/* The number of the first message that is not \Seen (RFC 3501 §6.3.1). SELECT costs the same at any size: it is looked
 * for among the newest only, where it usually is, and told when it is sure to be the first. */
enum { UNSEEN_LOOK = 256 };
struct unseen { uint32_t rows, unseen, first; };

static int see_flags(void *ctx, const struct message *m) {
	struct unseen *u = ctx;
	u->rows++;
	if ((m->flags & FLAG_SEEN) == 0 && u->unseen++ == 0) u->first = u->rows;
	return 0;
}

static int find_unseen(struct db_conn *c, const struct mailbox *m, uint32_t *number) {
	const struct uid_range newest = { m->uidnext > UNSEEN_LOOK ? m->uidnext - UNSEEN_LOOK : 1, m->uidnext };
	struct unseen u = { 0 };
	*number = m->unseen != 0 && m->unseen == m->exists ? 1 : 0;
	if (m->unseen == 0 || m->unseen == m->exists || m->unseen > UNSEEN_LOOK) return 0;
	int r = store_each(c, m->box, (struct uid_set){ &newest, 1 }, WANT_LEAN, see_flags, &u);
	if (r == 0 && u.unseen == m->unseen) *number = (uint32_t)m->exists - u.rows + u.first;
	return r;
}

static int find(struct imap_session *s, struct slice name, struct mailbox *m) {
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct imap_found found;
	int r = c == NULL ? -1 : imap_find_with(s, c, name, ACL_READ, &found);
	if (r != 0) return r;
	*m = found.m;
	s->box.rights = found.rights;
	s->box.read_only |= (found.rights & ACL_CHANGES) == 0;
	return 0;
}

/* What QRESYNC asks for, in the snapshot that the mailbox is opened in. */
static int resync(struct imap_session *s, struct db_conn *c, const struct imap_select_params *how, struct news *n) {
	struct imap_set_builder none = { 0 };
	int r = news_gather(n, c, s->box.box, how->modseq, s->box.view.uidnext);
	return r == 0 && n->rows.len != 0 && !load(s, c, &none) ? -1 : r;
}

static int open_box(struct imap_session *s, struct slice name, const struct imap_select_params *how, struct mailbox *m,
                    struct news *n, uint32_t *unseen) {
	struct imap_selected *box = &s->box;
	int r = find(s, name, m);
	if (r != 0) return r;
	box->box = m->box;
	watch_box(s);
	box->recent_from = m->recent_from;
	if (!box->read_only && m->recent_from < m->uidnext)
		if ((r = db_write_repeatable(s->context->db, take_recent, box)) != 0) return r;
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	if (c == NULL) return -1;
	struct slice said = m->name;
	if ((r = store_mailbox(c, &s->mem, box->box, m)) != 0) return r;
	m->name = said; /* with its prefix, when it is somebody else's */
	box->view = (struct view){ .count = (uint32_t)m->exists, .uidnext = m->uidnext };
	box->modseq = m->highestmodseq;
	r = count_recent(c, m, box->recent_from, &box->view.recent);
	if (r == 0 && !imap_enabled(s, IMAP_REV2 | IMAP_UIDONLY)) r = find_unseen(c, m, unseen); /* a message number */
	bool known = how->qresync && how->uidvalidity == m->uidvalidity && how->modseq < m->highestmodseq;
	return r == 0 && known ? resync(s, c, how, n) : r;
}

static void tell_since(struct imap_session *s, const struct imap_select_params *how, struct news *n) {
	AUTO(imap_set_builder_done) struct imap_set_builder gone = { 0 };
	struct buf rows = BUF(NEWS_LIMIT);
	imap_set_settle(&n->gone.set, 0);
	if (how->known == NULL) {
		tell_vanished(s, &n->gone.set, true);
		tell_rows(s, &n->rows);
		return;
	}
	imap_set_common(&gone, &n->gone.set, how->known);
	tell_vanished(s, &gone.set, true);
	for (size_t i = 0; i < n->rows.len; i += sizeof(struct news_row)) {
		struct news_row row;
		memcpy(&row, n->rows.at + i, sizeof(row));
		if (imap_set_has(how->known, row.uid)) buf_add(&rows, slice_from(&row, sizeof(row)));
	}
	tell_rows(s, &rows);
	buf_done(&rows);
}

struct imap_answer imap_select(struct imap_session *s, struct slice name, const struct imap_select_params *how) {
	AUTO_NEWS struct news n = NEWS(s);
	struct mailbox m;
	uint32_t unseen = 0;
	if (s->box.open) imap_say(s, "* OK [CLOSED] Previous mailbox closed."); /* RFC 7162 §3.2.11 */
	imap_deselect(s);
	s->box.read_only = how->read_only;
	if (how->condstore || how->qresync) imap_enable(s, IMAP_CONDSTORE);
	int r = open_box(s, name, how, &m, &n, &unseen);
	if (r != 0) {
		imap_deselect(s);
		return imap_refused(s, r, "select");
	}
	s->box.open = true;
	imap_notify_selected(s);
	s->box.modseq_said = m.highestmodseq;
	tell_keywords(s, m.keywords);
	tell_exists(s);
	if (unseen != 0) {
		buf_addf(imap_out(s), "* OK [UNSEEN %u] ", unseen);
		imap_say(s, "First unseen.");
	}
	buf_addf(imap_out(s), "* OK [UIDVALIDITY %u] ", m.uidvalidity);
	imap_say(s, "UIDs valid");
	buf_addf(imap_out(s), "* OK [UIDNEXT %u] ", m.uidnext);
	imap_say(s, "Predicted next UID");
	buf_addf(imap_out(s), "* OK [HIGHESTMODSEQ %llu] ", (unsigned long long)m.highestmodseq);
	imap_say(s, "Highest");
	buf_add(imap_out(s), S("* OK [MAILBOXID ("));
	imap_put_mailbox_id(imap_out(s), m.box.account, m.object_id);
	buf_add(imap_out(s), S(")] Ok\r\n"));
	if (imap_enabled(s, IMAP_REV2)) imap_put_list(s, &m, name); /* RFC 9051 §6.3.2 */
	tell_since(s, how, &n);
	if (s->box.read_only && !how->read_only) return imap_ok("[READ-ONLY] Select completed.");
	return imap_ok(how->read_only ? "[READ-ONLY] Examine completed." : "[READ-WRITE] Select completed.");
}

void imap_deselect(struct imap_session *s) {
	struct imap_selected *box = &s->box;
	/* what was shown as new here is not new for the next; failing at that is no harm */
	if (box->open && box->recent_taken && !box->read_only)
		(void)db_write_repeatable(s->context->db, take_recent, box);
	if (s->box_watch != NULL) change_unwatch(s->context->hub, &s->box_watch);
	view_done(&box->view);
	imap_set_builder_done(&box->gone);
	imap_set_builder_done(&box->saved);
	live_end_all(s);
	*box = (struct imap_selected){ 0 };
}

/* Sets. */

/* What "$" means now: of the saved messages those the client still knows; ends of ranges are known UIDs. */
static void recall(struct imap_session *s, struct imap_set *set) {
	struct imap_set_builder known = { 0 };
	for (size_t i = 0; i < s->box.saved.set.count; i++)
		view_known(&s->box.view, s->box.saved.set.ranges[i], &known);
	*set = (struct imap_set){ .ranges = arena_array(&s->mem, known.set.count + 1, sizeof(*set->ranges)),
		.count = known.set.count };
	if (set->count != 0) memcpy(set->ranges, known.set.ranges, set->count * sizeof(*set->ranges));
	imap_set_builder_done(&known);
}

bool imap_messages_of(struct imap_session *s, bool uid, struct imap_set *set) {
	const struct view *v = &s->box.view;
	size_t kept = 0;
	if (!imap_load(s)) return false;
	uint32_t last = view_last_uid(v);
	if (set->saved) {
		recall(s, set);
		return true;
	}
	imap_set_settle(set, uid ? last : v->count);
	for (size_t i = 0; i < set->count; i++) {
		struct imap_range r = set->ranges[i];
		if (!uid && (r.first == 0 || r.last > v->count)) return false;
		if (!uid) r = (struct imap_range){ view_uid(v, r.first), view_uid(v, r.last) };
		if (r.first > last || last == 0) break;
		set->ranges[kept++] = (struct imap_range){ MAX_OF(r.first, 1U), MIN_OF(r.last, last) };
	}
	set->count = kept;
	return true;
}

bool imap_parse_messages(struct imap_session *s, struct imap_call *call, struct imap_set *out) {
	if (!imap_parse_space(&call->p) || !imap_parse_set(&call->p, out)) return false;
	if (imap_messages_of(s, call->uid, out)) return true;
	return imap_parse_fail(&call->p, "Message number is not in the mailbox.");
}

/* Our own changes. */

int imap_own_begin(struct db_conn *tx, struct box box, struct imap_own_change *own) {
	struct mailbox_state m;
	int r = store_mailbox_state(tx, db_memory(tx), box, &m);
	if (r == 0) *own = (struct imap_own_change){ .before = m.highestmodseq };
	return r;
}

void imap_own_end(struct imap_session *s, const struct imap_own_change *own) {
	if (own->after != 0 && own->before <= s->box.modseq) s->box.modseq = own->after;
}
