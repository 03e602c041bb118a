/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>
#include "base/buf.h"
/* An internet address with its port, as the system's calls take it. `struct addr a = {0};` is no address (AF_UNSPEC).
 * IPv4-mapped IPv6 (::ffff:1.2.3.4) becomes IPv4 in every function that makes an addr: one client has one form. */
struct addr {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
	socklen_t len;
};
#define ADDR_TEXT_ROOM 80 /* for "[IPv6%scope]:port" and its NUL */

/* "1.2.3.4", "1.2.3.4:25", "::1", "[::1]", "[::1]:25", "fe80::1%eth0", and Postfix's "[1.2.3.4]:25" and
 * "ipv6:::1". Port 0 when none is named. No names are looked up. False: not an address; *out stays. */
bool addr_parse(struct slice text, struct addr *out);
bool addr_from_bytes(struct slice bytes, uint16_t port, struct addr *out); /* 4 or 16 bytes in network order */
bool addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *out); /* false: not internet */
/* The two ends of a socket. False: not connected, or not an internet socket; *out stays. */
bool addr_of_peer(int fd, struct addr *out);
bool addr_of_socket(int fd, struct addr *out);

static inline int addr_family(const struct addr *a) { return a->any.sa_family; } /* AF_UNSPEC, AF_INET or AF_INET6 */
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);
bool addr_is_loopback(const struct addr *a); /* 127.0.0.0/8 or ::1 */
bool addr_is_any(const struct addr *a);      /* 0.0.0.0 or :: */
/* Others may reach it: none of the networks that are for loopback, inside use (RFC 1918, 6598, 4193), one link only, or
 * no host at all (0/8, multicast). Networks for documentation count as others', for nothing comes from there. */
bool addr_is_public(const struct addr *a);
bool addr_same_host(const struct addr *a, const struct addr *b); /* ports do not count */

/* Text as RFC 5952 writes it. Both write a NUL and return room's start; "unknown" for no address. */
const char *addr_text(const struct addr *a, char room[ADDR_TEXT_ROOM]);           /* 1.2.3.4      2001:db8::1      */
const char *addr_text_with_port(const struct addr *a, char room[ADDR_TEXT_ROOM]); /* 1.2.3.4:25   [2001:db8::1]:25 */

/* The address as 16 bytes (IPv4 as ::ffff:a.b.c.d), the key of per-client maps. bits keeps only that many leading bits
 * of the family's own 32 or 128, so that a /64 or a /24 counts as one client. */
struct addr_key { unsigned char bytes[16]; };
struct addr_key addr_key(const struct addr *a, unsigned bits);

/* Splits "host:port", "[host]:port", "[host]", "host", "::1" (no port: several colons and no brackets).
 * The port is what stands there, a number or a service name, empty when there is none. False: broken brackets, or
 * neither a host nor a port. */
bool addr_split_host_port(struct slice text, struct slice *host, struct slice *port);
