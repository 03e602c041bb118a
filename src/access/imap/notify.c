/* SPDX-License-Identifier: Apache-2.0 */
/* The difference between two readings of the mailboxes' rows, in the words of RFC 5465 §5. */
#include "access/imap/notify.h"
#include "access/imap/fetch.h"

void imap_notify_free(struct imap_session *s) {
	struct imap_notify *n = TAKE(s->notify);
	if (n == NULL) return;
	change_unwatch(s->context->hub, &n->watch);
	arena_done(&n->mem);
	arena_done(&n->known_mem);
	free(n);
}

bool imap_notify_wants(const struct imap_session *s, unsigned events) {
	return s->notify == NULL || !s->notify->selected || (s->notify->selected_events & events) != 0;
}

static bool named(const struct notify_group *g, struct slice name) {
	for (size_t i = 0; i < g->count; i++) {
		struct slice at = g->names[i];
		if (slice_eq(at, name)) return true;
		if (g->which == NOTIFY_SUBTREE && name.len > at.len && name.at[at.len] == '/' && slice_starts(name, at))
			return true;
	}
	return false;
}

static bool matches(const struct notify_group *g, const struct notify_known *k) {
	switch (g->which) {
	case NOTIFY_INBOXES: return slice_eq(k->name, S("INBOX"));
	case NOTIFY_PERSONAL: return true;
	case NOTIFY_SUBSCRIBED: return k->subscribed;
	default: return named(g, k->name);
	}
}

/* The first group that a mailbox belongs to says what is told of it. */
static unsigned events_of(const struct imap_notify *n, const struct notify_known *k) {
	for (size_t i = 0; i < n->group_count; i++)
		if (matches(&n->groups[i], k)) return n->groups[i].events;
	return 0;
}

/* Reading. */

struct reading { struct arena *mem; struct notify_known *at; size_t count, room; };

static int collect(void *ctx, const struct mailbox *m) {
	struct reading *r = ctx;
	if (m->nonexistent) return 0;
	if (r->count == r->room) {
		size_t room = r->room == 0 ? 32 : r->room * 2;
		struct notify_known *more = arena_array(r->mem, room, sizeof(*more));
		if (r->count != 0) memcpy(more, r->at, r->count * sizeof(*more));
		r->at = more;
		r->room = room;
	}
	r->at[r->count++] = (struct notify_known){ m->box.id,        arena_slice(r->mem, m->name),
						   m->uidvalidity,   m->uidnext,
						   m->exists,        m->unseen,
						   m->highestmodseq, m->subscribed };
	return 0;
}

static int id_order(const void *a, const void *b) {
	const struct notify_known *x = a, *y = b;
	return (x->id > y->id) - (x->id < y->id);
}

static int read_all(struct imap_session *s, struct reading *r) {
	AUTO_READ struct db_conn *c = db_read(s->context->db);
	int result = c == NULL ? -1 : store_list(c, s->account, collect, r);
	if (result == 0 && r->count != 0) qsort(r->at, r->count, sizeof(*r->at), id_order);
	return result;
}

/* Telling. */

static void put_list(struct imap_session *s, const struct notify_known *k, const char *words, struct slice old) {
	buf_addf(imap_out(s), "* LIST (%s) \"/\" ", words);
	imap_put_mailbox(s, k->name);
	if (old.len != 0) {
		buf_add(imap_out(s), S(" (\"OLDNAME\" ("));
		imap_put_mailbox(s, old);
		buf_add(imap_out(s), S("))"));
	}
	buf_add(imap_out(s), S("\r\n"));
}

static void put_status(struct imap_session *s, const struct notify_known *k) {
	buf_add(imap_out(s), S("* STATUS "));
	imap_put_mailbox(s, k->name);
	buf_addf(imap_out(s), " (MESSAGES %llu UIDNEXT %u UIDVALIDITY %u UNSEEN %llu", (unsigned long long)k->exists,
		 k->uidnext, k->uidvalidity, (unsigned long long)k->unseen);
	if (imap_enabled(s, IMAP_CONDSTORE))
		buf_addf(imap_out(s), " HIGHESTMODSEQ %llu", (unsigned long long)k->modseq);
	buf_add(imap_out(s), S(")\r\n"));
}

