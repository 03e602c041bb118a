/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the DNS for our own name could hang a start for a minute on a machine without network, so only /etc/hosts is
 * asked. */
#include "conf/machine.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#define MACHINE_ADDRESS_FIELDS(F) F(text, address) F(u32, bits)
WIRE_STRUCT(machine_address, MACHINE_ADDRESS_FIELDS)
#define MACHINE_FIELDS(F) F(text, host) F(list, addresses, machine_address)
WIRE_STRUCT(machine, MACHINE_FIELDS)

#define ADDRESSES_MOST 256

/* The first name with a dot on a line of /etc/hosts that also holds `host`. */
static struct slice full_name(struct slice host, struct arena *mem) {
	AUTO_FILE FILE *hosts = fopen("/etc/hosts", "re");
	char text[1024];
	while (hosts != NULL && fgets(text, sizeof(text), hosts) != NULL) {
		struct slice line = slice_of(text), full = SLICE_NONE;
		bool named = false;
		line = slice_head(line, slice_find(line, '#'));
		slice_word(&line, " \t\r\n");
		for (struct slice word; (word = slice_word(&line, " \t\r\n")).len > 0;) {
			if (slice_same(word, host)) named = true;
			if (full.len == 0 && slice_find(word, '.') < word.len) full = word;
		}
		if (named && full.len > 0) return arena_slice(mem, full);
	}
	return arena_slice(mem, host);
}

static struct slice host_name(struct arena *mem) {
	char name[256] = "";
	if (gethostname(name, sizeof(name) - 1) != 0 || name[0] == '\0') return S("localhost");
	struct slice host = slice_of(name);
	return slice_find(host, '.') < host.len ? arena_slice(mem, host) : full_name(host, mem);
}

static uint32_t count_bits(const uint8_t *mask, size_t len) {
	uint32_t bits = 0;
	for (size_t i = 0; i < len * 8 && (mask[i / 8] >> (7 - i % 8) & 1); i++) bits++;
	return bits;
}

static bool address_of(const struct ifaddrs *a, struct machine_address *out, struct arena *mem) {
	if (a->ifa_addr == NULL || a->ifa_netmask == NULL || (a->ifa_flags & IFF_UP) == 0) return false;
	size_t at, len;
	if (a->ifa_addr->sa_family == AF_INET) at = offsetof(struct sockaddr_in, sin_addr), len = 4;
	else if (a->ifa_addr->sa_family == AF_INET6) at = offsetof(struct sockaddr_in6, sin6_addr), len = 16;
	else return false;
	*out = (struct machine_address){ arena_slice(mem, slice_from((const char *)a->ifa_addr + at, len)),
	                                 count_bits((const uint8_t *)a->ifa_netmask + at, len) };
	return true;
}

void machine_ask(struct machine *out, struct arena *mem) {
	struct machine m = { .host = host_name(mem),
		                 .addresses = arena_array(mem, ADDRESSES_MOST, sizeof(m.addresses[0])) };
	struct ifaddrs *all = NULL;
	if (getifaddrs(&all) == 0) {
		for (const struct ifaddrs *a = all; a != NULL && m.addresses_count < ADDRESSES_MOST; a = a->ifa_next)
			if (address_of(a, &m.addresses[m.addresses_count], mem)) m.addresses_count++;
		freeifaddrs(all);
	}
	*out = m;
}

static bool is_loopback(struct slice address) {
	if (address.len == 4) return address.at[0] == 127;
	return memcmp(address.at, &in6addr_loopback, 16) == 0;
}

static bool is_same_address(struct slice address, struct slice word) {
	uint8_t bytes[16];
	char text[INET6_ADDRSTRLEN];
	if (word.len > 2 && word.at[0] == '[' && word.at[word.len - 1] == ']')
		word = slice_from(word.at + 1, word.len - 2);
	if (word.len >= sizeof(text)) return false;
	memcpy(text, word.at, word.len);
	text[word.len] = '\0';
	return inet_pton(address.len == 4 ? AF_INET : AF_INET6, text, bytes) == 1 &&
	       memcmp(bytes, address.at, address.len) == 0;
}

static bool is_wanted(struct slice address, struct slice interfaces, struct slice protocols) {
	bool family = false;
	for (struct slice word; (word = slice_word(&protocols, ", \t\r\n")).len > 0;)
		family |= slice_same(word, S("all")) || slice_same(word, address.len == 4 ? S("ipv4") : S("ipv6"));
	if (!family) return false;
	for (struct slice word; (word = slice_word(&interfaces, ", \t\r\n")).len > 0;) {
		if (slice_same(word, S("all"))) return true;
		if ((slice_same(word, S("loopback-only")) || slice_same(word, S("localhost"))) && is_loopback(address))
			return true;
		if (is_same_address(address, word)) return true;
	}
	return false;
}

static uint32_t style_bits(const struct machine_address *a, struct slice style) {
	if (slice_same(style, S("subnet"))) return a->bits;
	if (!slice_same(style, S("class"))) return (uint32_t)a->address.len * 8;
	if (a->address.len == 16) return a->bits;
	unsigned first = (uint8_t)a->address.at[0]; /* the classes of RFC 791: A, B, C, and single hosts beyond */
	return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : 32;
}

static bool has_word(struct slice text, struct slice word) {
	for (struct slice one; (one = slice_word(&text, " ")).len > 0;)
		if (slice_eq(one, word)) return true;
	return false;
}

struct slice machine_networks(const struct machine *m, struct slice style, struct slice interfaces,
                              struct slice protocols, struct arena *mem) {
	AUTO_BUF struct buf out = BUF(KIB(64));
	for (size_t i = 0; i < m->addresses_count; i++) {
		const struct machine_address *a = &m->addresses[i];
		size_t len = a->address.len;
		if ((len != 4 && len != 16) || a->bits > len * 8 || !is_wanted(a->address, interfaces, protocols))
			continue;
		uint32_t bits = style_bits(a, style);
		uint8_t bytes[16];
		char text[INET6_ADDRSTRLEN], item[INET6_ADDRSTRLEN + 8];
		memcpy(bytes, a->address.at, len);
		for (uint32_t bit = bits; bit < len * 8; bit++)
			bytes[bit / 8] = (uint8_t)(bytes[bit / 8] & ~(1u << (7 - bit % 8)));
		inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, text, sizeof(text));
		snprintf(item, sizeof(item), len == 4 ? "%s/%u" : "[%s]/%u", text, bits);
		if (!has_word(buf_slice(&out), slice_of(item))) buf_addf(&out, "%s%s", out.len > 0 ? " " : "", item);
	}
	return arena_slice(mem, buf_slice(&out));
}
