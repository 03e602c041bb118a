/* SPDX-License-Identifier: Apache-2.0 */
/* The written form of a mailbox: apart from the reading, which needs a library for names in other scripts, because
 * sendmail starts without any. */
#include "mime/address.h"
#include "mime/inside.h"

bool address_is_atext(char c) {
	return ascii_alpha(c) || ascii_digit(c) || (unsigned char)c >= 0x80 ||
		(c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool needs_quotes(struct slice local) {
	if (local.len == 0 || local.at[0] == '.' || local.at[local.len - 1] == '.') return true;
	for (size_t i = 0; i < local.len; i++)
		if (local.at[i] == '.' ? local.at[i - 1] == '.' : !address_is_atext(local.at[i])) return true;
	return false;
}

void mailbox_add(struct buf *out, struct mailbox m) {
	if (m.local.len == 0 && m.domain.len == 0) return;
	bool quotes = needs_quotes(m.local);
	if (quotes) buf_byte(out, '"');
	for (size_t i = 0; quotes && i < m.local.len; i++) {
		if (m.local.at[i] == '"' || m.local.at[i] == '\\') buf_byte(out, '\\');
		buf_byte(out, m.local.at[i]);
	}
	buf_add(out, quotes ? S("\"") : m.local);
	if (m.domain.len != 0) buf_byte(out, '@');
	buf_add(out, m.domain);
}

struct slice mailbox_text(struct arena *mem, struct mailbox m) {
	AUTO_BUF struct buf text = BUF(SIZE_MAX / 4);
	mailbox_add(&text, m);
	return arena_slice(mem, buf_slice(&text));
}

bool mailbox_same(struct mailbox a, struct mailbox b) {
	return slice_eq(a.local, b.local) && slice_same(a.domain, b.domain);
}
