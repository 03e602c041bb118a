/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/state.h"
/* NOTIFY (RFC 5465): which mailboxes a client wants to hear of without asking, and of what. The session remembers the
 * rows of the account's mailboxes as it has told them; when the change hub wakes it, it reads the rows again and tells
 * the difference, so that many changes at once are one response, and nothing is kept for changes that nobody asked
 * about. */
enum notify_event {
	NOTIFY_NEW = 1, NOTIFY_EXPUNGE = 2, NOTIFY_FLAGS = 4, NOTIFY_NAME = 8, NOTIFY_SUBSCRIPTION = 16,
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
	int64_t id;
	struct slice name;
	uint32_t uidvalidity, uidnext;
	uint64_t exists, unseen, modseq;
	bool subscribed;
};
struct imap_notify {
	struct change_watch *watch;
	struct arena mem;           /* of the groups */
	struct notify_group groups[NOTIFY_GROUPS_MAX];
	size_t group_count;
	bool selected, delayed;     /* the selected mailbox has events of its own */
	unsigned selected_events;
	struct slice fetch;         /* what of new messages is told, "(UID FLAGS)"; empty: nothing */
	struct arena known_mem;
	struct notify_known *known; /* by id */
	size_t known_count;
};
void imap_notify_free(struct imap_session *s);
/* When something in the account has changed: the selected mailbox as far as that is wanted now, then all others. */
void imap_notify_tell(struct imap_session *s);
bool imap_notify_begin(struct imap_session *s, bool status); /* false: fail_text() */
/* Of the selected mailbox: is the client to hear of these events at all? */
bool imap_notify_wants(const struct imap_session *s, unsigned events);
/* New messages of the selected mailbox that the client has just been told of. */
void imap_notify_fetch(struct imap_session *s, const struct buf *uids);
