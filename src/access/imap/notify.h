/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/mailboxes.h"
/* NOTIFY (RFC 5465): which mailboxes a client wants to hear of without asking, and of what. The session remembers the
 * mailboxes that the user may list, those of others too, as it has told them; when the change hub wakes it, it reads
 * them again and tells the difference, so that many changes at once are one response, and nothing is kept for changes
 * that nobody asked about. A mailbox that others have shared, or share no longer, is one that came or went. */
enum notify_event {
	NOTIFY_NEW = 1, NOTIFY_EXPUNGE = 2, NOTIFY_FLAGS = 4, NOTIFY_NAME = 8, NOTIFY_SUBSCRIPTION = 16,
	NOTIFY_METADATA = 32, NOTIFY_SERVER_METADATA = 64,
	NOTIFY_MESSAGES = NOTIFY_NEW | NOTIFY_EXPUNGE | NOTIFY_FLAGS
};
enum notify_which { NOTIFY_INBOXES, NOTIFY_PERSONAL, NOTIFY_SUBSCRIBED, NOTIFY_SUBTREE, NOTIFY_MAILBOXES };
enum { NOTIFY_GROUPS_MAX = 64, NOTIFY_NAMES_MAX = 500 };

struct notify_group {
	enum notify_which which;
	struct slice *names;        /* of SUBTREE and MAILBOXES; UTF-8 */
	size_t count;
	unsigned events;
};
struct notify_known {       /* a mailbox as the client was told of it */
	struct box box;
	struct slice name;
	uint32_t uidvalidity, uidnext;
	uint64_t exists, unseen, modseq;
	bool subscribed, has_children;
	bool readable;              /* the r right, without which nothing of its messages is told */
	size_t note_first, note_count; /* its metadata, when that is wanted */
};
struct notify_note { struct slice entry; uint64_t value; /* its hash */ };
struct notify_state {       /* everything, at one time */
	struct arena mem;
	struct notify_known *at;    /* by box */
	size_t count, room;
	struct notify_note *notes;  /* of a mailbox, and of the server, by entry */
	size_t notes_count, notes_room;
	size_t server_first, server_count;
};
struct imap_notify {
	/* accounts: his own, those whose mailboxes he sees, 0 */
	struct notify_watch { int64_t account; struct change_watch *watch; } *watches;
	size_t watch_count, watch_room;
	struct arena mem;           /* of the groups */
	struct notify_group groups[NOTIFY_GROUPS_MAX];
	size_t group_count;
	bool selected, delayed;     /* the selected mailbox has events of its own */
	unsigned selected_events;
	struct slice fetch;         /* what of new messages is told, "(UID FLAGS)"; empty: nothing */
	unsigned all_events;        /* of all groups */
	struct notify_state told;
};
void imap_notify_free(struct imap_session *s);
/* A mailbox was selected: it may be somebody else's. */
void imap_notify_selected(struct imap_session *s);
/* notify_state.c: everything that may be told of, as it is now; from then on a change of it wakes the session. <0. */
int notify_state_read(struct imap_session *s, struct notify_state *out);
void notify_state_done(struct notify_state *state);
/* When something in the account has changed: the selected mailbox as far as that is wanted now, then all others. */
void imap_notify_tell(struct imap_session *s);
bool imap_notify_begin(struct imap_session *s, bool status); /* false: fail_text() */
/* Of the selected mailbox: is the client to hear of these events at all? */
bool imap_notify_wants(const struct imap_session *s, unsigned events);
/* New messages of the selected mailbox that the client has just been told of. */
void imap_notify_fetch(struct imap_session *s, const struct buf *uids);
