/* SPDX-License-Identifier: Apache-2.0 */
/* The selected mailbox as the client sees it, and how it catches up with the store. Nothing is pushed into a session:
 * it asks for what changed since the modseq it has told, in one snapshot, and tells that at a moment the RFC allows.
 * The list of UIDs is loaded when a number is first needed; then it is rebuilt as of the told modseq (what vanished
 * since is put back), so that it makes no difference when that was. */
#include "access/imap/place.h"
#include "base/fail.h"
#include "base/log.h"

struct row { uint32_t uid, flags; struct slice keywords; };
struct news {
	struct imap_session *s;
	struct buf rows;                /* of struct row: messages the client knows */
	struct buf fresh;               /* of uint32_t: those it does not */
	struct imap_set_builder gone;   /* unsettled */
};
enum { NEWS_LIMIT = 1 << 30 };

static struct slice of_bytes(const void *at, size_t len) { return slice_from(at, len); }

static int add_changed(void *ctx, const struct message *m) {
	struct news *n = ctx;
	if (m->uid >= n->s->box.view.uidnext)
		return buf_add(&n->fresh, of_bytes(&m->uid, sizeof(m->uid))) ? 0 : fail("too many new messages");
	struct row row = { m->uid, m->flags, arena_slice(&n->s->mem, m->keywords) };
	return buf_add(&n->rows, of_bytes(&row, sizeof(row))) ? 0 : fail("too many changes");
}

static int add_vanished(void *ctx, uint32_t first, uint32_t last) {
	struct news *n = ctx;
	uint32_t uidnext = n->s->box.view.uidnext;
	if (first < uidnext) imap_set_append(&n->gone, first, MIN_OF(last, uidnext - 1));
	return 0;
}

