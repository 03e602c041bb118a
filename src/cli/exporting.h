/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "cli/transfer.h"
#include "db/blob.h"
/* An account on its way out: its mailboxes, their messages, their text with LF. */
int export_mailboxes(struct transfer *t, int (*each)(struct transfer *t, const struct mailbox *m, struct buf *ctx),
		     struct buf *ctx);
/* No snapshot is held while `each` writes; messages that came meanwhile are among them. */
int export_messages(struct transfer *t, struct box box, int (*each)(void *ctx, const struct message *m), void *ctx);
/* BLOB_GONE: expunged a moment ago */
int export_open(struct transfer *t, const struct message *m, struct blob **out);
int export_write(int fd, struct slice all);
/* CRLF becomes LF: pieces in, out added to. At the end a CR may be left over: crlf_end. */
struct crlf { bool cr; };
void crlf_to_lf(struct crlf *x, struct slice piece, struct buf *out);
void crlf_end(struct crlf *x, struct buf *out);
