/* SPDX-License-Identifier: Apache-2.0 */
/* The difference between two states of the mailboxes, in the words of RFC 5465 §5. notify_state.c reads them. */
#include "access/imap/notify.h"
#include "access/imap/fetch.h"

bool imap_notify_wants(const struct imap_session *s, unsigned events) {
	/* §3.1: without the selected mailbox in it, NOTIFY SET means that nothing of it is to be told */
	return s->notify == NULL || (s->notify->selected && (s->notify->selected_events & events) != 0);
}

static bool named(const struct notify_group *g, struct slice name) {
	for (size_t i = 0; i < g->count; i++) {
		struct slice at = g->names[i];
		if (g->which == NOTIFY_SUBTREE ? imap_name_below(name, at, false) : slice_eq(at, name)) return true;
	}
	return false;
}

static bool matches(const struct imap_session *s, const struct notify_group *g, const struct notify_known *k) {
	switch (g->which) {
	case NOTIFY_INBOXES: /* §6.3: any mailbox may be delivered to, by its name behind the address */
	case NOTIFY_PERSONAL: return k->box.account == s->account;
	case NOTIFY_SUBSCRIBED: return k->subscribed;
	default: return named(g, k->name);
	}
}

/* Of all groups that a mailbox belongs to (§6). */
static unsigned events_of(const struct imap_session *s, const struct notify_known *k) {
	unsigned events = 0;
	for (size_t i = 0; i < s->notify->group_count; i++)
		if (matches(s, &s->notify->groups[i], k)) events |= s->notify->groups[i].events;
	return k->readable ? events : events & ~(unsigned)NOTIFY_MESSAGES;
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

static const char *words_of(const struct notify_known *k) {
	if (k->has_children) return k->subscribed ? "\\Subscribed \\HasChildren" : "\\HasChildren";
	return k->subscribed ? "\\Subscribed \\HasNoChildren" : "\\HasNoChildren";
}

static void put_status(struct imap_session *s, const struct notify_known *k, bool modseq) {
	buf_add(imap_out(s), S("* STATUS "));
	imap_put_mailbox(s, k->name);
	buf_addf(imap_out(s), " (MESSAGES %llu UIDNEXT %u UIDVALIDITY %u UNSEEN %llu", (unsigned long long)k->exists,
		 k->uidnext, k->uidvalidity, (unsigned long long)k->unseen);
	if (modseq || imap_enabled(s, IMAP_CONDSTORE))
		buf_addf(imap_out(s), " HIGHESTMODSEQ %llu", (unsigned long long)k->modseq);
	buf_add(imap_out(s), S(")\r\n"));
}

static unsigned happened(const struct notify_known *was, const struct notify_known *is) {
	bool came = is->uidnext > was->uidnext, gone = is->exists - was->exists != (uint64_t)is->uidnext - was->uidnext;
	if (is->modseq == was->modseq) return 0;
	return (came ? NOTIFY_NEW : 0U) | (gone ? NOTIFY_EXPUNGE : 0U) | (!came && !gone ? NOTIFY_FLAGS : 0U);
}

static bool is_selected(const struct imap_session *s, const struct notify_known *k) {
	return s->box.open && s->box.box.account == k->box.account && s->box.box.id == k->box.id;
}

/* Entries that came, changed or went, each list in order (§5.6, §5.7). */
static void tell_notes(struct imap_session *s, struct slice name, const struct notify_note *was, size_t was_count,
		       const struct notify_note *is, size_t is_count) {
	bool said = false;
	for (size_t i = 0, j = 0; i < was_count || j < is_count;) {
		int order = i == was_count   ? 1
			    : j == is_count ? -1
					     : slice_order(was[i].entry, is[j].entry);
		bool changed = order != 0 || was[i].value != is[j].value;
		struct slice entry = order <= 0 ? was[i].entry : is[j].entry;
		i += order <= 0;
		j += order >= 0;
		if (!changed) continue;
		if (!said) {
			buf_add(imap_out(s), S("* METADATA "));
			if (name.len != 0) imap_put_mailbox(s, name);
			else buf_add(imap_out(s), S("\"\""));
		}
		said = true;
		buf_byte(imap_out(s), ' ');
		imap_put_astring(imap_out(s), entry);
	}
	if (said) buf_add(imap_out(s), S("\r\n"));
}

struct difference { struct imap_session *s; const struct notify_state *was, *is; };

static const struct notify_known *by_name(const struct notify_state *state, struct slice name) {
	for (size_t i = 0; i < state->count; i++)
		if (slice_eq(state->at[i].name, name)) return &state->at[i];
	return NULL;
}

static struct slice above(struct slice name) {
	size_t at = slice_find_last(name, '/');
	return at < name.len ? slice_head(name, at) : SLICE_NONE;
}

/* The level above one that came or went is affected too, whether it is a mailbox or not (§5.4), but not twice. */
static void tell_above(const struct difference *d, struct slice name) {
	struct slice parent = above(name);
	if (parent.len == 0) return;
	const struct notify_known *is = by_name(d->is, parent), *was = by_name(d->was, parent);
	bool children = false;
	if (is != NULL && was == NULL) return; /* it came as well, and is told as that */
	for (size_t i = 0; i < d->is->count && is == NULL; i++)
		children |= imap_name_below(d->is->at[i].name, parent, false);
	struct notify_known level = { .name = parent, .box.account = d->s->account };
	if (is == NULL && was != NULL) return;
	if ((events_of(d->s, is != NULL ? is : &level) & NOTIFY_NAME) == 0) return;
	if (is != NULL) put_list(d->s, is, words_of(is), SLICE_NONE);
	else put_list(d->s, &level, children ? "\\NonExistent \\HasChildren" : "\\NonExistent", SLICE_NONE);
}

/* A child that was renamed with its parent is not mentioned (§5.4). */
static bool went_along(const struct difference *d, const struct notify_known *was, const struct notify_known *is) {
	struct slice old = above(was->name), new = above(is->name);
	size_t tail = was->name.len - old.len;
	if (old.len == 0 || new.len == 0 || is->name.len - new.len != tail ||
	    !slice_eq(slice_skip(was->name, old.len), slice_skip(is->name, new.len)) || slice_eq(old, new))
		return false;
	const struct notify_known *parent = by_name(d->was, old), *now = by_name(d->is, new);
	return parent != NULL && now != NULL && parent->box.id == now->box.id &&
	       parent->box.account == now->box.account;
}

static void tell_name(const struct difference *d, const struct notify_known *was, const struct notify_known *is) {
	bool renamed = was != NULL && is != NULL;
	if (renamed && went_along(d, was, is)) return;
	unsigned events = (was != NULL ? events_of(d->s, was) : 0) | (is != NULL ? events_of(d->s, is) : 0);
	if ((events & NOTIFY_NAME) != 0) {
		if (is == NULL) put_list(d->s, was, "\\NonExistent", SLICE_NONE);
		else put_list(d->s, is, words_of(is), renamed ? was->name : SLICE_NONE);
	}
	if (!renamed) tell_above(d, is != NULL ? is->name : was->name);
}

static void tell_one(const struct difference *d, const struct notify_known *was, const struct notify_known *is) {
	static const struct notify_known nothing = { .uidnext = 1 };
	struct imap_session *s = d->s;
	if (was == NULL || is == NULL || !slice_eq(was->name, is->name)) {
		tell_name(d, was, is);
	} else if (was->subscribed != is->subscribed &&
		   ((events_of(s, is) | events_of(s, was)) & NOTIFY_SUBSCRIPTION) != 0) {
		put_list(s, is, words_of(is), SLICE_NONE);
	}
	if (is == NULL) return;
	unsigned events = events_of(s, is);
	if ((happened(was != NULL ? was : &nothing, is) & events) != 0 && !is_selected(s, is) &&
	    (was != NULL || is->exists != 0))
		put_status(s, is, false);
	if ((events & NOTIFY_METADATA) != 0)
		tell_notes(s, is->name, was != NULL ? &d->was->notes[was->note_first] : NULL,
			   was != NULL ? was->note_count : 0, &d->is->notes[is->note_first], is->note_count);
}

static int box_order(const struct notify_known *a, const struct notify_known *b) {
	if (a->box.account != b->box.account) return a->box.account < b->box.account ? -1 : 1;
	return (a->box.id > b->box.id) - (a->box.id < b->box.id);
}

static void tell_others(struct imap_session *s) {
	struct imap_notify *n = s->notify;
	struct notify_state fresh = { .count = 0 };
	if (notify_state_read(s, &fresh) != 0) { /* §5.8: from now on it is as after NOTIFY NONE */
		notify_state_done(&fresh);
		imap_say(s, "* OK [NOTIFICATIONOVERFLOW] Notifications have ended, ask for them again.");
		imap_notify_free(s);
		return;
	}
	struct difference d = { s, &n->told, &fresh };
	for (size_t i = 0, j = 0; (i < n->told.count || j < fresh.count) && imap_drain(s);) {
		const struct notify_known *was = i < n->told.count ? &n->told.at[i] : NULL,
					  *is = j < fresh.count ? &fresh.at[j] : NULL;
		int order = was == NULL ? 1 : is == NULL ? -1 : box_order(was, is);
		if (order < 0) is = NULL;
		if (order > 0) was = NULL;
		tell_one(&d, was, is);
		i += was != NULL;
		j += is != NULL;
	}
	if ((n->all_events & NOTIFY_SERVER_METADATA) != 0)
		tell_notes(s, SLICE_NONE, &n->told.notes[n->told.server_first], n->told.server_count,
			   &fresh.notes[fresh.server_first], fresh.server_count);
	notify_state_done(&n->told);
	n->told = fresh;
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

/* §3.1: of a mailbox that he may list but not read, message events cannot be told. */
static void tell_no_access(struct imap_session *s, struct notify_known *k) {
	if (k->readable) return;
	k->readable = true;
	if ((events_of(s, k) & NOTIFY_MESSAGES) != 0) put_list(s, k, "\\NoAccess", SLICE_NONE);
	k->readable = false;
}

bool imap_notify_begin(struct imap_session *s, bool status) {
	struct imap_notify *n = s->notify;
	if (notify_state_read(s, &n->told) != 0) return false;
	for (size_t i = 0; i < n->told.count && imap_drain(s) && n->group_count != 0; i++) {
		struct notify_known *k = &n->told.at[i];
		tell_no_access(s, k);
		unsigned events = events_of(s, k);
		if (status && (events & NOTIFY_MESSAGES) != 0 && !is_selected(s, k))
			put_status(s, k, (events & NOTIFY_FLAGS) != 0); /* §3.1, for all clients */
	}
	return true;
}
