/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/db.h"
/* What someone has: mailboxes and messages. Functions that change something take a transaction (inside db_write) and
 * announce it to the change hub (store/change.h) after the commit; the others take any connection.
 *
 * Every change gets a modseq: one rising counter per account (RFC 7162, RFC 8474 STATE). Counters of a mailbox are
 * kept in its row by the same transaction, so that SELECT costs the same at any size. Text handed to callbacks is
 * borrowed for the call. A callback that returns other than 0 ends the walk, and that number is the result. */
enum store_answer {
	STORE_NO_MAILBOX = 1,
	STORE_EXISTS,
	STORE_BAD_NAME, /* empty (or a level of it), control characters, not UTF-8, above 1000 bytes or 32 levels */
	STORE_IS_INBOX, /* INBOX cannot be deleted */
	STORE_OVER_QUOTA,
	STORE_NO_ACCOUNT,
	STORE_LIMIT, /* too many mailboxes, keywords or uids */
	STORE_NO_BLOB,
	STORE_NO_RIGHT = 20, /* said by who asks store/acl.h */
};

struct box { int64_t account, id; }; /* which mailbox */

enum { FLAG_SEEN = 1, FLAG_ANSWERED = 2, FLAG_FLAGGED = 4, FLAG_DELETED = 8, FLAG_DRAFT = 16, FLAG_ALL = 31 };
/* RFC 6154 */
enum {
	USE_ALL = 1, USE_ARCHIVE = 2, USE_DRAFTS = 4, USE_FLAGGED = 8, USE_JUNK = 16, USE_SENT = 32, USE_TRASH = 64,
	USE_IMPORTANT = 128,
};

struct mailbox {
	struct box box;
	struct slice name;           /* UTF-8, levels divided by '/', INBOX in capitals */
	int64_t object_id; /* MAILBOXID (RFC 8474): of one account, never given twice; stays with INBOX when that is
			      renamed */
	uint32_t uidvalidity, uidnext;
	uint32_t recent_from;        /* uids from here on were not yet \Recent in a session */
	uint64_t highestmodseq;
	uint64_t exists, unseen, deleted, bytes;
	uint32_t special_use;        /* USE_… */
	bool subscribed;
	bool nonexistent; /* a level above an existing mailbox, or a subscribed name without one: box.id is 0 */
	bool has_children;
	struct slice keywords;       /* every keyword ever used in it, blank-separated */
};

/* Accounts. Creating makes INBOX, Drafts, Sent, Junk, Trash, Archive with their special uses, subscribed. Deleting
 * takes the mailboxes away at once; store_sweep frees the messages. */
int store_account_create(struct db_conn *tx, int64_t account); /* STORE_EXISTS */
int store_account_delete(struct db_conn *tx, int64_t account); /* STORE_NO_ACCOUNT */
struct store_usage { uint64_t bytes, messages; uint64_t modseq; };
int store_usage(struct db_conn *c, int64_t account, struct store_usage *out); /* STORE_NO_ACCOUNT */
/* Frees what deleted mailboxes left, or moves it into the bin, in small transactions. Call it after deletions and at
 * start. <0 or 0. */
int store_sweep(struct db *db);

/* Mailboxes. Names as IMAP gives them, decoded to UTF-8; they are kept composed (NFC), a '/' at the end is dropped.
 * Creating makes the levels above.
 */
