/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters stay in xtext from the door to the next server; nobody here needs them decoded. */
#include "smtp/dsn.h"

static bool is_plain(char c) {
	return c > ' ' && c < 127 && c != '+' && c != '=';
}

/* One byte, decoded, from the front of *text; -1: not xtext. */
static int next_byte(struct slice *text) {
	char c = text->at[0];
	if (is_plain(c)) {
		*text = slice_skip(*text, 1);
		return (unsigned char)c;
	}
	if (c != '+' || text->len < 3) return -1;
	int high = ascii_hex(text->at[1]), low = ascii_hex(text->at[2]);
	bool lower = text->at[1] >= 'a' || text->at[2] >= 'a';
	if (high < 0 || low < 0 || lower) return -1;
	*text = slice_skip(*text, 3);
	return high << 4 | low;
}

bool xtext_add(struct buf *out, struct slice bytes) {
	for (size_t i = 0; i < bytes.len; i++) {
		if (is_plain(bytes.at[i])) buf_byte(out, bytes.at[i]);
		else buf_addf(out, "+%02X", (unsigned char)bytes.at[i]);
	}
	return !out->full;
}

bool xtext_valid(struct slice text) {
	if (text.len == 0) return false;
	while (text.len != 0) {
		int c = next_byte(&text);
		if (c < ' ' || c > 126) return false;
	}
	return true;
}

void xtext_decode_add(struct buf *out, struct slice text) {
	if (!xtext_valid(text)) {
		buf_add(out, text);
		return;
	}
	while (text.len != 0) buf_byte(out, (char)next_byte(&text));
}

void smtp_notify_add(struct buf *to, unsigned notify) {
	static const struct {
		unsigned bit;
		const char *word;
	} words[] = {
		{ SMTP_NOTIFY_NEVER, "NEVER" },
		{ SMTP_NOTIFY_SUCCESS, "SUCCESS" },
		{ SMTP_NOTIFY_FAILURE, "FAILURE" },
		{ SMTP_NOTIFY_DELAY, "DELAY" },
	};
	if (notify & SMTP_NOTIFY_NEVER) notify = SMTP_NOTIFY_NEVER;
	const char *before = " NOTIFY=";
	for (size_t i = 0; i < LEN(words); i++) {
		if (!(notify & words[i].bit)) continue;
		buf_addf(to, "%s%s", before, words[i].word);
		before = ",";
	}
}
