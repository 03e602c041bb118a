/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/body.h"
#include "access/imap/walk.h"
/* FETCH (RFC 3501 §6.4.5, BINARY: RFC 3516, PREVIEW: RFC 8970): fetch_parse.c reads what is wanted, cmd_fetch.c walks
 * the messages, fetch_put.c writes one message's items, fetch_body.c those that are bytes of it, fetch_binary.c decoded
 * ones. */
struct fetch;
struct fetch_item;

/* A message of the page that is being made. */
struct fetch_row {
	struct message m;           /* text in the page's memory */
	struct imap_body body;      /* opened when something wants it */
	bool ready_looked, ready_there;
	struct summary_ready ready; /* of m.summary, once fetch_ready has looked */
	bool now_seen;              /* this FETCH has set \Seen */
};

enum fetch_need {
	FETCH_SUMMARY = 1,
	FETCH_BODY = 2,
	FETCH_SEEN = 4,
	FETCH_SECTION = 8, /* a [section] follows the word */
	FETCH_NUMBERS = 16, /* of numbers only */
	FETCH_WHOLE = 32,  /* no <partial> */
	FETCH_LAZY = 64,   /* (LAZY) may follow */
	FETCH_ROW = 256,   /* all columns of the row */
	FETCH_DIGEST = 512,
	FETCH_TIMES = 1024, /* INTERNALDATE, MODSEQ */
	FETCH_PARTS = 128  /* more than where the header ends */
};
struct fetch_word {
	const char *name;
	unsigned needs;
	bool (*put)(struct fetch *f, const struct fetch_item *item,
		    struct fetch_row *row); /* false: the client is lost */
	const char *section;        /* of the old words RFC822… */
};
extern const struct fetch_word fetch_words[];
extern const size_t fetch_word_count;

struct fetch_item {
	const struct fetch_word *word;
	struct slice section;       /* as summary_section wants it */
	struct slice *fields;       /* HEADER.FIELDS (.NOT) */
	size_t field_count;
	bool partial;
	uint64_t from, count;
};

enum { FETCH_ITEMS_MAX = 100 };
struct fetch {
	struct imap_session *s;
	struct imap_set set;
	struct fetch_item items[FETCH_ITEMS_MAX];
	size_t item_count;
	unsigned needs;
	bool tells_flags, tells_modseq;
	bool sets_seen;
	bool since, vanished, paged; /* modifiers */
	uint64_t changed_since;
	int64_t page_first, page_last; /* negative: from the end */
	struct arena mem;           /* of the page */
	struct fetch_row *rows;
	size_t row_count, page_bytes;
	uint32_t seen;              /* rows found */
	struct db_conn *c;          /* the snapshot, while rows are written in it: then nothing waits for the client */
	int failed;                 /* why a row could not be written: of the rooms below; 0: the client is lost */
	bool unknown_encoding;      /* BINARY met a transfer encoding that it cannot take away */
};
/* The parts of a summary: ready forms if the message was stored with them, else it is unpacked. False: f->failed. */
const struct summary_ready *fetch_ready(struct fetch_row *row); /* NULL: there are none */
bool fetch_summary(struct fetch *f, struct fetch_row *row);
/* The body, open. In the snapshot that is done here. False: f->failed. */
bool fetch_body(struct fetch *f, struct fetch_row *row);
bool fetch_put_bytes(struct fetch *f, struct slice bytes);
bool fetch_put_section(struct fetch *f, const struct fetch_item *item, struct fetch_row *row);
bool fetch_put_binary(struct fetch *f, const struct fetch_item *item, struct fetch_row *row);
bool fetch_put_binary_size(struct fetch *f, const struct fetch_item *item, struct fetch_row *row);
bool fetch_unreadable(struct fetch *f, int why); /* in the middle of a literal: ends the session; returns false */
void fetch_hide_nul(char *at, size_t len);
bool fetch_parse(struct imap_parse *p, struct fetch *f, bool uid);
/* fetch_more.c: what follows the items, if anything; and what that leaves of the set. said: the set as the client gave
 * it, settled, for VANISHED. */
bool fetch_modifiers(struct imap_parse *p, struct fetch *f, bool uid);
int fetch_narrow(struct fetch *f, const struct imap_set *said);
bool fetch_put_modseq(struct fetch *f, const struct fetch_item *item, struct fetch_row *row);
bool fetch_put_email_id(struct fetch *f, const struct fetch_item *item, struct fetch_row *row);
bool fetch_put_thread_id(struct fetch *f, const struct fetch_item *item, struct fetch_row *row);
bool fetch_put_save_date(struct fetch *f, const struct fetch_item *item, struct fetch_row *row);
/* "(items)", for later: read to see whether it is right, and kept as text. */
bool fetch_parse_later(struct imap_parse *p, struct slice *text);
/* FETCH of what NOTIFY has asked for: items as text, and nothing gets \Seen by it. */
void imap_fetch_quietly(struct imap_session *s, struct slice items, const struct imap_set *uids);
bool fetch_put_row(struct fetch *f, struct fetch_row *row);
