/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
/* doveadm-search-query(7): IMAP's search keys, each word an argument of its own, with OR between two keys instead of
 * before them, mailboxes as keys, dates also as 2026-11-23, as a Unix time or as a time back from now ("30d"), and
 * sizes with a unit ("50k"). It becomes an IMAP search for each mailbox. */
struct dove_query;
/* now_s: for the times back from now. NULL: *problem is what Dovecot says. */
const struct dove_query *dove_query_read(const struct slice *words, size_t count, int64_t now_s, struct arena *mem,
					 const char **problem);

/* What is left of it for one mailbox: the IMAP search is added to out, when only SOME may fit. Texts that are no plain
 * ASCII are quoted UTF-8. */
enum dove_fit { DOVE_NONE, DOVE_SOME, DOVE_ALL };
enum dove_fit dove_query_put(const struct dove_query *q, struct slice mailbox, struct slice guid, struct buf *out);

bool dove_query_names_mailbox(const struct dove_query *q); /* whichever way it can be fulfilled */
/* Mailboxes named without wildcards where nothing else can be meant: they must be there. */
void dove_query_mailboxes(const struct dove_query *q, void (*each)(void *ctx, struct slice name), void *ctx);
bool dove_wild(struct slice pattern);                      /* * or ? is in it */
bool dove_wild_match(struct slice pattern, struct slice text); /* case counts */
