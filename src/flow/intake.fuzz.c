/* SPDX-License-Identifier: Apache-2.0 */
/* The header filter: the same is stored whether a message comes whole or in small pieces, in memory or spooled. */
#include "flow/intake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct intake *in, struct slice text, size_t step) {
	intake_begin(in, "/tmp", 1 << 20);
	intake_head(in, S("Received: x\r\n"));
	for (; text.len != 0; text = slice_skip(text, step)) intake_bytes(in, slice_head(text, step));
	struct summary s;
	intake_summary(in, &s);
	must(s.size == intake_size(in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 1) return 0;
	struct slice text = slice_from(data + 1, size - 1);
	struct intake whole, pieces;
	take(&whole, text, MAX_OF(text.len, (size_t)1));
	take(&pieces, text, (size_t)data[0] % 16 + 1);
	must(slice_eq(buf_slice(&whole.content), buf_slice(&pieces.content)));
	intake_done(&whole);
	intake_done(&pieces);
	return 0;
}
