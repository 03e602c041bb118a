/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "db/blob.h"
#include "mime/summary.h"
#include "store/store.h"
/* One message's body and summary, opened when they are first asked for. */
struct imap_body {
	const struct message *m;
	struct blob *blob;         /* NULL: not opened yet */
	struct summary *summary;
};
void imap_body_close(struct imap_body *b);
int imap_body_open(struct imap_body *b, struct db_conn *c); /* BLOB_GONE */
/* The fields of a HEADER.FIELDS (.NOT) section with an empty line behind them; at most IMAP_HEADER_LIMIT bytes are
 * looked at. The body is open. */
enum { IMAP_HEADER_LIMIT = 1024 * 1024 };
void imap_body_fields(struct imap_body *b, const struct section *section, const struct slice *names, size_t count,
		      struct buf *out);
/* THREADID (RFC 8474 §5.2), positive: that of its conversation, or its own when it has nothing to belong to one by. */
struct digest;
int64_t imap_thread_id(const struct message *m, const struct digest *d);
/* The summary, unpacked into mem. One that we do not understand (older or newer than this program) is made again from
 * the body. m->summary must have been wanted. c: NULL borrows a connection from db when one is needed. BLOB_GONE. */
int imap_body_summary(struct imap_body *b, struct db *db, struct db_conn *c, struct arena *mem);
