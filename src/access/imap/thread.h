/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/slice.h"
/* Threading, RFC 5256 §3 and draft-ietf-morg-inthread (REFS): who answers whom. Pure: messages in, a forest out. Time
 * is that of sorting the dates; memory is some hundred bytes a message. */
enum thread_kind { THREAD_ORDEREDSUBJECT, THREAD_REFERENCES, THREAD_REFS };
struct thread_message {
	uint32_t number;         /* what stands in the answer; messages are given in rising order */
	bool reply;              /* its subject says that it answers or forwards */
	int64_t date;            /* sent, seconds */
	uint64_t id;             /* msgid_hash of its Message-ID; 0: none */
	struct slice references; /* for summary_reference_next */
	struct slice subject;    /* the base subject's key */
};
/* Nodes count from 1; 0 is none. A node without a number is a message that is not here; it has at least two children.
 */
struct thread_node { uint32_t number, parent, child, next; };
struct thread_forest {
	struct thread_node *nodes;
	uint32_t first;          /* root; the others are its `next` */
};
void thread_build(const struct thread_message *messages, size_t count, enum thread_kind kind,
		  struct thread_forest *out);
void thread_forest_done(struct thread_forest *f);
