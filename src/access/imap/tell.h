/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/state.h"
/* What a client is told of a mailbox's changes, in the words it has enabled: EXPUNGE or VANISHED, FETCH or UIDFETCH,
 * with MODSEQ or without, with RECENT or without (RFC 3501 §7, RFC 7162 §3.2.10, RFC 9586 §3, RFC 9051 appendix E). */
struct news_row { uint32_t uid, flags; uint64_t modseq; struct slice keywords; };
struct news {
	struct imap_session *s;
	struct buf rows;                /* of struct news_row: messages the client knows */
	struct buf fresh;               /* of uint32_t: those it does not */
	struct imap_set_builder gone;   /* unsettled */
};
enum { NEWS_LIMIT = 1 << 30 };
#define NEWS(s_) ((struct news){ .s = (s_), .rows = BUF(NEWS_LIMIT), .fresh = BUF(NEWS_LIMIT) })
void news_done(struct news *n);
#define AUTO_NEWS AUTO(news_done)
/* Everything since a modseq; <0 or STORE_NO_MAILBOX. uidnext: messages from there on are fresh. */
int news_gather(struct news *n, struct db_conn *c, struct box box, uint64_t since, uint32_t uidnext);

void tell_keywords(struct imap_session *s, struct slice keywords);
void tell_exists(struct imap_session *s);
void tell_fresh(struct imap_session *s, struct buf *fresh);
void tell_rows(struct imap_session *s, const struct buf *rows);
void tell_gone(struct imap_session *s); /* what stands in s->box.gone */
/* A settled set as one or more VANISHED lines. */
void tell_vanished(struct imap_session *s, const struct imap_set *set, bool earlier);
