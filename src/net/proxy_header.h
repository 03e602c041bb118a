/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "net/addr.h"
/* What a proxy (haproxy, nginx, a load balancer) says before the first byte of a connection: whose it is (the PROXY
 * protocol, versions 1 and 2). Anybody can say so: it is read only where a listener is told to expect it, and there it
 * must come. */
enum proxy_header_answer {
	PROXY_HEADER_OK,    /* *client and *own are set */
	PROXY_HEADER_LOCAL, /* the proxy speaks for itself (LOCAL, UNKNOWN, or not the internet): the connection's own
			       addresses count */
	PROXY_HEADER_MORE,  /* all of `in` belongs to it, and there is more to come */
	PROXY_HEADER_BAD,   /* something else: hang up */
};
enum { PROXY_HEADER_MAX = 16 + 520 }; /* a longer one is bad */
/* used: how many bytes of `in` it has; set with OK and LOCAL. */
enum proxy_header_answer proxy_header_parse(struct slice in, struct addr *client, struct addr *own, size_t *used);