static int uid_order(const void *a, const void *b) {
	const uint32_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/* Adds the vanished UIDs to the list again and brings it into order. */
static void put_back(struct buf *uids, struct imap_set_builder *gone) {
	for (size_t i = 0; i < gone->set.count; i++)
		for (uint32_t uid = gone->set.ranges[i].first; uid <= gone->set.ranges[i].last; uid++)
			if (!buf_add(uids, of_bytes(&uid, sizeof(uid)))) return;
	qsort(uids->at, uids->len / sizeof(uint32_t), sizeof(uint32_t), uid_order);
}

static bool lost(struct imap_session *s, const char *why) {
	imap_refused(s, fail("%s", why), "selected mailbox");
	buf_add(imap_out(s), S("* BYE [SERVERBUG] The mailbox's state was lost, please log in again.\r\n"));
	imap_end(s, "Mailbox state lost");
	return false;
}

/* gone: what vanished since the told modseq, in the snapshot that c is. */
static bool load(struct imap_session *s, struct db_conn *c, struct imap_set_builder *gone) {
	struct view *v = &s->box.view, fresh = { .loaded = true, .recent = v->recent };
	AUTO_BUF struct buf uids = BUF(NEWS_LIMIT);
	if (v->loaded) return true;
	if (store_uids(c, s->box.box, 1, &uids) != 0) return lost(s, fail_text());
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

static void news_done(struct news *n) {
	buf_done(&n->rows);
	buf_done(&n->fresh);
	imap_set_builder_done(&n->gone);
}
#define AUTO_NEWS AUTO(news_done)

static bool gather(struct news *n, struct db_conn *c) {
	struct imap_session *s = n->s;
	if (store_changes(c, s->box.box, s->box.modseq, add_changed, add_vanished, n) == 0) return true;
	return lost(s, fail_text());
}

bool imap_load(struct imap_session *s) {
	if (s->box.view.loaded) return true;
	AUTO_NEWS struct news n = { .s = s, .rows = BUF(NEWS_LIMIT), .fresh = BUF(NEWS_LIMIT) };
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	struct mailbox m;
	if (c == NULL || store_mailbox(c, &s->mem, s->box.box, &m) != 0) return lost(s, "mailbox is gone");
	if (m.highestmodseq > s->box.modseq && !gather(&n, c)) return false;
	return load(s, c, &n.gone);
}

static void tell_keywords(struct imap_session *s, struct slice keywords) {
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
	buf_add(out, s->box.read_only ? S(")] Read-only mailbox.\r\n") : S(")] Flags permitted.\r\n"));
	s->box.keywords_told = keywords.len;
}

static void tell_expunge(void *ctx, uint32_t number) {
	struct imap_session *s = ctx;
	if (imap_drain(s)) buf_addf(imap_out(s), "* %u EXPUNGE\r\n", number);
}

static void tell_fresh(struct imap_session *s, struct buf *fresh) {
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
	buf_addf(imap_out(s), "* %u EXISTS\r\n* %u RECENT\r\n", v->count, v->recent);
}

static void tell_rows(struct imap_session *s, const struct buf *rows) {
	for (size_t i = 0; i < rows->len / sizeof(struct row) && imap_drain(s); i++) {
		struct row row;
		memcpy(&row, rows->at + i * sizeof(row), sizeof(row));
		uint32_t number = view_number(&s->box.view, row.uid);
		if (number == 0) continue;
		buf_addf(imap_out(s), "* %u FETCH (UID %u FLAGS ", number, row.uid);
		imap_put_flags(imap_out(s), row.flags, row.keywords, row.uid >= s->box.recent_from);
		buf_add(imap_out(s), S(")\r\n"));
	}
}

static void tell_gone(struct imap_session *s) {
	struct imap_set_builder *gone = &s->box.gone;
	if (gone->set.count == 0) return;
	imap_set_settle(&gone->set, 0);
	view_remove(&s->box.view, &gone->set, s->box.recent_from, tell_expunge, s);
	imap_set_builder_done(gone);
}

void imap_sync(struct imap_session *s, bool may_expunge) {
	if (!s->box.open || s->over) return;
	AUTO_NEWS struct news n = { .s = s, .rows = BUF(NEWS_LIMIT), .fresh = BUF(NEWS_LIMIT) };
	struct db_conn *c = db_read(s->context->db);
	struct mailbox m = { 0 };
	int r = c != NULL ? store_mailbox(c, &s->mem, s->box.box, &m) : -1;
	bool good = r == 0;
	if (good && m.highestmodseq > s->box.modseq) {
		good = gather(&n, c) && ((n.rows.len == 0 && n.gone.set.count == 0) || load(s, c, &n.gone));
	}
	db_release(&c); /* before any waiting for the client */
	if (r == STORE_NO_MAILBOX) {
		buf_add(imap_out(s), S("* BYE [NONEXISTENT] The selected mailbox was deleted.\r\n"));
		imap_end(s, "Selected mailbox was deleted");
	}
	if (!good) return;
	for (size_t i = 0; i < n.gone.set.count; i++)
		imap_set_append(&s->box.gone, n.gone.set.ranges[i].first, n.gone.set.ranges[i].last);
	if (may_expunge) tell_gone(s);
	if (m.keywords.len > s->box.keywords_told) tell_keywords(s, m.keywords);
	tell_fresh(s, &n.fresh);
	tell_rows(s, &n.rows);
	s->box.view.uidnext = MAX_OF(s->box.view.uidnext, m.uidnext);
	s->box.modseq = MAX_OF(s->box.modseq, m.highestmodseq);
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

static int open_box(struct imap_session *s, struct slice name, struct mailbox *m) {
	struct imap_selected *box = &s->box;
	int r = find(s, name, m);
	if (r != 0) return r;
	box->box = m->box;
	box->recent_from = m->recent_from;
	if (!box->read_only && m->recent_from < m->uidnext && (r = db_write(s->context->db, take_recent, box)) != 0) return r;
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	if (c == NULL) return -1;
	if ((r = store_mailbox(c, &s->mem, box->box, m)) != 0) return r;
	box->view = (struct view){ .count = (uint32_t)m->exists, .uidnext = m->uidnext };
	box->modseq = m->highestmodseq;
	return count_recent(c, m, box->recent_from, &box->view.recent);
}

struct imap_answer imap_select(struct imap_session *s, struct slice name, bool read_only) {
	struct mailbox m;
	imap_deselect(s);
	s->box.read_only = read_only;
	int r = open_box(s, name, &m);
	if (r != 0) return imap_refused(s, r, "select");
	s->box.open = true;
	tell_keywords(s, m.keywords);
	buf_addf(imap_out(s), "* %u EXISTS\r\n* %u RECENT\r\n", s->box.view.count, s->box.view.recent);
	buf_addf(imap_out(s), "* OK [UIDVALIDITY %u] UIDs valid\r\n* OK [UIDNEXT %u] Predicted next UID\r\n", m.uidvalidity, m.uidnext);
	if (s->box.read_only && !read_only) return imap_ok("[READ-ONLY] Select completed.");
	return imap_ok(read_only ? "[READ-ONLY] Examine completed." : "[READ-WRITE] Select completed.");
}

void imap_deselect(struct imap_session *s) {
	struct imap_selected *box = &s->box;
	/* what was shown as new here is not new for the next; failing at that is no harm */
	if (box->open && box->recent_taken && !box->read_only) (void)db_write(s->context->db, take_recent, box);
	view_done(&box->view);
	imap_set_builder_done(&box->gone);
	*box = (struct imap_selected){ 0 };
}

/* Sets. */

bool imap_messages_of(struct imap_session *s, bool uid, struct imap_set *set) {
	const struct view *v = &s->box.view;
	size_t kept = 0;
	if (!imap_load(s)) return false;
	uint32_t last = view_last_uid(v);
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
	struct mailbox m;
	int r = store_mailbox(tx, db_memory(tx), box, &m);
	if (r == 0) *own = (struct imap_own_change){ .before = m.highestmodseq };
	return r;
}

void imap_own_end(struct imap_session *s, const struct imap_own_change *own) {
	if (own->after != 0 && own->before <= s->box.modseq) s->box.modseq = own->after;
}