int store_create(struct db_conn *tx, int64_t account, struct slice name, uint32_t special_use, struct box *out);
int store_delete(struct db_conn *tx, int64_t account, struct slice name);  /* mailboxes below it stay */
/* With all below. INBOX: its messages go to the new name, it stays empty, with a new uidvalidity (RFC 3501 6.3.5). */
int store_rename(struct db_conn *tx, int64_t account, struct slice from, struct slice to);
int store_special_use(struct db_conn *tx, struct box box, uint32_t special_use);
int store_subscribe(struct db_conn *tx, int64_t account, struct slice name, bool on); /* the name need not exist */
int store_find(struct db_conn *c, struct arena *mem, int64_t account, struct slice name, struct mailbox *out);
int store_inbox(struct db_conn *c, int64_t account, struct box *out); /* only where it is: STORE_NO_MAILBOX */
int store_find_use(struct db_conn *c, struct arena *mem, int64_t account, uint32_t special_use, struct mailbox *out);
int store_mailbox(struct db_conn *c, struct arena *mem, struct box box, struct mailbox *out);
/* What every command asks: is there anything new? A third of what store_mailbox costs. */
struct mailbox_state { uint32_t uidnext; uint64_t highestmodseq, deleted; struct slice keywords; };
int store_mailbox_state(struct db_conn *c, struct arena *mem, struct box box, struct mailbox_state *out);
/* All mailboxes in the order of their names; nonexistent ones as well. Matching patterns is the caller's. */
int store_list(struct db_conn *c, int64_t account, int (*each)(void *ctx, const struct mailbox *m), void *ctx);
/* Brings mailboxes of several lists into that order, each name once; how many are left. */
size_t store_list_merge(struct mailbox *at, size_t count);
/* Sets recent_from to uidnext and gives the value before: messages from there on are \Recent in the caller's
 * session. */
int store_take_recent(struct db_conn *tx, struct box box, uint32_t *from);

/* Messages. */
struct uid_range { uint32_t first, last; };
struct uid_set { const struct uid_range *at; size_t count; }; /* sorted, not overlapping; last may be UINT32_MAX */
extern const struct uid_set uid_all;
#define UID_ALL uid_all

struct message {
	uint32_t uid, flags;
	uint64_t modseq, size;       /* size: RFC822.SIZE */
	int64_t received_us;         /* INTERNALDATE */
	int64_t saved_us;            /* SAVEDATE (RFC 8514); 0: not known */
	int64_t blob_id, email_id;   /* email_id: the same for all copies in an account (RFC 8474 EMAILID) */
	struct slice keywords;       /* blank-separated, sorted; at == NULL: none */
	struct slice summary, digest; /* only when wanted; empty: there is none */
	struct slice body;            /* only when wanted: as it is stored, for blob_unpack */
};
struct append {
	struct box box;              /* id 0: the account's INBOX */
	int64_t blob_id;             /* from blob_insert in this transaction, or a stored one; a reference is taken */
	uint64_t size;
	int64_t received_us;         /* 0: now */
	int64_t email_id;            /* 0: a new one */
	uint32_t flags;
	struct slice keywords;       /* blank-separated */
	uint64_t quota_bytes,
		quota_messages; /* refuse with STORE_OVER_QUOTA beyond; 0: no limit. Its pool's limits hold as well */
	uint64_t quota_grace;        /* bytes by which the message that reaches quota_bytes may go beyond it */
	uint8_t quota_levels[2];     /* store/quota.h */
	uint32_t uid; /* 0: the next one; else this one, as it was elsewhere (store_import_begin); STORE_EXISTS */
};
struct appended { uint32_t uid, uidvalidity; uint64_t modseq; int64_t email_id; };
int store_append(struct db_conn *tx, const struct append *a, struct appended *out);

/* The uids from since on, rising, added to out (uint32_t each): the caller's map of sequence numbers. */
int store_uids(struct db_conn *c, struct box box, uint32_t since, struct buf *out);
/* The first and the last below `below`; 0: there are none. */
int store_uid_ends(struct db_conn *c, struct box box, uint32_t below, uint32_t *first, uint32_t *last);
enum {
	WANT_SUMMARY = 1,
	WANT_DIGEST = 2,
	WANT_BODY = 4,
	/* What need not be read makes it faster: email_id and saved_us may stay 0; with LEAN modseq and received_us
	 * too. blob_id then only comes with a summary, digest or body, or where it is wanted. */
	WANT_BRIEF = 8,
	WANT_LEAN = 16,
	WANT_BLOB = 32,
};
int store_each(struct db_conn *c, struct box box, struct uid_set set, unsigned want,
               int (*each)(void *ctx, const struct message *m), void *ctx);
