/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "base/arena.h"
#include "base/wire.h"
/* What defaults take from the machine: its name and its addresses. Asked once, by the process that loads the
 * configuration, and handed on with it. Nothing here asks the DNS. */
struct machine_address {
	struct slice address; /* 4 or 16 bytes */
	uint32_t bits;        /* of the network the interface is in */
};
struct machine {
	struct slice host;    /* gethostname(2); when that has no dot and /etc/hosts knows a longer form, that form */
	struct machine_address *addresses;
	size_t addresses_count;
};
void machine_ask(struct machine *out, struct arena *mem);
/* "a/32 [b]/128 …": the networks that mynetworks_style means. style: "host", "subnet" or "class"; interfaces:
 * inet_interfaces; protocols: inet_protocols. Host names in interfaces other than localhost count for nothing here. */
struct slice machine_networks(const struct machine *m, struct slice style, struct slice interfaces,
                              struct slice protocols, struct arena *mem);
void machine_address_pack(struct buf *b, const struct machine_address *v);
void machine_address_unpack(struct unwire *w, struct machine_address *v);
void machine_pack(struct buf *b, const struct machine *v);
void machine_unpack(struct unwire *w, struct machine *v);
