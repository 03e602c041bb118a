/* SPDX-License-Identifier: Apache-2.0 */
#include "access/pop3/line.h"

void pop3_put_capabilities(struct buf *out, unsigned login_delay_s) {
	buf_add(out, S("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\n"));
	buf_add(out, S("LANG\r\n"));
	if (login_delay_s != 0) buf_addf(out, "LOGIN-DELAY %u\r\n", login_delay_s);
}

struct slice pop3_word(struct slice *line) {
	struct slice word = slice_cut(line, ' ');
	if (line->at == NULL) *line = S("");
	return word;
}

void pop3_say(struct buf *out, enum language l, bool good, const char *text) {
	buf_add(out, good ? S("+OK") : S("-ERR"));
	if (text[0] != '\0') buf_byte(out, ' ');
	language_add(out, l, slice_of(text));
	buf_add(out, S("\r\n"));
}

void pop3_lang(struct buf *out, struct slice args, enum language *l) {
	args = slice_trim(args);
	if (args.len == 0) {
		buf_add(out, S("+OK Language listing follows:\r\n"));
		for (int i = 0; i < LANGUAGE_COUNT; i++)
			buf_addf(out, "%s %s\r\n", language_tag((enum language)i), language_name((enum language)i));
		buf_add(out, S(".\r\n"));
		return;
	}
	if (!language_of(args, l)) {
		pop3_say(out, *l, false, "None of these languages is spoken here.");
		return;
	}
	buf_addf(out, "+OK %s ", language_tag(*l));
	language_add(out, *l,
		     *l == LANGUAGE_JA ? S("Language is now Japanese.") : S("Language is now English."));
	buf_add(out, S("\r\n"));
}
