/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/state.h"
#include "db/blob.h"
#include "mime/summary.h"
/* A message on its way into a mailbox: summarised while it arrives in pieces, small ones in memory, large ones in a
 * spool file; finished, it is packed for the store and takes few KB (or a file), so that many can wait for one commit.
 */
struct upload {
	struct imap_session *s;
	struct append append;   /* flags, date; size is counted here */
	struct summary_scan *scan;
	struct buf memory;
	int fd;                 /* the spool file once memory is full; -1 before */
	struct buf summary, digest;
	struct blob_draft *draft;
	struct appended done;
	struct upload *next;
};
void upload_begin(struct upload *u, struct imap_session *s);
int upload_take(void *upload, struct slice piece);   /* <0: failed */
int upload_finish(struct upload *u);                 /* <0: failed */
/* In the transaction: blob and row. The answers of store_append. */
int upload_store(struct db_conn *tx, struct upload *u);
void upload_done(struct upload *u);
/* upload_binary.c: has the message binary parts with NULs, which IMAP cannot tell as they are? Then upload_recode feeds
 * `to` what is kept instead. */
bool upload_is_binary(const struct summary *s);
int upload_recode(struct upload *from, const struct summary *s, struct upload *to);
