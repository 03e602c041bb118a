/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the files of this room share. */
#include "store/change.h"
#include "store/store.h"
#include "db/blob.h"

enum { MAILBOXES_MAX = 10000, KEYWORDS_MAX = 1024 /* bytes, of one message */, MAILBOX_KEYWORDS_MAX = 4096 };

/* name.c: the stored form of a mailbox name, composed (NFC, RFC 9051 §5.1). 0 or STORE_BAD_NAME. */
int name_normal(struct arena *mem, struct slice name, struct slice *out);
/* The same with the letters as they are: names that were stored before this was so may not be composed. */
int name_spelt(struct arena *mem, struct slice name, struct slice *out);
struct slice name_above(struct slice name); /* "a/b" of "a/b/c"; empty: none */
extern const struct slice name_inbox;
/* The first name behind all names below this one: "a0" for "a" (names below it start with "a/", and '0' follows '/').
 */
struct slice name_below_first(struct arena *mem, struct slice name),
	name_below_end(struct arena *mem, struct slice name);

/* Keywords: blank-separated words, compared without case, kept sorted and single. */
int keywords_normal(struct arena *mem, struct slice words, struct slice *out); /* STORE_LIMIT; at == NULL: none */
struct slice keywords_add(struct arena *mem, struct slice to, struct slice words);
struct slice keywords_remove(struct arena *mem, struct slice from, struct slice words);
bool keywords_has_all(struct slice in, struct slice words);

/* What a change does to the counters of a mailbox and its account. */
struct delta {
	int64_t messages, unseen, deleted, bytes;
};
static inline void delta_count(struct delta *d, int64_t sign, uint32_t flags, uint64_t size) {
	d->messages += sign;
	d->unseen += (flags & FLAG_SEEN) == 0 ? sign : 0;
	d->deleted += (flags & FLAG_DELETED) != 0 ? sign : 0;
	d->bytes += sign * (int64_t)size;
}
/* account.c: the next modseq of the account. STORE_NO_ACCOUNT. */
int modseq_next(struct db_conn *tx, int64_t account, uint64_t *modseq);
/* Adds to the counters of mailbox and account, sets highestmodseq, announces. STORE_NO_MAILBOX. */
int count_change(struct db_conn *tx, struct box box, const struct delta *d, uint64_t modseq);
/* quota.c: counts for the account's pool, if it is in one; what was added is compared with the levels of q. */
struct quota;
int pool_count(struct db_conn *tx, int64_t account, int64_t messages, int64_t bytes);
int quota_crossed(struct db_conn *tx, int64_t account, const struct quota *q, const struct store_usage *before,
		  uint64_t bytes, uint64_t messages);
int acl_inherit(struct db_conn *tx, struct box box,
		struct slice name); /* acl.c: the new mailbox gets the rights of the one above */
int count_account(struct db_conn *tx, int64_t account, int64_t messages, int64_t bytes);
void announce(struct db_conn *tx, struct box box, uint64_t modseq);

/* mailbox.c: the columns of MAILBOX_ROW_COLUMNS; text in mem. */
#define MAILBOX_ROW_COLUMNS \
	"id, name, uidvalidity, uidnext, recent_from, highestmodseq, messages, unseen, deleted, bytes, special_use, " \
	"keywords," \
	" object_id"
struct mailbox mailbox_of(struct db_stmt *s, struct arena *mem, int64_t account);
int mailbox_exists(struct db_conn *c, struct box box); /* 0 or STORE_NO_MAILBOX */
int mailbox_keywords_add(struct db_conn *tx, struct box box, struct slice words); /* STORE_LIMIT */
/* Hands out count uids: *first and the uidvalidity. STORE_NO_MAILBOX, STORE_LIMIT. */
int mailbox_uids_take(struct db_conn *tx, struct box box, uint64_t count, uint32_t *first, uint32_t *uidvalidity);
int mailbox_insert(struct db_conn *tx, int64_t account, struct slice name, uint32_t special_use, struct box *out);

/* message.c: the columns of MESSAGE_COLUMNS. */
#define MESSAGE_COLUMNS "uid, modseq, flags, keywords, received_us, size, blob_id, email_id, saved_us"
struct message message_of(struct db_stmt *s);
int message_insert(struct db_conn *tx, struct box box, const struct message *m);
void bind_box(struct db_stmt *s, struct box box);
void bind_range(struct db_stmt *s, struct box box, struct uid_range range);

/* What is kept by body, for a walk over messages in the order of their uids: the m of each, with blob_id, gets the
 * summary, digest and body that were wanted. */
struct walks { struct blob_walk *summary, *digest, *body; struct summary_walk *summaries, *digests; };
struct walks walks_open(struct db_conn *c, struct box box, struct uid_set set, unsigned want);
int walks_to(struct walks *w, struct message *m);
void walks_close(struct walks *w);

/* import.c: STORE_EXISTS. */
int import_is_free(struct db_conn *tx, struct box box, uint32_t uid);

/* changes.c: so that store_changes finds them. Rows of the range, as many as are said, now have this modseq and did not
 * just come at the end. */
int changed_note(struct db_conn *tx, struct box box, struct uid_range range, uint64_t modseq, uint64_t rows);
int changed_forget(struct db_conn *tx, struct box box, struct uid_range range); /* messages of the range are gone */

/* expunge.c: the rows of a range are gone (moved or removed): writes the record for QRESYNC. */
struct gone_list { struct arena *mem; struct uid_range *ranges; size_t count, room; };
void gone_add(struct gone_list *g, uint32_t uid);
int gone_record(struct db_conn *tx, struct box box, const struct gone_list *g, uint64_t modseq);

/* annotation.c: RFC 7162 §3.2, what is noted about a mailbox is a change of it: the next modseq, announced. */
int annotation_changed(struct db_conn *tx, struct box box);
/* RFC 5464 §4.1: INBOX keeps what is noted of it when it is renamed. */
int annotations_copy(struct db_conn *tx, struct box from, struct box to);

/* bin.c: how long the bin keeps; 0: there is none. */
int bin_keeps(struct db_conn *c, int64_t *keep_us);
/* Copies rows of a range (with the flag; 0: all) into the bin, which takes over their references: the rows must go now.
 */
int bin_take(struct db_conn *tx, struct box box, struct slice mailbox, struct uid_range range, int64_t flag);
