/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/place.h"
/* All names that the user may LIST: his own, what others share with him and the public ones, each with its prefix, and
 * the levels above them, in the order of names, each once. What belongs to others has its owner in box.account, no
 * special use, and is subscribed when this user has subscribed to its name. */
struct imap_mailboxes { struct mailbox *at; size_t count, room; };
#define AUTO_MAILBOXES AUTO(imap_mailboxes_done)
void imap_mailboxes_done(struct imap_mailboxes *all);
/* Names live in mem; keywords are left out. <0. */
int imap_mailboxes(struct imap_session *s, struct db_conn *c, struct arena *mem, struct imap_mailboxes *out);
/* What this user may do in one of them. <0. */
int imap_mailbox_rights(struct imap_session *s, struct db_conn *c, const struct mailbox *m, uint32_t *rights);
/* Is name `at`, or anywhere below it? one_level: at most one level below. */
bool imap_name_below(struct slice name, struct slice at, bool one_level);
