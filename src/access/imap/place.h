/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/state.h"
#include "store/acl.h"
/* Whose mailbox a name means, and what this user may do with it. His own mailboxes have no prefix; those of others that
 * were shared with him stand below imapd_shared_prefix ("Shared/bob@example.com/Plans"), those of the public account
 * below imapd_public_prefix ("Public/News"). A name without '@' behind the shared prefix is one of his own. */
struct imap_place {
	int64_t account;
	struct slice owner;     /* the account's address */
	struct slice name;      /* in that account; empty: its root */
	bool own;
};
int imap_place(struct imap_session *s, struct db_conn *c, struct slice said,
	       struct imap_place *out); /* STORE_NO_MAILBOX, <0 */
/* What stands before the names of an account's mailboxes: "" for one's own. In mem. */
struct slice imap_prefix_of(struct imap_session *s, struct arena *mem, int64_t account, struct slice owner);

struct imap_found {
	struct mailbox m;       /* name as the user says it */
	struct imap_place place;
	uint32_t rights;        /* enum acl_right */
};
/* 0 (then the mailbox exists and he has a right in it), STORE_NO_MAILBOX, <0. */
int imap_find(struct imap_session *s, struct db_conn *c, struct slice said, struct imap_found *out);
/* The same, and he has all of the rights, or one of them: else STORE_NO_RIGHT, or STORE_NO_MAILBOX to him who may not
 * know of it. */
int imap_find_with(struct imap_session *s, struct db_conn *c, struct slice said, uint32_t all, struct imap_found *out);
int imap_find_any(struct imap_session *s, struct db_conn *c, struct slice said, uint32_t one_of,
		  struct imap_found *out);
/* May he make a mailbox at this place? 0, STORE_NO_RIGHT, <0. */
int imap_may_create(struct imap_session *s, struct db_conn *c, const struct imap_place *place);

/* Leaves of a change of flags what the rights allow. False: nothing. */
bool imap_limit_flags(uint32_t rights, struct flag_change *change);
/* The same for flags that a new message has: what is not allowed is dropped. */
void imap_limit_new(uint32_t rights, uint32_t *flags, struct slice *keywords);

/* Limits of the account that a message comes into. */
struct quota;
int imap_quota(struct imap_session *s, struct db_conn *c, int64_t account, struct quota *out);
