/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/search.h"
/* Searches that stay alive (RFC 5267, CONTEXT=SEARCH and CONTEXT=SORT): RETURN (UPDATE) makes one, named by the tag of
 * its command; it tells what is added to and removed from its results whenever the client is told news of the mailbox,
 * until CANCELUPDATE or until the mailbox is left. */
struct live;
enum live_kind { LIVE_SEARCH, LIVE_SORT };
enum { LIVE_MAX = 16 /* in one session; beyond: NOUPDATE */ };
bool live_find(const struct imap_session *s, struct slice tag);
struct imap_answer live_tag_taken(void);
/* words: what stands behind the command's name. Says NOUPDATE when there are too many. */
void live_start(struct imap_session *s, const struct imap_call *call, enum live_kind kind, struct slice words,
		const struct search_result *found);
/* Before the client is told that messages are gone, while they still have numbers. */
void live_gone(struct imap_session *s, const struct imap_set *uids);
/* After the client was told of new and changed messages. */
void live_news(struct imap_session *s);
void live_end_all(struct imap_session *s);
