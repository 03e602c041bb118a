/* SPDX-License-Identifier: Apache-2.0 */
/* Both forms say their length early, and what does not fit it is no header: nothing is guessed. */
#include "net/proxy_header.h"

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
enum { SIGNATURE = 12, FIXED = 16, LINE_MAX_1 = 107, TCP4 = 0x11, TCP6 = 0x21 };

static bool port_of(struct slice text, struct addr *a) {
	uint64_t n;
	if (text.len == 0 || (text.len > 1 && text.at[0] == '0') || !slice_number(text, 65535, &n)) return false;
	addr_set_port(a, (uint16_t)n);
	return true;
}

/* "192.0.2.1": no port, no brackets, of this family. Mapped addresses of IPv6 become IPv4. */
static bool host_of(struct slice text, bool six, struct addr *a) {
	for (size_t i = 0; i < text.len; i++)
		if (!(ascii_hex(text.at[i]) >= 0 || text.at[i] == '.' || (six && text.at[i] == ':'))) return false;
	return (slice_find(text, ':') < text.len) == six && addr_parse(text, a);
}

/* "PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\r\n" */
static enum proxy_header_answer text_form(struct slice in, struct addr *client, struct addr *own, size_t *used) {
	size_t end = slice_find(in, '\n');
	if (end >= LINE_MAX_1) return PROXY_HEADER_BAD;
	if (end == in.len) return PROXY_HEADER_MORE;
	if (end == 0 || in.at[end - 1] != '\r') return PROXY_HEADER_BAD;
	struct slice rest = slice_head(in, end - 1), word[6];
	size_t n = 0;
	for (; rest.at != NULL && n < LEN(word); n++) word[n] = slice_cut(&rest, ' ');
	if (n >= 2 && slice_eq(word[1], S("UNKNOWN"))) {
		*used = end + 1;
		return PROXY_HEADER_LOCAL;
	}
	if (n != LEN(word) || rest.at != NULL) return PROXY_HEADER_BAD;
	bool six = slice_eq(word[1], S("TCP6"));
	struct addr from, to;
	bool ok = (six || slice_eq(word[1], S("TCP4"))) && host_of(word[2], six, &from) && host_of(word[3], six, &to);
	if (!ok || !port_of(word[4], &from) || !port_of(word[5], &to)) return PROXY_HEADER_BAD;
	*client = from;
	*own = to;
	*used = end + 1;
	return PROXY_HEADER_OK;
}

static uint16_t number_at(struct slice in, size_t at) {
	return (uint16_t)((unsigned char)in.at[at] << 8 | (unsigned char)in.at[at + 1]);
}

static enum proxy_header_answer binary_form(struct slice in, struct addr *client, struct addr *own, size_t *used) {
	if (in.len < FIXED) return PROXY_HEADER_MORE;
	unsigned command = (unsigned char)in.at[12], family = (unsigned char)in.at[13];
	size_t len = number_at(in, 14);
	if (command >> 4 != 2 || (command & 15) > 1 || FIXED + len > PROXY_HEADER_MAX) return PROXY_HEADER_BAD;
	if (in.len < FIXED + len) return PROXY_HEADER_MORE;
	bool six = family == TCP6;
	size_t size = six ? 16 : 4;
	if ((command & 15) == 0 || family >> 4 == 0 || family >> 4 == 3) { /* unspecified, Unix sockets */
		*used = FIXED + len;
		return PROXY_HEADER_LOCAL;
	}
	if ((!six && family != TCP4) || len < 2 * size + 4) return PROXY_HEADER_BAD;
	struct slice at = slice_skip(in, FIXED);
	struct addr from, to;
	bool ok = addr_from_bytes(slice_head(at, size), number_at(at, 2 * size), &from) &&
		  addr_from_bytes(slice_head(slice_skip(at, size), size), number_at(at, 2 * size + 2), &to);
	if (!ok) return PROXY_HEADER_BAD;
	*client = from;
	*own = to;
	*used = FIXED + len; /* what follows the addresses (TLVs) is of no use here */
	return PROXY_HEADER_OK;
}

enum proxy_header_answer proxy_header_parse(struct slice in, struct addr *client, struct addr *own, size_t *used) {
	struct slice binary = slice_from(signature, SIGNATURE), text = S("PROXY ");
	size_t b = MIN_OF(in.len, binary.len), t = MIN_OF(in.len, text.len);
	if (b != 0 && memcmp(in.at, binary.at, b) == 0)
		return b < binary.len ? PROXY_HEADER_MORE : binary_form(in, client, own, used);
	if (t != 0 && memcmp(in.at, text.at, t) == 0)
		return t < text.len ? PROXY_HEADER_MORE : text_form(in, client, own, used);
	return in.len == 0 ? PROXY_HEADER_MORE : PROXY_HEADER_BAD;
}
