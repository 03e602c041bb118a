/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "store/store.h"
/* Small values, mostly texts, kept for a mailbox, an account's server or the whole server (IMAP METADATA, RFC 5464).
 * Entries are paths in lower case: "/shared/comment", of which there is one, and "/private/comment", of which each
 * reader has his own. Which entries exist, and who may write them, is the caller's to know. */
enum { ANNOTATION_VALUE_MAX = 64 * 1024, ANNOTATIONS_MAX = 200 /* of one box and reader */, ANNOTATION_NAME_MAX = 256 };
enum { ANNOTATION_BELOW_NONE, ANNOTATION_BELOW_ONE, ANNOTATION_BELOW_ALL };

/* box {0, 0}: the server's shared ones; {account, 0}: what an account keeps for itself of the server.
 * value: any bytes; at == NULL: takes it away. STORE_LIMIT: too many. Announced as a change of the account, or of
 * account 0. */
int store_annotate(struct db_conn *tx, struct box box, struct slice entry, int64_t reader, struct slice value);
/* The entry itself, and below it as deep as wanted; an empty entry with ANNOTATION_BELOW_ALL: all. reader: 0 for
 * /shared. */
int store_annotations(struct db_conn *c, struct box box, struct slice entry, int64_t reader, int below,
		      int (*each)(void *ctx, struct slice entry, struct slice value), void *ctx);
/* Mailboxes that have an entry. */
int store_annotated(struct db_conn *c, struct slice entry, int (*each)(void *ctx, struct box box, struct slice value),
		    void *ctx);
