/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "access/imap/body.h"
#include "access/imap/walk.h"
/* SEARCH (RFC 3501 §6.4.4, RFC 4731): search_parse.c makes a tree of tests, cmd_search.c walks the messages,
 * search_test.c holds the tests; what the text of a message is, store/text.h says. Children of a node stand in the order of their
 * cost, so that bodies are only opened for messages that pass all else. */
struct search_node;
struct search_run;

enum search_cost { COST_ROW, COST_SUMMARY, COST_HEADER, COST_BODY };
enum search_argument {
	ARG_NONE,
	ARG_TEXT,
	ARG_DATE,
	ARG_KEYWORD,
	ARG_NUMBER,
	ARG_UIDS,
	ARG_FIELD,
	ARG_KEY,
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

/* search_more.c */
search_test search_modseq, search_email_id, search_thread_id, search_saved;
bool search_parse_modseq(struct imap_parse *p, int64_t *out);
bool search_parse_object_id(struct imap_parse *p, int64_t *out); /* -1: none of ours */

struct search_node {
	search_test *test;
	enum search_cost cost;
	uint32_t detail;
	struct slice text, field;   /* text: folded */
	int64_t number;             /* also: day since 1970 */
	struct imap_set set;        /* of UIDs */
	struct search_node **children;
	size_t count, room;
};

enum { RETURN_MIN = 1, RETURN_MAX = 2, RETURN_ALL = 4, RETURN_COUNT = 8 };
struct search_ask {
	bool extended;
	unsigned returns;
	bool bad_charset;
	struct search_node *root;   /* an AND */
};
bool search_parse(struct imap_session *s, struct imap_parse *p, struct search_ask *out);

/* A search over one message after the other. */
struct search_run {
	struct imap_session *s;
	const struct search_node *root;
	struct db_conn *c;
	const struct message *m;
	struct imap_body body;
	struct arena mem;           /* of one message */
	struct imap_set_builder found;
	bool uid;
	size_t tested;
};
