/* SPDX-License-Identifier: Apache-2.0 */
/* Names, as people write them, as DNS spells them, and as records carry them. */
#include "net/dns_private.h"
#include <idn2.h>

static bool host_byte(char c) {
	return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_' || c == '/'; /* RFC 2317 has the slash */
}

/* libunbound reads text, in which a backslash has a meaning. */
static size_t put_byte(char *to, char c) {
	if (c > ' ' && c <= '~' && c != '\\') {
		*to = c;
		return 1;
	}
	return (size_t)snprintf(to, 5, "\\%03u", (unsigned char)c);
}

bool dns_name_check(struct slice name, char to[DNS_TEXT_ROOM]) {
	if (slice_ends(name, S(".")) && name.len > 1) name.len--;
	if (name.len == 0 || name.len > DNS_NAME_MAX - 2) return false;
	struct slice rest = slice_eq(name, S(".")) ? SLICE_NONE : name;
	while (rest.at != NULL) {
		struct slice label = slice_cut(&rest, '.');
		if (label.len == 0 || label.len > 63) return false;
	}
	size_t len = 0;
	for (size_t i = 0; i < name.len; i++) len += put_byte(to + len, name.at[i]);
	to[len] = '\0';
	return true;
}

bool dns_name_take(struct slice *rdata, struct arena *mem, struct slice *out) {
	char text[DNS_NAME_MAX + 1];
	size_t len = 0;
	struct slice rest = *rdata;
	for (;;) {
		if (rest.len == 0) return false;
		size_t label = (unsigned char)rest.at[0];
		rest = slice_skip(rest, 1);
		if (label == 0) break;
		if (label > 63 || label > rest.len || len + label + 1 > DNS_NAME_MAX) return false;
		if (len != 0) text[len++] = '.';
		for (size_t i = 0; i < label; i++) {
			if (!host_byte(rest.at[i])) return false;
			text[len++] = ascii_lower(rest.at[i]);
		}
		rest = slice_skip(rest, label);
	}
	*rdata = rest;
	*out = arena_slice(mem, slice_from(text, len));
	return true;
}

bool dns_to_ascii(struct slice domain, struct arena *mem, struct slice *out) {
	char text[DNS_TEXT_ROOM];
	if (domain.len > KIB(1) || memchr(domain.len != 0 ? domain.at : "", '\0', domain.len) != NULL) return false;
	if (!slice_is_ascii(domain)) {
		char *made = NULL;
		int r = idn2_to_ascii_8z(arena_text(mem, domain), &made, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT);
		struct slice ascii = arena_slice(mem, slice_of(r == IDN2_OK ? made : ""));
		idn2_free(made);
		return ascii.len != 0 && slice_is_ascii(ascii) && dns_to_ascii(ascii, mem, out);
	}
	if (!dns_name_check(domain, text) || text[0] == '.') return false;
	for (const char *c = text; *c != '\0'; c++)
		if (*c != '.' && !host_byte(*c)) return false;
	*out = arena_lower(mem, slice_of(text));
	return true;
}

struct slice dns_reversed(const struct addr *a, struct arena *mem) {
	struct addr_key key = addr_key(a, 128);
	const unsigned char *b = key.bytes;
	if (addr_family(a) == AF_INET) return arena_fmt(mem, "%u.%u.%u.%u.", b[15], b[14], b[13], b[12]);
	char text[16 * 4 + 1];
	size_t len = 0;
	for (size_t i = sizeof key.bytes; i-- > 0;) {
		len += (size_t)snprintf(text + len, sizeof text - len, "%x.%x.", b[i] & 15, b[i] >> 4);
	}
	return arena_slice(mem, slice_from(text, len));
}
