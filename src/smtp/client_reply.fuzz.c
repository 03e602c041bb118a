/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp/client_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	struct slice rest = slice_from(data, size);
	struct smtp_reply_reader r = { 0 };
	struct arena mem = { 0 };
	struct smtp_heard heard;
	while (rest.len > 0) {
		enum smtp_reply_result got = smtp_reply_read(&r, slice_cut(&rest, '\n'), &mem, &heard);
		if (got == SMTP_REPLY_BROKEN) break;
		if (got == SMTP_REPLY_MORE) continue;
		must(heard.reply.code >= 200 && heard.reply.code <= 599 &&
		     slice_find(heard.said, '\n') == heard.said.len);
		must(heard.reply.status[0] == '\0' || heard.reply.status[0] == '0' + heard.reply.code / 100);
	}
	smtp_reply_reader_done(&r);
	arena_done(&mem);
	return 0;
}
