/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/doveadm_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Words divided by NUL. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	AUTO_ARENA struct arena mem = { 0 };
	AUTO_BUF struct buf out = BUF(MIB(8));
	struct slice words[64], rest = slice_from(data, size);
	const char *problem = NULL;
	size_t count = 0;
	if (size > 4096) return 0;
	while (rest.at != NULL && count < LEN(words)) words[count++] = slice_cut(&rest, '\0');
	const struct dove_query *q = dove_query_read(words, count, 1800000000, &mem, &problem);
	must((q == NULL) == (problem != NULL));
	if (q != NULL) dove_query_put(q, S("INBOX"), S("00ff"), &out);
	return 0;
}
