/* SPDX-License-Identifier: Apache-2.0 */
/* NOTIFY as it is written (RFC 5465 §8). */
#include "access/imap/fetch.h"
#include "access/imap/notify.h"
#include "base/collate.h"

static const struct { const char *name; unsigned bit; } events[] = {
	{ "MessageNew", NOTIFY_NEW },          { "MessageExpunge", NOTIFY_EXPUNGE },
	{ "FlagChange", NOTIFY_FLAGS },        { "MailboxName", NOTIFY_NAME },
	{ "SubscriptionChange", NOTIFY_SUBSCRIPTION },
	{ "MailboxMetadataChange", NOTIFY_METADATA },
	{ "ServerMetadataChange", NOTIFY_SERVER_METADATA },
};
static const struct { const char *name; enum notify_which which; } filters[] = {
	{ "inboxes", NOTIFY_INBOXES }, { "personal", NOTIFY_PERSONAL }, { "subscribed", NOTIFY_SUBSCRIBED },
	{ "subtree", NOTIFY_SUBTREE }, { "mailboxes", NOTIFY_MAILBOXES },
};
struct reading { struct imap_session *s; struct imap_parse *p; struct imap_notify *n; bool bad_event; };

static bool parse_fetch(struct reading *g, bool selected) {
	struct slice text;
	if (!selected) return imap_parse_fail(g->p, "Only of the selected mailbox can messages be fetched.");
	if (!fetch_parse_later(g->p, &text)) return false;
	g->n->fetch = arena_slice(&g->n->mem, text);
	return true;
}

static bool parse_event(struct reading *g, bool selected, unsigned *out) {
	struct slice name;
	for (size_t i = 0; i < LEN(events); i++) {
		if (!imap_parse_take_word(g->p, events[i].name)) continue;
		*out |= events[i].bit;
		if (events[i].bit != NOTIFY_NEW || g->p->rest.len < 2 || g->p->rest.at[0] != ' ' ||
		    g->p->rest.at[1] != '(')
			return true;
		return imap_parse_space(g->p) && parse_fetch(g, selected);
	}
	g->bad_event = imap_parse_atom(g->p, &name); /* RFC 5465 §5: one that we do not know */
	return g->bad_event;
}

static bool parse_events(struct reading *g, bool selected, unsigned *out) {
	*out = 0;
	if (imap_parse_take_word(g->p, "NONE")) return true;
	if (!imap_parse_need(g->p, '(')) return false;
	do {
		if (!parse_event(g, selected, out)) return false;
	} while (imap_parse_take(g->p, ' '));
	bool new = (*out & NOTIFY_NEW) != 0, gone = (*out & NOTIFY_EXPUNGE) != 0, flags = (*out & NOTIFY_FLAGS) != 0;
	if (new != gone) return imap_parse_fail(g->p, "MessageNew and MessageExpunge go together.");
	if (flags && !new) return imap_parse_fail(g->p, "FlagChange wants MessageNew and MessageExpunge.");
	if (selected && (*out & ~(unsigned)NOTIFY_MESSAGES) != 0)
		return imap_parse_fail(g->p, "Only message events of the selected mailbox.");
	return imap_parse_need(g->p, ')');
}

static bool parse_names(struct reading *g, struct notify_group *group) {
	bool list = imap_parse_take(g->p, '(');
	group->names = arena_array(&g->n->mem, NOTIFY_NAMES_MAX, sizeof(*group->names));
	do {
		struct slice name;
		if (group->count == NOTIFY_NAMES_MAX)
			return imap_parse_fail(g->p, "[NOTIFICATIONOVERFLOW] Too many mailboxes.");
		if (!imap_parse_mailbox(g->s, g->p, &name)) return false;
		group->names[group->count++] = arena_slice(&g->n->mem, collate_composed(&g->s->mem, name));
	} while (list && imap_parse_take(g->p, ' '));
	return !list || imap_parse_need(g->p, ')');
}

static bool parse_group(struct reading *g) {
	struct imap_notify *n = g->n;
	size_t i = 0;
	if (!imap_parse_need(g->p, '(')) return false;
	bool delayed = imap_parse_take_word(g->p, "selected-delayed");
	if (delayed || imap_parse_take_word(g->p, "selected")) {
		if (n->selected) return imap_parse_fail(g->p, "The selected mailbox is named twice.");
		n->selected = true;
		n->delayed = delayed;
		return imap_parse_space(g->p) && parse_events(g, true, &n->selected_events) &&
		       imap_parse_need(g->p, ')');
	}
	while (i < LEN(filters) && !imap_parse_take_word(g->p, filters[i].name)) i++;
	if (i == LEN(filters)) return imap_parse_fail(g->p, "Unknown mailbox filter.");
	if (n->group_count == NOTIFY_GROUPS_MAX)
		return imap_parse_fail(g->p, "[NOTIFICATIONOVERFLOW] Too many event groups.");
	struct notify_group *group = &n->groups[n->group_count];
	*group = (struct notify_group){ .which = filters[i].which };
	if (group->which >= NOTIFY_SUBTREE && (!imap_parse_space(g->p) || !parse_names(g, group))) return false;
	if (!imap_parse_space(g->p) || !parse_events(g, false, &group->events)) return false;
	n->all_events |= group->events;
	n->group_count++;
	return imap_parse_need(g->p, ')');
}

static void free_unused(struct imap_notify **n) {
	if (*n == NULL) return;
	arena_done(&(*n)->mem);
	free(*n);
}

IMAP_COMMAND(imap_do_notify) {
	struct imap_parse *p = &call->p;
	AUTO(free_unused) struct imap_notify *n = mem_get(sizeof(*n));
	struct reading g = { s, p, n, false };
	*n = (struct imap_notify){ .group_count = 0 };
	if (!imap_parse_space(p)) return imap_bad(p);
	if (imap_parse_take_word(p, "NONE")) {
		if (!imap_parse_end(p)) return imap_bad(p);
		imap_notify_free(s);
		return imap_ok("Notify completed.");
	}
	if (!imap_parse_take_word(p, "SET") || !imap_parse_space(p))
		return imap_parse_fail(p, "Expected NONE or SET."), imap_bad(p);
	bool status = imap_parse_take_word(p, "STATUS");
	if (status && !imap_parse_space(p)) return imap_bad(p);
	do {
		if (!parse_group(&g)) break;
	} while (!g.bad_event && imap_parse_take(p, ' '));
	if (g.bad_event)
		return imap_no("[BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange "
			       "MailboxMetadataChange ServerMetadataChange)] "
			       "Unknown event.");
	if (!imap_parse_end(p)) return imap_bad(p);
	imap_notify_free(s);
	imap_sync(s, true); /* §3.1: what has gathered is told first, whatever is asked for from now on */
	s->notify = TAKE(n);
	if (imap_notify_begin(s, status)) return imap_ok("Notify completed.");
	imap_notify_free(s);
	return imap_refused(s, -1, "notify");
}
