/* SPDX-License-Identifier: Apache-2.0 */
/* inet_pton and inet_ntop know the forms; what is ours is the port beside them, and that a client that came in over an
 * IPv6 socket as ::ffff:192.0.2.1 is the same client as 192.0.2.1. */
#include "net/addr.h"
#include <arpa/inet.h>
#include <net/if.h>

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static struct addr addr_v4(const void *bytes, uint16_t port) {
	struct addr a = { .len = sizeof a.v4 };
	a.v4.sin_family = AF_INET;
	a.v4.sin_port = htons(port);
	memcpy(&a.v4.sin_addr, bytes, 4);
	return a;
}

static struct addr addr_v6(const void *bytes, uint16_t port, uint32_t scope) {
	if (memcmp(bytes, mapped, sizeof mapped) == 0) return addr_v4((const char *)bytes + sizeof mapped, port);
	struct addr a = { .len = sizeof a.v6 };
	a.v6.sin6_family = AF_INET6;
	a.v6.sin6_port = htons(port);
	a.v6.sin6_scope_id = scope;
	memcpy(&a.v6.sin6_addr, bytes, 16);
	return a;
}

static bool host_parse(struct slice host, uint16_t port, struct addr *out) {
	if (slice_starts_same(host, S("ipv6:"))) host = slice_skip(host, 5);
	char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 2];
	if (host.len == 0 || host.len >= sizeof text || memchr(host.at, '\0', host.len) != NULL) return false;
	memcpy(text, host.at, host.len);
	text[host.len] = '\0';
	unsigned char bytes[16];
	if (inet_pton(AF_INET, text, bytes) == 1) {
		*out = addr_v4(bytes, port);
		return true;
	}
	uint64_t scope = 0;
	char *percent = strchr(text, '%');
	if (percent != NULL) {
		*percent = '\0';
		if (!slice_number(slice_of(percent + 1), UINT32_MAX, &scope)) scope = if_nametoindex(percent + 1);
		if (scope == 0) return false;
	}
	if (inet_pton(AF_INET6, text, bytes) != 1) return false;
	*out = addr_v6(bytes, port, (uint32_t)scope);
	return true;
}

bool addr_parse(struct slice text, struct addr *out) {
	if (host_parse(text, 0, out)) return true;
	struct slice host, port;
	uint64_t number = 0;
	if (!addr_split_host_port(text, &host, &port)) return false;
	if (port.len != 0 && !slice_number(port, UINT16_MAX, &number)) return false;
	return host_parse(host, (uint16_t)number, out);
}

bool addr_from_bytes(struct slice bytes, uint16_t port, struct addr *out) {
	if (bytes.len == 4) *out = addr_v4(bytes.at, port);
	else if (bytes.len == 16) *out = addr_v6(bytes.at, port, 0);
	else return false;
	return true;
}

bool addr_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct addr *out) {
	struct addr raw = {0};
	if (len < sizeof raw.any.sa_family) return false;
	memcpy(&raw.any, sa, MIN_OF((size_t)len, sizeof raw.v6));
	if (raw.any.sa_family == AF_INET && len >= sizeof raw.v4) {
		*out = addr_v4(&raw.v4.sin_addr, ntohs(raw.v4.sin_port));
	} else if (raw.any.sa_family == AF_INET6 && len >= sizeof raw.v6) {
		*out = addr_v6(&raw.v6.sin6_addr, ntohs(raw.v6.sin6_port), raw.v6.sin6_scope_id);
	} else {
		return false;
	}
	return true;
}

static bool addr_of(int fd, int (*name)(int, struct sockaddr *, socklen_t *), struct addr *out) {
	struct sockaddr_storage sa;
	socklen_t len = sizeof sa;
	if (name(fd, (struct sockaddr *)&sa, &len) != 0) return false;
	return addr_from_sockaddr((struct sockaddr *)&sa, MIN_OF(len, (socklen_t)sizeof sa), out);
}

bool addr_of_peer(int fd, struct addr *out) {
	return addr_of(fd, getpeername, out);
}

bool addr_of_socket(int fd, struct addr *out) {
	return addr_of(fd, getsockname, out);
}

