/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "smtp/client.h"
/* Delivery: one message to one next hop, hosts tried in order until every recipient has an answer.
 *
 * A host that cannot be reached, greets with anything but 220, or answers 4xx leaves its recipients to the next host;
 * 5xx in answer to a command is final. TLS that fails under SMTP_TLS_MAY is followed by a second connection in clear
 * text. What is later although it looks permanent: a 5xx greeting, 5xx to AUTH, 552 to RCPT (it means 452).
 *
 * Exactly once, but for one window: when the connection is lost between the final dot and its answer, nobody can know.
 * The outcome is SMTP_LATER, no other host is tried now, and a later attempt may deliver the message a second time. */

/* One connection kept open for the next message to the same next hop; owned by the caller, one for each worker.
 * `struct smtp_cache cache = {0};` is ready. */
struct smtp_cache {
	struct smtp_client *client;    /* NULL: none */
	char *next_hop;                /* what it was made for, beside the client's own parameters */
	uint16_t port;
	enum smtp_tls_level tls;       /* asked for; the client may have fallen back to clear text */
	int64_t deadline;              /* when to end it */
};
int64_t smtp_cache_deadline(const struct smtp_cache *c); /* NEVER when empty */
void smtp_cache_clear(struct smtp_cache *c);             /* says QUIT; for the deadline and the end */

/* Where to and how. Read only while smtp_deliver runs: what a kept connection needs is copied. */
struct smtp_target {
	struct slice next_hop;         /* as in smtp/hosts.h; for texts and the cache as well */
	struct smtp_hosts_params hosts;
	struct smtp_client_params client; /* own_names are taken from hosts when NULL */
	unsigned session_limit;        /* conversations that got past EHLO and TLS (smtp_mx_session_limit); 0: 2 */
	unsigned recipient_limit;      /* recipients in one transaction; 0: 50 */
	int64_t keep_ms;               /* how long a connection waits for the next message; 0: 2 s; <0: not kept */
	int64_t reuse_ms;              /* how old a connection may be to be used again; 0: 300 s */
	bool no_tls_reuse;             /* … and one with TLS not at all */
	bool note_starttls;            /* one line for each server that offers TLS which is switched off */
	unsigned keep_uses;            /* messages over one connection; 0: 100 */
	const char *service;           /* for the log: "smtp" when NULL */
	uint64_t session;
	bool log_tls;                  /* one line for each TLS connection (smtp_tls_loglevel = 1) */
	/* The log-in for a host, in mem; an empty user: none. False: it cannot be told now, and mail waits (4.3.0).
	 * NULL: the client's own, for every host. */
	bool (*login)(void *ctx, struct slice host, struct arena *mem, struct slice *user, struct slice *password);
	void *login_ctx;
};

/* outcomes has message->count places, all filled on return. cache may be NULL. Logs what happens on the way (a host
 * that refuses while another is left); the line of each recipient (to=, relay=, …) is the caller's, who knows all four
 * delays. */
void smtp_deliver(const struct smtp_target *target, const struct smtp_message *message, struct smtp_cache *cache,
                  struct arena *mem, struct smtp_outcome *outcomes);

/* Adds one part of delays=a/b/c/d as Postfix writes it: seconds with two significant digits, of which at most `digits`
 * (0 to 6) stand behind the point (delay_logging_resolution_limit). */
void smtp_delay_add(struct buf *out, int64_t us, unsigned digits);
