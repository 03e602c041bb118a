/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/body.h"
#include "access/imap/walk.h"
#include "mime/digest.h"
/* Asking for messages: SEARCH, SORT, THREAD and ESEARCH (RFC 3501 §6.4.4, 4731, 5256, 7377) stand on one machine.
 *   search_parse.c   makes a tree of tests
 *   search_scan.c    tests the messages of a mailbox, on several processors when that pays, and collects what fits
 *   search_test.c    the tests on rows and summaries; search_body.c those on texts (what text is: store/text.h)
 *   search_fuzzy.c   the same with tolerance (RFC 6203)
 *   search_put.c     writes results with RETURN options, and what SAVE keeps
 * Children of a node stand in the order of their cost, so that bodies are only opened for messages that pass all else.
 */
struct search_node;
struct search_run;

enum search_cost { COST_ROW, COST_SUMMARY, COST_HEADER, COST_BODY };
enum search_argument {
	ARG_NONE,
	ARG_TEXT,
	ARG_DATE,
	ARG_KEYWORD,
	ARG_NUMBER,
	ARG_SECONDS,
	ARG_UIDS,
	ARG_UID_AFTER, /* RFC 9738 §3.2 */
	ARG_UID_BEFORE,
	ARG_FIELD,
	ARG_KEY,
	ARG_FUZZY_KEY,
	ARG_TWO_KEYS,
	ARG_MODSEQ,
	ARG_OBJECT_ID
};
/* 1: fits, 0: does not, <0: failed; BLOB_GONE is told as 0. */
typedef int search_test(struct search_run *run, const struct search_node *node);

struct search_word {
	const char *name;
	enum search_argument argument;
	enum search_cost cost;
	search_test *test;
	uint32_t detail;            /* flags; which date comparison; which field of the envelope */
};
extern const struct search_word search_words[];
extern const size_t search_word_count;
search_test search_all, search_any, search_in_set; /* nodes that have no word of their own */
search_test search_flag, search_no_flag;
search_test search_in_field, search_in_body, search_in_text, search_in_envelope;

/* search_more.c */
search_test search_modseq, search_email_id, search_thread_id, search_saved, search_saved_moment;
bool search_parse_modseq(struct imap_parse *p, int64_t *out);
bool search_parse_object_id(struct imap_parse *p, char kind, int64_t *out); /* -1: none of ours */

struct search_node {
	search_test *test;
	enum search_cost cost;
	uint32_t detail;
	bool fuzzy;                 /* a text that need not be there to the letter */
	struct slice text, field;   /* text: folded */
	int64_t number;             /* also: day since 1970; seconds since 1970 of OLDER and YOUNGER */
	struct imap_set set;        /* of UIDs */
	struct search_node **children;
	size_t count, room;
};

/* What RETURN asked for (RFC 4731, 5182, 5267, 6203, 9394). */
enum {
	RETURN_MIN = 1, RETURN_MAX = 2, RETURN_ALL = 4, RETURN_COUNT = 8, RETURN_SAVE = 16, RETURN_UPDATE = 32,
	RETURN_CONTEXT = 64, RETURN_PARTIAL = 128, RETURN_RELEVANCY = 256,
	RETURN_RESULTS = RETURN_MIN | RETURN_MAX | RETURN_ALL | RETURN_COUNT | RETURN_PARTIAL,
};
struct search_ask {
	bool extended;              /* RETURN was said */
	bool mailboxes;             /* ESEARCH: numbers of messages mean nothing */
	unsigned returns;
	int64_t partial_from, partial_to; /* as written: negative counts from the end */
	struct slice charset;       /* of the strings; empty: UTF-8 */
	bool bad_charset;
	struct slice update_fetch;  /* UPDATE (items): what is fetched of messages that come in (RFC 5465 §7) */
	bool fuzzy, modseq, numbers; /* such keys are somewhere in it; numbers: of messages, not UIDs */
	struct search_node *root;   /* an AND */
};
/* What follows the command's name: all of it for SEARCH; for others in parts, each with the blank before it. Memory
 * from p->mem. A charset that we do not know is no error of p: see bad_charset, which has no root. */
bool search_parse(struct imap_session *s, struct imap_parse *p, struct search_ask *out);
bool search_parse_return(struct imap_parse *p, struct search_ask *out); /* if there is one */
bool search_parse_charset(struct imap_parse *p, struct search_ask *out);
bool search_parse_keys(struct imap_session *s, struct imap_parse *p, struct search_ask *out);
struct imap_answer search_bad_charset(void);