uint16_t addr_port(const struct addr *a) {
	if (addr_family(a) == AF_INET) return ntohs(a->v4.sin_port);
	return addr_family(a) == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

void addr_set_port(struct addr *a, uint16_t port) {
	if (addr_family(a) == AF_INET) a->v4.sin_port = htons(port);
	else if (addr_family(a) == AF_INET6) a->v6.sin6_port = htons(port);
}

bool addr_is_loopback(const struct addr *a) {
	if (addr_family(a) == AF_INET) return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
	return addr_family(a) == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

bool addr_is_any(const struct addr *a) {
	if (addr_family(a) == AF_INET) return a->v4.sin_addr.s_addr == 0;
	return addr_family(a) == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

bool addr_is_public(const struct addr *a) {
	static const struct { uint32_t net; unsigned bits; } inner[] = {
		{ 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 }, { 0x7f000000, 8 },
		{ 0xa9fe0000, 16 }, { 0xac100000, 12 }, { 0xc0a80000, 16 }, { 0xe0000000, 3 },
	};
	if (addr_family(a) == AF_INET6) return (a->v6.sin6_addr.s6_addr[0] & 0xe0) == 0x20; /* 2000::/3 (RFC 4291) */
	if (addr_family(a) != AF_INET) return false;
	for (size_t i = 0; i < LEN(inner); i++)
		if ((ntohl(a->v4.sin_addr.s_addr) ^ inner[i].net) >> (32 - inner[i].bits) == 0) return false;
	return true;
}

bool addr_same_host(const struct addr *a, const struct addr *b) {
	if (addr_family(a) != addr_family(b)) return false;
	if (addr_family(a) == AF_INET6 && a->v6.sin6_scope_id != b->v6.sin6_scope_id) return false;
	struct addr_key x = addr_key(a, 128), y = addr_key(b, 128);
	return memcmp(&x, &y, sizeof x) == 0;
}

const char *addr_text(const struct addr *a, char room[ADDR_TEXT_ROOM]) {
	const void *bytes = addr_family(a) == AF_INET ? (const void *)&a->v4.sin_addr : &a->v6.sin6_addr;
	bool known = addr_family(a) == AF_INET || addr_family(a) == AF_INET6;
	if (!known || inet_ntop(addr_family(a), bytes, room, ADDR_TEXT_ROOM) == NULL) {
		snprintf(room, ADDR_TEXT_ROOM, "unknown");
	} else if (addr_family(a) == AF_INET6 && a->v6.sin6_scope_id != 0) {
		size_t len = strlen(room);
		char name[IF_NAMESIZE];
		if (if_indextoname(a->v6.sin6_scope_id, name) != NULL)
			snprintf(room + len, ADDR_TEXT_ROOM - len, "%%%s", name);
		else snprintf(room + len, ADDR_TEXT_ROOM - len, "%%%u", a->v6.sin6_scope_id);
	}
	return room;
}

const char *addr_text_with_port(const struct addr *a, char room[ADDR_TEXT_ROOM]) {
	char host[ADDR_TEXT_ROOM];
	bool brackets = addr_family(a) == AF_INET6;
	addr_text(a, host);
	/* the longest: 45 bytes of address, % and 15 of interface, brackets, colon, 5 digits */
	snprintf(room, ADDR_TEXT_ROOM, "%s%.64s%s:%u", brackets ? "[" : "", host, brackets ? "]" : "", addr_port(a));
	return room;
}

struct addr_key addr_key(const struct addr *a, unsigned bits) {
	struct addr_key key = {0};
	if (addr_family(a) == AF_INET) {
		memcpy(key.bytes, mapped, sizeof mapped);
		memcpy(key.bytes + sizeof mapped, &a->v4.sin_addr, 4);
		bits = 8 * (unsigned)sizeof mapped + MIN_OF(bits, 32U);
	} else if (addr_family(a) == AF_INET6) {
		memcpy(key.bytes, &a->v6.sin6_addr, 16);
	}
	for (unsigned i = 0; i < sizeof key.bytes; i++) {
		unsigned kept = bits <= 8 * i ? 0 : MIN_OF(bits - 8 * i, 8U);
		key.bytes[i] = (unsigned char)(key.bytes[i] & (0xff00U >> kept));
	}
	return key;
}

bool addr_split_host_port(struct slice text, struct slice *host, struct slice *port) {
	struct slice h = text, p = SLICE_NONE;
	if (text.len != 0 && text.at[0] == '[') {
		size_t end = slice_find(text, ']');
		struct slice rest = slice_skip(text, end + 1);
		if (end == text.len || (rest.len != 0 && rest.at[0] != ':')) return false;
		h = slice_from(text.at + 1, end - 1);
		p = slice_skip(rest, 1);
	} else {
		size_t colon = slice_find(text, ':');
		bool one_colon = colon != text.len && slice_find_last(text, ':') == colon;
		if (one_colon) {
			h = slice_head(text, colon);
			p = slice_skip(text, colon + 1);
		}
	}
	if (h.len == 0 && p.len == 0) return false;
	*host = h;
	*port = p;
	return true;
}
