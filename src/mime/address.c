/* SPDX-License-Identifier: Apache-2.0 */
/* The envelope's side of addresses: one small grammar, read exactly. Dots in odd places (a..b@docomo) are let through
 * and quoted on the way out: such mailboxes exist in numbers, and RFC 5321 leaves the local part to its domain. */
#include "mime/address.h"

#include <arpa/inet.h>
#include <idn2.h>

#include "base/encode.h"
#include "mime/inside.h"

/* PATH_BYTES_MAX leaves room for a source route. */
enum { LOCAL_MAX = 64, DOMAIN_MAX = 255, MAILBOX_MAX = 254, LABEL_MAX = 63, PATH_BYTES_MAX = 2048 };

static bool label_valid(struct slice label, bool utf8) {
	if (label.len == 0 || label.len > LABEL_MAX || label.at[0] == '-' || label.at[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		char c = label.at[i];
		bool good =
			ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '_' || (utf8 && (unsigned char)c >= 0x80);
		if (!good) return false;
	}
	return true;
}

bool domain_valid(struct slice domain, bool utf8) {
	if (domain.len == 0 || domain.len > DOMAIN_MAX || (utf8 && !utf8_valid(domain))) return false;
	bool only_digits = true;
	for (struct slice rest = domain; rest.at != NULL;) {
		struct slice label = slice_cut(&rest, '.');
		if (!label_valid(label, utf8)) return false;
		for (size_t i = 0; i < label.len; i++) only_digits = only_digits && ascii_digit(label.at[i]);
	}
	return !only_digits;
}

bool domain_is_literal(struct slice domain) {
	char text[INET6_ADDRSTRLEN + 1] = "";
	struct in6_addr address;
	if (domain.len < 2 || domain.at[0] != '[' || domain.at[domain.len - 1] != ']') return false;
	struct slice inside = slice_head(slice_skip(domain, 1), domain.len - 2);
	bool six = slice_starts_same(inside, S("IPv6:"));
	if (six) inside = slice_skip(inside, 5);
	if (inside.len == 0 || inside.len >= sizeof text) return false;
	memcpy(text, inside.at, inside.len);
	return strlen(text) == inside.len && inet_pton(six ? AF_INET6 : AF_INET, text, &address) == 1;
}

bool domain_ascii(struct slice domain, struct arena *mem, struct slice *out) {
	if (domain.len != 0 && domain.at[domain.len - 1] == '.') domain.len--;
	if (!domain_valid(domain, true)) return false;
	if (slice_is_ascii(domain)) {
		*out = arena_lower(mem, domain);
		return true;
	}
	uint8_t *ascii = NULL;
	int r = idn2_lookup_u8((const uint8_t *)arena_text(mem, domain), &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	bool good = r == IDN2_OK && domain_valid(slice_of((const char *)ascii), false);
	if (good) *out = arena_lower(mem, slice_of((const char *)ascii));
	if (r == IDN2_OK) idn2_free(ascii);
	return good;
}

/* "…" as it is meant. *rest stands on the opening quote, afterwards behind the closing one. */
static bool take_quoted(struct slice *rest, struct arena *mem, struct slice *out) {
	char *plain = arena_get(mem, rest->len);
	size_t n = 0, i = 1;
	for (; i < rest->len && rest->at[i] != '"'; i++) {
		if (rest->at[i] == '\\' && ++i == rest->len) return false;
		if (ascii_control(rest->at[i])) return false;
		plain[n++] = rest->at[i];
	}
	if (i == rest->len) return false;
	*out = slice_from(plain, n);
	*rest = slice_skip(*rest, i + 1);
	return true;
}

static bool take_dotted(struct slice *rest, unsigned flags, struct slice *out) {
	size_t n = 0;
	bool odd_dot = false;
	for (; n < rest->len && (address_is_atext(rest->at[n]) || rest->at[n] == '.'); n++)
		if (rest->at[n] == '.' &&
		    (n == 0 || n + 1 == rest->len || rest->at[n - 1] == '.' || rest->at[n + 1] == '@'))
			odd_dot = true;
	if (n == 0 || (odd_dot && (flags & ADDRESS_STRICT) != 0)) return false;
	*out = slice_head(*rest, n);
	*rest = slice_skip(*rest, n);
	return true;
}

static bool take_domain(struct slice *rest, unsigned flags, struct slice *out) {
	size_t n = 0;
	bool literal = rest->len != 0 && rest->at[0] == '[';
	if (literal) {
		n = slice_find(*rest, ']');
		if (n == rest->len) return false;
		n++;
	} else {
		while (n < rest->len && !ascii_space(rest->at[n]) && rest->at[n] != '>') n++;
	}
	struct slice domain = slice_head(*rest, n);
	if (!literal && n > 1 && domain.at[n - 1] == '.') domain.len--;
	bool good = literal ? domain_is_literal(domain) : domain_valid(domain, (flags & ADDRESS_UTF8) != 0);
	if (!good) return false;
	*out = domain;
	*rest = slice_skip(*rest, n);
	return true;
}

/* RFC 5321 §4.1.1.3: source routes are accepted and ignored. */
static bool skip_route(struct slice *rest, unsigned flags) {
	while (rest->len != 0 && rest->at[0] == '@') {
		size_t n = 1;
		while (n < rest->len && rest->at[n] != ',' && rest->at[n] != ':' && rest->at[n] != '>') n++;
		if (n == rest->len || rest->at[n] == '>') return false;
		if (!domain_valid(slice_head(slice_skip(*rest, 1), n - 1), (flags & ADDRESS_UTF8) != 0)) return false;
		bool last = rest->at[n] == ':';
		*rest = slice_skip(*rest, n + 1);
		if (last) return true;
	}
	return false;
}

static enum address_answer take_mailbox(struct slice *rest, unsigned flags, struct arena *mem, struct mailbox *out) {
	struct mailbox m = { SLICE_NONE, SLICE_NONE };
	bool quoted = rest->len != 0 && rest->at[0] == '"';
	if (quoted ? !take_quoted(rest, mem, &m.local) : !take_dotted(rest, flags, &m.local)) return ADDRESS_BAD;
	bool utf8 = (flags & ADDRESS_UTF8) != 0;
	if (utf8 ? !utf8_valid(m.local) : !slice_is_ascii(m.local)) return ADDRESS_BAD;
	if (m.local.len > ((flags & ADDRESS_LONG_LOCAL) != 0 ? (size_t)MAILBOX_MAX : (size_t)LOCAL_MAX))
		return ADDRESS_BAD;
	bool with_domain = rest->len != 0 && rest->at[0] == '@';
	if (with_domain) {
		*rest = slice_skip(*rest, 1);
		if (!take_domain(rest, flags, &m.domain) || m.local.len + 1 + m.domain.len > MAILBOX_MAX)
			return ADDRESS_BAD;
	}
	if (!with_domain && m.local.len == 0) return ADDRESS_BAD; /* <""> must not look like <> */
	*out = m;
	if (with_domain) return ADDRESS_OK;
	return slice_same(m.local, S("postmaster")) ? ADDRESS_POSTMASTER : ADDRESS_LOCAL_ONLY;
}

static enum address_answer take_path(struct slice *rest, unsigned flags, struct arena *mem, struct mailbox *out) {
	bool bracket = rest->len != 0 && rest->at[0] == '<';
	struct mailbox m = { SLICE_NONE, SLICE_NONE };
	if (!bracket && (flags & ADDRESS_STRICT) != 0) return ADDRESS_BAD;
	if (bracket) *rest = slice_skip(*rest, 1);
	enum address_answer r = ADDRESS_EMPTY;
	if (!(bracket && rest->len != 0 && rest->at[0] == '>')) {
		if (rest->len != 0 && rest->at[0] == '@' && !skip_route(rest, flags)) return ADDRESS_BAD;
		r = take_mailbox(rest, flags, mem, &m);
	}
	if (r == ADDRESS_BAD || (bracket && (rest->len == 0 || rest->at[0] != '>'))) return ADDRESS_BAD;
	if (bracket) *rest = slice_skip(*rest, 1);
	*out = m;
	return r;
}

enum address_answer address_parse_path(struct slice text, unsigned flags, struct arena *mem, struct mailbox *out,
	struct slice *rest) {
	while (text.len != 0 && ascii_blank(text.at[0])) text = slice_skip(text, 1);
	struct slice ahead = slice_head(text, PATH_BYTES_MAX);
	struct mailbox m;
	enum address_answer r = take_path(&ahead, flags, mem, &m);
	if (r == ADDRESS_BAD) return r;
	struct slice behind = slice_skip(text, (size_t)(ahead.at - text.at));
	bool cut = behind.len != 0 && !ascii_space(behind.at[0]);
	if (cut || (rest == NULL && slice_trim(behind).len != 0)) return ADDRESS_BAD;
	*out = m;
	if (rest != NULL) *rest = behind;
	return r;
}

enum address_answer address_parse(struct slice text, unsigned flags, struct arena *mem, struct mailbox *out) {
	struct slice rest = slice_trim(text);
	struct mailbox m;
	if (rest.len > PATH_BYTES_MAX) return ADDRESS_BAD;
	enum address_answer r = take_mailbox(&rest, flags & ~(unsigned)ADDRESS_STRICT, mem, &m);
	if (r == ADDRESS_BAD || rest.len != 0) return ADDRESS_BAD;
	*out = m;
	return r;
}
