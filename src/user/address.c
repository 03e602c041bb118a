/* SPDX-License-Identifier: Apache-2.0 */
/* One stored form for each address, so that comparing is comparing bytes. */
#include "user/inside.h"
#include "base/encode.h"

#include <idn2.h>

enum { ADDRESS_MAX = 320, DOMAIN_MAX = 253, LABEL_MAX = 63 };

static bool domain_good(struct slice d) {
	if (d.len == 0 || d.len > DOMAIN_MAX) return false;
	for (struct slice rest = d; rest.at != NULL;) {
		struct slice label = slice_cut(&rest, '.');
		if (label.len == 0 || label.len > LABEL_MAX || label.at[0] == '-' || label.at[label.len - 1] == '-')
			return false;
		for (size_t i = 0; i < label.len; i++)
			if (!ascii_alpha(label.at[i]) && !ascii_digit(label.at[i]) && label.at[i] != '-' &&
			    label.at[i] != '_')
				return false;
	}
	return true;
}

static int idn_to_ascii(struct arena *mem, struct slice domain, struct slice *out) {
	char *ascii = NULL;
	if (idn2_to_ascii_8z(arena_text(mem, domain), &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return USER_BAD_ADDRESS;
	struct slice lower = arena_lower(mem, slice_of(ascii));
	idn2_free(ascii);
	if (!domain_good(lower)) return USER_BAD_ADDRESS;
	*out = lower;
	return 0;
}

int user_domain(struct arena *mem, struct slice domain, struct slice *out) {
	if (domain.len > 1 && domain.at[domain.len - 1] == '.') domain.len--;
	if (domain.len > ADDRESS_MAX || memchr(domain.at != NULL ? domain.at : "", '\0', domain.len) != NULL)
		return USER_BAD_ADDRESS;
	if (!slice_is_ascii(domain)) return utf8_valid(domain) ? idn_to_ascii(mem, domain, out) : USER_BAD_ADDRESS;
	if (!domain_good(domain)) return USER_BAD_ADDRESS;
	*out = arena_lower(mem, domain);
	return 0;
}

static bool local_good(struct slice local) {
	for (size_t i = 0; i < local.len; i++)
		if (ascii_control(local.at[i]) || local.at[i] == ' ') return false;
	return utf8_valid(local);
}

/* For every recipient: format strings cost ten times as much. */
static struct slice join(struct arena *mem, struct slice local, struct slice domain) {
	size_t len = local.len + 1 + domain.len;
	char *at = arena_get(mem, len + 1);
	if (local.len != 0) memcpy(at, local.at, local.len);
	at[local.len] = '@';
	memcpy(at + local.len + 1, domain.at, domain.len);
	return slice_from(at, len);
}

int parts_of(struct arena *mem, struct slice address, bool empty_local, struct parts *out) {
	size_t at = slice_find_last(address, '@');
	if (at == address.len || address.len > ADDRESS_MAX || (at == 0 && !empty_local)) return USER_BAD_ADDRESS;
	struct parts p = { .written = slice_head(address, at) };
	if (!local_good(p.written)) return USER_BAD_ADDRESS;
	int r = user_domain(mem, slice_skip(address, at + 1), &p.domain);
	if (r != 0) return r;
	p.local = arena_lower(mem, p.written);
	p.whole = join(mem, p.local, p.domain);
	if (p.whole.len > ADDRESS_MAX) return USER_BAD_ADDRESS; /* A-labels are longer than what they stand for */
	*out = p;
	return 0;
}

int user_address(struct arena *mem, struct slice address, struct slice *out) {
	struct parts p;
	int r = parts_of(mem, address, true, &p);
	if (r == 0) *out = p.whole;
	return r;
}
