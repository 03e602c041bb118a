/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/buf.h"
#include "flow/rewrite.h"
/* The header at the door: which fields go, which are added, how addresses in it are completed and rewritten
 * (cleanup(8); ADDRESS_REWRITING_README, "Rewrite addresses in message headers"); and a header as a list that milters
 * change. */
struct header_params {
	const char *host;            /* myhostname: in Message-ID */
	const struct slice *drop;    /* message_drop_headers: names, in any case */
	size_t drop_count;
	bool always_complete;        /* always_add_missing_headers */
	struct slice undisclosed;    /* undisclosed_recipients_header: a whole field, or empty */
	const struct rewrite_params *local;  /* for headers of our own clients; NULL: not rewritten */
	const struct rewrite_params
		*remote;             /* for those of others: with remote_header_rewrite_domain as origin; NULL: not */
	size_t token_limit;          /* header_address_token_limit: longer address fields are not rewritten */
};
struct header_facts {
	bool ours;                   /* of a client in local_header_rewrite_clients: rewritten as ours */
	bool complete;               /* missing fields are added */
	const char *queue_id;
	int64_t arrived_us;
	struct slice sender;         /* of the envelope */
};
enum header_answer {
	HEADER_DONE,
	HEADER_LATER,                /* a table cannot be asked now; fail_text() says which */
};
/* text: the header as it came, whole lines. Adds to out what is to be stored. */
int header_take(const struct header_params *p, const struct header_facts *facts, struct slice text, struct buf *out);
/* The raw value of an address field with each address rewritten where that changes it; the value itself when nothing
 * did. */
int header_rewrite_value(const struct rewrite_params *p, enum rewrite_class class, size_t token_limit,
			 struct slice value, struct arena *mem, struct slice *out);

/* A header as a list of fields. Everything is in mem. */
struct header_item {
	struct slice name, value;    /* value: all behind the colon, without the last line end */
	struct slice text;           /* the whole field with its line end */
	bool ours;                   /* a trace field that milters do not see */
};
struct header_list {
	struct arena *mem;
	struct header_item *at;
	size_t count, room;
};
void header_list_read(struct header_list *l, struct slice text, struct arena *mem); /* text is borrowed */
/* Line ends in value may be CRLF, LF or CR; a line of it that does not start with a blank gets one. What stands behind
 * the colon is value as it is: its first blank is the caller's. at: 0 is before all; count or more: behind all. */
void header_list_insert(struct header_list *l, size_t at, struct slice name, struct slice value);
/* The index-th field of that name, from 1, ours not counted: its place, or count. */
size_t header_list_find(const struct header_list *l, struct slice name, size_t index);
void header_list_delete(struct header_list *l, size_t at);
void header_list_change(struct header_list *l, size_t at, struct slice name, struct slice value);
bool header_list_write(const struct header_list *l, struct buf *out); /* false: out is full */
