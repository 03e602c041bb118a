/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "flow/ask.h"
#include "flow/domain_set.h"
#include "flow/rewrite.h"
#include "flow/window.h"
/* Classes and hops: what kind of domain an address is in, and which transport carries it to which next hop
 * (ADDRESS_CLASS_README, trivial-rewrite(8), transport(5)). */

/* A transport is a service of master.cf; what its command is says who carries the mail. */
enum transport_kind {
	TRANSPORT_RELAY,   /* smtp, lmtp: the relay process */
	TRANSPORT_LOCAL,   /* local: aliases(5) here, then the agent process */
	TRANSPORT_AGENT,   /* virtual, pipe: the agent process */
	TRANSPORT_ERROR,   /* error: returned to the sender, with the next hop as reason */
	TRANSPORT_RETRY,   /* error under the name of retry: waits, with the next hop as reason */
	TRANSPORT_DISCARD,
	TRANSPORT_REQUEUE, /* ours: core takes the message up again as if it had just come in */
};
struct transport {
	struct slice name;
	enum transport_kind kind;
	const char *tag;             /* in the log: "smtp", "relay/smtp", "local", "pipe" */
	size_t recipient_limit, first_concurrency, concurrency_limit; /* <transport>_destination_… */
	struct feedback gain, loss;  /* <transport>_destination_concurrency_…_feedback */
	double failed_cohort_limit;  /* <transport>_destination_concurrency_failed_cohort_limit; 0: none */
	int64_t rate_delay_us; /* <transport>_destination_rate_delay: one delivery at a time, and this long between two
				*/
	int64_t all_delay_us;        /* <transport>_transport_rate_delay: the same for all its destinations together */
	bool deferred;               /* in defer_transports: only when an operator flushes */
};
struct transports {
	const struct transport *at;
	size_t count;
};
const struct transport *transport_find(const struct transports *t, struct slice name); /* NULL: no such service */
/* "smtp:[host]:25" taken apart at the first colon. Queued by a hato that knew no transports: "example.com", "[host]:25"
 * mean smtp. */
void transport_split(struct slice hop, struct slice *transport, struct slice *next_hop);
#define TRANSPORT_REQUEUE_NAME "requeue"

struct class_params {
	struct domain_set virtual_alias_domains, virtual_mailbox_domains,
		relay_domains; /* mydestination: rewrite_params */
};
/* The class of a domain. TABLE_FOUND, or TABLE_LATER with fail_text(). */
int class_of(const struct class_params *p, const struct rewrite_params *rewrite, struct slice domain, struct arena *mem,
	     enum route_class *out) MUST_USE;

struct hop_params {
	struct transports transports;
	struct lookup transport_maps;
	bool transport_dots; /* parents are ".parent": transport_maps is not in parent_domain_matches_subdomains */
	bool relocated_whole; /* results of relocated are replies as they are (relocated_prefix_enable = no) */
	struct lookup relocated, sender_relayhost, sender_transport;
	struct slice relayhost_nobody, transport_nobody; /* what those by sender are asked for the empty sender */
	struct slice local, virtual_, relay, other; /* local_transport, …, default_transport */
	struct slice relayhost;               /* as written, perhaps several */
	bool hide_table;                      /* show_user_unknown_table_name = no */
};
struct hop {
	struct slice transport, next_hop;
};
/* Where an address of that class goes. sender: for sender-dependent tables. TABLE_FOUND or TABLE_LATER. */
int hop_find(const struct hop_params *p, const struct rewrite_params *rewrite, enum route_class class,
	     struct slice address, struct slice sender, const struct route_trace *trace, struct arena *mem,
	     struct hop *out) MUST_USE;
/* "5.1.1 words": the status is taken off the front of *text, with the class of usual; usual where there is none. */
struct slice hop_status(struct slice *text, struct slice usual, struct arena *mem);