/* A part of the messages, tested in their order, and what was collected from those that fit. */
struct search_part {
	struct imap_range range;
	struct buf rows, text;
	struct buf digests;         /* made anew, to be stored: struct search_digest and the bytes */
};
/* Tests the messages of a mailbox. Parts are tested by several workers when there is much to do; collect is called for
 * each message that fits, from one worker for one part at a time. */
struct search_scan {
	struct imap_session *s;
	struct box box;
	bool selected;              /* only messages the client knows of */
	uint32_t recent_from;
	const struct search_node *root;
	struct imap_set set;        /* where to look */
	int (*collect)(struct search_run *run);
	bool wants_digest;          /* collect, or a test, reads run->digest */
	const void *ctx;            /* of collect */
	uint64_t steps_before, steps; /* progress is told in these (mailboxes of ESEARCH); 0: in parts of this one */
	struct search_part *parts;
	size_t part_count;
};
void search_scan_selected(struct search_scan *scan, struct imap_session *s, const struct search_node *root);
void search_scan_all(struct search_scan *scan, uint32_t uidnext); /* of a mailbox that need not be selected */
int search_scan(struct search_scan *scan);   /* 0 or what went wrong; search_scan_done in either case */
void search_scan_done(struct search_scan *scan);

/* What is found, in the order in which it is told. */
struct search_found { uint32_t uid, relevance; uint64_t modseq; };
struct search_result {
	struct search_found *at;
	size_t count;
	bool sorted;                /* in another order than that of the mailbox */
	struct buf memory;
};
#define SEARCH_RESULT ((struct search_result){ .memory = BUF((size_t)1 << 36) })
void search_result_done(struct search_result *r);
int search_find(struct search_scan *scan, struct search_result *out); /* by order of mailbox */
struct search_found search_found_of(const struct search_run *run);

/* Answers. */
void search_put_extended(struct imap_session *s, struct slice tag, bool uid, const struct search_ask *ask,
			 const struct search_result *r, struct slice source /* of ESEARCH: "MAILBOX …"; or empty */);
void search_put_numbers(struct imap_session *s, const char *name, bool uid, const struct search_ask *ask,
			const struct search_result *r);
/* The end of SEARCH and of SORT: results as they were asked for. plain: the word of the answer without RETURN. */
struct imap_answer imap_search_end(struct imap_session *s, struct imap_call *call, const struct search_ask *ask,
				   const struct search_result *found, const char *plain);
/* SAVE: "$" holds from now on what RFC 5182 §2.1 says. False: too much to keep, NOTSAVED. */
bool search_save(struct imap_session *s, const struct search_ask *ask, const struct search_result *r);
void search_save_nothing(struct imap_session *s);

/* One message under test. */
struct search_run {
	struct imap_session *s;
	const struct search_scan *scan;
	struct search_part *part;
	struct db_conn *c;
	const struct message *m;
	struct imap_body body;
	struct summary_head head;
	bool head_read;
	struct digest digest;       /* when the scan wants it */
	struct buf references;      /* behind head, when the summary had to be made again */
	struct arena mem;           /* of one message */
	struct buf value, folded;   /* of one field, used again and again */
	struct buf stored, packed;  /* behind digest, when it had to be made again */
	uint32_t relevance, judged; /* sum and number of the fuzzy texts that fit */
};
/* Reads run->head. 0, BLOB_GONE, <0. */
int search_need_head(struct search_run *run);
int search_need_body(struct search_run *run);
/* search_digest.c: reads run->digest, or makes it. 0, BLOB_GONE, <0. */
int search_need_digest(struct search_run *run);
void search_digests_store(struct search_scan *scan); /* those that were made; failing at that is no harm */

/* Does the field's raw value hold the node's text? */
bool search_value_holds(struct search_run *run, const struct search_node *node, struct slice raw);

/* Fuzzy: all words of the needle must be there, in any order; longer ones of Latin letters with up to two mistakes. */
enum { FUZZY_WORDS_MAX = 16 };
struct search_fuzzy {
	struct slice needle, words[FUZZY_WORDS_MAX];
	size_t count;
	unsigned char near[FUZZY_WORDS_MAX]; /* 0: not seen; else 1 to 100 */
	bool whole;                 /* the needle was there to the letter */
};
void search_fuzzy_init(struct search_fuzzy *f, struct slice needle);
void search_fuzzy_look(struct search_fuzzy *f, struct slice folded);
unsigned search_fuzzy_score(const struct search_fuzzy *f); /* 0: does not fit; to 100 */

/* search_narrow.c: takes out of set (of UIDs of box) the messages that the search index knows not to fit. 0, <0. */
int search_narrow(struct imap_session *s, struct box box, const struct search_node *root, struct imap_set *set);