/* Only messages with (flags & mask) == flags; as WANT_BRIEF. The database leaves out the others for a third of what
 * it costs to hand out a row. */
int store_each_flagged(struct db_conn *c, struct box box, struct uid_set set, uint32_t mask, uint32_t flags,
		       int (*each)(void *ctx, const struct message *m), void *ctx);
/* Before a walk over very many, that may be cold: what it is going to read is asked for at once. Only a hint. */
void store_ahead(struct db_conn *c, struct box box, struct uid_set set, unsigned want);

enum flag_how { FLAGS_ADD, FLAGS_REMOVE, FLAGS_REPLACE };
struct flag_change {
	enum flag_how how;
	uint32_t flags;
	struct slice keywords;       /* blank-separated */
	bool conditional;            /* UNCHANGEDSINCE: rows with a modseq above unchanged_since are left alone */
	uint64_t unchanged_since;
	uint32_t fixed;              /* flags that stay as they are, whatever is said above (RFC 4314 rights) */
	bool words_fixed;            /* the same for keywords */
};
/* changed (may be NULL): rows that now differ, with the new modseq. stale: uids left alone by the condition (may be
 * NULL without one). *modseq (may be NULL): the modseq of this change, 0 when nothing changed. */
int store_flags(struct db_conn *tx, struct box box, struct uid_set set, const struct flag_change *change,
                int (*changed)(void *ctx, const struct message *m), int (*stale)(void *ctx, uint32_t uid), void *ctx,
                uint64_t *modseq);

/* Copies and moves, also between accounts; each message is reported as (uid there, uid here), in rising order. */
struct copied { uint32_t uidvalidity; uint64_t count; };
int store_copy(struct db_conn *tx, struct box from, struct uid_set set, struct box to,
               int (*each)(void *ctx, uint32_t from_uid, uint32_t to_uid), void *ctx, struct copied *out);
int store_move(struct db_conn *tx, struct box from, struct uid_set set, struct box to,
               int (*each)(void *ctx, uint32_t from_uid, uint32_t to_uid), void *ctx, struct copied *out);
/* Removes; the bin (store/bin.h) keeps it for a time, where there is one. only_deleted: of the set, those with \Deleted
 * (EXPUNGE, UID EXPUNGE); else all of the set. Callers slice very large sets, so that others can write in between (some
 * 10 µs a message). */
int store_expunge(struct db_conn *tx, struct box box, struct uid_set set, bool only_deleted,
                  int (*gone)(void *ctx, uint32_t uid), void *ctx);

/* What happened since a modseq: rows that are new or changed (rising modseq), and ranges of uids that vanished. */
int store_changes(struct db_conn *c, struct box box, uint64_t since, int (*changed)(void *ctx, const struct message *m),
                  int (*vanished)(void *ctx, uint32_t first, uint32_t last), void *ctx);

/* Mail from another server keeps its uids. An empty mailbox takes over uidvalidity and uidnext, whatever uids it had
 * given away; one that has this uidvalidity already takes the higher uidnext: an import goes on. STORE_EXISTS: it holds
 * other mail. */
int store_import_begin(struct db_conn *tx, struct box box, uint32_t uidvalidity, uint32_t uidnext);
/* New mailboxes get larger uidvalidities than this one, and than any that was brought along. */
int store_import_uidvalidity(struct db_conn *tx, int64_t account, uint32_t last);
/* What has no uid of its own is known by its name: STORE_EXISTS when it came before. */
int store_import_name(struct db_conn *tx, struct box box, struct slice name);

/* Ids that POP3 clients knew messages by elsewhere; messages without one get their usual form. */
int store_uidl_put(struct db_conn *tx, struct box box, uint32_t uid, struct slice uidl);
int store_uidl_each(struct db_conn *c, struct box box, struct uid_range range,
                    int (*each)(void *ctx, uint32_t uid, struct slice uidl), void *ctx);
int store_uidl_tidy(struct db_conn *tx, struct box box); /* forgets those of messages that are gone */
