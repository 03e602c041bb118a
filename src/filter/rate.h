/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/addr.h"
/* Rates: how many connections a client has, and how many connections, messages, recipients and log-ins it tried within
 * a time (what Postfix's anvil counts). A client is an address, or the network given by a prefix length. Thread-safe;
 * memory follows the clients of the last minute. Each service counts for itself: what a network's mail programs do at
 * the submission port does not keep the mail server out that shares their address. Log-ins alone count together, for
 * who tries passwords tries them everywhere. */
enum { RATE_SERVICE_MAX = 48 };
enum rate_kind { RATE_CONNECTION, RATE_MESSAGE, RATE_RECIPIENT, RATE_AUTH, RATE_TLS, RATE_KINDS };
struct rate_params {
	struct slice service;         /* whose client it is; the first RATE_SERVICE_MAX bytes count */
	unsigned connections;         /* at one time; 0: no limit */
	unsigned most[RATE_KINDS];    /* within unit_ms; 0: no limit */
	int64_t unit_ms;
	unsigned ipv4_bits, ipv6_bits;
};
struct rates;
struct rates *rates_new(void) NONNULL_RESULT;
void rates_free(struct rates **r);
/* What clients did within their time, to be known again after a restart; connections are not in it. unpack adds to what
 * is there, and takes well-formed entries only. */
struct buf;
void rates_pack(struct rates *r, struct buf *out);
void rates_unpack(struct rates *r, struct slice packed);
/* Another connection of this client. False: it has too many; then rates_leave must not be called. */
bool rates_enter(struct rates *r, const struct rate_params *params, const struct addr *client);
void rates_leave(struct rates *r, const struct rate_params *params, const struct addr *client);
/* Is it over the limit now? Counts nothing. */
bool rates_over(struct rates *r, const struct rate_params *params, const struct addr *client, enum rate_kind kind);
/* Counts one more. False: over the limit. */
bool rates_count(struct rates *r, const struct rate_params *params, const struct addr *client, enum rate_kind kind);
