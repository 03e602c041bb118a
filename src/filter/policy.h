/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "net/dns.h"
/* The policy delegation protocol (SMTPD_POLICY_README): lines "name=value", an empty line, and back the same with
 * "action=…". Connections are kept and used again. */
struct policy_params { /* smtpd_policy_service_…; milliseconds */
	int64_t timeout, max_idle, max_ttl, retry_delay;
	unsigned request_limit, try_limit; /* requests of one connection, 0: no limit; attempts */
	struct slice default_action, context;
	const char *queue_directory;       /* where relative socket names start */
	struct dns *dns;                   /* for host names; NULL: localhost and addresses only */
};
struct policy_server;
/* spec: "inet:host:port", "unix:path" or "{ inet:host:port, timeout=10s, default_action=DUNNO, … }". Lives until
 * policy_close. <0: fail_text() says what is wrong with it. */
int policy_open(struct slice spec, const struct policy_params *params, struct policy_server **out) MUST_USE;
void policy_close(struct policy_server **p);

/* Asks; `request` ends with an empty line. *action in mem. <0: no answer within all attempts, fail_text() says why. May
 * be called from many threads. */
int policy_ask(struct policy_server *p, struct slice request, struct arena *mem, struct slice *action) MUST_USE;
/* A policy server for SPF that is not there, or not for us (a unix socket with "spf" in its name): we can do that
 * ourselves. */
bool policy_spf_is_absent(const struct policy_server *p);
struct slice policy_default_action(const struct policy_server *p);
struct slice policy_context(const struct policy_server *p);

/* The answer's value of "action"; 0: not whole yet, >0: bytes used, <0: malformed. For policy_ask, and its fuzzer. */
int policy_parse_reply(struct slice in, struct slice *action);
/* Adds "name=value\n"; line ends inside the value become '?'. */
void policy_add(struct buf *out, const char *name, struct slice value);
