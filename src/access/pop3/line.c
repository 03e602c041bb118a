/* SPDX-License-Identifier: Apache-2.0 */
#include "access/pop3/line.h"

void pop3_put_capabilities(struct buf *out, unsigned login_delay_s) {
	buf_add(out, S("TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\n"));
	if (login_delay_s != 0) buf_addf(out, "LOGIN-DELAY %u\r\n", login_delay_s);
}

struct slice pop3_word(struct slice *line) {
	struct slice word = slice_cut(line, ' ');
	if (line->at == NULL) *line = S("");
	return word;
}
