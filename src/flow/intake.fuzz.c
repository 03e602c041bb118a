/* SPDX-License-Identifier: Apache-2.0 */
/* The same is stored whether a message comes whole or in small pieces. */
#include "flow/intake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(struct intake *in, struct slice text, size_t step) {
	static const struct intake_params params = { .spool_dir = "/tmp",
						     .memory_limit = 1 << 20,
						     .header_limit = 1 << 20 };
	intake_begin(in, &params);
	intake_head(in, S("Received: x\r\n"));
	for (; text.len != 0; text = slice_skip(text, step)) intake_bytes(in, slice_head(text, step));
	intake_end(in);
	struct summary s;
	must(intake_summary(in, &s) == 0 && s.size == intake_size(in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	if (size < 1) return 0;
	struct slice text = slice_from(data + 1, size - 1);
	struct intake whole, pieces;
	take(&whole, text, MAX_OF(text.len, (size_t)1));
	take(&pieces, text, (size_t)data[0] % 16 + 1);
	must(slice_eq(buf_slice(&whole.head), buf_slice(&pieces.head)));
	must(slice_eq(buf_slice(&whole.content), buf_slice(&pieces.content)));
	intake_done(&whole);
	intake_done(&pieces);
	return 0;
}