static unsigned happened(const struct notify_known *was, const struct notify_known *is) {
	bool came = is->uidnext > was->uidnext, gone = is->exists - was->exists != (uint64_t)is->uidnext - was->uidnext;
	if (is->modseq == was->modseq) return 0;
	return (came ? NOTIFY_NEW : 0U) | (gone ? NOTIFY_EXPUNGE : 0U) | (!came && !gone ? NOTIFY_FLAGS : 0U);
}

static bool is_selected(const struct imap_session *s, const struct notify_known *k) {
	return s->box.open && s->box.box.account == s->account && s->box.box.id == k->id;
}

static void tell_one(struct imap_session *s, const struct notify_known *was, const struct notify_known *is) {
	static const struct notify_known nothing = { .uidnext = 1 };
	unsigned events = events_of(s->notify, is != NULL ? is : was);
	if (is == NULL) {
		if ((events & NOTIFY_NAME) != 0) put_list(s, was, "\\NonExistent", SLICE_NONE);
		return;
	}
	const char *words = is->subscribed ? "\\Subscribed" : "";
	bool renamed = was != NULL && !slice_eq(was->name, is->name);
	unsigned before = renamed ? events_of(s->notify, was) : events;
	if (was == NULL || renamed) {
		if (((events | before) & NOTIFY_NAME) != 0) put_list(s, is, words, renamed ? was->name : SLICE_NONE);
	} else if (was->subscribed != is->subscribed &&
		   ((events | events_of(s->notify, was)) & NOTIFY_SUBSCRIPTION) != 0) {
		put_list(s, is, words, SLICE_NONE);
	}
	if ((happened(was != NULL ? was : &nothing, is) & events) != 0 && !is_selected(s, is) &&
	    (was != NULL || is->exists != 0))
		put_status(s, is);
}

static void tell_others(struct imap_session *s) {
	struct imap_notify *n = s->notify;
	struct arena fresh = { 0 };
	struct reading r = { .mem = &fresh };
	if (read_all(s, &r) != 0) { /* told as lost, as RFC 5465 §5.8 has it: the client asks again when it likes */
		arena_done(&fresh);
		imap_say(s, "* OK [NOTIFICATIONOVERFLOW] Notifications are lost for the moment.");
		return;
	}
	for (size_t i = 0, j = 0; (i < n->known_count || j < r.count) && imap_drain(s);) {
		const struct notify_known *was = i < n->known_count ? &n->known[i] : NULL,
					  *is = j < r.count ? &r.at[j] : NULL;
		if (was != NULL && is != NULL && was->id != is->id) {
			if (was->id < is->id) is = NULL;
			else was = NULL;
		}
		tell_one(s, was, is);
		i += was != NULL;
		j += is != NULL;
	}
	arena_done(&n->known_mem);
	n->known_mem = fresh;
	n->known = r.at;
	n->known_count = r.count;
}

void imap_notify_tell(struct imap_session *s) {
	struct imap_notify *n = s->notify;
	if (n->selected && n->selected_events != 0) imap_sync(s, !n->delayed || s->idling);
	else if (s->idling) imap_sync(s, true);
	if (!s->over && n->group_count != 0) tell_others(s);
}

void imap_notify_fetch(struct imap_session *s, const struct buf *uids) {
	AUTO(imap_set_builder_done) struct imap_set_builder set = { 0 };
	if (s->notify == NULL || s->notify->fetch.len == 0) return;
	for (size_t i = 0; i < uids->len; i += sizeof(uint32_t)) {
		uint32_t uid;
		memcpy(&uid, uids->at + i, sizeof(uid));
		imap_set_append(&set, uid, uid);
	}
	imap_fetch_quietly(s, s->notify->fetch, &set.set);
}

/* The command. */

bool imap_notify_begin(struct imap_session *s, bool status) {
	struct imap_notify *n = s->notify;
	struct reading r = { .mem = &n->known_mem };
	if (n->group_count == 0) return true;
	if (read_all(s, &r) != 0) return false;
	n->known = r.at;
	n->known_count = r.count;
	for (size_t i = 0; i < r.count && status && imap_drain(s); i++)
		if ((events_of(n, &r.at[i]) & NOTIFY_MESSAGES) != 0 && !is_selected(s, &r.at[i]))
			put_status(s, &r.at[i]);
	return true;
}
